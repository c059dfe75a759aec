# SPDX-License-Identifier: GPL-2.0-only
"""What busy programs lose to netmon's probes, and to programs that do nothing: throughput kept."""
import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from common import CPUS, QUICK, Spread, several, wait_until
from events import IN_TURNS, Turns, counting, doing_nothing, empty

PORTS = {"redis": "16379", "iperf": "15201", "nginx": "18080"}
# Seconds that throughput is taken over, and how long after what it is taken beside has come or gone: a
# program that starts and ends, or programs that are only attached.  The shorter, the less of what else
# the host does comes between two windows.
WHOLE = (0.3, 0.1)
ATTACHED = (0.04, 0.005)


def redis(*options):
    return ["redis-benchmark", "-p", PORTS["redis"], "-t", "get", "-c", "20", "-n", "1000000000", *options]


def iperf(*options):
    return ["iperf3", "-c", "127.0.0.1", "-p", PORTS["iperf"], "-t", "86400", *options]


def wrk(*options):
    return ["wrk", "-t", "1", "-c", "16", "-d", "24h", *options, f"http://127.0.0.1:{PORTS['nginx']}/"]


# name, what runs, the least that must be kept
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
    """Servers and their clients each have a CPU: where the scheduler puts them makes a greater difference
    than any tool."""
    return ["taskset", "-c", str(number % CPUS), *command]


def answers(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", int(port))) == 0


@contextlib.contextmanager
def servers():
    """Those that are installed; they end with this."""
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
    """Bytes over loopback so far."""
    with open("/sys/class/net/lo/statistics/tx_bytes") as file:
        return int(file.read())


def throughput(window, settled):
    """Bytes per second over loopback, where nothing else moves: each request has as many."""
    time.sleep(settled)
    begin, before = time.monotonic(), moved()
    time.sleep(window)
    return (moved() - before) / (time.monotonic() - begin)


@contextlib.contextmanager
def loading(command):
    """Runs it meanwhile; again where the server was not ready for it."""
    def run():
        return subprocess.Popen(on_cpu(1, command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    process = run()
    tries = 10
    try:
        time.sleep(0.5)
        while throughput(*WHOLE) < 1e6:
            if not tries:
                raise RuntimeError(f"{command[0]} moves nothing")
            tries -= 1
            if process.poll() is not None:
                process = run()
        yield
    finally:
        process.kill()
        process.wait()


def kept_beside(starts, rounds, times):
    """For each of these what is kept of the throughput: in turn without, with the first, without, with the
    second ..., without; each beside the two windows around it."""
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
    """netmon's programs and those that do nothing, which are near to one another: attached in turn where
    that can be had, without netmon's reports, whose cost the reader's lines have."""
    rounds, times = (400, ATTACHED) if kind in IN_TURNS else (60, WHOLE)
    counting_kept, floor_kept = kept_beside(starts, rounds, times)
    table.add("workload", f"{name}: kept with netmon's programs", Spread(counting_kept), "x without", ".3f",
              least=least, remark=f"median of {len(counting_kept)} pairs")
    table.add("workload", f"{name}: kept with programs that do nothing", Spread(floor_kept), "x without",
              ".3f")


def each_workload(table, part):
    """Name, and the least that must be kept, of each workload; it runs meanwhile."""
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
