"""How far a flood gets: hops under a relay set, and the smallest TTL that suffices."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

import networkx as nx

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import TTL_MAX

__all__ = ["best_paths", "flood_graph", "hops_from", "hops_to", "minimal_ttl", "reach"]

TTL_MIN: Final = 2  # 1 is not allowed as a default or publish TTL (Mesh Protocol 1.1, 4.2.8)


def flood_graph(graph: nx.DiGraph, relays: Collection[UnicastAddress], source: UnicastAddress) -> nx.DiGraph:
    """The edges over which a flood of ``source`` can travel: out of the source, and out of relays.

    Edges back into the source are left out. A fresh graph with the nodes of ``graph``.
    """
    sending = set(relays) | {source}
    flood = nx.DiGraph()
    flood.add_nodes_from(graph)
    flood.add_edges_from(
        (u, v, attributes) for u in graph if u in sending for v, attributes in graph.adj[u].items() if v != source
    )
    return flood


def hops_from(
    graph: nx.DiGraph, relays: Collection[UnicastAddress], source: UnicastAddress
) -> Mapping[UnicastAddress, int]:
    """Smallest number of hops from ``source`` to every node that its flood can reach; the source itself is 0.

    A neighbour is one hop away. Only the source and nodes of ``relays`` send. Nodes that no flood reaches
    are missing; an unknown ``source`` reaches nothing.
    """
    return _count_hops(relays, source, graph.successors) if source in graph else {}


def _count_hops(
    relays: Collection[UnicastAddress],
    start: UnicastAddress,
    neighbours: Callable[[UnicastAddress], Iterable[UnicastAddress]],
) -> Mapping[UnicastAddress, int]:
    sending = set(relays) | {start}
    hops = {start: 0}
    border = [start]
    while border:
        following: list[UnicastAddress] = []
        for u in border:
            if u not in sending:
                continue
            for v in neighbours(u):
                if v not in hops:
                    hops[v] = hops[u] + 1
                    following.append(v)
        border = following
    return hops


def hops_to(
    graph: nx.DiGraph, relays: Collection[UnicastAddress], target: UnicastAddress
) -> Mapping[UnicastAddress, int]:
    """Smallest number of hops from every node whose flood can reach ``target``; the target itself is 0.

    One search over the links turned around, where `hops_from` would take one for every node.
    """
    return _count_hops(relays, target, graph.predecessors) if target in graph else {}


def reach(
    graph: nx.DiGraph, relays: Collection[UnicastAddress], source: UnicastAddress, ttl: int
) -> frozenset[UnicastAddress]:
    """Nodes that a message of ``source`` with ``ttl`` reaches, the source left out.

    A message with TTL 0 or 1 is not relayed: neighbours only. With TTL t ≥ 2 it travels t hops at most.

    Examples
    --------
    >>> G = nx.DiGraph([(1, 2), (2, 3), (3, 4)])
    >>> sorted(reach(G, {2, 3}, 1, ttl=2))
    [2, 3]
    >>> sorted(reach(G, {2, 3}, 1, ttl=0))
    [2]
    """
    farthest = max(ttl, 1)
    return frozenset(v for v, hops in hops_from(graph, relays, source).items() if 0 < hops <= farthest)


def minimal_ttl(
    graph: nx.DiGraph,
    relays: Collection[UnicastAddress],
    source: UnicastAddress,
    members: Iterable[UnicastAddress],
    *,
    margin_hops: int = 0,
) -> int | None:
    """The smallest settable TTL with which ``source`` reaches all ``members``, plus ``margin_hops``.

    None if one of the members can't be reached at any TTL. At least 2, at most 127.

    Examples
    --------
    >>> G = nx.DiGraph([(1, 2), (2, 3), (3, 4)])
    >>> minimal_ttl(G, {2, 3}, 1, [4])
    3
    """
    hops = hops_from(graph, relays, source)
    needed = 0
    for member in members:
        if member not in hops:
            return None
        needed = max(needed, hops[member])
    return min(max(needed + margin_hops, TTL_MIN), TTL_MAX)


def best_paths(
    graph: nx.DiGraph,
    relays: Collection[UnicastAddress],
    source: UnicastAddress,
    targets: Iterable[UnicastAddress],
) -> Mapping[UnicastAddress, Sequence[UnicastAddress]]:
    """The path with the largest product of ``delivery`` from ``source`` to each target that a flood can reach.

    From ``source`` to the target, both included; only ``relays`` lie between. Edges need ``delivery`` above 0.

    Examples
    --------
    >>> G = nx.DiGraph()
    >>> G.add_weighted_edges_from([(1, 2, 0.9), (2, 3, 0.9), (1, 3, 0.5)], weight="delivery")
    >>> best_paths(G, {2}, 1, [3])
    {3: [1, 2, 3]}
    """
    flood = flood_graph(graph, relays, source)
    paths = nx.single_source_dijkstra_path(
        flood, source, weight=lambda u, v, edge: -math.log(min(edge["delivery"], 1.0))
    )
    return {target: paths[target] for target in targets if target in paths}
