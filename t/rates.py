#!/usr/bin/env python3
"""Checks what netmon reported of a sender against what that says it sent.

    rates.py stamp              adds to each row, in jsonl, when it arrived
    rates.py check LOG WINDOW   standard input: such rows of one process, each with time, dt,
                                tx_bytes, tx_total, tx_rate; LOG is by traffic --log

The counters of a report are read after its time is taken, and before its rows arrive: what the
sender had sent by then is between what it had at the one and at the other, however busy the
machine.  A rate is what was sent in the window, divided by its length.  Prints each row for which
that does not hold, and ends with status 1 then.
"""
import bisect
import json
import sys
import time

MICROSECOND = 0.000001  # to which dt is rounded


def stamp():
    for line in sys.stdin:
        print(json.dumps({**json.loads(line), "arrived": time.time()}), flush=True)


def check(log, window):
    with open(log, encoding="ascii") as file:
        before, after, sums = zip(*(map(float, line.split()) for line in file))

    def sent(clocks, moment):
        """Bytes of all calls up to then, by the clock before or after each call."""
        calls = bisect.bisect_right(clocks, moment)
        return sums[calls - 1] if calls else 0

    rows = [json.loads(line) for line in sys.stdin]
    bad = not rows
    for index, row in enumerate(rows):
        wanted = [sent(after, row["time"]), sent(before, row["arrived"])]
        if not wanted[0] <= row["tx_total"] <= wanted[1]:
            print("tx_total is not from %d to %d: %s" % (*wanted, row))
            bad = True
        if index + 1 < window:
            continue
        rows_of_window = rows[index + 1 - window:index + 1]
        length = sum(row["dt"] for row in rows_of_window)
        amount = sum(row["tx_bytes"] for row in rows_of_window)
        if abs(row["tx_rate"] * length - amount) > length / 2 + row["tx_rate"] * window * MICROSECOND:
            print("tx_rate is not %d bytes in %f s: %s" % (amount, length, row))
            bad = True
    sys.exit(bad)


if sys.argv[1] == "stamp":
    stamp()
else:
    check(sys.argv[2], int(sys.argv[3]))
