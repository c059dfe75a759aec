# SPDX-License-Identifier: GPL-2.0-only
"""Compares netmon with similar tools that run here: throughput that busy programs keep, CPU and memory of
the tool, and the share of a known amount of traffic that it reports."""
import contextlib
import statistics
import subprocess
import time
from common import BUILD, Spread
from seen import LINGER, wanted
from tools import installed
from workloads import WHOLE, each_workload, kept_beside

QUOTED = {"redis, one at a time": "redis, one request at a time", "iperf3, bulk": "iperf3, bulk",
          "nginx, new connections": "nginx, a connection a request"}


def part_seen(tool, it):
    """The share that the tool reports of 40 MB, sent 20,000 bytes at a time.  By name if possible, which is
    this run's: other processes can have the pid before and after."""
    seen = tool.watch(it)
    time.sleep(LINGER)
    account = subprocess.run([f"{BUILD}/t/traffic", "steady", "-r", "20000000", "-s", "2"],
                             stdout=subprocess.PIPE, text=True, check=True).stdout
    time.sleep(LINGER)
    rows = [line.split("\t") for line in account.splitlines()]
    sender, moved = max(wanted(tool, rows, tool.names).items(), key=lambda row: row[1][1])
    return sum(seen.since({}, sender)) / sum(moved)


def exactness(table, tools):
    """Returns the tools that run."""
    running = []
    for tool in tools:
        try:
            with tool.start(*tool.more) as it:
                part, memory = part_seen(tool, it), it.memory() / 1024
        except RuntimeError:
            table.note("compare", tool.name, "does not run on this kernel")
            continue
        running.append(tool)
        target = {"least": 1, "most": 1} if tool.name == "netmon" else {}
        table.add("compare", f"{tool.name}: bytes it reported of those moved", part, "x", ".6f", **target)
        table.add("compare", f"{tool.name}: PSS", memory, "MiB", ".1f")
        table.quote("bytes reported of 40 MB sent", tool.name, "all" if part == 1 else f"{100 * part:.1f} %")
        table.quote("memory (PSS)", tool.name, f"{memory:.1f} MiB")
    return running


def metered(tool, used):
    """Returns a context that runs the tool, and appends to `used` the share of a core that it took."""
    @contextlib.contextmanager
    def run_it():
        with tool.start() as it:
            begin, cpu = time.monotonic(), it.cpu()
            yield
            used.append((it.cpu() - cpu) / (time.monotonic() - begin))
    return run_it


def run(table):
    """Starts and ends whole tools, so netmon's cost includes its reports."""
    tools = exactness(table, installed(table, "compare"))
    worst = {tool.name: [] for tool in tools}
    cpu = {tool.name: [] for tool in tools}
    for name, least in each_workload(table, "compare"):
        used = [[] for _ in tools]
        kept = kept_beside([metered(tool, its) for tool, its in zip(tools, used)], 10, WHOLE)
        for tool, its, its_used in zip(tools, kept, used):
            spread, part = Spread(its), 100 * statistics.median(its_used)
            table.add("compare", f"{name}: kept with {tool.name}", spread, "x without", ".3f",
                      least=least if tool.name == "netmon" else None,
                      remark=f"the tool takes {part:.2f} % of a core")
            worst[tool.name].append(spread.median)
            cpu[tool.name].append(part)
            if name in QUOTED:
                table.quote(f"throughput kept: {QUOTED[name]}", tool.name, spread.text(".2f"))
    for tool in filter(worst.get, worst):
        table.quote("... the worst of six workloads", tool, f"{min(worst[tool]):.2f}")
        table.quote("own CPU in these, % of a core", tool,
                    f"{min(cpu[tool]):.1f} to {max(cpu[tool]):.1f}")
