# SPDX-License-Identifier: GPL-2.0-only
"""Shared by all parts of the benchmark: background programs, their cost, and the table of results."""
import os
import signal
import statistics
import subprocess
import threading
import time

NETMON = os.environ["NETMON"]
BUILD = os.environ["BUILD"]
QUICK = bool(os.environ.get("QUICK"))
ROUNDS = int(os.environ.get("ROUNDS", 1000))
CPUS = len(os.sched_getaffinity(0))


def several(rounds):
    """The number of pairs to measure."""
    return 2 if QUICK else min(rounds, ROUNDS)


class Program:
    """A program in the background; it is ready when it writes `ready` to the output `on`."""

    def __init__(self, command, ready, on="stdout", output=subprocess.DEVNULL):
        outputs = {"stdout": output, "stderr": subprocess.DEVNULL, on: subprocess.PIPE}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, bufsize=1,
                                        start_new_session=True, **outputs)
        self.pid = self.process.pid
        self.output = getattr(self.process, on)
        self.reader = None
        self.lines = []
        try:
            for line in self.output:
                self.lines.append(line)
                if ready in line:
                    return
            raise RuntimeError(f"{command[0]} does not start: {''.join(self.lines[-2:])}")
        except BaseException:  # the end by a signal too
            self.process.kill()
            raise

    def ask(self, line=""):
        """Writes a line to its standard input; returns its answer."""
        self.process.stdin.write(line + "\n")
        return self.output.readline()

    def read_all(self, take):
        """Calls `take` for each further line of its output, in a thread."""
        self.reader = threading.Thread(target=lambda: [take(line) for line in self.output], daemon=True)
        self.reader.start()

    def cpu(self):
        """CPU seconds used so far, by all threads."""
        nanoseconds = 0
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{thread}/schedstat") as file:
                nanoseconds += int(file.read().split()[0])
        return nanoseconds / 1e9

    def memory(self, kind="Pss"):
        """KiB."""
        with open(f"/proc/{self.pid}/smaps_rollup") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(kind + ":"))

    def writes(self):
        """Calls of write(2) so far."""
        with open(f"/proc/{self.pid}/io") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("syscw:"))

    def stop(self, how=signal.SIGTERM):
        """Ends it, after 3 s by SIGKILL; returns its unread output."""
        force = threading.Timer(3, os.killpg, (self.pid, signal.SIGKILL))
        force.start()
        os.killpg(self.pid, how)
        if self.reader:
            self.reader.join()
        rest = self.output.read()
        force.cancel()
        self.process.stdin.close()
        self.process.wait()
        return rest

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()


def netmon(*options, output=subprocess.DEVNULL, program=NETMON):
    return Program([program, "--no-pin", "-v", *options], "netmon: counting", "stderr", output)


def crowd(kind, count):
    return Program([f"{BUILD}/t/bench/crowd", kind, str(count)], "ready")


def wait_until(true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise RuntimeError("it takes too long")
        time.sleep(0.0005)


class Spread:
    """A median and the quartiles around it."""

    def __init__(self, values):
        values = sorted(values)
        self.median = statistics.median(values)
        self.low = values[len(values) // 4]
        self.high = values[-1 - len(values) // 4]

    def text(self, form):
        return f"{self.median:{form}} [{self.low:{form}} {self.high:{form}}]"


class Table:
    """Results, written at once: a Markdown table to standard output, csv to a file."""

    def __init__(self, path):
        self.csv = open(path, "w")
        self.met = self.missed = 0
        self.quotes = {}
        self.csv.write("part,what,median,low,high,unit,target,verdict,remark\n")
        print("| part | what | result | target | | remark |\n| --- | --- | --- | --- | --- | --- |",
              flush=True)

    def add(self, part, what, result, unit="", form=".2f", most=None, least=None, remark=""):
        """`result` is a Spread or a number."""
        if not isinstance(result, Spread):
            result = Spread([result])
        good = (most is None or result.median <= most) and (least is None or result.median >= least)
        target = f"<= {most:g}" if most is not None else f">= {least:g}" if least is not None else ""
        verdict = "" if not target else "met" if good else "missed"
        self.met += verdict == "met"
        self.missed += verdict == "missed"
        spread = result.text(form) if result.low != result.high else f"{result.median:{form}}"
        print(f"| {part} | {what} | {spread} {unit} | {target} | {verdict} | {remark} |", flush=True)
        self.csv.write(f'{part},"{what}",{result.median:.6g},{result.low:.6g},{result.high:.6g},'
                       f'{unit},{target},{verdict},"{remark}"\n')
        self.csv.flush()

    def note(self, part, what, remark):
        print(f"| {part} | {what} | | | | {remark} |", flush=True)
        self.csv.write(f'{part},"{what}",,,,,,,"{remark}"\n')

    def quote(self, line, tool, text):
        """Sets a cell of the comparison of tools, which end() writes."""
        self.quotes.setdefault(line, {})[tool] = text

    def end(self):
        tools = list(dict.fromkeys(tool for line in self.quotes.values() for tool in line))
        if tools:
            print("\n| | " + " | ".join(tools) + " |\n| --- |" + " --- |" * len(tools))
        for line, cells in self.quotes.items():
            print(f"| {line} | " + " | ".join(cells.get(tool, "") for tool in tools) + " |")
        print(f"\n{self.met} targets met, {self.missed} missed")
