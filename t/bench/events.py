# SPDX-License-Identifier: GPL-2.0-only
"""What a send and a receive get longer by: netmon's probes beside programs that do nothing."""
from common import BUILD, CPUS, Program, Spread, netmon, several

KEYS = {
    "default": [],
    "+proto,family": ["-o", "+proto,family"],
    "connections": ["-o", "pid,comm,laddr,lport,raddr,rport,rx_rate,tx_rate"],
    "layer ip": ["--layer", "ip"],
}
WAYS = {"tracepoint": "btf", "classic tracepoint": "classic", "fexit": "fexit", "kprobe": "kprobe",
        "kprobe.multi": "kprobe"}
EMPTY = [f"{BUILD}/t/bench/empty", f"{BUILD}/t/bench/empty.bpf.o"]
MILLISECONDS = "30"


def way():
    """How netmon attaches here: the floor is an empty program of the same kind."""
    with netmon("-i", "86400") as it:
        said = dict(line.strip().split(": ")[1:3] for line in it.lines if line.count(": ") == 2)
    return WAYS.get(said.get("sock_send_length")) or WAYS[said["inet_sendmsg"]]


def measure(hammer):
    return [float(number) for number in hammer.ask(MILLISECONDS).split()]


def beside(start, hammer):
    with start():
        return measure(hammer)


def empty(kind):
    return Program([*EMPTY, kind], "attached")


def hammer_all(mode, threads, kind):
    """For each round the nanoseconds of a send and a receive without, with nothing, with each
    of the keys."""
    rounds = []
    with Program([f"{BUILD}/t/bench/hammer", mode, str(threads)], "ready") as hammer:
        measure(hammer)
        for _ in range(several(40)):
            rounds.append([measure(hammer), beside(lambda: empty(kind), hammer)] +
                          [beside(lambda: netmon("-i", "86400", *options), hammer)
                           for options in KEYS.values()])
    return rounds


def report(table, rounds, mode, threads):
    many = "1 thread" if threads == 1 else f"{threads} threads on {CPUS} CPUs"
    for direction, name in enumerate(("send", "receive")):
        times = [[column[direction] for column in row] for row in rounds]
        floor = Spread([row[1] - row[0] for row in times])
        call = Spread([row[0] for row in times])
        for column, keys in enumerate(KEYS, 2):
            # the floor of all rounds: a single one may be next to nothing
            ratio = Spread([(row[column] - row[0]) / max(floor.median, 1) for row in times])
            more = Spread([row[column] - row[0] for row in times])
            # layer ip does something for each packet too, where the floor has nothing
            table.add("event", f"{name}, {mode}, {keys}, {many}", ratio, "x empty",
                      most=None if keys == "layer ip" else 1.5,
                      remark=f"{more.median:.0f} ns, empty {floor.median:.0f} ns, "
                             f"call {call.median:.0f} ns")


def run(table):
    kind = way()
    table.note("event", "way of attaching", kind)
    for mode in ("calls", "messages"):
        for threads in sorted({1, CPUS}):
            report(table, hammer_all(mode, threads, kind), mode, threads)
