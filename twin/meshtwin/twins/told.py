"""What a gateway tells of its segment that goes before the facts: intervals in force, and what nodes say they are."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from meshtwin.contract.summaries import FlowSummary
from meshtwin.contract.telemetry import CompositionReport, FlowReport, Observing
from meshtwin.mesh.nodes import Capabilities, Node
from meshtwin.mesh.reporting import READ_BACK_PAUSE_S
from meshtwin.mesh.upkeep import UpkeepPart
from meshtwin.twins.partial import Gap
from meshtwin.twins.state import TwinState

__all__ = [
    "copies_told",
    "find_observing_gaps",
    "intervals_told",
    "nodes_told",
    "reports_told",
    "summarise_flows",
    "upkeep_told",
]

FLOWS_MAX: Final = 64  # as many as a segment may have
UPKEEP_UNKNOWN: Final = (
    "airtime of the gateway's upkeep unknown: taken to be what reading back the settings of one node every "
    f"{READ_BACK_PAUSE_S:.0f} s needs"
)


def observing_of(state: TwinState) -> Observing | None:
    """What the gateway does to see the mesh; None: it does not say."""
    return None if state.gateway is None else state.gateway.observing


def intervals_told(state: TwinState, notification_s: float, report_s: float) -> tuple[float, float]:
    """Notification and report interval in force, in seconds: the airtime budget may have stretched what was asked for.

    By heartbeats a node's turn to tell of one neighbour comes again and again, and all of them are told of in the
    time of a full picture: that is the report interval then.
    """
    told = observing_of(state)
    if told is None or not told.active:
        return notification_s, report_s
    if told.level == "heartbeats":
        return told.heartbeat_interval_seconds or notification_s, max(report_s, float(told.full_picture_seconds or 0))
    return (
        max(notification_s, told.notification_interval_seconds or 0.0),
        max(report_s, told.report_interval_seconds or 0.0),
    )


def reports_told(state: TwinState, report_s: float) -> float:
    """The interval at which nodes report by themselves; 0: they do not, since heartbeats are asked for."""
    told = observing_of(state)
    return 0.0 if told is not None and told.active and told.level == "heartbeats" else report_s


def copies_told(state: TwinState) -> int | None:
    """Copies of each notification; None: as many as network transmit says."""
    told = observing_of(state)
    return None if told is None else told.notification_transmissions


def upkeep_told(state: TwinState) -> tuple[UpkeepPart, ...] | None:
    """What the gateway sends by itself in the long run; None: it does not say."""
    told = observing_of(state)
    return None if told is None or told.upkeep is None else tuple(part.to_value() for part in told.upkeep)


def nodes_told(nodes: Iterable[Node], state: TwinState) -> tuple[Node, ...]:
    """The nodes of an inventory, with the limits that their own composition data sets."""
    out = []
    for node in nodes:
        composition = composition_of(state, node.address)
        can = node.capabilities
        out.append(node if composition is None else replace(node, capabilities=_limited(can, composition)))
    return tuple(out)


def find_observing_gaps(name: str, nodes: Iterable[Node], state: TwinState) -> Iterable[Gap]:
    """Why the gateway does not see everything, and nodes that are not what the inventory says."""
    told = observing_of(state)
    if told is not None:
        yield from (Gap(name, f"gateway: {warning}") for warning in told.warnings)
    if state.gateway is not None and upkeep_told(state) is None:
        yield Gap(name, UPKEEP_UNKNOWN)
    for node in nodes:
        composition = composition_of(state, node.address)
        if composition is not None and node.capabilities.relay and not composition.relay:
            yield Gap(f"{name}: {node.address:04x}", "cannot relay by its composition data; the inventory says it can")


def summarise_flows(state: TwinState) -> list[FlowSummary]:
    """What was measured last of each flow, and how it is known, by name."""
    return [_summarise(name, record.report) for name, record in sorted(state.flows.items())[:FLOWS_MAX]]


def composition_of(state: TwinState, address: int) -> CompositionReport | None:
    """What a node said it is; None: it did not."""
    record = state.nodes.get(address)
    return None if record is None or record.vitals is None else record.vitals.composition


def _limited(can: Capabilities, composition: CompositionReport) -> Capabilities:
    return replace(
        can,
        relay=can.relay and composition.relay,
        low_power=can.low_power or composition.low_power,
        replay_list_size=composition.crpl,
    )


def _summarise(name: str, report: FlowReport) -> FlowSummary:
    return FlowSummary(
        flow=name,
        how_known=report.how_known,
        messages=report.presses,
        sent_pairs=report.sent_pairs,
        delivered_pairs=report.delivered_pairs,
    )
