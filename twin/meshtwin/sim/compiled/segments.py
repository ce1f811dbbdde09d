"""Segmented messages: who still has to send, and who still misses, as in `meshtwin.sim.elements.segmentation`."""

from meshtwin.sim.compiled.event_queue import push
from meshtwin.sim.compiled.jit import apart, inlined
from meshtwin.sim.compiled.keyed import wide
from meshtwin.sim.compiled.layout import (
    ACKNOWLEDGE,
    ACKNOWLEDGMENT,
    NEXT_SEGMENT,
    RECEPTIONS,
    SEGMENT,
    SENDINGS,
    TRANSPORT_SHIFT,
    State,
    code,
)
from meshtwin.sim.compiled.messages import count_sequence, enter_part, is_only_member, let_go
from meshtwin.sim.compiled.sending import refuses_own
from meshtwin.sim.ordering import Rank

__all__ = ["make_acknowledgment", "next_segment", "start_sending", "take_acknowledgment", "take_segment"]

TRANSPORT = code(Rank.TRANSPORT)
ROUND_BEGINS = -1  # ``number`` of a sending that waits for its next round


@apart
def start_sending(s: State, now_ns: int, message: int, attempt: int) -> int:
    """The first segment of a segmented message, to be sent now; its source must be switched on."""
    flow, node = s.messages[message].flow, wide(s.messages[message].source)
    sending = s.counts[SENDINGS]
    s.counts[SENDINGS] = sending + 1
    s.sendings[sending].acknowledged = 0
    s.sendings[sending].message = message
    s.sendings[sending].attempt = attempt
    s.sendings[sending].turn = -1
    s.sendings[sending].number = ROUND_BEGINS
    s.sendings[sending].resends = s.flows[flow].resends
    s.sendings[sending].futile = s.profile[0].futile_resends
    s.sendings[sending].sequence = count_sequence(s, node)
    s.sendings[sending].first_reception = s.counts[RECEPTIONS]
    s.counts[RECEPTIONS] += s.flows[flow].member_to - s.flows[flow].member_from
    s.messages[message].pending += 1
    return next_segment(s, now_ns, node, sending)


@apart
def next_segment(s: State, now_ns: int, node: int, sending: int) -> int:
    """The next segment that is to be sent now, and the timer for what comes after it; -1: none.

    A round sends what was missing at its beginning; before the next round comes a pause, unless all is done.
    """
    message = wide(s.sendings[sending].message)
    flow = s.messages[message].flow
    segments = wide(s.flows[flow].segments)
    whole = (1 << segments) - 1
    if s.sendings[sending].number == ROUND_BEGINS:
        if s.nodes[node].is_on == 0:
            let_go(s, message)
            return -1
        s.sendings[sending].turn += 1
        s.sendings[sending].round = whole & ~s.sendings[sending].acknowledged
        s.sendings[sending].number = 0
    number = wide(s.sendings[sending].number)
    while number < segments and (s.sendings[sending].round >> number) & 1 == 0:
        number += 1
    asked = (sending << TRANSPORT_SHIFT) | NEXT_SEGMENT
    if number < segments and refuses_own(s, node):  # the segment stays, and is tried again
        s.sendings[sending].number = number
        retry_ns = s.profile[0].segment_interval_ns
        push(s, now_ns + (retry_ns if retry_ns > 0 else s.nodes[node].own_interval_ns), TRANSPORT, node, asked)
        return -1
    if number < segments:
        s.sendings[sending].number = number + 1
        push(s, now_ns + s.profile[0].segment_interval_ns, TRANSPORT, node, asked)
        return make_segment(s, now_ns, node, sending, number)
    is_futile = is_only_member(s, message) and s.sendings[sending].futile == 0
    if s.sendings[sending].resends == 0 or is_futile or s.sendings[sending].acknowledged == whole:
        let_go(s, message)
        return -1
    s.sendings[sending].resends -= 1
    s.sendings[sending].futile -= 1
    s.sendings[sending].number = ROUND_BEGINS
    push(s, now_ns + s.flows[flow].resend_ns, TRANSPORT, node, asked)
    return -1


