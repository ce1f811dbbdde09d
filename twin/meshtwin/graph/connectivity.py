"""Where a set of relays falls apart when some of them fail: cuts, connectivity, blocks."""

from collections.abc import Collection
from itertools import combinations

import networkx as nx
from networkx.algorithms.connectivity import local_node_connectivity

from meshtwin.mesh.addresses import UnicastAddress

__all__ = ["connectivity_of", "find_blocks", "find_cut", "holds", "spares"]


def connectivity_of(graph: nx.Graph, relays: Collection[UnicastAddress]) -> int:
    """The largest k such that the relays hang together, and one is left, when any k - 1 of them fail; 0: never."""
    inner = graph.subgraph(relays)
    if not inner or not nx.is_connected(inner):
        return 0
    return int(nx.node_connectivity(inner)) + int(_is_complete(inner))


def find_cut(inner: nx.Graph, connectivity: int) -> set[UnicastAddress] | None:
    """Fewer than ``connectivity`` nodes without which a connected graph falls apart; None: there are none."""
    articulation = min(nx.articulation_points(inner), default=None)
    if articulation is not None and connectivity > 1:
        return {articulation}
    if connectivity > 2:
        for failed in sorted(inner):
            second = min(nx.articulation_points(inner.subgraph(set(inner) - {failed})), default=None)
            if second is not None:
                return {failed, second}
    if connectivity > 3 and not _is_complete(inner):
        cut = set(nx.minimum_node_cut(inner))
        return cut if len(cut) < connectivity else None
    return None


def holds(inner: nx.Graph, connectivity: int) -> bool:
    """Whether `connectivity_of` is at least ``connectivity``."""
    return len(inner) >= connectivity and nx.is_connected(inner) and find_cut(inner, connectivity) is None


def spares(inner: nx.Graph, relay: UnicastAddress, connectivity: int) -> bool:
    """Whether a k-connected graph stays so without ``relay``: a new cut would part two of its neighbours."""
    rest = inner.subgraph(set(inner) - {relay})
    if len(rest) <= connectivity + 1 or connectivity < 3:
        return holds(rest, connectivity)
    near = sorted(inner[relay])
    return all(
        rest.has_edge(u, v) or local_node_connectivity(rest, u, v, cutoff=connectivity) >= connectivity
        for u, v in combinations(near, 2)
    )


def find_blocks(graph: nx.Graph, connectivity: int) -> list[set[UnicastAddress]]:
    """Sets of nodes that smaller cuts than ``connectivity`` do not split, found by splitting at such cuts."""
    found: list[set[UnicastAddress]] = []
    waiting = [set(piece) for piece in nx.connected_components(graph)]
    while waiting:
        block = waiting.pop()
        inner = graph.subgraph(block)
        if len(block) <= connectivity:
            continue
        cut = find_cut(inner, connectivity)
        if cut is None:
            found.append(block)
            continue
        for piece in nx.connected_components(inner.subgraph(block - cut)):
            core = nx.k_core(graph.subgraph(piece | cut), connectivity)
            waiting += [set(part) for part in nx.connected_components(core)]
    return found


def _is_complete(inner: nx.Graph) -> bool:
    return bool(inner.number_of_edges() == len(inner) * (len(inner) - 1) // 2)
