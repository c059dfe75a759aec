#!/usr/bin/env python3
"""Compares rates that netmon reported with what a sender says it sent.

    rates.py LOG        standard input: a line for each rate: when the interval or window
                        ended, how long it was, the rate; LOG is by traffic --log

Prints each rate that is more than 1 % off, and ends with status 1 then.  On a busy machine a
sender sends less evenly than it is told to: what it sent in that time is by its log.
"""
import bisect
import sys

MILLISECOND = 0.001  # to which netmon's clock is rounded down

with open(sys.argv[1], encoding="ascii") as log:
    BEFORE, AFTER, SUMS = zip(*(map(float, line.split()) for line in log))


def sent(clocks, time):
    """Bytes of all calls up to a time, by the clock before or after each call."""
    calls = bisect.bisect_right(clocks, time)
    return SUMS[calls - 1] if calls else 0


def main():
    count, bad = 0, 0
    for line in sys.stdin:
        end, length, rate = map(float, line.split())
        begin = end - length
        least = sent(AFTER, end) - sent(BEFORE, begin + MILLISECOND)
        most = sent(BEFORE, end + MILLISECOND) - sent(AFTER, begin)
        count += 1
        if not 0.99 * least <= rate * length <= 1.01 * most:
            print("not within 1 %%: %d in %f s, where %d to %d bytes were sent"
                  % (rate, length, least, most))
            bad = 1
    sys.exit(bad or not count)


main()
