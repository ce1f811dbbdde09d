"""Where messages come from: flows, backgrounds, answers, and the timers of transport; each gives what is to be sent."""

import numpy as np

from meshtwin.sim.compiled.event_queue import push
from meshtwin.sim.compiled.friends import answer_poll, end_window, poll, poll_again
from meshtwin.sim.compiled.jit import apart, inlined
from meshtwin.sim.compiled.keyed import draw_below_ns, extend, wide
from meshtwin.sim.compiled.layout import (
    ACKNOWLEDGE,
    ANSWER_POLL,
    ARRIVAL_SHIFT,
    END_WINDOW,
    NEXT_SEGMENT,
    POLL_AGAIN,
    REPEAT,
    REPEAT_SHIFT,
    REPETITION,
    RETRY,
    TRANSPORT_SHIFT,
    State,
    code,
)
from meshtwin.sim.compiled.messages import count_sequence, enter_part, enter_whole, let_go
from meshtwin.sim.compiled.segments import make_acknowledgment, next_segment, start_sending
from meshtwin.sim.ordering import Rank

__all__ = ["bring"]

PRESS, MURMUR, TRANSPORT = code(Rank.PRESS), code(Rank.MURMUR), code(Rank.TRANSPORT)


@apart
def bring(s: State, now_ns: int, rank: int, index: int, payload: int) -> int:
    """The message that a flow, a background, an answer or a timer wants to have sent now; -1: none, after all."""
    if rank == PRESS:
        return press(s, now_ns, index)
    if rank == MURMUR:
        return murmur(s, now_ns, index, payload)
    if rank == TRANSPORT:
        return end_timer(s, now_ns, index, payload & ((1 << TRANSPORT_SHIFT) - 1), payload >> TRANSPORT_SHIFT)
    return respond(s, now_ns, index, payload)


@inlined
def press(s: State, now_ns: int, flow: int) -> int:
    """The next message of a flow, or its first segment."""
    flows, points = s.flows, s.profile[0].points
    key, number, source = flows[flow].key, flows[flow].number, wide(flows[flow].source)
    following = number + 1
    flows[flow].number = following
    if following < flows[flow].count:
        begin_ns = flows[flow].start_ns + following * flows[flow].period_ns
        begin_ns += draw_below_ns(key, following, flows[flow].spread_ns)
        push(s, max(begin_ns, now_ns), PRESS, flow, 0)
    if s.nodes[source].is_on == 0:
        return -1
    airtime_ns, ttl = flows[flow].airtime_ns, wide(flows[flow].ttl)
    message = enter_whole(s, now_ns, extend(key, number), flow, number, source, ttl, airtime_ns)
    state = flow * points + number if number < points else -1
    s.messages[message].state = state if state < s.states.shape[0] else -1
    s.messages[message].sequence = count_sequence(s, source)
    if flows[flow].repeats + flows[flow].retries > 0:
        ask_repeats(s, now_ns, flow, message)
    return start_sending(s, now_ns, message, wide(0)) if flows[flow].segments > 1 else message


@inlined
def murmur(s: State, now_ns: int, background: int, at: int) -> int:
    """The message at place ``at`` of those that nobody asks after; the one behind it is put on the queue."""
    murmurs, following = s.murmurs, at + 1
    if following < murmurs.size:
        push(s, murmurs[following].time_ns, MURMUR, wide(murmurs[following].background), following)
    source = wide(murmurs[at].source)
    if s.nodes[source].is_on == 0:
        return -1
    ttl = wide(s.backgrounds[background].ttl)
    if ttl < 0:
        ttl = wide(s.nodes[source].ttl)
    key, number, airtime_ns = murmurs[at].key, murmurs[at].number, s.backgrounds[background].airtime_ns
    message = enter_whole(s, now_ns, key, -1 - background, number, source, ttl, airtime_ns)
    s.messages[message].destination = murmurs[at].destination
    return message


@inlined
def respond(s: State, now_ns: int, node: int, payload: int) -> int:
    """The answer to a request that came in a message, to its source."""
    if s.nodes[node].is_on == 0:
        return -1
    arrival, packet = payload >> ARRIVAL_SHIFT, payload & ((1 << ARRIVAL_SHIFT) - 1)
    request = s.arrivals[arrival].message
    flow, number = wide(s.messages[request].flow), s.messages[request].number
    key, ttl = extend(s.messages[packet].key, node), wide(s.nodes[node].ttl)
    message = enter_whole(s, now_ns, key, flow, number, node, ttl, s.flows[flow].response_airtime_ns)
    s.messages[message].asked_by = s.messages[request].source
    s.messages[message].answers = arrival
    s.messages[message].sequence = count_sequence(s, node)
    return message


@inlined
def ask_repeats(s: State, now_ns: int, flow: int, message: int) -> None:
    """Events for the repetitions and retries of a message, which is kept until the last one."""
    repeats, retries, node = s.flows[flow].repeats, s.flows[flow].retries, s.messages[message].source
    s.messages[message].pending += repeats + retries
    for which in range(1, repeats + retries + 1):
        pause_s = which * s.flows[flow].repeat_s if which <= repeats else (which - repeats) * s.flows[flow].retry_s
        what = (((message << REPEAT_SHIFT) | which) << TRANSPORT_SHIFT) | REPEAT
        push(s, now_ns + int(np.rint(pause_s * 1e9)), TRANSPORT, node, what)


@inlined
def end_timer(s: State, now_ns: int, node: int, kind: int, what: int) -> int:
    """What a timer of the node's transport layer asks for: `meshtwin.sim.compiled.layout` says what they are about."""
    if kind == NEXT_SEGMENT:
        return next_segment(s, now_ns, node, what)
    if kind == ACKNOWLEDGE:
        return make_acknowledgment(s, now_ns, node, what)
    if kind == REPEAT:
        return repeat(s, now_ns, node, what >> REPEAT_SHIFT, what & ((1 << REPEAT_SHIFT) - 1))
    if kind == POLL_AGAIN:
        return poll_again(s, now_ns, node)
    if kind == END_WINDOW:
        return end_window(s, now_ns, node, what)
    if kind == ANSWER_POLL:
        return answer_poll(s, now_ns, node, what)
    return poll(s, now_ns, wide(s.nodes[node].friendship), wide(0))


@inlined
def repeat(s: State, now_ns: int, node: int, message: int, which: int) -> int:
    """A repetition, or a retry unless all members have answered meanwhile."""
    flow = s.messages[message].flow
    is_retry = which > s.flows[flow].repeats
    is_answered = s.messages[message].answered >= s.flows[flow].member_to - s.flows[flow].member_from
    made = -1
    if s.nodes[node].is_on != 0 and not (is_retry and is_answered):
        if s.flows[flow].segments > 1:
            made = start_sending(s, now_ns, message, which)
        else:
            sequence = count_sequence(s, node)
            made = enter_part(s, now_ns, node, message, RETRY if is_retry else REPETITION, wide(0), which, wide(0))
            s.messages[made].sequence = sequence
            s.messages[made].is_retry = 1 if is_retry else 0
    let_go(s, message)
    return made
