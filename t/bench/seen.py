# SPDX-License-Identifier: GPL-2.0-only
"""What each tool sees: for every case of t/traffic, compares its report with what the calls returned.
The machine need not be quiet.

A tool that looks at packets charges packets on loopback to one end only.  Such a tool is judged by the
senders only, by the sum of what it reported received and sent."""
import contextlib
import os
import select
import subprocess
import time
from common import BUILD, NETMON, QUICK
from tools import installed

NOT_ALONE = ("before", "idle-sockets", "churn")  # they wait for input, or have no account
ALSO_IPV6 = ("tcp-rw", "udp-sendto")
SOME = ("tcp-rw", "udp-sendto", "short")
NEAR = 0.1
# Parts of netmon's messages on what it cannot count here, and the cases concerned.
KEPT_FROM_NETMON = {"splice out of TCP sockets": "splice-out", "TCP_ZEROCOPY_RECEIVE": "zerocopy-recv"}
# Seconds that processes stay alive, to wait for reports: bandwhich shows a second in the next five reports.
LINGER = float(os.environ.get("LINGER", 1.2 if QUICK else 6))


def cases():
    text = subprocess.run([f"{BUILD}/t/traffic", "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout
    for line in text.splitlines():
        name, families = line.split("\t")[:2]
        if name in NOT_ALONE or QUICK and name not in SOME:
            continue
        yield name, [f"-{families[0]}"] if families != "-" else []
        if name in ALSO_IPV6:
            yield name, ["-6"]


def account_of(process):
    """The process's output until it ends or lingers."""
    text, wait = b"", None
    while select.select([process.stdout], [], [], wait)[0]:
        block = os.read(process.stdout.fileno(), 1 << 16)
        if not block:
            break
        text, wait = text + block, 0.3
    return [line.split("\t") for line in text.decode(errors="replace").splitlines()]


def traffic(name, options):
    """Runs the case; yields its account while its processes stay alive.  The account is empty if this kernel
    lacks the feature."""
    if name in ("up", "down"):
        options = [*options, "-b", "20000000"]
    with subprocess.Popen([f"{BUILD}/t/traffic", name, *options, "--linger"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        rows = account_of(process)
        time.sleep(LINGER if rows and len(rows[0]) == 6 else 0)
        process.stdin.close()
    return rows if process.returncode == 0 else []


def wanted(tool, rows, by_name):
    """Bytes received and sent by pid or name; for a tool that looks at packets, those of the senders only."""
    sums = {}
    for pid, name, received, sent in (row[:4] for row in rows):
        each = sums.setdefault(name if by_name else int(pid), [0, 0])
        each[0] += int(received) if received != "-" else 0
        each[1] += int(sent) if sent != "-" else 0
    return {key: each for key, each in sums.items() if each[1] or not tool.packets}


def verdict(tool, wanted_bytes, got):
    """"exact", "near", "wrong" or "nothing"."""
    pairs = []
    for key, want in wanted_bytes.items():
        have = got(key)
        pairs += [(sum(have), sum(want))] if tool.packets else zip(have, want)
    if all(have == want for have, want in pairs):
        return "exact"
    if all(abs(have - want) <= NEAR * want for have, want in pairs):
        return "near"
    return "wrong" if any(have for have, _ in pairs) else "nothing"


def judge(table):
    """Returns for each tool the cases by verdict."""
    watched, results = [], {}
    with contextlib.ExitStack() as stack:
        for tool in installed(table, "seen"):
            try:
                watched.append((tool, tool.watch(stack.enter_context(tool.start(*tool.more)))))
                results[tool.name] = {}
            except RuntimeError:
                table.note("seen", tool.name, "does not run on this kernel")
        for name, options in cases():
            before = [seen.copy() for _, seen in watched]
            rows = traffic(name, options)
            if not rows or len(rows[0]) != 6:
                continue
            title = name + (", IPv6" if options == ["-6"] else "")
            for (tool, seen), then in zip(watched, before):
                result = verdict(tool, wanted(tool, rows, tool.by_name), lambda key: seen.since(then, key))
                results[tool.name].setdefault(result, []).append(title)
    return results


def said_unseen():
    """Parts of the names of the cases that netmon says it cannot count here."""
    text = subprocess.run([NETMON, "--no-pin", "-n", "1", "-i", "0.01"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=True).stderr
    return [part for what, part in KEPT_FROM_NETMON.items() if what in text]


def add(table, name, results):
    count = sum(map(len, results.values()))
    exact, near, wrong, nothing = (results.get(result, []) for result in ("exact", "near", "wrong", "nothing"))
    least = None
    if name == "netmon":
        unseen = said_unseen()
        least = len(exact) + sum(not any(part in case for part in unseen) for case in near + wrong + nothing)
    table.add("seen", f"{name}: exact, of {count} ways to move bytes", len(exact), "", ".0f", least=least)
    for what, some in ((f"within {100 * NEAR:.0f} %", near), ("more or less than that", wrong),
                       ("nothing", nothing)):
        table.add("seen", f"{name}: {what}", len(some), "", ".0f", remark="; ".join(some))
    table.quote(f"of {count} ways to move bytes: exact", name, f"{len(exact)}")
    table.quote(f"... within {100 * NEAR:.0f} %; more or less than that", name, f"{len(near)}; {len(wrong)}")
    table.quote("... nothing", name, f"{len(nothing)}")


def run(table):
    os.environ.setdefault("BPFTRACE_MAP_KEYS_MAX", "65536")  # other programs on the machine would fill the default of 4096
    for name, results in judge(table).items():
        add(table, name, results)
