# SPDX-License-Identifier: GPL-2.0-only
"""The time that netmon's probes add to a send and a receive, relative to programs that do nothing."""
import contextlib
import itertools
import os
from common import BUILD, CPUS, NETMON, QUICK, Program, Spread, netmon, several

KEYS = {
    "default": [],
    "+proto,family": ["-o", "+proto,family"],
    "connections": ["-o", "pid,comm,laddr,lport,raddr,rport,rx_rate,tx_rate"],
    "user": ["-o", "user,rx_rate,tx_rate"],
    "cgroup": ["-o", "cgroup,rx_rate,tx_rate"],
    "netns": ["-o", "netns,rx_rate,tx_rate"],
}
# Another build of netmon, whose probes are attached in turn with these; and by how many times these may
# cost as much, by key.
BESIDE = os.environ.get("BESIDE")
MOST_BESIDE = {"default": 1.25, "+proto,family": 1.25, "connections": 1.25}
LAYER_IP = ["--layer", "ip"]
MOST = {"layer ip": 1.5}
TIMES = 1 if QUICK else 4  # how often all programs are loaded
WAYS = {"tracepoint": "btf", "classic tracepoint": "classic", "fexit": "fexit", "kprobe": "kprobe",
        "kprobe.multi": "kprobe"}
IN_TURNS = ("btf", "fexit")  # programs of these can be attached in turn, and those of layer ip


def ways(options):
    """How netmon attaches here, by hook."""
    with netmon("-i", "86400", *options) as it:
        return dict(line.strip().split(": ")[1:3] for line in it.lines if line.count(": ") == 2)


def empty(options=(), programs="empty"):
    """The floor: programs that do nothing, of the same kinds on the same hooks.  Returns the kind for
    calls, and the command that attaches them.  `programs`: the object with them."""
    said = ways(options)
    kind = WAYS.get(said.get("sock_send_length")) or WAYS[said["inet_sendmsg"]]
    names = [f"send_{kind}", f"recv_{kind}"]
    if "skb_egress" in said:
        names += ["packet_in", "packet_out", "socket_made"]
    return kind, [f"{BUILD}/t/bench/empty", f"{BUILD}/t/bench/{programs}.bpf.o", *names]


def doing_nothing(command):
    return lambda: Program(command, "attached")


def counting(options, program=NETMON):
    return lambda: netmon("-i", "86400", *options, program=program)


class Turns:
    """Programs that stay loaded, to be attached in turn."""

    def __init__(self):
        self.program = Program([f"{BUILD}/t/bench/turns"], "ready")
        self.count = 0

    def hold(self, start):
        """Starts a program TIMES times and keeps its probes: their place in memory can double their cost.
        Returns a function that attaches the next of these sets for a while."""
        numbers = range(self.count, self.count + TIMES)
        self.count += TIMES
        for _ in numbers:
            with start() as it:
                self.program.ask(f"hold {it.pid}")
        turn = itertools.cycle(numbers)
        return lambda: self.attached(next(turn))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.program.stop()

    @contextlib.contextmanager
    def attached(self, number):
        self.program.ask(str(number))
        try:
            yield
        finally:
            self.program.ask("-1")


def rounds_of(hammer, starts, count, milliseconds):
    """For each round, the nanoseconds of a send and a receive without programs, and with each of these."""
    def measure():
        return [float(number) for number in hammer.ask(str(milliseconds)).split()]

    def beside(start):
        with start():
            return measure()

    measure()
    return [[measure(), *map(beside, starts)] for _ in range(several(count))]


def report(table, rounds, keys, mode, threads):
    """In each round, the second value is that with programs that do nothing."""
    many = "1 thread" if threads == 1 else f"{threads} threads on {CPUS} CPUs"
    for direction, name in enumerate(("send", "receive")):
        def added(some, column):
            return [row[column][direction] - row[0][direction] for row in some]

        # of all rounds: in a single one it can be close to zero
        floor = Spread(added(rounds, 1)).median
        call = Spread([row[0][direction] for row in rounds]).median
        for column, key in enumerate(keys, len(rounds[0]) - len(keys)):
            more = added(rounds, column)
            table.add("event", f"{name}, {mode}, {key}, {many}",
                      Spread([each / max(floor, 1) for each in more]), "x empty", most=MOST.get(key, 2),
                      remark=f"{Spread(more).median:.0f} ns, empty {floor:.0f} ns, call {call:.0f} ns")


def compare(table, rounds, mode, threads):
    """In each round, the last values are those of the other build."""
    before = len(KEYS)
    ratios = {key: [] for key in KEYS}
    for direction, name in enumerate(("send", "receive")):
        for column, key in enumerate(KEYS, len(rounds[0]) - 2 * before):
            added = [Spread([row[at][direction] - row[0][direction] for row in rounds]).median
                     for at in (column, column + before)]
            ratios[key].append(added[0] / max(added[1], 1))
            table.add("event", f"{name}, {mode}, {key}, {threads} threads, beside {BESIDE}", ratios[key][-1],
                      "x", remark=f"{added[0]:.0f} and {added[1]:.0f} ns")
    return ratios


def run(table):
    kind, command = empty()
    table.note("event", "way of attaching", kind)
    starts = [doing_nothing(command), *map(counting, KEYS.values())]
    if BESIDE:
        starts += [counting(options, BESIDE) for options in KEYS.values()]
    ratios = {key: [] for key in KEYS}
    by_packet = [doing_nothing(empty(LAYER_IP)[1]), counting(LAYER_IP)]
    in_turns = kind in IN_TURNS
    with contextlib.ExitStack() as stack:
        hold = stack.enter_context(Turns()).hold
        if in_turns:
            starts = list(map(hold, starts))
        by_packet = list(map(hold, by_packet))
        for mode in ("calls", "messages"):
            for threads in sorted({1, CPUS}):
                with Program([f"{BUILD}/t/bench/hammer", mode, str(threads)], "ready") as hammer:
                    rounds = rounds_of(hammer, starts, *(400, 4) if in_turns else (12, 60))
                    packets = rounds_of(hammer, by_packet, 400, 4)
                report(table, [row[:2 + len(KEYS)] for row in rounds], KEYS, mode, threads)
                report(table, packets, ["layer ip"], mode, threads)
                if BESIDE:
                    for key, some in compare(table, rounds, mode, threads).items():
                        ratios[key] += some
    for key, some in ratios.items():
        if some:
            table.add("event", f"{key}, median of all, beside {BESIDE}", Spread(some), "x",
                      most=MOST_BESIDE.get(key, 1))
