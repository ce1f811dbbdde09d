"""A part of a network in detail: a region with a halo of border nodes, the rest as load from outside.

What is outside is reckoned, not simulated: its floods are taken to reach the halo, and its relays to send each of
them once per transmission (doubt: both are upper ends; losses outside make the load smaller). Flows outside count at
their mean rate over the run. A node outside that moves to where a node inside hears it is of the halo from the start;
load from outside stays what it is where everybody stands at the start, and a gap says so.
"""

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.sim.scenario import Scenario, ScenarioBackground, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.traffic import compute_mean_rate_per_s, find_run_s

__all__ = ["RegionCut", "cut_region"]

HEARD_DELIVERY = 0.5  # a link that counts as a hop of the halo; weaker ones would make everything its neighbour
HEARD_DBM = -98.5  # likewise where only its power is given: about every second PDU of 20 bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionCut:
    """``scenario`` has the region's nodes and the ``halo``; ``left_out``: flows that can't be judged in it.

    ``scenario.gaps`` tell of these, and of members outside.
    """

    scenario: Scenario
    halo: tuple[UnicastAddress, ...]
    left_out: tuple[str, ...]


def cut_region(scenario: Scenario, region: Collection[UnicastAddress], *, halo_hops: int = 1) -> RegionCut:
    """The scenario of ``region`` and of the nodes within ``halo_hops`` links of it.

    A flow is kept if its source and at least one of its members are inside (halo included), with those members. The
    messages of flows and backgrounds from outside come in from the halo nodes at their rates; what the nodes outside
    send and the halo hears is external traffic there. Raises `InvalidInput` for unknown nodes or if no flow is left.
    """
    known = {node.address for node in scenario.nodes}
    if missing := set(region) - known:
        raise InvalidInput(f"unknown node {format_address(min(missing))}", place=f"{scenario.name}.region")
    standing = _grow(scenario, scenario.links, set(region), halo_hops)
    moved = tuple(link for change in scenario.changes for link in change.links or ())
    inside = _grow(scenario, (*scenario.links, *moved), set(region), halo_hops) if moved else standing
    halo = tuple(node.address for node in scenario.nodes if node.address in inside and node.address not in region)
    flows = tuple(_cut_flow(flow, inside) for flow in scenario.flows if _is_inside(flow, inside))
    if not flows:
        raise InvalidInput("no flow has source and member inside", place=f"{scenario.name}.region")
    run_s = find_run_s(replace(scenario, flows=flows))  # the region is simulated until its own flows are over
    external = _external_pdus_per_s(scenario, inside, run_s)
    kept_names = {flow.name for flow in flows}
    return RegionCut(
        scenario=replace(
            scenario,
            nodes=tuple(_cut_node(node, external) for node in scenario.nodes if node.address in inside),
            links=tuple(link for link in scenario.links if link.source in inside and link.target in inside),
            flows=flows,
            background=(*_cut_backgrounds(scenario, inside), *_incoming(scenario, inside, halo, run_s)),
            interference=tuple(
                replace(i, nodes=None if i.nodes is None else tuple(a for a in i.nodes if a in inside))
                for i in scenario.interference
                if i.nodes is None or inside & set(i.nodes)
            ),
            changes=tuple(
                replace(
                    change,
                    links=None
                    if change.links is None
                    else tuple(link for link in change.links if link.source in inside and link.target in inside),
                )
                for change in scenario.changes
                if change.node in inside
            ),
            watched=tuple(address for address in scenario.watched if address in inside),
            gaps=(*scenario.gaps, *_tell_gaps(scenario, inside), *_tell_moves(scenario, inside, standing)),
        ),
        halo=halo,
        left_out=tuple(flow.name for flow in scenario.flows if flow.name not in kept_names),
    )


def _grow(
    scenario: Scenario, links: Sequence[ScenarioLink], region: set[UnicastAddress], hops: int
) -> set[UnicastAddress]:
    neighbours: dict[UnicastAddress, set[UnicastAddress]] = {}
    for link in links:
        if _is_heard(link):
            neighbours.setdefault(link.source, set()).add(link.target)
            neighbours.setdefault(link.target, set()).add(link.source)
    inside = set(region)
    border = deque((address, 0) for address in sorted(region))
    while border:
        address, distance = border.popleft()
        if distance < hops:
            for neighbour in sorted(neighbours.get(address, set()) - inside):
                inside.add(neighbour)
                border.append((neighbour, distance + 1))
    friends = {n.low_power.friend for n in scenario.nodes if n.low_power is not None and n.address in inside}
    return inside | friends


def _is_heard(link: ScenarioLink) -> bool:
    if link.delivery is not None:
        return link.delivery >= HEARD_DELIVERY
    return link.rx_power_dbm is not None and link.rx_power_dbm >= HEARD_DBM


def _is_inside(flow: ScenarioFlow, inside: Collection[UnicastAddress]) -> bool:
    return flow.source in inside and any(member in inside for member in flow.members)


