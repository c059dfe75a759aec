# SPDX-License-Identifier: GPL-2.0-only
"""What netmon itself uses: for a report, at start, when idle, on disk."""
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from common import BUILD, CPUS, NETMON, QUICK, Program, Spread, crowd, netmon, several, wait_until

CONNECTIONS = ["-o", "time,pid,comm,raddr,rport,rx_rate,tx_rate", "--max-entries", "200000"]
PROCESSES = ["--max-processes", "200000"]
USERS = ["-o", "time,user,rx_rate,tx_rate"]


class Reader:
    """Reads netmon's rows from a pipe."""

    def __init__(self):
        self.end, self.output = os.pipe()
        self.forget()
        threading.Thread(target=self.read, daemon=True).start()

    def forget(self):
        self.rows, self.first, self.last, self.when = 0, b"", b"", 0

    def read(self):
        while block := os.read(self.end, 1 << 20):
            self.when = time.time()
            self.first = self.first or block
            self.last = block
            self.rows += block.count(b"\n")
        os.close(self.end)

    def tick(self):
        """The time of the report that was read; None if more than one was."""
        first, last = self.first.split(b",")[0], self.last.split(b"\n")[-2].split(b",")[0]
        return float(last) if first == last else None


def warm_memory():
    """Touches memory, so that the host of a virtual machine provides it.  At the first use of a page, that
    takes ten times as long as the page fault, and is not netmon's cost."""
    subprocess.run([sys.executable, "-c", "b'-' * (1 << 29)"], check=True)


def report_costs(options, round, count, samples, before=0):
    """CPU milliseconds, wall milliseconds and writes of a report with the `count` rows of a round, after
    `before` rounds that are not measured.  None if each report has many rows of other programs."""
    cpu, wall, writes = [], [], []
    reader = Reader()
    if QUICK:  # the machine might be busy
        options = [*options, "--comm", "crowd*"]
    start = time.monotonic()
    round()
    interval = max(0.5, 3 * (time.monotonic() - start))  # long enough to hold a round
    warm_memory()
    with netmon("-i", f"{interval:.3f}", "--no-header", *options, output=reader.output) as it:
        os.close(reader.output)
        for _ in range(before):
            round()
            time.sleep(interval)
        for _ in range(10 * samples):
            if len(cpu) == samples:
                break
            reader.forget()
            used, wrote = it.cpu(), it.writes()
            round()
            wait_until(lambda: reader.rows >= 0.9 * count, 10 * interval + 10)
            time.sleep(0.1)
            tick = reader.tick()
            if tick and count <= reader.rows <= 1.1 * count + 20:
                cpu.append(1e3 * (it.cpu() - used))
                wall.append(1e3 * (reader.when - tick))
                writes.append(it.writes() - wrote)
    return [Spread(values) for values in (cpu, wall, writes)] if cpu else None


def add_reports(table, kind, name, options, counts, targets, before=0):
    for count in counts:
        with crowd(kind, count) as many:
            costs = report_costs(options, many.ask, count, several(5), before)
        what = f"report of {count:,} {name}"
        if not costs:
            table.note("reader", what, "others use the network: their rows are in every report")
            continue
        cpu, wall, writes = costs
        table.add("reader", f"{what}: CPU", cpu, "ms", most=targets.get(count),
                  remark=f"{1e6 * cpu.median / count:.0f} ns a row")
        table.add("reader", f"{what}: from tick to last row", wall, "ms")
        table.add("reader", f"{what}: writes", writes, "", ".0f")


def replayed(window, rows, ticks):
    """Runs netmon's own code on made-up ticks: returns the CPU microseconds of each report, and the peak
    memory in bytes."""
    process = subprocess.Popen([f"{BUILD}/t/replay", "-w", str(window)], stdin=subprocess.PIPE, text=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "COST": "1"})
    said = []
    reading = threading.Thread(target=lambda: said.append(process.stderr.read()))
    reading.start()
    for tick in range(ticks + 1):
        lines = [f'{pid} 1 "crowd" {tick} {tick} {tick} {tick}\n' for pid in range(1, rows + 1)]
        process.stdin.write(f"tick {tick}000000000 {tick}000\n" + "".join(lines))
    process.stdin.flush()
    with open(f"/proc/{process.pid}/status") as file:
        most = next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    process.stdin.close()
    reading.join()
    if process.wait():
        raise RuntimeError(f"replay: {said[0]}")
    return [int(cost) for cost in re.findall(r"(\d+) in all", said[0])], most


