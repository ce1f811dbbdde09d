"""Where messages come from: flows, backgrounds, answers."""

import math

import numpy as np

from meshtwin.sim.compiled.event_queue import push
from meshtwin.sim.compiled.jit import inlined
from meshtwin.sim.compiled.keyed import draw, draw_below_ns, extend, wide
from meshtwin.sim.compiled.layout import State
from meshtwin.sim.compiled.sending import NewMessage
from meshtwin.sim.ordering import Rank

__all__ = ["murmur", "press", "respond"]

PRESS, MURMUR = int(Rank.PRESS), int(Rank.MURMUR)


@inlined
def new_message(
    key: np.uint64, flow: int, number: int, source: int, ttl: int, airtime_ns: int, asked_by: int, answers: int,
    state: int,
) -> NewMessage:  # fmt: skip
    """`NewMessage` with one type for each field, wherever it comes from."""
    return NewMessage(
        key, wide(flow), wide(number), wide(source), wide(ttl), wide(airtime_ns),
        wide(asked_by), wide(answers), wide(state),
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
    return new_message(extend(key, number), flow, number, source, ttl, airtime_ns, -1, -1, state)


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
    return new_message(key, -1 - index, number, source, ttl, backgrounds[index].airtime_ns, -1, -1, -1)


@inlined
def respond(s: State, node: int, arrival: int) -> NewMessage:
    """The answer to the request that came as ``arrival``, to its source."""
    request = s.arrivals[arrival].message
    flow, number = s.messages[request].flow, s.messages[request].number
    key, asked_by = extend(s.messages[request].key, node), s.messages[request].source
    source = node if s.nodes[node].is_on != 0 else -1
    airtime_ns = s.flows[flow].response_airtime_ns
    return new_message(key, flow, number, source, s.nodes[node].ttl, airtime_ns, asked_by, arrival, -1)
