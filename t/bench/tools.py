# SPDX-License-Identifier: GPL-2.0-only
"""netmon and similar tools: how to start each, and how to parse its output."""
import collections
import os
import re
import shutil
import time
from common import NETMON, Program

BPFTRACE = """BEGIN { printf("ready\\n"); }
tracepoint:sock:sock_send_length /args->ret > 0/ { @tx[pid] = sum(args->ret); }
tracepoint:sock:sock_recv_length /args->ret > 0/ { @rx[pid] = sum(args->ret); }"""
EACH_SECOND = "interval:s:1 { print(@tx); print(@rx); }"

# bpftrace needs tracefs: if it is not mounted, it is mounted in a namespace for bpftrace only.
WITH_TRACEFS = ["unshare", "-m", "sh", "-c", 'test -d /sys/kernel/tracing/events || '
                'mount -t tracefs tracefs /sys/kernel/tracing; exec "$@"', "sh"]


LINE_BY_LINE = ["stdbuf", "-oL"]


class Seen:
    """What a tool has reported so far: bytes received and sent, by pid, or by name."""

    def __init__(self):
        self.bytes = collections.defaultdict(lambda: [0, 0])

    def add(self, key, received, sent):
        self.bytes[key][0] += int(received)
        self.bytes[key][1] += int(sent)

    def since(self, before, key):
        """Bytes received and sent since; a number that has fallen is another process's."""
        now, then = self.bytes.get(key, [0, 0]), before.get(key, (0, 0))
        return [new - old if new >= old else new for new, old in zip(now, then)]

    def copy(self):
        return {key: tuple(value) for key, value in list(self.bytes.items())}


def netmon_line(seen, line):
    """By pid, and by name."""
    pid, name, received, sent = line.rstrip("\n").split("\t")
    if pid.isdigit():
        seen.add(int(pid), received, sent)
        seen.add(name, received, sent)


def bpftrace_line(seen, line):
    """Totals."""
    match = re.match(r"@(rx|tx)\[(\d+)\]: (\d+)", line)
    if match:
        seen.bytes[int(match[2])][match[1] == "tx"] = int(match[3])


def nethogs_line(seen, line):
    """Totals."""
    match = re.search(r"/(\d+)/\d+\t([\d.e+]+)\t([\d.e+]+)", line)
    if match and match[1] != "0":
        seen.bytes[int(match[1])] = [int(float(match[3])), int(float(match[2]))]


def bandwhich_line(seen, line):
    """Increments per second."""
    match = re.match(r'process: <\d+> "(.*)" up/down Bps: (\d+)/(\d+)', line)
    if match:
        seen.add(match[1], match[3], match[2])


def tcptop_line(seen, line):
    """Increments per second, in KiB."""
    match = re.match(r" *(\d+) .* (\d+) +(\d+) *$", line)
    if match:
        seen.add(int(match[1]), 1024 * int(match[2]), 1024 * int(match[3]))


class Tool:
    """`by_name`: it shows no pids.  `names`: it shows names, too.  `packets`: it looks at packets, and charges those on loopback to one end.
    `more`: arguments with which it reports while it runs."""

    def __init__(self, name, command, ready, line, by_name=False, names=False, packets=False, more=()):
        self.name, self.command, self.ready, self.line = name, command, ready, line
        self.by_name, self.names = by_name, by_name or names
        self.packets, self.more = packets, more

    def program(self):
        return next(word for word in self.command if word not in WITH_TRACEFS + LINE_BY_LINE)

    def start(self, *more):
        program = Program([*self.command[:-1], " ".join([self.command[-1], *more])], self.ready)
        time.sleep(0.3)  # bpftrace says it is ready before all probes are attached
        return program

    def watch(self, program):
        """Returns a Seen with what it reports from now on."""
        seen = Seen()
        program.read_all(lambda line: self.line(seen, line))
        return seen


# several netmon reports fall in each window of a workload
TOOLS = [
    Tool("netmon", [NETMON, "--no-pin", "-v", "-i", "0.1", "-f", "tsv", "-o",
                    "pid,comm,rx_bytes,tx_bytes"], "rx_bytes", netmon_line, names=True),
    Tool("bpftrace, three lines", [*WITH_TRACEFS, "bpftrace", "-e", BPFTRACE], "ready", bpftrace_line,
         more=[EACH_SECOND]),
    Tool("nethogs", ["nethogs", "-a", "-t", "-v", "2", "-d", "1"], "Refreshing", nethogs_line,
         packets=True),
    Tool("bandwhich", ["bandwhich", "-r", "-n", "-p"], "Refreshing", bandwhich_line, by_name=True,
         packets=True),
    Tool("tcptop (libbpf-tools)", [*LINE_BY_LINE, "/usr/sbin/tcptop", "-C", "1"], "loadavg", tcptop_line),
    Tool("tcptop (bcc)", ["tcptop-bpfcc", "-C", "1"], "loadavg", tcptop_line),
]


def installed(table, part):
    """The installed tools.  If TOOLS is set, only those whose name contains one of its words."""
    words = os.environ.get("TOOLS", "").split() or [""]
    found = []
    for tool in TOOLS:
        if not any(word in tool.name for word in words):
            continue
        if shutil.which(tool.program()):
            found.append(tool)
        else:
            table.note(part, tool.name, "not installed")
    return found
