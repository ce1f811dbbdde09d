"""Graphs of links that deliver well enough, from the link posteriors of a snapshot."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import networkx as nx

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.snapshots import LinkEstimate, Snapshot

__all__ = [
    "configured_graph",
    "configured_relays",
    "delivery_with_transmissions",
    "link_graph",
    "mutual_graph",
]

ASSUMED_TRANSMISSIONS: Final = 3  # where a configuration is silent; count 2 is Zephyr's default


def delivery_with_transmissions(link: LinkEstimate, transmissions: int) -> float:
    """Probability that at least one of ``transmissions`` arrives, 0..1, averaged over the link's posterior.

    With delivery p ~ Beta(a, b) the mean of (1 - p)^k is the product of (b + i) / (a + b + i) for i < k:
    more pessimistic than k independent tries at the mean, since a link that is worse than believed is worse
    at every try. Raises `InvalidInput` if ``transmissions`` is below 1.

    >>> link = LinkEstimate(
    ...     source=UnicastAddress(1), target=UnicastAddress(2), delivery_alpha=1.0, delivery_beta=1.0
    ... )
    >>> round(delivery_with_transmissions(link, 2), 3)
    0.667
    """
    return _delivery(link.delivery_alpha, link.delivery_beta, transmissions)


def link_graph(snapshot: Snapshot, *, transmissions: int, threshold: float) -> nx.DiGraph:
    """Directed graph of the links that deliver at least ``threshold`` within ``transmissions``.

    Parameters
    ----------
    snapshot : Snapshot
        Links to nodes outside the snapshot are left out.
    transmissions : int
        Sends of one PDU per node, the first included.
    threshold : float
        Smallest delivery of an edge, 0..1.

    Returns
    -------
    G : networkx.DiGraph
        All nodes of the snapshot, ascending. Edge attribute ``delivery``: within ``transmissions``, 0..1.
    """
    return _graph(snapshot, lambda _: transmissions, threshold)


def configured_graph(snapshot: Snapshot, configuration: Configuration, *, threshold: float) -> nx.DiGraph:
    """Like `link_graph`, with the sends that ``configuration`` gives to each sending node.

    A relay sends ``relay_retransmit`` + 1 times, another node ``network_transmit`` + 1 times; where the
    configuration is silent, 3 sends are assumed.
    """
    settings = configuration.as_dict()

    def transmissions(address: UnicastAddress) -> int:
        said = settings.get(address)
        if said is None:
            return ASSUMED_TRANSMISSIONS
        state = said.relay_retransmit if said.relay else said.network_transmit
        return state.transmissions if state is not None else ASSUMED_TRANSMISSIONS

    sends = {n.address: transmissions(n.address) for n in snapshot.nodes}
    return _graph(snapshot, sends.__getitem__, threshold)


def configured_relays(snapshot: Snapshot, configuration: Configuration) -> frozenset[UnicastAddress]:
    """Nodes of the snapshot that can relay and that ``configuration`` lets relay."""
    settings = configuration.as_dict()
    return frozenset(
        n.address
        for n in snapshot.nodes
        if n.capabilities.relay and (said := settings.get(n.address)) is not None and said.relay
    )


def mutual_graph(graph: nx.DiGraph) -> nx.Graph:
    """Undirected graph of the pairs linked both ways; ``delivery`` is that of the worse direction."""
    mutual = nx.Graph()
    mutual.add_nodes_from(graph)
    for u, v, delivery in graph.edges(data="delivery"):
        if u < v and graph.has_edge(v, u):
            mutual.add_edge(u, v, delivery=min(delivery, graph.edges[v, u]["delivery"]))
    return mutual


def _graph(snapshot: Snapshot, transmissions: Callable[[UnicastAddress], int], threshold: float) -> nx.DiGraph:
    if not 0.0 <= threshold <= 1.0:
        raise InvalidInput(f"threshold {threshold} is outside 0..1")
    graph = nx.DiGraph()
    graph.add_nodes_from(sorted(n.address for n in snapshot.nodes))
    known = set(graph)
    sends = {address: transmissions(address) for address in known}
    edges = []
    for link in snapshot.links:
        if link.source in known and link.target in known and link.source != link.target:
            delivery = _delivery(link.delivery_alpha, link.delivery_beta, sends[link.source])
            if delivery >= threshold:
                edges.append((link.source, link.target, {"delivery": delivery}))
    graph.add_edges_from(edges)
    return graph


@lru_cache(maxsize=16_384)  # 2 MiB; a search makes hundreds of graphs of the same links, with few numbers of sends
def _delivery(alpha: float, beta: float, transmissions: int) -> float:
    if transmissions < 1:
        raise InvalidInput(f"{transmissions} transmissions is below 1")
    missed = 1.0
    total = alpha + beta
    for i in range(transmissions):
        missed *= (beta + i) / (total + i)
    return 1.0 - missed
