"""What else is on the air of a snapshot: the application's own messages, notifications and reports."""

from collections.abc import Iterator, Mapping
from typing import Final

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import NodeSettings, Transmit
from meshtwin.mesh.reporting import (
    HEARD_LEAST,
    READ_BACK_MESSAGES,
    READ_BACK_PAUSE_S,
    RECORDS_PER_MESSAGE,
    ReportRate,
    compute_flood_s,
    compute_report_rate,
)
from meshtwin.mesh.snapshots import SegmentView, Snapshot
from meshtwin.sim.scenario import ScenarioBackground

__all__ = ["DEFAULT_SETTINGS", "background_of"]

DEFAULT_SETTINGS: Final = NodeSettings(  # where neither snapshot nor configuration says anything: Zephyr's defaults
    relay=True,
    relay_retransmit=Transmit(count=2, interval_steps=1),
    network_transmit=Transmit(count=2, interval_steps=1),
    default_ttl=7,
)
NOTIFICATION_TTL: Final = 0  # for neighbours alone; profiles that need 1 differ by nothing that is modelled
NO_RELAY_FLOOD_S: Final = 0.1  # bounds reports where nothing relays; such a network is refused elsewhere


def background_of(
    snapshot: Snapshot, settings: Mapping[UnicastAddress, NodeSettings]
) -> tuple[ScenarioBackground, ...]:
    """Traffic beside the judged messages, with ``settings`` in force; in the order flows, notifications, reports.

    Flows come at their declared rates, though their airtime is not told here (it is reckoned from the judged
    messages). Every node notifies once per interval. Every node but the gateway's reports as often as the
    gateway's rule allows (`meshtwin.mesh.reporting`), no more messages than it has neighbours to tell of.
    While one gateway measures, the others read back a node now and then.
    """
    full = {n.address: DEFAULT_SETTINGS.overlaid(settings.get(n.address, NodeSettings())) for n in snapshot.nodes}
    return (*_flows(snapshot), *_notifications(snapshot), *_reports(snapshot, full), *_read_backs(snapshot))


def _flows(snapshot: Snapshot) -> Iterator[ScenarioBackground]:
    known = {node.address for node in snapshot.nodes}
    for flow in snapshot.flows:
        if flow.source in known and flow.rate_per_minute > 0:
            yield ScenarioBackground(
                name=f"flow/{flow.name}",
                sources=(flow.source,),
                rate_per_s=flow.rate_per_minute / 60.0,
                is_counted=False,
            )


def _notifications(snapshot: Snapshot) -> Iterator[ScenarioBackground]:
    if snapshot.notification_interval_s > 0.0 and snapshot.nodes:
        yield ScenarioBackground(
            name="notifications",
            sources=tuple(node.address for node in snapshot.nodes),
            rate_per_s=len(snapshot.nodes) / snapshot.notification_interval_s,
            ttl=NOTIFICATION_TTL,
        )


def _reports(snapshot: Snapshot, full: Mapping[UnicastAddress, NodeSettings]) -> Iterator[ScenarioBackground]:
    degrees: dict[UnicastAddress, int] = {}
    for link in snapshot.links:
        degrees[link.target] = degrees.get(link.target, 0) + 1
    for segment in snapshot.segments:
        reporters = tuple(a for a in segment.addresses if a in full and a != segment.gateway_address)
        heard = [degrees[a] for a in segment.addresses if a in degrees]
        if segment.report_interval_s <= 0.0 or segment.airtime_budget_ratio <= 0.0 or not heard or not reporters:
            continue
        rate = _report_rate(segment, full, sum(heard) / len(heard))
        most = -(-max(1, round(sum(heard) / len(heard))) // RECORDS_PER_MESSAGE)
        yield ScenarioBackground(
            name=f"reports/{segment.name}",
            sources=reporters,
            rate_per_s=len(reporters) * min(rate.messages, most) / rate.interval_s,
            is_reporting=True,
        )


def _read_backs(snapshot: Snapshot) -> Iterator[ScenarioBackground]:
    others = sum(segment.gateway_address is not None for segment in snapshot.segments) - 1
    if others > 0:
        yield ScenarioBackground(
            name="read-backs",
            sources=tuple(node.address for node in snapshot.nodes),
            rate_per_s=others * READ_BACK_MESSAGES / READ_BACK_PAUSE_S,
        )


def _report_rate(segment: SegmentView, full: Mapping[UnicastAddress, NodeSettings], heard: float) -> ReportRate:
    settings = [full[a] for a in segment.addresses if a in full]
    return compute_report_rate(
        settings,
        interval_s=segment.report_interval_s,
        budget_ratio=segment.airtime_budget_ratio,
        nodes=len(segment.addresses),
        heard=max(HEARD_LEAST, heard),
        flood_s=compute_flood_s(settings) or NO_RELAY_FLOOD_S,
    )
