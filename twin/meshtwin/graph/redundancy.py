"""What a relay set can lose: articulation relays, cut links, and node-disjoint relay paths."""

from collections.abc import Callable, Collection
from typing import Final

import networkx as nx
from networkx.algorithms.connectivity import build_auxiliary_node_connectivity, local_node_connectivity
from networkx.algorithms.flow import build_residual_network

from meshtwin.graph.reach import flood_graph, hops_from
from meshtwin.mesh.addresses import UnicastAddress

__all__ = ["articulation_relays", "cut_links", "disjoint_paths", "gateway_redundancy", "network_redundancy"]

MOST_PATHS: Final = 8  # counting stops here: the largest objective that a Pipeline can state


def articulation_relays(
    graph: nx.DiGraph, relays: Collection[UnicastAddress], source: UnicastAddress
) -> frozenset[UnicastAddress]:
    """Relays without which some node that the flood of ``source`` reaches is reached no more.

    These are the immediate dominators of the flood graph, the source left out (which no other node can
    stand in for). The relay itself going silent as a receiver does not count: only what lies behind it.

    Parameters
    ----------
    graph : networkx.DiGraph
    relays : collection of addresses
    source : address

    Returns
    -------
    frozenset of addresses, all in ``relays``

    Examples
    --------
    >>> G = nx.DiGraph([(1, 2), (1, 3), (2, 4), (3, 4), (4, 5)])
    >>> sorted(articulation_relays(G, {2, 3, 4}, 1))
    [4]

    References
    ----------
    Cooper, Harvey, Kennedy: A simple, fast dominance algorithm (2006), as in networkx.
    """
    if source not in graph:
        return frozenset()
    dominators = nx.immediate_dominators(flood_graph(graph, relays, source), source)
    return frozenset(d for v, d in dominators.items() if d is not None and source not in (v, d))


def cut_links(
    graph: nx.DiGraph, relays: Collection[UnicastAddress], source: UnicastAddress
) -> frozenset[tuple[UnicastAddress, UnicastAddress]]:
    """Directed links without which some node that the flood of ``source`` reaches is reached no more.

    Dominators again, of the flood graph with a point set on every link.

    Examples
    --------
    >>> G = nx.DiGraph([(1, 2), (1, 3), (2, 4), (3, 4), (4, 5)])
    >>> sorted(cut_links(G, {2, 3, 4}, 1))
    [(1, 2), (1, 3), (4, 5)]
    """
    if source not in graph:
        return frozenset()
    halved = nx.DiGraph()
    halved.add_node(source)
    for u, v in flood_graph(graph, relays, source).edges:
        halved.add_edge(u, (u, v))
        halved.add_edge((u, v), v)
    dominators = nx.immediate_dominators(halved, source)
    return frozenset(d for d in dominators.values() if isinstance(d, tuple))


def gateway_redundancy(
    graph: nx.DiGraph,
    relays: Collection[UnicastAddress],
    gateway: UnicastAddress,
    told: Callable[[float], object] = lambda share: None,
) -> dict[UnicastAddress, int]:
    """Node-disjoint relay paths of every node *to* ``gateway``, at most 8, ascending by address; 0: none.

    A node that the gateway hears directly has 8: no relay's failure cuts it off. ``told``: the share 0..1 of the
    nodes that are done; each takes a maximum flow.
    """
    backwards = graph.reverse(copy=True)
    if gateway not in backwards:
        return dict.fromkeys(sorted(graph), 0)
    sending = set(relays) | {gateway}
    usable = nx.DiGraph()
    usable.add_nodes_from(backwards)
    usable.add_edges_from((u, v) for u, v in backwards.edges if u in sending and v != gateway)
    direct = set(backwards.successors(gateway))
    auxiliary = build_auxiliary_node_connectivity(usable)
    residual = build_residual_network(auxiliary, "capacity")
    found: dict[UnicastAddress, int] = {}
    for node in sorted(set(graph) - {gateway}):
        told(len(found) / len(graph))
        if node in direct:
            found[node] = MOST_PATHS
            continue
        paths = local_node_connectivity(
            usable, gateway, node, auxiliary=auxiliary, residual=residual, cutoff=MOST_PATHS
        )
        found[node] = min(MOST_PATHS, int(paths))
    return found


def disjoint_paths(
    graph: nx.DiGraph, relays: Collection[UnicastAddress], source: UnicastAddress, target: UnicastAddress
) -> int:
    """Largest number of paths from ``source`` to ``target`` that share no relay; a direct link is one.

    Menger's theorem, by maximum flow. 0 if ``target`` is not reached.
    """
    if source not in graph or target not in graph or source == target:
        return 0
    flood = flood_graph(graph, relays, source)
    return int(local_node_connectivity(flood, source, target))


def network_redundancy(
    graph: nx.DiGraph,
    relays: Collection[UnicastAddress],
    source: UnicastAddress,
    targets: Collection[UnicastAddress],
) -> int:
    """Smallest number of node-disjoint relay paths from ``source`` to any of ``targets``, at most 8.

    Targets that hear the source directly are not counted: no relay's failure cuts them off. 0 if one of
    the targets is not reached at all, 8 if all of them hear the source directly.
    """
    if source not in graph:
        return 0
    hops = hops_from(graph, relays, source)
    wanted = sorted(t for t in targets if t != source)
    if any(t not in hops for t in wanted):
        return 0
    distant = [t for t in wanted if hops[t] > 1]
    if not distant:
        return MOST_PATHS
    flood = flood_graph(graph, relays, source)
    fewest = min([MOST_PATHS, *(int(flood.in_degree(t)) for t in distant)])
    proven = set(flood.successors(source))
    residual: nx.DiGraph | None = None
    # Fewest incoming relays first: a small bound found early spares the others.
    for target in sorted(distant, key=lambda t: (flood.in_degree(t), t)):
        if fewest <= 1:
            break
        if target not in proven:
            _prove(flood, proven, fewest)
        if target in proven:
            continue
        if residual is None:
            auxiliary = build_auxiliary_node_connectivity(flood)
            residual = build_residual_network(auxiliary, "capacity")
        paths = local_node_connectivity(flood, source, target, auxiliary=auxiliary, residual=residual, cutoff=fewest)
        fewest = min(fewest, int(paths))
        proven.add(target)
    return fewest


def _prove(flood: nx.DiGraph, proven: set[UnicastAddress], paths: int) -> None:
    """Adds to ``proven`` whatever hears at least ``paths`` of them, until nothing is left to add.

    ``proven``: nodes that the source reaches though any ``paths`` - 1 others are silent. What hears ``paths`` such
    nodes is reached then, too: one of them is not silent. That spares nearly all maximum flows.
    """
    heard = {v: sum(u in proven for u in flood.predecessors(v)) for v in flood if v not in proven}
    ready = [v for v, count in heard.items() if count >= paths]
    while ready:
        node = ready.pop()
        proven.add(node)
        for v in flood.successors(node):
            if v in heard and v not in proven:
                heard[v] += 1
                if heard[v] == paths:
                    ready.append(v)
