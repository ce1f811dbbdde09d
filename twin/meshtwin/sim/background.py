"""What else is on the air of a snapshot: the application's own messages, notifications, reports, gateways' upkeep.

Upkeep is what gateways do by themselves: they read settings, composition data and models of one node after the other,
tell intervals again, ask for heartbeats. Its questions are messages of the gateway's node, its answers of the others.
Left out: repetitions of what was lost, and what is asked once, after an adoption.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import NodeSettings, Transmit
from meshtwin.mesh.reporting import (
    HEARD_LEAST,
    RECORDS_PER_MESSAGE,
    ReportRate,
    compute_flood_s,
    compute_message_s,
    compute_notifications_ratio,
    compute_report_rate,
)
from meshtwin.mesh.snapshots import SegmentView, Snapshot
from meshtwin.mesh.upkeep import ASSUMED_UPKEEP, FULL_PDU_BYTES, UpkeepPart
from meshtwin.sim.scenario import ScenarioBackground

__all__ = ["DEFAULT_SETTINGS", "background_of"]

DEFAULT_SETTINGS: Final = NodeSettings(  # where neither snapshot nor configuration says anything: Zephyr's defaults
    relay=True,
    relay_retransmit=Transmit(count=2, interval_steps=1),
    network_transmit=Transmit(count=2, interval_steps=1),
    default_ttl=7,
)
NOTIFICATION_TTL: Final = 0  # for neighbours alone; profiles that need 1 differ by nothing that is modelled
NOTIFICATION_BYTES: Final = 24  # of a network PDU: 18 and an access message of 6, see `meshtwin.contract.access`
REPORT_BYTES: Final = FULL_PDU_BYTES  # with two records, as most have
NO_RELAY_FLOOD_S: Final = 0.1  # bounds reports where nothing relays; such a network is refused elsewhere


def background_of(
    snapshot: Snapshot, settings: Mapping[UnicastAddress, NodeSettings]
) -> tuple[ScenarioBackground, ...]:
    """Traffic beside the judged messages, with ``settings`` in force: flows, notifications, reports, upkeep, in order.

    Flows come at their declared rates, though their airtime is not told here (it is reckoned from the judged
    messages). Every node notifies once per interval. Every node but the gateway's reports as often as the
    gateway's rule allows (`meshtwin.mesh.reporting`), no more messages than it has neighbours to tell of.
    Gateways do the upkeep that they tell (`ASSUMED_UPKEEP` where they do not), as their airtime budgets allow it
    under ``settings``.
    """
    full = {n.address: DEFAULT_SETTINGS.overlaid(settings.get(n.address, NodeSettings())) for n in snapshot.nodes}
    return (
        *_flows(snapshot),
        *_notifications(snapshot, full),
        *_reports(snapshot, full),
        *_upkeep(snapshot, full),
    )


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


def _notifications(snapshot: Snapshot, full: Mapping[UnicastAddress, NodeSettings]) -> Iterator[ScenarioBackground]:
    """Where a stack sends them less often than network transmit says, there are fewer, of as many PDUs in all."""
    if snapshot.notification_interval_s > 0.0 and snapshot.nodes:
        told = {a: s.notification_transmissions for s in snapshot.segments for a in s.addresses}
        whole = sum(_copies_ratio(told.get(node.address), full[node.address]) for node in snapshot.nodes)
        yield ScenarioBackground(
            name="notifications",
            sources=tuple(node.address for node in snapshot.nodes),
            rate_per_s=whole / snapshot.notification_interval_s,
            ttl=NOTIFICATION_TTL,
            pdu_bytes=NOTIFICATION_BYTES,
        )


def _copies_ratio(told: int | None, settings: NodeSettings) -> float:
    own = settings.network_transmit
    return 1.0 if told is None or own is None else told / own.transmissions


def _reports(snapshot: Snapshot, full: Mapping[UnicastAddress, NodeSettings]) -> Iterator[ScenarioBackground]:
    degrees = _count_heard(snapshot)
    for segment in snapshot.segments:
        reporters = tuple(a for a in segment.addresses if a in full and a != segment.gateway_address)
        heard = _mean_heard(segment, degrees)
        if segment.report_interval_s <= 0.0 or segment.airtime_budget_ratio <= 0.0 or not heard or not reporters:
            continue
        rate = _report_rate(snapshot, segment, full, heard)
        most = -(-max(1, round(heard)) // RECORDS_PER_MESSAGE)
        yield ScenarioBackground(
            name=f"reports/{segment.name}",
            sources=reporters,
            rate_per_s=len(reporters) * min(rate.messages, most) / rate.interval_s,
            pdu_bytes=REPORT_BYTES,
            is_reporting=True,
            destinations=tuple(a for a in segment.addresses if a in full and a == segment.gateway_address),
        )


def _upkeep(snapshot: Snapshot, full: Mapping[UnicastAddress, NodeSettings]) -> Iterator[ScenarioBackground]:
    """Of each gateway's node, and of the nodes that answer it; parts of equal TTL in one, of their mean size."""
    degrees = _count_heard(snapshot)
    for segment in snapshot.segments:
        gateway, others = segment.gateway_address, tuple(a for a in segment.addresses if a in full)
        if gateway not in full or gateway is None or not others:
            continue
        message_s = _message_s(segment, full, degrees)
        asked = tuple(a for a in others if a != gateway)  # what it asks its own node does not touch the air
        parts = [(part, _per_s(part, segment, message_s)) for part in _parts(segment)]
        for ttl in sorted({part.ttl for part, _ in parts}, key=lambda ttl: -1 if ttl is None else ttl):
            label = f"upkeep/{segment.name}" if ttl is None else f"upkeep/{segment.name}/ttl-{ttl}"
            mine = [(p, per_s * (len(asked) / len(others) if p.answers else 1.0)) for p, per_s in parts if p.ttl == ttl]
            questions = [(p.questions * per_s, p.question_bytes) for p, per_s in mine]
            answers = [(p.answers * per_s, p.answer_bytes) for p, per_s in mine]
            yield from _in_all(f"{label}/gateway", (gateway,), asked, questions, ttl)
            yield from _in_all(f"{label}/nodes", asked, (gateway,), answers, ttl)