def add_window(table):
    """Compares the cost of a report with a full window and without a window."""
    rows, window, last = (100, 20, 20) if QUICK else (1000, 600, 200)
    (short, before), (long, after) = (replayed(each, rows, window + last) for each in (1, window))
    short, long = (Spread(costs[-last:]) for costs in (short, long))
    what = f"report of {rows:,} rows, -w {window}"
    table.add("reader", f"{what}: CPU beside that of -w 1", long.median / short.median, "x", most=1.3,
              remark=f"{long.median:.0f} and {short.median:.0f} us")
    table.add("reader", f"{what}: memory beside that of -w 1", (after - before) / (rows * window),
              "bytes a row and tick", ".1f", most=None if QUICK else 40.5)
    if not QUICK:
        rows, ticks = 10000, 800
        before, after = (replayed(each, rows, ticks)[1] for each in (1, 3600))
        table.add("reader", f"{rows:,} rows, -w 3600, {ticks} ticks: memory beside that of -w 1",
                  (after - before) / (1 << 20), "MiB", ".0f", most=258, remark="bounded to 256, plus a tick")


def cgroup_root():
    with open("/proc/mounts") as file:
        return next((line.split()[1] for line in file if line.split()[2] == "cgroup2"), None)


def send_from(cgroup):
    """Has a new process in the cgroup send a datagram."""
    child = os.fork()
    if not child:
        with open(f"{cgroup}/cgroup.procs", "w") as file:
            file.write("0")
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))
        os._exit(0)
    os.waitpid(child, 0)


@contextlib.contextmanager
def idle_cgroups(base, count):
    made = []
    try:
        for path in (base, *(f"{base}/idle-{i}" for i in range(count))):
            os.mkdir(path)
            made.append(path)
        yield
    finally:
        for path in reversed(made):
            os.rmdir(path)


