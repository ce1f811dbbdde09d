"""What makes a scenario impossible, found before it runs; each check names the place and what to do about it.

``name`` is the scenario's, ``known`` the addresses of its nodes. All raise `InvalidInput`.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence, Set
from operator import attrgetter, eq
from typing import TypeVar

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import TTL_MAX
from meshtwin.sim.profiles import StackProfile
from meshtwin.sim.scenario_features import DAY_S, ExternalInterference, check_finite
from meshtwin.sim.scenario_parts import NodeChange, ScenarioBackground, ScenarioFlow, ScenarioLink, ScenarioNode

__all__ = [
    "check_addresses",
    "check_background",
    "check_flows",
    "check_happenings",
    "check_links",
    "check_low_power",
    "check_times",
    "check_ttls",
    "require",
]

_SOURCE, _TARGET = attrgetter("source"), attrgetter("target")
Thing = TypeVar("Thing", bound=Hashable)
RADIO_PDU_BYTES = range(1, 30)


def check_addresses(name: str, nodes: Sequence[ScenarioNode]) -> Set[UnicastAddress]:
    """The addresses of the nodes, each of which is used once."""
    known = {node.address for node in nodes}
    if len(known) != len(nodes):
        twice = _first_twice(node.address for node in nodes)
        raise InvalidInput(f"address {format_address(twice)} is used by two nodes", place=f"{name}.nodes")
    return known


def require(place: str, asked: Set[UnicastAddress], known: Set[UnicastAddress]) -> None:
    """Every node that is asked for is there."""
    if missing := asked - known:
        raise InvalidInput(f"unknown node {format_address(min(missing))}", place=place)


def check_links(name: str, links: Sequence[ScenarioLink], known: Set[UnicastAddress]) -> None:
    """No link is given twice, leads to its own node, or to one that is not there."""
    place = f"{name}.links"
    sources, targets = list(map(_SOURCE, links)), list(map(_TARGET, links))  # quick: forks are many
    if len(set(zip(sources, targets, strict=True))) != len(sources):
        source, target = _first_twice(zip(sources, targets, strict=True))
        raise InvalidInput(f"the link {format_address(source)} to {format_address(target)} is given twice", place=place)
    if any(map(eq, sources, targets)):
        itself = min(source for source, target in zip(sources, targets, strict=True) if source == target)
        raise InvalidInput(f"node {format_address(itself)} has a link to itself", place=place)
    require(place, {*sources, *targets}, known)


def check_flows(name: str, flows: Sequence[ScenarioFlow], known: Set[UnicastAddress]) -> None:
    """Flows have names of their own, nodes that are there, and sizes and times that can be."""
    if len({flow.name for flow in flows}) != len(flows):
        twice = _first_twice(flow.name for flow in flows)
        raise InvalidInput(f"two flows have the name {twice!r}", place=f"{name}.flows")
    for flow in flows:
        _check_flow(f"{name}.flows.{flow.name}", flow, known)


def _check_flow(place: str, flow: ScenarioFlow, known: Set[UnicastAddress]) -> None:
    check_finite(
        place, period_s=flow.period_s, start_s=flow.start_s, spread_s=flow.spread_s, rate_per_s=flow.rate_per_s
    )
    require(place, {flow.source, *flow.members}, known)
    if flow.count < 0 or flow.period_s <= 0:
        raise InvalidInput(f"count {flow.count} or period {flow.period_s} s is not positive", place=place)
    if flow.deadline_ms <= 0:
        raise InvalidInput(f"deadline {flow.deadline_ms} ms is not above 0", place=place)
    if flow.start_s < 0 or flow.spread_s < 0:
        raise InvalidInput(f"start {flow.start_s} s or spread {flow.spread_s} s is negative", place=place)
    if not flow.members:
        raise InvalidInput("no member to reach", place=place)
    for size in (flow.pdu_bytes, flow.response_pdu_bytes):
        if size is not None and size not in RADIO_PDU_BYTES:
            raise InvalidInput(f"network PDU of {size} bytes is outside 1..29; segment the message", place=place)
    if flow.relays is not None:
        require(f"{place}.relays", flow.relays, known)
    if flow.retries is not None and flow.response_pdu_bytes is None:
        raise InvalidInput("retries without a response to wait for; give responsePduBytes", place=place)


def check_background(name: str, backgrounds: Sequence[ScenarioBackground], known: Set[UnicastAddress]) -> None:
    """Backgrounds have sources, each once, and a rate."""
    for background in backgrounds:
        place = f"{name}.background.{background.name}"
        check_finite(place, rate_per_s=background.rate_per_s)
        if background.rate_per_s <= 0 or not background.sources:
            raise InvalidInput("no source, or a rate that is not positive", place=place)
        for key, addresses in (("sources", background.sources), ("destinations", background.destinations)):
            if len(set(addresses)) != len(addresses):
                twice = format_address(_first_twice(addresses))
                raise InvalidInput(f"node {twice} is given twice", place=f"{place}.{key}")
        require(place, {*background.sources, *background.destinations}, known)


def check_ttls(
    name: str,
    profile: StackProfile,
    nodes: Sequence[ScenarioNode],
    flows: Sequence[ScenarioFlow],
    backgrounds: Sequence[ScenarioBackground],
) -> None:
    """Every initial TTL is one that the stack sends."""
    for place, ttl, is_default in _ttls(name, nodes, flows, backgrounds):
        if not 0 <= ttl <= TTL_MAX:
            raise InvalidInput(f"ttl {ttl} is outside 0..{TTL_MAX}", place=place)
        allowed = profile.allows_default_ttl_one if is_default else profile.allows_flow_ttl_one
        if ttl == 1 and not allowed:
            raise InvalidInput(
                f"initial ttl 1 is not sent by stack {profile.name}; 0 reaches the neighbours as well",
                reason="ForbiddenTtl",
                place=place,
            )


def _ttls(
    name: str, nodes: Sequence[ScenarioNode], flows: Sequence[ScenarioFlow], backgrounds: Sequence[ScenarioBackground]
) -> Iterator[tuple[str, int, bool]]:
    """Place, value, and whether a profile that forbids 1 for defaults alone forbids it there."""
    for node in nodes:
        yield f"{name}.nodes.{format_address(node.address)}", node.ttl, True
    for flow in flows:
        if flow.ttl is not None:
            yield f"{name}.flows.{flow.name}", flow.ttl, False
    for background in backgrounds:
        if background.ttl is not None:
            yield f"{name}.background.{background.name}", background.ttl, False


def check_low_power(
    name: str, nodes: Sequence[ScenarioNode], flows: Sequence[ScenarioFlow], known: Set[UnicastAddress]
) -> None:
    """Low-power nodes have a friend that is awake, and do nothing that is not modelled."""
    low = {node.address: node for node in nodes if node.low_power is not None}
    for address, node in low.items():
        place = f"{name}.nodes.{format_address(address)}.lowPower"
        if node.low_power is None:
            continue
        require(place, {node.low_power.friend}, known)
        if node.low_power.friend in low:
            raise InvalidInput("its friend is a low-power node, too", place=place)
        if node.relay:
            raise InvalidInput("a low-power node does not relay; set relay: false", place=place)
    for flow in flows:
        sizes = flow.segmentation.segment_pdu_bytes if flow.segmentation is not None else ()
        if len(sizes) > 1 and low.keys() & {flow.source, *flow.members}:
            raise InvalidInput(
                "segmented messages from or to low-power nodes are not modelled",
                place=f"{name}.flows.{flow.name}",
            )


def check_times(name: str, duration_s: float | None, start_of_day_s: float) -> None:
    """The run has a length and a time of day."""
    check_finite(name, duration_s=duration_s, start_of_day_s=start_of_day_s)
    if duration_s is not None and duration_s <= 0:
        raise InvalidInput(f"duration {duration_s} s is not positive", place=name)
    if not 0.0 <= start_of_day_s < DAY_S:
        raise InvalidInput(f"start of day {start_of_day_s} s is outside 0..86400", place=name)


def check_happenings(
    name: str,
    interference: Sequence[ExternalInterference],
    changes: Sequence[NodeChange],
    known: Set[UnicastAddress],
) -> None:
    """Bursts and changes happen at nodes that are there."""
    for bursts in interference:
        require(f"{name}.interference", set(bursts.nodes or ()), known)
    for change in changes:
        ends = {address for link in change.links or () for address in (link.source, link.target)}
        require(f"{name}.changes", {change.node, *ends}, known)


def _first_twice(values: Iterable[Thing]) -> Thing:
    """The first value that was there before; there has to be one."""
    seen: set[Thing] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    raise LookupError("all values are different")
