"""Folding observations into a state: one pure function per kind of message.

Counters are cumulative, so a lost report loses resolution and no data. Repeated and older messages are
harmless: they move a link's counter only forward. A missing report is never counted as loss.
"""

from dataclasses import replace
from typing import Final, assert_never

from meshtwin.contract.configuration import Reported
from meshtwin.contract.telemetry import (
    FlowTelemetry,
    GatewayState,
    NeighbourCounter,
    NeighbourTelemetry,
    NodeTelemetry,
)
from meshtwin.twins.observations import Observation, Reason
from meshtwin.twins.state import FlowRecord, LinkRecord, NodeRecord, StreamPosition, TwinState

__all__ = ["EVIDENCE_HALF_LIFE_S", "NOTHING_UNTOLD", "count_dropped", "fold"]

EVIDENCE_HALF_LIFE_S: Final = 1800.0
# At a notification interval of 10 s about 260 notifications count: a deviation of 0.03 at a delivery of 0.5.
# Furniture and doors change links within hours; unverified on hardware.
FIRST_EVIDENCE_MAX: Final = 60.0  # notifications: the first report may count days, of which the age is unknown
NOTHING_UNTOLD: Final = (0.0, 0.0)
AIRTIME_SMOOTHING: Final = 0.3  # weight of the newest report


def fold(state: TwinState, observation: Observation, received_s: float) -> TwinState:
    """The state after ``observation``; ``received_s`` is the receiver's time in seconds since 1970.

    A message of a session that is older than the current one leaves only a count of it behind.
    """
    sent_s = min(observation.sent_at.timestamp(), received_s)
    entered = _enter_session(state, observation, sent_s)
    if entered is None:
        return count_dropped(state, Reason.OTHER_SESSION)
    match observation:
        case NeighbourTelemetry():
            return _fold_neighbours(entered, observation, sent_s)
        case FlowTelemetry():
            return _fold_flows(entered, observation, sent_s)
        case NodeTelemetry():
            return _fold_nodes(entered, observation)
        case GatewayState():
            position, is_new = _advance(entered, "state", observation)
            gateway = observation if is_new or not observation.online else entered.gateway
            return _with_stream(entered, "state", position, gateway=gateway)
        case Reported():
            position, is_new = _advance(entered, "configuration/reported", observation)
            reported = observation if is_new else entered.reported
            return _with_stream(entered, "configuration/reported", position, reported=reported)
        case _:
            assert_never(observation)


def count_dropped(state: TwinState, reason: Reason) -> TwinState:
    """The state with one more message counted as not folded."""
    dropped = dict(state.dropped)
    dropped[reason.value] = dropped.get(reason.value, 0) + 1
    return replace(state, dropped=dropped)


def _enter_session(state: TwinState, observation: Observation, sent_s: float) -> TwinState | None:
    """The state inside the observation's session; None if that session is over.

    Of two sessions the one with the newer sender's time is current. A gateway whose clock went back says
    so with an ``online`` state message, which always starts its session.
    """
    if observation.session == state.session:
        if sent_s <= state.session_newest_s:
            return state
        return replace(state, session_newest_s=sent_s)
    starts = isinstance(observation, GatewayState) and observation.online
    if state.session is not None and not starts and sent_s < state.session_newest_s:
        return None
    return replace(state, session=observation.session, session_newest_s=sent_s)


def _advance(state: TwinState, leaf: str, observation: Observation) -> tuple[StreamPosition, bool]:
    """The stream after the message, and whether the message is newer than all before it."""
    known = state.streams.get(leaf)
    sequence = observation.sequence
    if known is None:
        return StreamPosition(observation.session, sequence), True
    if known.session != observation.session:
        return StreamPosition(observation.session, sequence, known.gaps, known.repeated), True
    if sequence <= known.sequence:
        return replace(known, repeated=known.repeated + 1), False
    gaps = known.gaps + sequence - known.sequence - 1
    return StreamPosition(known.session, sequence, gaps, known.repeated), True


