# SPDX-License-Identifier: GPL-2.0-only
"""What all parts of the benchmark use: programs that run beside each other, what they cost,
and the table of results."""
import os
import signal
import statistics
import subprocess
import threading
import time

NETMON = os.environ["NETMON"]
BUILD = os.environ["BUILD"]
QUICK = bool(os.environ.get("QUICK"))
CPUS = os.cpu_count()


def several(rounds):
    """How often to measure: in pairs, in turn, for the median of their ratios."""
    return 2 if QUICK else rounds


class Program:
    """A program beside what is measured; it is ready when it says so on one of its outputs."""

    def __init__(self, command, ready, on="stdout", output=subprocess.DEVNULL):
        outputs = {"stdout": output, "stderr": subprocess.DEVNULL, on: subprocess.PIPE}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, bufsize=1,
                                        start_new_session=True, **outputs)
        self.pid = self.process.pid
        self.output = getattr(self.process, on)
        self.reader = None
        self.lines = []
        for line in self.output:
            self.lines.append(line)
            if ready in line:
                return
        raise RuntimeError(f"{command[0]} does not start: {''.join(self.lines[-2:])}")

    def ask(self, line=""):
        """Has it do what it does for a line of input; returns the line that it answers."""
        self.process.stdin.write(line + "\n")
        return self.output.readline()

    def read_all(self, take):
        """From now on, has `take` have each line of its output."""
        self.reader = threading.Thread(target=lambda: [take(line) for line in self.output], daemon=True)
        self.reader.start()

    def cpu(self):
        """Seconds of CPU that it has used."""
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
        """How many calls of write(2) it has made."""
        with open(f"/proc/{self.pid}/io") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("syscw:"))

    def stop(self, how=signal.SIGTERM):
        """Ends it, by force where that does not help; returns what it wrote and nobody has read."""
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
    """Results, written as they come: a table in Markdown to standard output, csv to a file."""

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
        """A cell of the comparison, which is written at the end: its lines are this table's, a column for
        each tool."""
        self.quotes.setdefault(line, {})[tool] = text

    def end(self):
        tools = list(dict.fromkeys(tool for line in self.quotes.values() for tool in line))
        if tools:
            print("\n| | " + " | ".join(tools) + " |\n| --- |" + " --- |" * len(tools))
        for line, cells in self.quotes.items():
            print(f"| {line} | " + " | ".join(cells.get(tool, "") for tool in tools) + " |")
        print(f"\n{self.met} targets met, {self.missed} missed")
