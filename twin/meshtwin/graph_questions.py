"""What the links of one network allow, asked all at once: of a scenario or of a snapshot.

Nothing is simulated: `meshtwin.graph` has the methods and says which of them are exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import networkx as nx

from meshtwin.errors import InvalidInput
from meshtwin.graph.backbone import BackboneQuestion, relay_backbone
from meshtwin.graph.links import configured_graph, configured_relays, link_graph, mutual_graph
from meshtwin.graph.reach import hops_from, minimal_ttl
from meshtwin.graph.redundancy import articulation_relays, cut_links, gateway_redundancy, network_redundancy
from meshtwin.graph.robust_backbone import CONNECTIVITY_MAX, robust_backbone
from meshtwin.graph_document import (
    BackboneDocument,
    GraphDocument,
    GraphFlowDocument,
    GraphLinkDocument,
    GraphNodeDocument,
)
from meshtwin.mesh.addresses import UNICAST_MAX, UnicastAddress, format_address, parse_unicast
from meshtwin.mesh.configuration import TTL_MAX
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.ports import Progress, no_progress
from meshtwin.sim.air import mean_delivery
from meshtwin.sim.arguments import check_number, check_whole, read_any_scenario
from meshtwin.sim.scenario import Scenario, ScenarioNode
from meshtwin.whatif.forks import flow_members
from meshtwin.wording import counted

__all__ = ["GRAPH_NODES_MAX", "THRESHOLD", "BackboneWish", "graph_of"]

THRESHOLD: Final = 0.5  # a link that fails more often than not carries no promise about hops
GRAPH_NODES_MAX: Final = 1500  # a maximum flow for each node: half a minute for 1,000, more than a minute here
ASSUMED_TTL: Final = 7  # where a configuration is silent: Zephyr's default
DOMINATING_MAX: Final = 8
PATHS_SHARE: Final = 0.9  # of the time, where there are many nodes
SENDS_MAX: Final = 8  # a count of 0..7, and the first: Mesh Protocol 1.1, 4.2.20


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneWish:
    """Relays of which every other node hears ``dominating``, and that hang together if ``connected`` - 1 of them fail.

    Raises `InvalidInput` outside 1..4 and 1..8.
    """

    connected: int = 1
    dominating: int = 1

    def __post_init__(self) -> None:
        for name, value, most in (
            ("connected", self.connected, CONNECTIVITY_MAX), ("dominating", self.dominating, DOMINATING_MAX)
        ):  # fmt: skip
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise InvalidInput(f"{name} {value!r} is not a whole number of 1..{most}", place=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """What scenario and snapshot have in common; ``graph`` has links that deliver at least the threshold."""

    name: str
    graph: nx.DiGraph
    relays: frozenset[UnicastAddress]
    capable: frozenset[UnicastAddress]  # may be made relays
    forced: frozenset[UnicastAddress]  # relay whatever we choose
    ttl_of: Mapping[UnicastAddress, int]
    flows: Sequence[tuple[str, UnicastAddress, tuple[UnicastAddress, ...], int | None]]  # with a TTL of their own
    hub: UnicastAddress
    gaps: tuple[str, ...] = ()


def graph_of(
    what: Scenario | Snapshot | str | Path,
    *,
    to: int | str | None = None,
    ttl: int | None = None,
    threshold: float = THRESHOLD,
    transmissions: int | None = None,
    backbone: BackboneWish | None = None,
    progress: Progress = no_progress,
) -> GraphDocument:
    """Reach within a TTL, relays and links that nothing can stand in for, disjoint paths, backbones.

    ``what``: a scenario (a file or YAML text as well) or a snapshot. ``to``: the node that all is asked about, as a
    number or like ``"0012"``; None: the snapshot's gateway, else the source of the first flow. ``ttl`` None: that
    node's. A link counts if it delivers at least ``threshold`` within the sends of its sender, or ``transmissions``.
    ``progress`` is told the share and what is being done; what it raises ends the work.
    Raises `InvalidInput` for an unknown node, values out of bounds, or more than `GRAPH_NODES_MAX` nodes.
    """
    ttl = None if ttl is None else _check_within("ttl", ttl, 0, TTL_MAX)
    transmissions = None if transmissions is None else _check_within("transmissions", transmissions, 1, SENDS_MAX)
    threshold = check_number("threshold", threshold)
    if not 0.0 < threshold <= 1.0:
        raise InvalidInput(f"threshold {threshold} is outside 0..1 (0 excluded)", place="threshold")
    if not isinstance(backbone, BackboneWish | None):
        raise InvalidInput(f"{backbone!r} is no BackboneWish(connected=…, dominating=…)", place="backbone")
    asked = None if to is None else _parse(to)
    if isinstance(what, str | Path):
        what = read_any_scenario(what)
    if isinstance(what, Scenario):
        view = _view_scenario(what, threshold, transmissions)
    elif isinstance(what, Snapshot):
        view = _view_snapshot(what, threshold, transmissions)
    else:
        raise InvalidInput(f"{type(what).__name__} is no scenario and no snapshot", place="graph")
    if len(view.graph) > GRAPH_NODES_MAX:
        raise InvalidInput(
            f"{len(view.graph)} nodes are more than {GRAPH_NODES_MAX}; cut a region out", reason="TooLarge",
            place=view.name,
        )  # fmt: skip
    hub = view.hub if asked is None else asked
    if hub not in view.graph:
        raise InvalidInput(
            f"node {format_address(hub)} is not there, or switched off", reason="UnknownNode", place=view.name
        )
    ttl = view.ttl_of.get(hub, ASSUMED_TTL) if ttl is None else ttl
    return _answer(view, hub, ttl, threshold, backbone, progress=progress)


def _check_within(name: str, value: object, least: int, most: int) -> int:
    number = check_whole(name, value)
    if not least <= number <= most:
        raise InvalidInput(f"{name} {number} is outside {least}..{most}", place=name)
    return number


def _parse(to: object) -> UnicastAddress:
    return parse_unicast(to, "to") if isinstance(to, str) else UnicastAddress(_check_within("to", to, 1, UNICAST_MAX))


def _view_scenario(scenario: Scenario, threshold: float, transmissions: int | None) -> _View:
    on = {node.address: node for node in scenario.nodes if node.is_on}
    graph = nx.DiGraph()
    graph.add_nodes_from(sorted(on))
    for link in scenario.links:
        source, target = on.get(link.source), on.get(link.target)
        if source is None or target is None:
            continue
        if target.low_power is not None and target.low_power.friend != source.address:
            continue  # a low-power node hears its friend alone
        delivery = 1.0 - (1.0 - mean_delivery(link)) ** (transmissions or _sends(source))
        if delivery >= threshold:
            graph.add_edge(link.source, link.target, delivery=delivery)
    capable = frozenset(address for address, node in on.items() if node.low_power is None)
    off = len(scenario.nodes) - len(on)
    return _View(
        name=scenario.name,
        graph=graph,
        relays=frozenset(address for address in capable if on[address].relay),
        capable=capable,
        forced=frozenset(),
        ttl_of={address: node.ttl for address, node in on.items()},
        flows=[(flow.name, flow.source, flow.members, flow.ttl) for flow in scenario.flows],
        hub=scenario.flows[0].source,
        gaps=(*scenario.gaps, *((f"{counted(off, 'node is', 'nodes are')} switched off and left out",) if off else ())),
    )


def _sends(node: ScenarioNode) -> int:
    return (node.relay_retransmit if node.relay else node.network_transmit).transmissions


def _view_snapshot(snapshot: Snapshot, threshold: float, transmissions: int | None) -> _View:
    if transmissions is None:
        graph = configured_graph(snapshot, snapshot.configuration, threshold=threshold)
    else:
        graph = link_graph(snapshot, transmissions=transmissions, threshold=threshold)
    if not snapshot.nodes:
        raise InvalidInput("a snapshot without nodes", place="graph")
    relays = configured_relays(snapshot, snapshot.configuration)
    gateways = [s.gateway_address for s in snapshot.segments if s.gateway_address is not None]
    sources = [flow.source for flow in snapshot.flows]
    settings = snapshot.configuration.as_dict()
    return _View(
        name=f"snapshot-{snapshot.fingerprint}",
        graph=graph,
        relays=relays,
        capable=frozenset(
            n.address for n in snapshot.nodes if n.capabilities.relay and not n.capabilities.low_power and not n.frozen
        ),
        forced=relays & {n.address for n in snapshot.nodes if n.frozen},
        ttl_of={a: s.default_ttl for a, s in settings.items() if s.default_ttl is not None},
        flows=[(f.name, f.source, flow_members(snapshot.nodes, f), None) for f in snapshot.flows],
        hub=next((a for a in (*gateways, *sources) if a in graph), snapshot.nodes[0].address),
    )


def _answer(
    view: _View, hub: UnicastAddress, ttl: int, threshold: float, wish: BackboneWish | None, *, progress: Progress
) -> GraphDocument:
    graph, relays = view.graph, view.relays
    hops = hops_from(graph, relays, hub)
    counting = f"counting disjoint paths of {counted(len(graph), 'node')}"
    paths = gateway_redundancy(graph, relays, hub, lambda share: progress(PATHS_SHARE * share, counting))
    progress(PATHS_SHARE, "flows, and what nothing can stand in for" + ("" if wish is None else "; a relay backbone"))
    told = format_address
    return GraphDocument(
        name=view.name,
        node=told(hub),
        ttl=ttl,
        threshold=threshold,
        relays=sorted(map(told, relays)),
        usable_links=graph.number_of_edges(),
        nodes=[
            GraphNodeDocument(
                address=told(address),
                is_relay=address in relays,
                hops_from=hops.get(address),
                is_reached=address in hops and hops[address] <= max(ttl, 1),
                is_heard_directly=graph.has_edge(address, hub),
                paths_to=paths[address],
            )
            for address in sorted(set(graph) - {hub})
        ],
        minimal_ttl=minimal_ttl(graph, relays, hub, set(graph) - {hub}),
        articulation_relays=sorted(map(told, articulation_relays(graph, relays, hub))),
        cut_links=[GraphLinkDocument(source=told(a), target=told(b)) for a, b in sorted(cut_links(graph, relays, hub))],
        flows=[_flow(view, name, source, members, own) for name, source, members, own in view.flows],
        backbone=None if wish is None else _backbone(view, hub, wish),
        gaps=list(view.gaps),
    )


def _flow(
    view: _View, name: str, source: UnicastAddress, members: tuple[UnicastAddress, ...], own: int | None
) -> GraphFlowDocument:
    hops = hops_from(view.graph, view.relays, source)
    ttl = view.ttl_of.get(source, ASSUMED_TTL) if own is None else own
    return GraphFlowDocument(
        name=name,
        source=format_address(source),
        ttl=ttl,
        members=len(members),
        reached=sum(hops.get(member, TTL_MAX + 1) <= max(ttl, 1) for member in members),
        minimal_ttl=minimal_ttl(view.graph, view.relays, source, members),
        paths=network_redundancy(view.graph, view.relays, source, members),
    )


def _backbone(view: _View, hub: UnicastAddress, wish: BackboneWish) -> BackboneDocument:
    mutual = mutual_graph(view.graph)
    question = BackboneQuestion(allowed=view.capable, forced=view.forced, current=view.relays, fold=wish.dominating)
    if wish.connected == 1:
        plain = relay_backbone(mutual, question)
        relays, reached, short = plain.relays, int(plain.pieces <= 1), plain.short_of
    else:
        robust = robust_backbone(mutual, question, connectivity=wish.connected)
        relays, reached, short = robust.relays, robust.connectivity, robust.short_of
    others = set(view.graph) - {hub}
    return BackboneDocument(
        connected=wish.connected,
        dominating=wish.dominating,
        relays=sorted(map(format_address, relays)),
        connected_reached=reached,
        short_of={format_address(node): heard for node, heard in sorted(short.items())},
        is_complete=reached >= wish.connected and not short,
        minimal_ttl=minimal_ttl(view.graph, relays, hub, others),
    )
