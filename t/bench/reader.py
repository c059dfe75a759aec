# SPDX-License-Identifier: GPL-2.0-only
"""What netmon itself takes: for a report, to start, to live, on the disk."""
import os
import subprocess
import sys
import threading
import time
from common import BUILD, NETMON, QUICK, Program, Spread, crowd, netmon, several, wait_until

CONNECTIONS = ["-o", "time,pid,comm,raddr,rport,rx_rate,tx_rate", "--max-entries", "200000"]
PROCESSES = ["--max-processes", "200000"]


class Reader:
    """Takes netmon's rows as they come, and notes when."""

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
        """When the last report was made; None if what came is of several."""
        first, last = self.first.split(b",")[0], self.last.split(b"\n")[-2].split(b",")[0]
        return float(last) if first == last else None


def warm_memory():
    """Has the host of a virtual machine hand over its memory, which it does where a page is first
    used: that takes ten times as long as the page fault, and is not netmon's cost."""
    subprocess.run([sys.executable, "-c", "b'-' * (1 << 29)"], check=True)


def report_costs(options, round, count, samples):
    """CPU and wall milliseconds of a report of the rows that a round makes, and its writes."""
    cpu, wall, writes = [], [], []
    reader = Reader()
    if QUICK:  # on a machine that does other things too
        options = [*options, "--comm", "crowd*"]
    start = time.monotonic()
    round()
    interval = max(0.5, 3 * (time.monotonic() - start))  # for a round to be in one
    warm_memory()
    with netmon("-i", f"{interval:.3f}", "--no-header", *options, output=reader.output) as it:
        os.close(reader.output)
        while len(cpu) < samples:
            reader.forget()
            before, wrote = it.cpu(), it.writes()
            round()
            wait_until(lambda: reader.rows >= 0.9 * count, 10 * interval + 10)
            time.sleep(0.1)
            tick = reader.tick()
            if tick and count <= reader.rows <= 1.1 * count + 20:
                cpu.append(1e3 * (it.cpu() - before))
                wall.append(1e3 * (reader.when - tick))
                writes.append(it.writes() - wrote)
    return Spread(cpu), Spread(wall), Spread(writes)


def add_reports(table, kind, name, options, counts, targets):
    for count in counts:
        with crowd(kind, count) as many:
            cpu, wall, writes = report_costs(options, many.ask, count, several(5))
        what = f"report of {count:,} {name}"
        table.add("reader", f"{what}: CPU", cpu, "ms", most=targets.get(count),
                  remark=f"{1e6 * cpu.median / count:.0f} ns a row")
        table.add("reader", f"{what}: from tick to last row", wall, "ms")
        table.add("reader", f"{what}: writes", writes, "", ".0f")


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
    """Percent of a core, with nothing to report."""
    seconds = 2 if QUICK else 20
    with netmon("-i", "1") as it:
        time.sleep(0.5)
        before = it.cpu()
        time.sleep(seconds)
        return 100 * (it.cpu() - before) / seconds


def stripped_size(path):
    copy = f"{BUILD}/stripped"
    subprocess.run(["strip", "-o", copy, path], check=True)
    size = os.path.getsize(copy)
    os.unlink(copy)
    return size / 1e6


def add_binary(table, name, path):
    table.add("reader", f"{name} binary, stripped", stripped_size(path), "MB",
              most=2 if name == "static" else None)
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
    table.add("reader", "from exec to the first row", first_tick([]), "ms", ".0f", most=100)
    table.add("reader", "the same, connections", first_tick(CONNECTIONS[:2]), "ms", ".0f")
    table.add("reader", "the same, layer ip", first_tick(["--layer", "ip"]), "ms", ".0f")
    table.add("reader", "idle at -i 1", idle(), "% of a core", ".3f", most=0.1)
    add_binary(table, "plain", NETMON)
    static = f"{BUILD}/static/netmon"
    if os.path.exists(static):
        add_binary(table, "static", static)