@inlined
def make_segment(s: State, now_ns: int, node: int, sending: int, number: int) -> int:
    """Segment ``number`` of the message; the segments of one attempt share a sequence number."""
    message, attempt = wide(s.sendings[sending].message), wide(s.sendings[sending].attempt)
    segment = enter_part(s, now_ns, node, message, SEGMENT, number, attempt, wide(s.sendings[sending].turn))
    flow = s.messages[message].flow
    if number == s.flows[flow].segments - 1:
        s.messages[segment].airtime_ns = s.flows[flow].last_airtime_ns
    s.messages[segment].sending = sending
    s.messages[segment].sequence = s.sendings[sending].sequence
    s.messages[segment].is_retry = 1 if attempt > 0 else 0
    return segment


@apart
def take_segment(s: State, now_ns: int, node: int, place: int, segment: int) -> bool:
    """Whether a segment completes the message at the member in ``place``; may ask for an acknowledgment.

    A message that waited longer than the discard timeout for its next segment begins anew. What comes after the
    message is complete asks for another acknowledgment.
    """
    sending = wide(s.messages[segment].sending)
    message, flow = wide(s.sendings[sending].message), s.messages[segment].flow
    reception = s.sendings[sending].first_reception + place
    whole = (1 << wide(s.flows[flow].segments)) - 1
    number, has = s.messages[segment].index, s.receptions[reception].segments
    if has not in (whole, 0) and now_ns - s.receptions[reception].last_ns > s.profile[0].discard_ns:
        has = 0
    s.receptions[reception].last_ns = now_ns
    completes = has != whole and has | (1 << number) == whole
    s.receptions[reception].segments = has | (1 << number)
    due, asked = wide(s.receptions[reception].due), wide(s.receptions[reception].due)
    if completes or (s.profile[0].acks_last_segment != 0 and number == s.flows[flow].segments - 1):
        due = now_ns + 1
    elif due == 0:
        due = now_ns + s.flows[flow].ack_delay_ns + 1
    s.receptions[reception].due = due
    if due != asked and is_only_member(s, segment):
        push(s, max(due - 1, now_ns), TRANSPORT, node, (sending << TRANSPORT_SHIFT) | ACKNOWLEDGE)
        s.messages[message].pending += 1
    return bool(completes)


@inlined
def make_acknowledgment(s: State, now_ns: int, node: int, sending: int) -> int:
    """The acknowledgment whose timer ends now, of all that has come; -1 if an earlier one has gone meanwhile."""
    message, reception = wide(s.sendings[sending].message), s.sendings[sending].first_reception
    made = -1
    if s.receptions[reception].due == now_ns + 1 and s.nodes[node].is_on != 0:
        s.receptions[reception].due = 0
        s.receptions[reception].times += 1
        segments, attempt = s.receptions[reception].segments, wide(s.sendings[sending].attempt)
        turn = wide(s.receptions[reception].times)
        made = enter_part(s, now_ns, node, message, ACKNOWLEDGMENT, segments, attempt, turn)
        s.messages[made].airtime_ns = s.profile[0].acknowledgment_airtime_ns
        s.messages[made].asked_by = s.messages[message].source
        s.messages[made].ttl = 0 if s.messages[message].ttl == 0 else s.nodes[node].ttl
        s.messages[made].sending = sending
        s.messages[made].sequence = count_sequence(s, node)
    let_go(s, message)
    return made


@inlined
def take_acknowledgment(s: State, acknowledgment: int) -> None:
    """The sender learns what has come; progress renews the count of futile rounds."""
    sending, segments = s.messages[acknowledgment].sending, s.messages[acknowledgment].index
    if segments & ~s.sendings[sending].acknowledged != 0:
        s.sendings[sending].futile = s.profile[0].futile_resends
    s.sendings[sending].acknowledged |= segments
