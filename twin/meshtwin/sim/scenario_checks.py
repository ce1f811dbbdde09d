"""What makes a scenario impossible, found before it runs."""

from collections.abc import Hashable, Iterable, Iterator, Set
from operator import attrgetter, eq
from typing import TYPE_CHECKING, TypeVar

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import TTL_MAX
from meshtwin.sim.scenario_features import DAY_S, check_finite

if TYPE_CHECKING:
    from meshtwin.sim.scenario import Scenario, ScenarioFlow

__all__ = ["check_scenario"]

_SOURCE, _TARGET = attrgetter("source"), attrgetter("target")
Thing = TypeVar("Thing", bound=Hashable)
RADIO_PDU_BYTES = range(1, 30)


def check_scenario(scenario: "Scenario") -> None:
    """Raises `InvalidInput` for what can't be simulated, naming the place and what to do about it."""
    known = {node.address for node in scenario.nodes}
    if len(known) != len(scenario.nodes):
        twice = _first_twice(node.address for node in scenario.nodes)
        raise InvalidInput(f"address {format_address(twice)} is used by two nodes", place=f"{scenario.name}.nodes")
    _check_links(scenario, known)
    if len({flow.name for flow in scenario.flows}) != len(scenario.flows):
        twice_named = _first_twice(flow.name for flow in scenario.flows)
        raise InvalidInput(f"two flows have the name {twice_named!r}", place=f"{scenario.name}.flows")
    for flow in scenario.flows:
        _check_flow(scenario, flow, known)
    _check_background(scenario, known)
    _check_ttls(scenario)
    _check_low_power(scenario, known)
    _check_world(scenario, known)
    _require(f"{scenario.name}.watched", frozenset(scenario.watched), known)


def _first_twice(values: Iterable[Thing]) -> Thing:
    """The first value that was there before; there has to be one."""
    seen: set[Thing] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    raise LookupError("all values are different")


def _require(place: str, asked: Set[UnicastAddress], known: Set[UnicastAddress]) -> None:
    if missing := asked - known:
        raise InvalidInput(f"unknown node {format_address(min(missing))}", place=place)


def _check_links(scenario: "Scenario", known: Set[UnicastAddress]) -> None:
    place = f"{scenario.name}.links"
    sources, targets = list(map(_SOURCE, scenario.links)), list(map(_TARGET, scenario.links))  # quick: forks are many
    if len(set(zip(sources, targets, strict=True))) != len(sources):
        source, target = _first_twice(zip(sources, targets, strict=True))
        raise InvalidInput(f"the link {format_address(source)} to {format_address(target)} is given twice", place=place)
    if any(map(eq, sources, targets)):
        itself = min(source for source, target in zip(sources, targets, strict=True) if source == target)
        raise InvalidInput(f"node {format_address(itself)} has a link to itself", place=place)
    _require(place, {*sources, *targets}, known)


def _check_flow(scenario: "Scenario", flow: "ScenarioFlow", known: Set[UnicastAddress]) -> None:
    place = f"{scenario.name}.flows.{flow.name}"
    check_finite(
        place, period_s=flow.period_s, start_s=flow.start_s, spread_s=flow.spread_s, rate_per_s=flow.rate_per_s
    )
    _require(place, {flow.source, *flow.members}, known)
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
        _require(f"{place}.relays", flow.relays, known)
    if flow.retries is not None and flow.response_pdu_bytes is None:
        raise InvalidInput("retries without a response to wait for; give responsePduBytes", place=place)


def _check_background(scenario: "Scenario", known: Set[UnicastAddress]) -> None:
    for background in scenario.background:
        place = f"{scenario.name}.background.{background.name}"
        check_finite(place, rate_per_s=background.rate_per_s)
        if background.rate_per_s <= 0 or not background.sources:
            raise InvalidInput("no source, or a rate that is not positive", place=place)
        for key, addresses in (("sources", background.sources), ("destinations", background.destinations)):
            if len(set(addresses)) != len(addresses):
                twice = format_address(_first_twice(addresses))
                raise InvalidInput(f"node {twice} is given twice", place=f"{place}.{key}")
        _require(place, {*background.sources, *background.destinations}, known)


def _ttls(scenario: "Scenario") -> Iterator[tuple[str, int, bool]]:
    """Place, value, and whether a profile that forbids 1 for defaults alone forbids it there."""
    for node in scenario.nodes:
        yield f"{scenario.name}.nodes.{format_address(node.address)}", node.ttl, True
    for flow in scenario.flows:
        if flow.ttl is not None:
            yield f"{scenario.name}.flows.{flow.name}", flow.ttl, False
    for background in scenario.background:
        if background.ttl is not None:
            yield f"{scenario.name}.background.{background.name}", background.ttl, False


def _check_ttls(scenario: "Scenario") -> None:
    profile = scenario.profile
    for place, ttl, is_default in _ttls(scenario):
        if not 0 <= ttl <= TTL_MAX:
            raise InvalidInput(f"ttl {ttl} is outside 0..{TTL_MAX}", place=place)
        allowed = profile.allows_default_ttl_one if is_default else profile.allows_flow_ttl_one
        if ttl == 1 and not allowed:
            raise InvalidInput(
                f"initial ttl 1 is not sent by stack {profile.name}; 0 reaches the neighbours as well",
                reason="ForbiddenTtl",
                place=place,
            )


def _check_low_power(scenario: "Scenario", known: Set[UnicastAddress]) -> None:
    low = {node.address: node for node in scenario.nodes if node.low_power is not None}
    for address, node in low.items():
        place = f"{scenario.name}.nodes.{format_address(address)}.lowPower"
        if node.low_power is None:
            continue
        _require(place, {node.low_power.friend}, known)
        if node.low_power.friend in low:
            raise InvalidInput("its friend is a low-power node, too", place=place)
        if node.relay:
            raise InvalidInput("a low-power node does not relay; set relay: false", place=place)
    for flow in scenario.flows:
        sizes = flow.segmentation.segment_pdu_bytes if flow.segmentation is not None else ()
        if len(sizes) > 1 and low.keys() & {flow.source, *flow.members}:
            raise InvalidInput(
                "segmented messages from or to low-power nodes are not modelled",
                place=f"{scenario.name}.flows.{flow.name}",
            )


def _check_world(scenario: "Scenario", known: Set[UnicastAddress]) -> None:
    check_finite(scenario.name, duration_s=scenario.duration_s, start_of_day_s=scenario.start_of_day_s)
    if scenario.duration_s is not None and scenario.duration_s <= 0:
        raise InvalidInput(f"duration {scenario.duration_s} s is not positive", place=scenario.name)
    if not 0.0 <= scenario.start_of_day_s < DAY_S:
        raise InvalidInput(f"start of day {scenario.start_of_day_s} s is outside 0..86400", place=scenario.name)
    for interference in scenario.interference:
        _require(f"{scenario.name}.interference", set(interference.nodes or ()), known)
    for change in scenario.changes:
        place = f"{scenario.name}.changes"
        ends = {address for link in change.links or () for address in (link.source, link.target)}
        _require(place, {change.node, *ends}, known)