def _in_all(
    name: str,
    sources: tuple[UnicastAddress, ...],
    destinations: tuple[UnicastAddress, ...],
    rates: list[tuple[float, int]],
    ttl: int | None,
) -> Iterator[ScenarioBackground]:
    """One background of messages per second and their bytes; none where nothing is sent."""
    per_s = sum(rate for rate, _ in rates)
    if per_s > 0.0 and sources:
        yield ScenarioBackground(
            name=name,
            sources=sources,
            rate_per_s=per_s,
            ttl=0 if ttl == 1 else ttl,  # nobody relays either, and stacks refuse to send 1
            pdu_bytes=round(sum(rate * size for rate, size in rates) / per_s),
            destinations=destinations,
        )


def _parts(segment: SegmentView) -> tuple[UpkeepPart, ...]:
    return ASSUMED_UPKEEP if segment.upkeep is None else segment.upkeep


def _per_s(part: UpkeepPart, segment: SegmentView, message_s: float) -> float:
    return part.compute_per_s(message_s, segment.airtime_budget_ratio)


def _count_heard(snapshot: Snapshot) -> Mapping[UnicastAddress, int]:
    degrees: dict[UnicastAddress, int] = {}
    for link in snapshot.links:
        degrees[link.target] = degrees.get(link.target, 0) + 1
    return degrees


def _mean_heard(segment: SegmentView, degrees: Mapping[UnicastAddress, int]) -> float:
    """Mean number of neighbours that the segment's nodes hear, of those that hear any; 0: nobody does."""
    heard = [degrees[a] for a in segment.addresses if a in degrees]
    return sum(heard) / len(heard) if heard else 0.0


def _message_s(
    segment: SegmentView, full: Mapping[UnicastAddress, NodeSettings], degrees: Mapping[UnicastAddress, int]
) -> float:
    heard = max(HEARD_LEAST, _mean_heard(segment, degrees))
    return compute_message_s([full[a] for a in segment.addresses if a in full], heard)


def _spent_ratio(snapshot: Snapshot, segment: SegmentView, settings: list[NodeSettings], heard: float) -> float:
    """Of the budget, where the gateway takes notifications and upkeep out of it; 0 elsewhere, as its rule is."""
    parts = _parts(segment)
    if all(part.budget_share is None for part in parts):
        return 0.0
    message_s = compute_message_s(settings, heard)
    spent = sum(part.messages * message_s * _per_s(part, segment, message_s) for part in parts)
    if snapshot.notification_interval_s > 0.0:
        copies = float(segment.notification_transmissions or 1)
        spent += compute_notifications_ratio(snapshot.notification_interval_s, heard, copies)
    return spent


def _report_rate(
    snapshot: Snapshot, segment: SegmentView, full: Mapping[UnicastAddress, NodeSettings], heard: float
) -> ReportRate:
    settings = [full[a] for a in segment.addresses if a in full]
    heard = max(HEARD_LEAST, heard)
    return compute_report_rate(
        settings,
        interval_s=segment.report_interval_s,
        budget_ratio=segment.airtime_budget_ratio,
        nodes=len(segment.addresses),
        heard=heard,
        flood_s=compute_flood_s(settings) or NO_RELAY_FLOOD_S,
        spent_ratio=_spent_ratio(snapshot, segment, settings, heard),
    )
