"""From a relay set and a few figures to a complete configuration of one segment."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import networkx as nx

from meshtwin.graph.links import configured_relays, link_graph, mutual_graph
from meshtwin.graph.reach import hops_from, hops_to, minimal_ttl
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import TTL_MAX, Configuration, NodeSettings, Transmit
from meshtwin.recipes.values import Question

__all__ = [
    "Design",
    "complete_configuration",
    "design_of",
    "foreign_relays",
    "kept_relays",
    "relay_capable",
    "segment_graph",
    "sufficient_ttl",
]

TTL_LEAST: Final = 2  # 1 is not allowed as a default TTL, 0 reaches neighbours only
USABLE_DELIVERY: Final = 0.5  # a link that fails more often than not carries no promise about hops


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What a candidate is made of: one rule for the whole segment."""

    relays: frozenset[UnicastAddress]  # of the target segment
    network_transmit: Transmit
    relay_retransmit: Transmit
    ttl: int

    def __str__(self) -> str:
        network, relay = self.network_transmit, self.relay_retransmit
        relays = f"{len(self.relays)} relay{'' if len(self.relays) == 1 else 's'}"
        own = "1 send" if network.transmissions == 1 else f"{network.transmissions} sends{_every(network)}"
        return f"{relays}, TTL {self.ttl}, {own}, {relay.transmissions} per relay{_every(relay)}"


def _every(transmit: Transmit) -> str:
    return f" every {transmit.interval_s * 1000:.0f} ms" if transmit.transmissions > 1 else ""


def relay_capable(question: Question) -> frozenset[UnicastAddress]:
    """Nodes of the target segment that we may make relays: able to, not frozen, not low-power."""
    return frozenset(n.address for n in question.settable if n.capabilities.relay and not n.capabilities.low_power)


def kept_relays(question: Question) -> frozenset[UnicastAddress]:
    """Frozen nodes of the target segment that relay, and go on relaying."""
    frozen = {n.address for n in question.nodes if n.frozen}
    return configured_relays(question.snapshot, question.snapshot.configuration) & frozen


def foreign_relays(question: Question) -> frozenset[UnicastAddress]:
    """Relays of the other segments of the snapshot, as configured now."""
    relays = configured_relays(question.snapshot, question.snapshot.configuration)
    return relays - set(question.segment.addresses)


def segment_graph(question: Question, *, transmissions: int, threshold: float) -> nx.Graph:
    """Mutual links of the target segment, with each other segment's relays drawn together into one node.

    So the backbone stands on its own feet (the neighbour may be reconfigured tomorrow) and yet reaches over
    every border. A drawn-together segment is the negative of its position in ``snapshot.segments``, less 1.
    """
    whole = mutual_graph(link_graph(question.snapshot, transmissions=transmissions, threshold=threshold))
    mine = set(question.segment.addresses)
    graph = nx.Graph(whole.subgraph(mine))
    relays = foreign_relays(question)
    for position, segment in enumerate(question.snapshot.segments):
        if segment.name == question.segment.name:
            continue
        drawn = -1 - position
        for _, v, delivery in whole.edges(relays & set(segment.addresses), data="delivery"):
            if v in mine and delivery > graph.get_edge_data(drawn, v, {}).get("delivery", 0.0):
                graph.add_edge(drawn, v, delivery=delivery)
    return graph


def sufficient_ttl(
    question: Question, relays: Collection[UnicastAddress], *, transmissions: int, margin_hops: int
) -> int:
    """The smallest TTL with which flows, gateway and nodes of the segment reach whom they must, plus margin.

    Counted over links that deliver at least half of the time within ``transmissions``, with the other
    segments' relays as they are. 127 where such links do not suffice.
    """
    graph = link_graph(question.snapshot, transmissions=transmissions, threshold=USABLE_DELIVERY)
    everything = frozenset(relays) | kept_relays(question) | foreign_relays(question)
    mine = set(question.segment.addresses)
    gateway = question.segment.gateway_address
    needed = TTL_LEAST
    for flow in question.touching_flows:
        if flow.source in mine:
            ttl = minimal_ttl(graph, everything, flow.source, question.members(flow))
            needed = max(needed, TTL_MAX if ttl is None else ttl)
    if gateway is not None and gateway in graph:
        there, back = hops_from(graph, everything, gateway), hops_to(graph, everything, gateway)
        needed = max(needed, *(max(there.get(a, TTL_MAX), back.get(a, TTL_MAX)) for a in mine & set(graph)))
    return min(needed + margin_hops, TTL_MAX)


def complete_configuration(question: Question, design: Design) -> Configuration:
    """Every settable value of every settable node of the segment, under ``design``.

    A node that can't take a setting keeps what it has; so does the relay retransmit of a node that does not
    relay (it means nothing there, and changing it would cost messages).
    """
    in_force = question.snapshot.configuration.as_dict()
    entries: dict[UnicastAddress, NodeSettings] = {}
    for node in question.settable:
        settings = in_force.get(node.address, NodeSettings())
        capable = node.capabilities
        relay, retransmit = settings.relay, settings.relay_retransmit
        if capable.relay:
            relay = node.address in design.relays and not capable.low_power
            retransmit = design.relay_retransmit if relay else retransmit or design.relay_retransmit
        entries[node.address] = NodeSettings(
            relay=relay,
            relay_retransmit=retransmit,
            network_transmit=design.network_transmit if capable.network_transmit else settings.network_transmit,
            default_ttl=design.ttl if capable.default_ttl else settings.default_ttl,
        )
    return Configuration.of(entries)


def design_of(question: Question, configuration: Configuration) -> Design | None:
    """The rule behind a candidate's configuration; None if it follows no single rule."""
    mine = configuration.restricted(n.address for n in question.settable).as_dict().values()
    network = {s.network_transmit for s in mine if s.network_transmit is not None}
    retransmit = {s.relay_retransmit for s in mine if s.relay and s.relay_retransmit is not None}
    ttls = {s.default_ttl for s in mine if s.default_ttl is not None}
    if len(network) != 1 or len(retransmit) != 1 or len(ttls) != 1:
        return None
    return Design(
        relays=configuration.relays,
        network_transmit=network.pop(),
        relay_retransmit=retransmit.pop(),
        ttl=ttls.pop(),
    )
