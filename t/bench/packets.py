# SPDX-License-Identifier: GPL-2.0-only
"""How much throughput redis loses to layer ip, relative to empty programs on the same hooks."""
from common import Spread
from events import LAYER_IP, counting, doing_nothing, empty
from workloads import WHOLE, WORKLOADS, kept_beside, loading, servers


def run(table):
    name, load, _ = WORKLOADS[0]
    starts = [counting(LAYER_IP), doing_nothing(empty(LAYER_IP)[1])]
    with servers(), loading(load):
        layer_ip, nothing = kept_beside(starts, 80, WHOLE)
    table.add("packets", f"{name}: kept with layer ip", Spread(layer_ip), "x without", ".3f")
    table.add("packets", f"{name}: kept with programs that do nothing on its hooks", Spread(nothing),
              "x without", ".3f")
    table.add("packets", f"{name}: lost to layer ip, more than to those",
              Spread([b - a for a, b in zip(layer_ip, nothing)]), "of the throughput", ".3f", most=0.025,
              remark=f"median of {len(nothing)} pairs")