def _with_stream(state: TwinState, leaf: str, position: StreamPosition, **changes: object) -> TwinState:
    streams = dict(state.streams)
    streams[leaf] = position
    return replace(state, streams=streams, folded=state.folded + 1, **changes)  # type: ignore[arg-type]  # names of fields


def _fold_neighbours(state: TwinState, report: NeighbourTelemetry, sent_s: float) -> TwinState:
    position, is_new = _advance(state, "telemetry/neighbours", report)
    reporter = int(report.node, 16)
    known = state.nodes.get(reporter) or NodeRecord()
    links = dict(known.links)
    resets = state.resets
    for counter in report.neighbours:
        neighbour = int(counter.neighbour, 16)
        before = links.get(neighbour)
        if before is None:
            links[neighbour] = _first_record(counter, sent_s)
            continue
        if not _continues(before, counter):
            if not is_new:
                continue  # an older message about an earlier count
            resets += 1
        links[neighbour] = _next_record(before, counter, sent_s)
    reported_s = sent_s if known.reported_s is None else max(known.reported_s, sent_s)
    nodes = dict(state.nodes)
    nodes[reporter] = NodeRecord(links, reported_s, known.vitals)
    newest_s = sent_s if state.newest_report_s is None else max(state.newest_report_s, sent_s)
    return _with_stream(state, "telemetry/neighbours", position, nodes=nodes, resets=resets, newest_report_s=newest_s)


def _continues(before: LinkRecord, counter: NeighbourCounter) -> bool:
    """Whether the counter goes on from where ``before`` stands."""
    return (
        counter.epoch == before.epoch
        and counter.since_counter == before.since
        and counter.last_counter >= before.last
        and counter.received >= before.received
    )


def _first_record(counter: NeighbourCounter, sent_s: float) -> LinkRecord:
    heard, missed = _heard_and_missed(counter.last_counter - counter.since_counter, counter.received)
    total = heard + missed
    scale = FIRST_EVIDENCE_MAX / total if total > FIRST_EVIDENCE_MAX else 1.0
    evidence = ((counter.transmissions, heard * scale, missed * scale),)
    return _record(counter, evidence, sent_s, heard_s=sent_s)


def _next_record(before: LinkRecord, counter: NeighbourCounter, sent_s: float) -> LinkRecord:
    at_s = max(sent_s, before.evidence_s)
    untold = _decayed(before, at_s)
    if _continues(before, counter):
        expected = counter.last_counter - before.last
        received = counter.received - before.received
    elif counter.epoch != before.epoch or counter.since_counter >= before.last:
        expected = counter.last_counter - counter.since_counter  # a count begun after a restart: all of it is new
        received = counter.received
        untold = (untold[0] + max(0.0, sent_s - before.listed_s), untold[1] + expected)
    else:
        expected = received = 0  # overlaps what was counted, nobody knows how far: a base line, no evidence
    heard, missed = _heard_and_missed(expected, received)
    has_moved = counter.last_counter != before.last or counter.epoch != before.epoch
    evidence = _add_evidence(before, counter.transmissions, heard, missed, at_s)
    heard_s = sent_s if has_moved else before.heard_s
    listings = before.listings + (sent_s > before.listed_s)
    return _record(counter, evidence, at_s, heard_s=heard_s, listings=listings, untold=untold)


def _decayed(before: LinkRecord, at_s: float) -> tuple[float, float]:
    if before.untold == NOTHING_UNTOLD:  # the common case, kept fast
        return NOTHING_UNTOLD
    factor = 0.5 ** ((at_s - before.evidence_s) / EVIDENCE_HALF_LIFE_S)
    return before.untold[0] * factor, before.untold[1] * factor


