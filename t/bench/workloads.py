# SPDX-License-Identifier: GPL-2.0-only
"""The throughput that busy programs keep beside netmon's probes, and beside empty programs."""
import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from common import CPUS, QUICK, Spread, several, wait_until
from events import IN_TURNS, Turns, counting, doing_nothing, empty

PORTS = {"redis": "16379", "iperf": "15201", "nginx": "18080"}
# The window of a throughput, and the wait before it, in seconds: for whole programs, which start and end,
# and for programs that are only attached.  The shorter, the less the host's other work disturbs a pair.
WHOLE = (0.3, 0.1)
ATTACHED = (0.04, 0.005)


def redis(*options):
    return ["redis-benchmark", "-p", PORTS["redis"], "-t", "get", "-c", "20", "-n", "1000000000", *options]


def iperf(*options):
    return ["iperf3", "-c", "127.0.0.1", "-p", PORTS["iperf"], "-t", "86400", *options]


def wrk(*options):
    return ["wrk", "-t", "1", "-c", "16", "-d", "24h", *options, f"http://127.0.0.1:{PORTS['nginx']}/"]


# name, command, the least share of throughput to keep
WORKLOADS = [
    ("redis, one at a time", redis(), 0.97),
    ("redis, 16 in a row", redis("-P", "16"), 0.99),
    ("iperf3, bulk", iperf(), 0.99),
    ("iperf3, 64 bytes a call", iperf("-l", "64"), 0.97),
    ("nginx, keep-alive", wrk(), 0.99),
    ("nginx, new connections", wrk("-H", "Connection: close"), 0.97),
]

NGINX = """daemon off; master_process off; pid nginx.pid; error_log stderr;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path .; proxy_temp_path .;
fastcgi_temp_path .; uwsgi_temp_path .; scgi_temp_path .;
server {{ listen 127.0.0.1:{nginx}; location / {{ return 200 "{body}"; }} }} }}"""


def on_cpu(number, command):
    """Pins servers and clients to CPUs: the scheduler's choice makes a greater difference than any tool."""
    return ["taskset", "-c", str(number % CPUS), *command]


def answers(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", int(port))) == 0


@contextlib.contextmanager
def servers():
    """Runs the installed servers."""
    processes = []
    with tempfile.TemporaryDirectory() as place:
        with open(f"{place}/nginx.conf", "w") as file:
            file.write(NGINX.format(body="x" * 600, **PORTS))
        for name, *command in (
                ("redis", "redis-server", "--port", PORTS["redis"], "--save", "", "--dir", place),
                ("iperf", "iperf3", "-s", "-p", PORTS["iperf"]),
                ("nginx", "nginx", "-p", place, "-c", f"{place}/nginx.conf")):
            if not shutil.which(command[0]):
                continue
            processes.append(subprocess.Popen(on_cpu(0, command), stdout=subprocess.DEVNULL,
                                              stderr=subprocess.DEVNULL, cwd=place))
            wait_until(lambda port=PORTS[name]: answers(port))
        try:
            yield
        finally:
            for process in processes:
                process.terminate()
                process.wait()


def moved():
    """Bytes sent over loopback so far."""
    with open("/sys/class/net/lo/statistics/tx_bytes") as file:
        return int(file.read())


def throughput(window, settled):
    """Bytes per second over loopback: proportional to requests, if nothing else uses it.  A window in which
    nothing moves, as on a busy machine, is made longer, up to 10 seconds."""
    time.sleep(settled)
    begin, before = time.monotonic(), moved()
    time.sleep(window)
    while moved() == before and time.monotonic() < begin + 10:
        time.sleep(window)
    return (moved() - before) / (time.monotonic() - begin)


@contextlib.contextmanager
def loading(command):
    """Runs the command meanwhile; starts it again if the server was not ready."""
    def run():
        return subprocess.Popen(on_cpu(1, command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    process = run()
    deadline = time.monotonic() + 60
    try:
        time.sleep(0.5)
        while throughput(*WHOLE) < 1e6:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} moves nothing")
            if process.poll() is not None:
                process = run()
        yield
    finally:
        process.kill()
        process.wait()


def kept_beside(starts, rounds, times):
    """Returns for each of `starts` the shares of throughput kept.  Measures without, with the first, without,
    with the second ..., without; divides each by the mean of the two windows around it."""
    kept = [[] for _ in starts]
    before = throughput(*times)
    for _ in range(several(rounds)):
        for start_one, its in zip(starts, kept):
            with start_one():
                during = throughput(*times)
            after = throughput(*times)
            its.append(2 * during / (before + after))
            before = after
    return kept


def floor(table, name, least, kind, starts):
    """Compares netmon's programs with empty ones, which cost nearly as much.  If possible they are only
    attached in turn, without netmon's reports, whose cost reader.py measures."""
    rounds, times = (400, ATTACHED) if kind in IN_TURNS else (60, WHOLE)
    counting_kept, floor_kept = kept_beside(starts, rounds, times)
    table.add("workload", f"{name}: kept with netmon's programs", Spread(counting_kept), "x without", ".3f",
              least=least, remark=f"median of {len(counting_kept)} pairs")
    table.add("workload", f"{name}: kept with programs that do nothing", Spread(floor_kept), "x without",
              ".3f")


def each_workload(table, part):
    """Yields the name of each workload and the least share to keep, while the workload runs."""
    with servers():
        for name, load, least in WORKLOADS[:1] if QUICK else WORKLOADS:
            if not shutil.which(load[0]):
                table.note(part, name, f"{load[0]} is not installed")
                continue
            with loading(load):
                yield name, least


def run(table):
    kind, command = empty()
    starts = [counting(()), doing_nothing(command)]
    with contextlib.ExitStack() as stack:
        if kind in IN_TURNS:
            starts = list(map(stack.enter_context(Turns()).hold, starts))
        for name, least in each_workload(table, "workload"):
            floor(table, name, least, kind, starts)
