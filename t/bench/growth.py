# SPDX-License-Identifier: GPL-2.0-only
"""How the cost of an event grows with the number of sockets and processes, on one CPU and on two, and the cost
of a row with the number of rows."""
import contextlib
import os
import re
import subprocess
import tempfile
from common import BUILD, CPUS, QUICK, Spread, crowd, netmon, several

OF_ONE = 15000  # sockets of one process, limited by its descriptors
CONNECTIONS = ["-o", "pid,laddr,lport,raddr,rport,tx_rate", "--max-entries", "200000"]
PID_MAX = "/proc/sys/kernel/pid_max"


def parts(count):
    return [min(OF_ONE, count - done) for done in range(0, count, OF_ONE)]


def nanoseconds(crowds, count):
    """The median time of a send, over at least 2,000 sends."""
    times = []
    for _ in range(max(1, 2000 // count)):
        times.append(sum(float(many.ask()) * share for many, share in zip(crowds, parts(count))))
    return Spread(times).median / count


def more(kind, count, options):
    """The time that netmon adds to an event, in nanoseconds, and the ratio with to without netmon."""
    added, ratios = [], []
    with contextlib.ExitStack() as stack:
        crowds = [stack.enter_context(crowd(kind, part)) for part in parts(count)]
        for _ in range(several(6)):
            without = nanoseconds(crowds, count)
            with netmon("-i", "86400", *options):
                nanoseconds(crowds, count)  # the first round creates the entries
                counted = nanoseconds(crowds, count)
            added.append(counted - without)
            ratios.append(counted / without)
    return Spread(added), Spread(ratios)


@contextlib.contextmanager
def more_pids(wanted):
    """Raises kernel.pid_max meanwhile, if that is permitted.  Yields the number of processes that fit,
    which leaves 10,000 pids for other programs."""
    with open(PID_MAX) as file:
        before = int(file.read())
    with contextlib.ExitStack() as stack:
        most = max(before, wanted + 20000)
        try:
            set_pid_max(most)
            stack.callback(set_pid_max, before)
        except OSError:
            most = before
        yield most - 10000


def set_pid_max(number):
    with open(PID_MAX, "w") as file:
        file.write(str(number))


@contextlib.contextmanager
def pinned(cpus):
    """Runs all programs that are started meanwhile on these CPUs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def row_cost(count):
    """CPU nanoseconds per row, from the tick to its text.  Takes the last of four reports, which allocates
    no memory."""
    with tempfile.TemporaryFile("w+") as ticks:
        for tick in range(5):
            ticks.write(f"tick {tick}000000000 {tick}000\n")
            ticks.writelines(f'{pid} 1 "crowd" {tick * pid} {tick} {tick} {tick}\n' for pid in range(1, count + 1))
        ticks.seek(0)
        text = subprocess.run([f"{BUILD}/t/replay"], stdin=ticks, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              env={**os.environ, "COST": "1"}, text=True, check=True).stderr
    return 1e3 * int(re.findall(r"(\d+) in all", text)[-1]) / count


def add_rows(table):
    costs = {}
    for count in (1000, 10000) if QUICK else (1000, 10000, 100000, 1000000):
        costs[count] = Spread([row_cost(count) for _ in range(several(5))])
        flat = costs[count].median / costs[10000].median if count > 10000 else None
        table.add("growth", f"a row of {count:,}", costs[count], "ns", ".0f")
        if flat:
            table.add("growth", f"a row of {count:,}, beside one of 10,000", flat, "x", most=1.3)


def add_sends(table, cpus, most_processes):
    on = "1 CPU" if cpus == 1 else f"{cpus} CPUs"
    for kind, name, options, most in (
            ("sockets", "sockets, default", [], 100000),
            ("sockets", "sockets, connections", CONNECTIONS, 100000),
            ("processes", "processes", ["--max-processes", "200000"], most_processes)):
        for count in (1, 100) if QUICK else (1, 100, 1000, 10000, 20000, 100000):
            what = f"send with {count:,} {name}, {on}"
            if count > most:
                table.note("growth", what, "kernel.pid_max has no room for them")
                continue
            added, ratio = more(kind, count, options)
            table.add("growth", what, ratio, "x without", ".3f", most=1.3,
                      remark=f"{added.text('.0f')} ns more")


def run(table):
    add_rows(table)
    with more_pids(100000) as most:
        for cpus in sorted({1, CPUS}):
            with pinned(sorted(os.sched_getaffinity(0))[:cpus]):
                add_sends(table, cpus, most)
