# SPDX-License-Identifier: GPL-2.0-only
"""What busy programs lose to netmon, and to what people use instead where it runs: throughput
kept, CPU and memory of the tool, and what it reported of traffic whose amount is known."""
import contextlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from common import BUILD, CPUS, QUICK, NETMON, Program, Spread, several, wait_until
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


def netmon_bytes(text, pid):
    rows = [line.split(",") for line in text.splitlines() if line.startswith(f"{pid},")]
    return sum(int(row[1]) + int(row[2]) for row in rows)


def bpftrace_bytes(text, pid):
    return sum(int(number) for number in re.findall(rf"@\w+\[{pid}\]: (\d+)", text))


def nethogs_bytes(text, pid):
    """Totals, in each of its reports."""
    rows = re.findall(rf"/{pid}/\d+\t([\d.e+]+)\t([\d.e+]+)", text)
    return sum(map(float, rows[-1])) if rows else 0


def tcptop_bytes(text, pid):
    """KiB, in each of its reports."""
    rows = re.findall(rf"^ *{pid} .* (\d+) +(\d+) *$", text, re.M)
    return sum(1024 * (int(row[0]) + int(row[1])) for row in rows)


BPFTRACE = """BEGIN { printf("ready\\n"); }
tracepoint:sock:sock_send_length /args->ret > 0/ { @tx[pid] = sum(args->ret); }
tracepoint:sock:sock_recv_length /args->ret > 0/ { @rx[pid] = sum(args->ret); }"""

# What bpftrace needs is not mounted everywhere; where it is missing, it is mounted for it alone.
WITH_TRACEFS = ["unshare", "-m", "sh", "-c", 'test -d /sys/kernel/tracing/events || '
                'mount -t tracefs tracefs /sys/kernel/tracing; exec "$@"', "sh"]

# name, its command, what it says when it is ready, how to read its bytes; netmon has some reports in
# each window
TOOLS = [
    ("netmon", [NETMON, "--no-pin", "-v", "-i", "0.1", "-o", "pid,rx_bytes,tx_bytes"], "rx_bytes", netmon_bytes),
    ("nethogs", ["nethogs", "-a", "-t", "-v", "2", "-d", "1"], "Refreshing", nethogs_bytes),
    ("bpftrace", [*WITH_TRACEFS, "bpftrace", "-e", BPFTRACE], "ready", bpftrace_bytes),
    ("tcptop (libbpf-tools)", ["/usr/sbin/tcptop", "-C", "1"], "PID", tcptop_bytes),
    ("tcptop (bcc)", ["tcptop-bpfcc", "-C", "1"], "PID", tcptop_bytes),
]


def start(tool):
    program = Program(tool[1], tool[2])
    time.sleep(0.3)  # bpftrace says so before it has attached all
    return program


def usable(table):
    """Those that are installed and that the kernel lets run."""
    found = []
    for tool in TOOLS:
        program = next(word for word in tool[1] if word not in WITH_TRACEFS)
        if not shutil.which(program):
            table.note("workload", tool[0], "not installed")
            continue
        try:
            with start(tool):
                found.append(tool)
        except RuntimeError:
            table.note("workload", tool[0], "does not run on this kernel")
    return found


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


def metered(tool, used):
    """What starts it and adds to `used` the part of a core that it took."""
    @contextlib.contextmanager
    def run_it():
        with start(tool) as it:
            begin, cpu = time.monotonic(), it.cpu()
            yield
            used.append((it.cpu() - cpu) / (time.monotonic() - begin))
    return run_it


def compare(table, name, least, tools):
    """Whole programs, which come and go: netmon with its reports."""
    used = [[] for _ in tools]
    kept = kept_beside(list(map(metered, tools, used)), 12, WHOLE)
    for tool, its, its_used in zip(tools, kept, used):
        table.add("workload", f"{name}: kept with {tool[0]}", Spread(its), "x without", ".3f",
                  least=least if tool[0] == "netmon" else None,
                  remark=f"the tool takes {100 * statistics.mean(its_used):.2f} % of a core")


def floor(table, name, least, kind, starts):
    """netmon's programs and those that do nothing, which are near to one another: attached in turn where
    that can be had, without netmon's reports, whose cost the reader's lines have."""
    rounds, times = (600, ATTACHED) if kind in IN_TURNS else (60, WHOLE)
    counting_kept, floor_kept = kept_beside(starts, rounds, times)
    table.add("workload", f"{name}: kept with netmon's programs", Spread(counting_kept), "x without", ".3f",
              least=least, remark=f"median of {len(counting_kept)} pairs")
    table.add("workload", f"{name}: kept with programs that do nothing", Spread(floor_kept), "x without",
              ".3f")


def truth(text):
    """PID and bytes of the sender in t/traffic's account: nethogs sees loopback once."""
    rows = [line.split() for line in text.splitlines()]
    return max(((int(row[0]), int(row[-3])) for row in rows), key=lambda row: row[1])


def exactness(table, tools):
    """Calls of a few bytes: what looks at packets sees more than these."""
    for tool in tools:
        with start(tool) as it:
            time.sleep(1)
            account = subprocess.run([f"{BUILD}/t/traffic", "steady", "-r", "20000000", "-s", "2"],
                                     stdout=subprocess.PIPE, text=True, check=True).stdout
            time.sleep(1.5)
            memory = it.memory() / 1024
            text = it.stop(signal.SIGINT)
        pid, moved = truth(account)
        table.add("workload", f"{tool[0]}: bytes it reported of those moved",
                  tool[3](text, pid) / moved, "x", ".6f",
                  least=1 if tool[0] == "netmon" else None,
                  most=1 if tool[0] == "netmon" else None)
        table.add("workload", f"{tool[0]}: PSS", memory, "MiB", ".1f")


def run(table):
    tools = usable(table)
    exactness(table, tools)
    kind, command = empty()
    starts = [counting(()), doing_nothing(command)]
    with contextlib.ExitStack() as stack:
        if kind in IN_TURNS:
            starts = list(map(stack.enter_context(Turns()).hold, starts))
        stack.enter_context(servers())
        for name, load, least in WORKLOADS[:1] if QUICK else WORKLOADS:
            if not shutil.which(load[0]):
                table.note("workload", name, f"{load[0]} is not installed")
                continue
            with loading(load):
                floor(table, name, least, kind, starts)
                compare(table, name, least, tools)
