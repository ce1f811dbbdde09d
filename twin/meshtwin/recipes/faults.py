"""What a candidate may not do, whoever proposed it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import networkx as nx

from meshtwin.graph.links import configured_graph, configured_relays, link_graph
from meshtwin.graph.reach import flood_graph, hops_from, hops_to
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import Configuration, NodeSettings
from meshtwin.mesh.nodes import Capabilities
from meshtwin.recipes.building import USABLE_DELIVERY
from meshtwin.recipes.values import Question
from meshtwin.wording import counted

__all__ = ["FaultFinder", "find_fault", "find_managed", "find_spared"]

Pair = tuple[UnicastAddress, UnicastAddress]

COUNTED_TRANSMISSIONS: Final = 2  # as the relay recipe counts
BEYOND: Final = 1_000  # hops of a node that no flood reaches; above any TTL
ASSUMED_TTL: Final = 7  # where a configuration is silent; Zephyr's default


@dataclass(slots=True)
class FaultFinder:
    """Looks at many candidates of one question; what the gateway reaches now is worked out once."""

    question: Question
    _counted: nx.DiGraph | None = field(default=None, init=False)  # the same links count for every candidate
    _managed_now: frozenset[UnicastAddress] | None = field(default=None, init=False)
    _spared_now: frozenset[Pair] | None = field(default=None, init=False)

    def find(self, configuration: Configuration) -> str | None:
        """Why a candidate may not be judged, or None.

        It changes a frozen node or one of another segment, sets what a node can't do, cuts off nodes that
        the gateway reaches now (it would lose the way by which it is configured), or takes away a spare path:
        a relay may be dead though it says that it relays, and which one is not known. Built-in recipes avoid
        the first two; plug-ins may not.
        """
        question = self.question
        settable = {n.address: n for n in question.settable}
        in_force = question.snapshot.configuration
        now, then = in_force.as_dict(), configuration.as_dict()
        for address in in_force.changed_nodes(configuration):
            if address not in settable:
                return f"node {format_address(address)} is frozen or not of the segment"
            differing = now.get(address, NodeSettings()).differing(then[address])
            able = _able(settable[address].capabilities)
            if beyond := [name for name in differing if not able[name]]:
                return f"node {format_address(address)} can't be set {', '.join(beyond)}"
        if self._managed_now is None:
            self._managed_now = find_managed(question, in_force)
        lost = self._managed_now - find_managed(question, in_force.overlaid(configuration))
        if lost:
            return f"{counted(len(lost), 'node is', 'nodes are')} cut off from the gateway: {_names(lost)}"
        return self._find_exposed(in_force.overlaid(configuration))

    def _find_exposed(self, configuration: Configuration) -> str | None:
        """Nodes that hear a source over one relay only though they hear it over others now.

        Not asked if the objectives are content with one path.
        """
        question = self.question
        if question.objectives.redundancy_at_least == 1:
            return None
        if self._counted is None:
            self._counted = _counted_links(question)
        if self._spared_now is None:
            self._spared_now = find_spared(question, question.snapshot.configuration, self._counted)
        exposed = self._spared_now - find_spared(question, configuration, self._counted)
        if not exposed:
            return None
        nodes = {target for _, target in exposed}
        return f"{counted(len(nodes), 'node')} would hang on a single relay, unlike now: {_names(nodes)}"


def find_fault(question: Question, configuration: Configuration) -> str | None:
    """`FaultFinder.find` for one candidate."""
    return FaultFinder(question).find(configuration)


def find_managed(question: Question, configuration: Configuration) -> frozenset[UnicastAddress]:
    """Nodes of the segment that the gateway reaches, and that reach the gateway, at the TTLs configured.

    ``configuration`` is that of the whole snapshot. Empty where the gateway's address is not known.
    """
    gateway = question.segment.gateway_address
    if gateway is None:
        return frozenset()
    graph = configured_graph(question.snapshot, configuration, threshold=USABLE_DELIVERY)
    relays = configured_relays(question.snapshot, configuration)
    settings = configuration.as_dict()

    def hops_allowed(address: UnicastAddress) -> int:
        said = settings.get(address)
        ttl = said.default_ttl if said is not None and said.default_ttl is not None else ASSUMED_TTL
        return max(ttl, 1)  # TTL 0 and 1 reach neighbours

    there, back = hops_from(graph, relays, gateway), hops_to(graph, relays, gateway)
    return frozenset(
        a
        for a in question.segment.addresses
        if a != gateway and there.get(a, BEYOND) <= hops_allowed(gateway) and back.get(a, BEYOND) <= hops_allowed(a)
    )


def find_spared(question: Question, configuration: Configuration, counted: nx.DiGraph | None = None) -> frozenset[Pair]:
    """Pairs (source, target) that no single relay separates: of the gateway and the segment, and of its flows.

    ``configuration`` is that of the whole snapshot. Links count that deliver at least half of the time within two
    sends, whatever it says of sends: this is about relays, and fewer sends are no loss of a path. ``counted``: their
    graph, if it is known.
    """
    graph = _counted_links(question) if counted is None else counted
    relays = configured_relays(question.snapshot, configuration)
    wanted: dict[UnicastAddress, set[UnicastAddress]] = {}
    if question.segment.gateway_address is not None:
        wanted[question.segment.gateway_address] = set(question.segment.addresses)
    for flow in question.touching_flows:
        wanted.setdefault(flow.source, set()).update(question.members(flow))
    spared: set[Pair] = set()
    for source, targets in wanted.items():
        if source in graph:
            dominators = nx.immediate_dominators(flood_graph(graph, relays, source), source)
            spared |= {(source, t) for t in targets if t != source and dominators.get(t) == source}
    return frozenset(spared)


def _counted_links(question: Question) -> nx.DiGraph:
    return link_graph(question.snapshot, transmissions=COUNTED_TRANSMISSIONS, threshold=USABLE_DELIVERY)


def _names(addresses: Collection[UnicastAddress]) -> str:
    return ", ".join(format_address(a) for a in sorted(addresses)[:8])


def _able(capabilities: Capabilities) -> Mapping[str, bool]:
    return {
        "relay": capabilities.relay,
        "relay_retransmit": capabilities.relay,
        "network_transmit": capabilities.network_transmit,
        "default_ttl": capabilities.default_ttl,
    }
