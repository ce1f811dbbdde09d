"""Building a snapshot of one segment: inventory, link estimates, configuration in force, flows."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, parse_range
from meshtwin.mesh.configuration import Configuration, NodeSettings
from meshtwin.mesh.nodes import Flow, Inventory
from meshtwin.mesh.snapshots import SegmentView, Snapshot
from meshtwin.mesh.stacks import STACKS
from meshtwin.twins.estimator import LinkQuestion, estimate_all
from meshtwin.twins.freshness import why_young
from meshtwin.twins.load import Load, Traffic, estimate_load
from meshtwin.twins.partial import Gap, PartialSnapshot
from meshtwin.twins.state import TwinState
from meshtwin.twins.told import (
    copies_told,
    find_observing_gaps,
    intervals_told,
    nodes_told,
    reports_told,
    upkeep_told,
)

__all__ = ["SegmentFacts", "take_snapshot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFacts:
    """What a segment twin is told and does not observe."""

    name: str
    inventory: Inventory
    flows: tuple[Flow, ...] = ()
    profile: str = "zephyr"
    notification_interval_s: float = 10.0
    report_interval_s: float = 60.0
    airtime_budget_ratio: float = 0.01


def take_snapshot(facts: SegmentFacts, state: TwinState, now_s: float) -> PartialSnapshot:
    """The segment as it is believed to be at ``now_s`` (seconds since 1970).

    Same state, facts and time give an equal snapshot. Nodes that never reported, nodes without a reported
    setting, a missing configuration and young evidence are listed as gaps.
    """
    notification_s, report_s = intervals_told(state, facts.notification_interval_s, facts.report_interval_s)
    facts = replace(facts, notification_interval_s=notification_s, report_interval_s=report_s)
    addresses = facts.inventory.addresses
    configuration = _configuration_in_force(state, addresses)
    traffic = Traffic(
        notification_interval_s=facts.notification_interval_s,
        report_interval_s=reports_told(state, facts.report_interval_s),
        flows=facts.flows,
        configuration=configuration,
        upkeep=upkeep_told(state) or (),
        airtime_budget_ratio=facts.airtime_budget_ratio,
    )
    load = estimate_load(state, traffic)
    links = estimate_all(to_question(facts, state, now_s, load))
    newest_s = state.newest_report_s
    view = SegmentView(
        name=facts.name,
        addresses=addresses,
        inventory_hash=facts.inventory.content_hash,
        revision=None if state.reported is None else state.reported.revision,
        newest_report=None if newest_s is None else datetime.fromtimestamp(newest_s, UTC),
        gateway_address=_gateway_address(state, facts.inventory),
        report_interval_s=reports_told(state, facts.report_interval_s),
        airtime_budget_ratio=facts.airtime_budget_ratio,
        upkeep=upkeep_told(state),
        notification_transmissions=copies_told(state),
    )
    snapshot = Snapshot(
        taken_at=datetime.fromtimestamp(now_s, UTC),
        nodes=nodes_told(facts.inventory.nodes, state),
        links=links,
        configuration=configuration,
        flows=facts.flows,
        segments=(view,),
        profile=_profile(state, facts),
        notification_interval_s=facts.notification_interval_s,
    )
    gaps = tuple(_find_gaps(facts, state, configuration))
    return PartialSnapshot(snapshot=snapshot, gaps=gaps, load_source=load.source)


def to_question(facts: SegmentFacts, state: TwinState, now_s: float, load: Load) -> LinkQuestion:
    """What is asked of the estimator."""
    return LinkQuestion(
        state=state,
        now_s=now_s,
        load=load,
        report_interval_s=facts.report_interval_s,
        notification_interval_s=facts.notification_interval_s,
        places={node.address: node.position for node in facts.inventory.nodes if node.position is not None},
    )


def _profile(state: TwinState, facts: SegmentFacts) -> str:
    """What the gateway says of its nodes, if it is a profile that is known."""
    told = None if state.gateway is None else state.gateway.stack_profile
    return told if told is not None and told in STACKS else facts.profile


def _gateway_address(state: TwinState, inventory: Inventory) -> UnicastAddress | None:
    told = None if state.gateway is None else state.gateway.gateway_address
    return UnicastAddress(int(told, 16)) if told is not None else inventory.gateway_address


def _configuration_in_force(state: TwinState, addresses: tuple[UnicastAddress, ...]) -> Configuration:
    """Reported settings, with what was read back from exceptional nodes on top; foreign nodes left out."""
    if state.reported is None:
        return Configuration()
    merged: dict[UnicastAddress, NodeSettings] = {}
    entries = list(state.reported.settings)
    entries += [o.read_back for o in state.reported.exceptions if o.read_back is not None]
    for entry in entries:
        try:
            settings = entry.to_settings()
            spans = [parse_range(text) for text in entry.nodes]
        except InvalidInput:
            continue  # such as a default TTL of 1: the node then shows as a gap
        for first, last in spans:
            for address in addresses:
                if first <= address <= last:
                    merged[address] = merged.get(address, NodeSettings()).overlaid(settings)
    return Configuration.of(merged)


def _find_gaps(facts: SegmentFacts, state: TwinState, configuration: Configuration) -> Iterable[Gap]:
    silent = [a for a in facts.inventory.addresses if _reported_s(state, a) is None]
    if silent:
        yield Gap(f"{facts.name}: {_list(silent)}", "never reported neighbours")
    if state.reported is None:
        yield Gap(facts.name, "no configuration reported by the gateway")
    elif unsaid := sorted(set(facts.inventory.addresses) - set(configuration.addresses)):
        yield Gap(f"{facts.name}: {_list(unsaid)}", "settings unknown")
    if young := why_young(state, set(facts.inventory.addresses)):
        yield Gap(facts.name, f"{young}: configurations with few relays seem worse than they are")
    if state.gateway is None or not state.gateway.online:
        yield Gap(facts.name, "gateway offline" if state.gateway else "gateway never heard")
    yield from find_observing_gaps(facts.name, facts.inventory.nodes, state)


def _reported_s(state: TwinState, address: int) -> float | None:
    record = state.nodes.get(address)
    return None if record is None else record.reported_s


def _list(addresses: list[UnicastAddress]) -> str:
    shown = ", ".join(f"{a:04x}" for a in addresses[:20])
    return shown + (f" and {len(addresses) - 20} more" if len(addresses) > 20 else "")
