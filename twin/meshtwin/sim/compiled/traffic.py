"""Where messages come from: flows, backgrounds, answers."""

import math

import numpy as np

from meshtwin.sim.compiled.event_queue import push
from meshtwin.sim.compiled.jit import inlined
from meshtwin.sim.compiled.keyed import draw, draw_below_ns, extend, join, wide
from meshtwin.sim.compiled.layout import ARRIVAL_SHIFT, REPEAT_SHIFT, State
from meshtwin.sim.compiled.sending import NewMessage
from meshtwin.sim.draws import hash_text
from meshtwin.sim.ordering import Rank
from meshtwin.sim.packets import PartKind

__all__ = ["ask_repeats", "murmur", "press", "repeat", "respond"]

PRESS, MURMUR, TRANSPORT = int(Rank.PRESS), int(Rank.MURMUR), int(Rank.TRANSPORT)
REPETITION = np.uint64(hash_text(PartKind.REPETITION.name))
RETRY = np.uint64(hash_text(PartKind.RETRY.name))


@inlined
def new_message(
    key: np.uint64, flow: int, number: int, source: int, ttl: int, airtime_ns: int, asked_by: int, answers: int,
    state: int, part_of: int, is_retry: int,
) -> NewMessage:  # fmt: skip
    """`NewMessage` with one type for each field, wherever it comes from."""
    return NewMessage(
        key, wide(flow), wide(number), wide(source), wide(ttl), wide(airtime_ns), wide(asked_by), wide(answers),
        wide(state), wide(part_of), wide(is_retry),
    )  # fmt: skip


@inlined
def press(s: State, now_ns: int, flow: int) -> NewMessage:
    """The next message of a flow."""
    flows, points = s.flows, s.profile[0].points
    key, number, source = flows[flow].key, flows[flow].number, wide(flows[flow].source)
    state = flow * points + number if number < points else -1
    if state >= s.states.shape[0]:
        state = -1
    if s.nodes[source].is_on == 0:
        source = -1
    following = number + 1
    flows[flow].number = following
    if following < flows[flow].count:
        begin_ns = flows[flow].start_ns + following * flows[flow].period_ns
        begin_ns += draw_below_ns(key, following, flows[flow].spread_ns)
        push(s, max(begin_ns, now_ns), PRESS, flow, 0)
    airtime_ns, ttl = flows[flow].airtime_ns, flows[flow].ttl
    return new_message(extend(key, number), flow, number, source, ttl, airtime_ns, -1, -1, state, -1, 0)


@inlined
def murmur(s: State, now_ns: int, index: int) -> NewMessage:
    """The next message of a background."""
    backgrounds = s.backgrounds
    number = backgrounds[index].number
    key = extend(backgrounds[index].key, number)
    first, count = backgrounds[index].source_from, backgrounds[index].source_to - backgrounds[index].source_from
    source = wide(s.sources[first + int(draw(key, 1) * float(count))])
    ttl = backgrounds[index].ttl
    if ttl < 0:
        ttl = s.nodes[source].ttl
    if s.nodes[source].is_on == 0:
        source = -1
    if now_ns >= backgrounds[index].end_ns:
        source = -1
    else:
        backgrounds[index].number = number + 1
        unit = draw(extend(backgrounds[index].key, number + 1), 0)
        push(s, now_ns + int(-backgrounds[index].mean_ns * math.log1p(-unit)), MURMUR, index, 0)
    return new_message(key, -1 - index, number, source, ttl, backgrounds[index].airtime_ns, -1, -1, -1, -1, 0)


@inlined
def respond(s: State, node: int, payload: int) -> NewMessage:
    """The answer to a request that came in a message, to its source."""
    arrival, packet = payload >> ARRIVAL_SHIFT, payload & ((1 << ARRIVAL_SHIFT) - 1)
    request = s.arrivals[arrival].message
    flow, number = s.messages[request].flow, s.messages[request].number
    key, asked_by = extend(s.messages[packet].key, node), s.messages[request].source
    source = node if s.nodes[node].is_on != 0 else -1
    airtime_ns = s.flows[flow].response_airtime_ns
    return new_message(key, flow, number, source, s.nodes[node].ttl, airtime_ns, asked_by, arrival, -1, -1, 0)


@inlined
def ask_repeats(s: State, now_ns: int, flow: int, message: int) -> None:
    """Events for the repetitions and retries of a message, which is kept until the last one."""
    repeats, retries, node = s.flows[flow].repeats, s.flows[flow].retries, s.messages[message].source
    s.messages[message].pending += repeats + retries
    for which in range(1, repeats + retries + 1):
        pause_s = which * s.flows[flow].repeat_s if which <= repeats else (which - repeats) * s.flows[flow].retry_s
        push(s, now_ns + int(np.rint(pause_s * 1e9)), TRANSPORT, node, (message << REPEAT_SHIFT) | which)


@inlined
def repeat(s: State, node: int, payload: int) -> NewMessage:
    """A repetition, or a retry unless all members have answered meanwhile."""
    message, which = payload >> REPEAT_SHIFT, payload & ((1 << REPEAT_SHIFT) - 1)
    flow = s.messages[message].flow
    is_retry = which > s.flows[flow].repeats
    is_answered = s.messages[message].answered >= s.flows[flow].member_to - s.flows[flow].member_from
    source = -1 if s.nodes[node].is_on == 0 or (is_retry and is_answered) else node
    kind = RETRY if is_retry else REPETITION
    key = extend(extend(join(s.messages[message].key, kind), node), 0)
    key = extend(extend(key, which), 0)
    airtime_ns, ttl = s.flows[flow].airtime_ns, s.flows[flow].ttl
    number = s.messages[message].number
    return new_message(
        key, flow, number, source, ttl, airtime_ns, -1, -1, -1, message, 1 if is_retry else 0
    )  # fmt: skip