def _record(
    counter: NeighbourCounter,
    evidence: tuple[tuple[int, float, float], ...],
    at_s: float,
    *,
    heard_s: float,
    listings: int = 1,
    untold: tuple[float, float] = NOTHING_UNTOLD,
) -> LinkRecord:
    return LinkRecord(
        counter.epoch,
        counter.since_counter,
        counter.last_counter,
        counter.received,
        _within_resolution(evidence, counter),
        at_s,
        heard_s,
        at_s,
        counter.rssi_mean_dbm,
        listings,
        untold,
        counter.transmissions,
    )


def _heard_and_missed(expected: int, received: int) -> tuple[float, float]:
    """Numbers of notifications; more received than expected counts as all heard."""
    heard = min(max(received, 0), max(expected, 0))
    return float(heard), float(max(expected, 0) - heard)


def _within_resolution(
    evidence: tuple[tuple[int, float, float], ...], counter: NeighbourCounter
) -> tuple[tuple[int, float, float], ...]:
    """Evidence worth no more than the counter's ``received_uncertainty`` allows, however long it was gathered.

    A count that stands for a range of +-w (a share of what was expected) says no more than 3 q (1 - q) / w^2 trials
    do, whose variance is that of a uniform distribution over the range. The error does not average out: a steady link
    falls into the same range each time.
    """
    expected = counter.last_counter - counter.since_counter
    total = sum(heard + missed for _, heard, missed in evidence)
    if counter.received_uncertainty == 0 or expected <= 0 or total <= 0.0:
        return evidence
    half_width = counter.received_uncertainty / expected
    mean = (sum(heard for _, heard, _ in evidence) + 1.0) / (total + 2.0)
    factor = min(1.0, 3.0 * mean * (1.0 - mean) / half_width**2 / total)
    return tuple((k, heard * factor, missed * factor) for k, heard, missed in evidence)


def _add_evidence(
    before: LinkRecord, transmissions: int, heard: float, missed: float, at_s: float
) -> tuple[tuple[int, float, float], ...]:
    factor = 0.5 ** ((at_s - before.evidence_s) / EVIDENCE_HALF_LIFE_S)
    only = before.evidence[0]
    if len(before.evidence) == 1 and only[0] == transmissions:  # the common case, kept fast
        return ((transmissions, only[1] * factor + heard, only[2] * factor + missed),)
    merged = {k: (h * factor, m * factor) for k, h, m in before.evidence if (h + m) * factor > 0.01}
    old_heard, old_missed = merged.get(transmissions, (0.0, 0.0))
    merged[transmissions] = (old_heard + heard, old_missed + missed)
    return tuple((k, h, m) for k, (h, m) in sorted(merged.items()))


def _fold_flows(state: TwinState, telemetry: FlowTelemetry, sent_s: float) -> TwinState:
    position, is_new = _advance(state, "telemetry/flows", telemetry)
    if not is_new:
        return _with_stream(state, "telemetry/flows", position)
    flows = dict(state.flows)
    for report in telemetry.flows:
        flows[report.flow] = FlowRecord(report, sent_s)
    airtime = state.airtime_ratio
    if telemetry.airtime_ratio is not None:
        airtime = (
            telemetry.airtime_ratio
            if airtime is None
            else airtime + AIRTIME_SMOOTHING * (telemetry.airtime_ratio - airtime)
        )
    return _with_stream(state, "telemetry/flows", position, flows=flows, airtime_ratio=airtime)


def _fold_nodes(state: TwinState, telemetry: NodeTelemetry) -> TwinState:
    position, is_new = _advance(state, "telemetry/nodes", telemetry)
    if not is_new:
        return _with_stream(state, "telemetry/nodes", position)
    nodes = dict(state.nodes)
    for report in telemetry.nodes:
        address = int(report.node, 16)
        nodes[address] = replace(nodes.get(address) or NodeRecord(), vitals=report)
    return _with_stream(state, "telemetry/nodes", position, nodes=nodes)
