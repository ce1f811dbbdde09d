"""Which flows and nodes of a large network an answer tells, where a resource has no room for all. Pure."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Final

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.kpis import FlowKpis, NetworkKpis

__all__ = ["FLOWS_TOLD", "NODES_TOLD", "Told", "choose_told", "is_too_large"]

FLOWS_TOLD: Final = 64  # of one prediction; what lists of a resource hold (`KpiFigures`)
NODES_TOLD: Final = 64  # likewise: nodes of gateways, whose airtime is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Names and addresses of what is told, and of how many nothing is."""

    flows: frozenset[str]
    nodes: frozenset[UnicastAddress]
    flows_left_out: int
    nodes_left_out: int


def is_too_large(kpis: NetworkKpis) -> bool:
    """Whether something of these figures has to be left out."""
    return len(kpis.flows) > FLOWS_TOLD or len(kpis.airtime_at) > NODES_TOLD


def choose_told(
    before: NetworkKpis,
    after: NetworkKpis,
    *,
    own_flows: Set[str] = frozenset(),
    own_nodes: Set[UnicastAddress] = frozenset(),
) -> Told:
    """The flows and nodes to tell of two sides, at most 64 of each; the same ones on both.

    Those of ``own_flows`` and ``own_nodes`` come first. Among equals those come first that somebody who decides must
    know of: the larger of how much the share on time changes and how much it lacks afterwards; of nodes the larger of
    how much the airtime changes and how much there is. What is on one side alone changes most. Ties keep the order of
    ``after``, then of ``before``.
    """
    first, second = {f.flow: f for f in before.flows}, {f.flow: f for f in after.flows}
    flows = sorted(
        dict.fromkeys((*second, *first)),
        key=lambda name: (name not in own_flows, -_weight(first.get(name), second.get(name))),
    )
    busy, busier = dict(before.airtime_at), dict(after.airtime_at)
    ratios = {n: [side[n].estimate for side in (busier, busy) if n in side] for n in (*busier, *busy)}
    nodes = sorted(
        ratios, key=lambda node: (node not in own_nodes, -max(ratios[node][0], max(ratios[node]) - min(ratios[node])))
    )
    return Told(
        flows=frozenset(flows[:FLOWS_TOLD]),
        nodes=frozenset(nodes[:NODES_TOLD]),
        flows_left_out=max(0, len(flows) - FLOWS_TOLD),
        nodes_left_out=max(0, len(nodes) - NODES_TOLD),
    )


def _weight(before: FlowKpis | None, after: FlowKpis | None) -> float:
    """How much it matters, 0..1."""
    if before is None or after is None:
        return 1.0
    return max(abs(after.on_time.estimate - before.on_time.estimate), 1.0 - after.on_time.estimate)
