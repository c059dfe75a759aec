# SPDX-License-Identifier: GPL-2.0-only
"""What layer ip costs beside empty programs on the same hooks: time of a packet, redis's throughput."""
import contextlib
from common import BUILD, Program, Spread
from events import LAYER_IP, MOST, Turns, counting, doing_nothing, empty, rounds_of
from workloads import ATTACHED, WORKLOADS, kept_beside, loading, servers


def run(table):
    name, load, _ = WORKLOADS[0]
    with contextlib.ExitStack() as stack:
        hold = stack.enter_context(Turns()).hold
        others = [doing_nothing(empty(LAYER_IP, programs)[1]) for programs in ("empty", "least")]
        measure(table, name, load, [hold(start) for start in (counting(LAYER_IP), *others)])


def measure(table, name, load, starts):
    with Program([f"{BUILD}/t/bench/hammer", "datagrams", "1"], "ready") as hammer:
        rounds = rounds_of(hammer, starts, 400, 4)
    layer_ip, nothing, least = ([row[at][0] - row[0][0] for row in rounds] for at in (1, 2, 3))
    floor = max(Spread(nothing).median, 1)
    for who, added, most in (("", layer_ip, MOST["layer ip"]),
                             (", by programs that only find the socket's storage and add", least, None)):
        table.add("layer-ip", f"a datagram sent and received: two calls, two packets{who}",
                  Spread([each / floor for each in added]), "x empty", most=most,
                  remark=f"{Spread(added).median:.0f} ns, empty {floor:.0f} ns")
    with servers(), loading(load):
        layer_ip, nothing = kept_beside(starts[:2], 400, ATTACHED)
    table.add("layer-ip", f"{name}: kept with layer ip", Spread(layer_ip), "x without", ".3f")
    table.add("layer-ip", f"{name}: kept with programs that do nothing on its hooks", Spread(nothing),
              "x without", ".3f")
    table.add("layer-ip", f"{name}: lost to layer ip, more than to those",
              Spread([b - a for a, b in zip(layer_ip, nothing)]), "of the throughput", ".3f", most=0.025,
              remark=f"median of {len(nothing)} pairs")