def opened_while(program, do):
    """How often the program opened a file during do(), by strace(1); None if strace is not installed."""
    if not shutil.which("strace"):
        do()
        return None
    with tempfile.NamedTemporaryFile("r") as counts:
        tracing = subprocess.Popen(["strace", "-qq", "-f", "-c", "-e", "openat,open_by_handle_at", "-o", counts.name,
                                    "-p", str(program.pid)], stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        do()
        tracing.send_signal(signal.SIGINT)
        tracing.wait()
        return sum(int(calls) for calls in re.findall(r"^ *\S+ +\S+ +\S+ +(\d+) .*(?:openat|open_by_handle_at)$",
                                                      counts.read(), re.M))


def cgroup_cost(base, short, count_calls):
    """CPU milliseconds, or files opened, of the reports while cgroups come and go."""
    def come_and_go():
        for i in range(short):
            os.mkdir(f"{base}/short-{i}")
            send_from(f"{base}/short-{i}")
            os.rmdir(f"{base}/short-{i}")
        time.sleep(1.2)

    with netmon("-i", "1", "-o", "time,cgroup,tx_bytes", "--to", "/dev/null") as it:
        time.sleep(1.2)
        if count_calls:
            return opened_while(it, come_and_go)
        before = it.cpu()
        come_and_go()
        return 1e3 * (it.cpu() - before)


def add_cgroups(table):
    root = cgroup_root()
    idle, short = (200, 10) if QUICK else (2000, 60)
    what = f"-o cgroup, {idle:,} idle and {short} short-lived"
    if not root:
        table.note("reader", what, "no cgroup v2 here")
        return
    base = f"{root}/netmon-bench-{os.getpid()}"
    with idle_cgroups(base, idle):
        cpu = Spread([cgroup_cost(base, short, False) for _ in range(several(5))])
        opened = cgroup_cost(base, short, True)
    table.add("reader", f"{what}: CPU in all", cpu, "ms", most=20)
    if opened is None:
        table.note("reader", f"{what}: files opened", "strace is not installed")
    else:
        table.add("reader", f"{what}: files opened", opened, "", ".0f", most=10 * short)


def first_tick(options):
    """Milliseconds from exec to the first row, at the shortest interval, under traffic."""
    times = []
    with crowd("sockets", 1) as one:
        for _ in range(several(10)):
            start = time.monotonic()
            process = subprocess.Popen([NETMON, "--no-pin", "-i", "0.01", "-n", "1000", "--no-header",
                                        *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            stop = threading.Event()
            beat = threading.Thread(target=lambda: [one.ask() for _ in iter(stop.is_set, True)
                                                    if not time.sleep(0.002)])
            beat.start()
            process.stdout.read1()
            times.append(1e3 * (time.monotonic() - start))
            stop.set()
            beat.join()
            process.kill()
            process.wait()
    return Spread(times)


def idle():
    """Percent of a core without traffic."""
    seconds = 2 if QUICK else 20
    with netmon("-i", "1") as it:
        time.sleep(0.5)
        before = it.cpu()
        time.sleep(seconds)
        return 100 * (it.cpu() - before) / seconds


def counters_memory(options):
    """MiB of kernel memory of the counters: the map whose values have 32 bytes."""
    with netmon("-i", "86400", *options) as it:
        for fd in os.listdir(f"/proc/{it.pid}/fdinfo"):
            with open(f"/proc/{it.pid}/fdinfo/{fd}") as file:
                about = dict(line.split(":", 1) for line in file if ":" in line)
            if int(about.get("value_size", 0)) == 32:
                return int(about["memlock"]) / (1 << 20)
    raise RuntimeError("no map of counters")


def stripped_size(path):
    copy = f"{BUILD}/stripped"
    subprocess.run(["strip", "-o", copy, path], check=True)
    size = os.path.getsize(copy)
    os.unlink(copy)
    return size / 1e6


def add_binary(table, name, path):
    table.add("reader", f"{name} binary, stripped", stripped_size(path), "MB",
              most=1 if name == "plain" else None)
    with Program([path, "--no-pin", "-v", "-i", "0.1"], "netmon: counting", "stderr") as it:
        time.sleep(0.5)
        table.add("reader", f"{name}: PSS after loading", it.memory() / 1024, "MiB", most=3)
        table.add("reader", f"{name}: VmRSS after loading", it.memory("Rss") / 1024, "MiB")


def run(table):
    most = 1000 if QUICK else 10000
    counts = [count for count in (10, 1000, 10000) if count <= most]
    add_reports(table, "processes", "processes", PROCESSES, counts, {10000: 10})
    if not QUICK:
        add_reports(table, "short", "processes that have ended", PROCESSES, [100000], {100000: 100})
        counts.append(100000)
    add_reports(table, "peers", "connections", CONNECTIONS, counts, {100000: 100})
    add_reports(table, "users", "users", USERS, [100 if QUICK else 10000], {10000: 20},
                before=1 if QUICK else 12)  # until the name service has answered
    add_window(table)
    add_cgroups(table)
    table.add("reader", "from exec to the first row", first_tick([]), "ms", ".0f", most=100)
    table.add("reader", "the same, connections", first_tick(CONNECTIONS[:2]), "ms", ".0f")
    table.add("reader", "the same, layer ip", first_tick(["--layer", "ip"]), "ms", ".0f")
    table.add("reader", "idle at -i 1", idle(), "% of a core", ".3f", most=0.1)
    for name, options in (("default", []), ("connections", CONNECTIONS[:2])):
        table.add("reader", f"kernel memory of the counters, {name}, {CPUS} CPUs", counters_memory(options), "MiB",
                  ".1f", most=32)
    add_binary(table, "plain", NETMON)
    static = f"{BUILD}/static/netmon"
    if os.path.exists(static):
        add_binary(table, "static", static)
