# SPDX-License-Identifier: GPL-2.0-only
"""How the cost of an event grows with the number of sockets and of processes."""
import contextlib
from common import QUICK, Spread, crowd, netmon, several

OF_ONE = 15000  # sockets: as many as descriptors are allowed
CONNECTIONS = ["-o", "pid,laddr,lport,raddr,rport,tx_rate", "--max-entries", "200000"]


def parts(count):
    return [min(OF_ONE, count - done) for done in range(0, count, OF_ONE)]


def nanoseconds(crowds, count):
    """Of a send, over rounds of at least 2,000."""
    times = []
    for _ in range(max(1, 2000 // count)):
        times.append(sum(float(many.ask()) * share for many, share in zip(crowds, parts(count))))
    return Spread(times).median / count


def more(kind, count, options):
    """How much longer an event takes with netmon, in nanoseconds, and as a ratio."""
    added, ratios = [], []
    with contextlib.ExitStack() as stack:
        crowds = [stack.enter_context(crowd(kind, part)) for part in parts(count)]
        for _ in range(several(6)):
            without = nanoseconds(crowds, count)
            with netmon("-i", "86400", *options):
                nanoseconds(crowds, count)  # the first finds no entries
                counted = nanoseconds(crowds, count)
            added.append(counted - without)
            ratios.append(counted / without)
    return Spread(added), Spread(ratios)


def run(table):
    for kind, name, options, most in (
            ("sockets", "sockets, default", [], 100000),
            ("sockets", "sockets, connections", CONNECTIONS, 100000),
            ("processes", "processes", ["--max-processes", "20000"], 10000)):
        for count in (1, 100, 1000, 10000, 100000):
            if count > (100 if QUICK else most):
                break
            added, ratio = more(kind, count, options)
            table.add("growth", f"send with {count:,} {name}", ratio, "x without", ".3f",
                      remark=f"{added.text('.0f')} ns more")
