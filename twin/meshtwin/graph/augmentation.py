"""Adding the fewest relays that give a node further disjoint paths."""

from collections.abc import Collection
from typing import Final

import networkx as nx

from meshtwin.graph.reach import hops_from
from meshtwin.graph.redundancy import disjoint_paths
from meshtwin.mesh.addresses import UnicastAddress

__all__ = ["augmented_relays", "relays_for_paths"]

NEW_RELAY_COST: Final = 1_000_000  # above any sum of link costs: the number of new relays decides first
LINK_COST_GRAIN: Final = 100  # a link costs its missing delivery in hundredths: good links decide ties


def relays_for_paths(
    graph: nx.DiGraph,
    relays: Collection[UnicastAddress],
    allowed: Collection[UnicastAddress],
    source: UnicastAddress,
    target: UnicastAddress,
    *,
    paths: int,
) -> frozenset[UnicastAddress] | None:
    """The fewest of ``allowed`` to add to ``relays`` for ``paths`` disjoint paths from source to target.

    Exact (minimum-cost flow over split nodes); among equally few, better links win. None if even all of
    ``allowed`` do not give that many paths.
    """
    split = nx.DiGraph()
    for node in graph:
        if node == source:
            continue
        if node in relays or node in allowed:
            cost = 0 if node in relays else NEW_RELAY_COST
            split.add_edge((node, "in"), (node, "out"), capacity=1, weight=cost)
    sending = set(relays) | set(allowed) | {source}
    for u, v, delivery in graph.edges(data="delivery"):
        if u in sending and v != source and u != target:
            cost = round((1.0 - delivery) * LINK_COST_GRAIN)
            split.add_edge((u, "out"), (v, "in"), capacity=1, weight=cost)
    if (source, "out") not in split or (target, "in") not in split:
        return None
    split.nodes[source, "out"]["demand"] = -paths
    split.nodes[target, "in"]["demand"] = paths
    try:
        flow = nx.min_cost_flow(split)
    except nx.NetworkXUnfeasible:
        return None
    return frozenset(
        node for node in set(allowed) - set(relays) if flow.get((node, "in"), {}).get((node, "out"), 0) > 0
    )


def augmented_relays(
    graph: nx.DiGraph,
    relays: Collection[UnicastAddress],
    allowed: Collection[UnicastAddress],
    source: UnicastAddress,
    targets: Collection[UnicastAddress],
    *,
    paths: int,
) -> tuple[frozenset[UnicastAddress], frozenset[UnicastAddress]]:
    """``relays`` with what gives every target ``paths`` disjoint paths, and the targets that can't have them.

    Targets are served one after the other, farthest first, then by address: each addition is the smallest
    for its target, the sum is not promised to be. Targets that hear the source directly are left out.
    """
    kept = frozenset(relays)
    beyond: set[UnicastAddress] = set()
    hops = hops_from(graph, kept | set(allowed), source)
    for target in sorted(targets, key=lambda t: (-hops.get(t, 0), t)):
        if target == source or hops.get(target) == 1:
            continue
        if target in hops and disjoint_paths(graph, kept, source, target) >= paths:
            continue
        added = relays_for_paths(graph, kept, allowed, source, target, paths=paths)
        if added is None:
            beyond.add(target)
        else:
            kept |= added
    return kept, frozenset(beyond)