def _tell_gaps(scenario: Scenario, inside: Collection[UnicastAddress]) -> Iterator[str]:
    """What can't be judged in the region: whole flows, or some of their members."""
    for flow in scenario.flows:
        outside = [member for member in flow.members if member not in inside]
        if flow.source not in inside:
            yield f"flow {flow.name}: its source {format_address(flow.source)} is outside the region and its halo"
        elif len(outside) == len(flow.members):
            yield f"flow {flow.name}: all it is for is outside the region and its halo"
        elif outside:
            named = ", ".join(map(format_address, outside[:5])) + (", …" if len(outside) > 5 else "")
            yield (
                f"flow {flow.name}: {len(outside)} of {len(flow.members)} members are outside the region and its halo "
                f"and not judged ({named})"
            )


def _tell_moves(
    scenario: Scenario, inside: Collection[UnicastAddress], standing: Collection[UnicastAddress]
) -> Iterator[str]:
    """Where moves reach over the border; ``standing``: who is inside without any move."""
    for change in scenario.changes:
        ends = [(link.source in inside, link.target in inside) for link in change.links or () if _is_heard(link)]
        mover = f"node {format_address(change.node)}"
        if change.node not in inside and any(target for _, target in ends):
            yield f"{mover} moves into reach at {change.at_s:g} s, and is not simulated; give more haloHops"
        elif change.node in inside and any(source != target for source, target in ends):
            yield f"{mover} moves at {change.at_s:g} s to links with nodes outside the region and its halo; left out"
        if change.node in inside and change.node not in standing and any(all(end) for end in ends):
            yield f"{mover} is in reach from {change.at_s:g} s on; what it exchanges with others before is left out"


def _cut_flow(flow: ScenarioFlow, inside: set[UnicastAddress]) -> ScenarioFlow:
    relays = None if flow.relays is None else flow.relays & inside
    return replace(flow, members=tuple(member for member in flow.members if member in inside), relays=relays)


def _cut_node(node: ScenarioNode, external: Mapping[UnicastAddress, float]) -> ScenarioNode:
    return replace(node, external_pdus_per_s=node.external_pdus_per_s + external.get(node.address, 0.0))


def _cut_backgrounds(scenario: Scenario, inside: set[UnicastAddress]) -> Sequence[ScenarioBackground]:
    """Backgrounds of the sources inside, at their share of the rate."""
    kept: list[ScenarioBackground] = []
    for background in scenario.background:
        sources = tuple(address for address in background.sources if address in inside)
        if sources:
            share = len(sources) / len(background.sources)
            destinations = background.destinations if inside.issuperset(background.destinations) else ()
            rate_per_s = background.rate_per_s * share
            kept.append(replace(background, sources=sources, rate_per_s=rate_per_s, destinations=destinations))
    return kept


def _rates_from_outside(
    scenario: Scenario, inside: set[UnicastAddress], run_s: float
) -> Sequence[tuple[str, float, int, int | None]]:
    """Name, messages per second, PDU bytes and TTL of what is originated outside."""
    found: list[tuple[str, float, int, int | None]] = []
    for flow in scenario.flows:
        if flow.source not in inside:
            rate = compute_mean_rate_per_s(flow, run_s)
            sizes = (flow.pdu_bytes,) if flow.segmentation is None else flow.segmentation.segment_pdu_bytes
            found.append((f"flow/{flow.name}", rate * len(sizes), sizes[0], flow.ttl))
    for background in scenario.background:
        outside = sum(address not in inside for address in background.sources)
        if outside:
            rate = background.rate_per_s * outside / len(background.sources)
            found.append((f"background/{background.name}", rate, background.pdu_bytes, background.ttl))
    return found


def _incoming(
    scenario: Scenario, inside: set[UnicastAddress], halo: tuple[UnicastAddress, ...], run_s: float
) -> Sequence[ScenarioBackground]:
    """Floods that begin outside and come in over the halo's relays; TTL 0 and 1 end before."""
    relays = tuple(n.address for n in scenario.nodes if n.address in halo and n.relay and n.is_on)
    if not relays:
        return ()
    return [
        ScenarioBackground(name=f"incoming/{name}", sources=relays, rate_per_s=rate, pdu_bytes=pdu_bytes)
        for name, rate, pdu_bytes, ttl in _rates_from_outside(scenario, inside, run_s)
        if rate > 0.0 and (ttl is None or ttl >= 2)
    ]


def _external_pdus_per_s(
    scenario: Scenario, inside: set[UnicastAddress], run_s: float
) -> Mapping[UnicastAddress, float]:
    """PDUs per second on one channel that each inner node hears of relays outside, floods of all kinds together."""
    floods = sum(compute_mean_rate_per_s(f, run_s) for f in scenario.flows if f.ttl is None or f.ttl >= 2) + sum(
        background.rate_per_s for background in scenario.background if background.ttl is None or background.ttl >= 2
    )
    outside = {
        node.address: node.relay_retransmit.transmissions
        for node in scenario.nodes
        if node.address not in inside and node.relay and node.is_on
    }
    heard: dict[UnicastAddress, float] = {}
    for link in scenario.links:
        if link.target in inside and link.source in outside:
            delivery = float(_is_heard(link)) if link.delivery is None else link.delivery
            heard[link.target] = heard.get(link.target, 0.0) + floods * outside[link.source] * delivery
    return heard
