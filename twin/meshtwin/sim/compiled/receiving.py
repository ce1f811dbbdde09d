"""Judging PDUs at their receivers, and what follows from a reception."""

from meshtwin.sim.compiled.event_queue import push
from meshtwin.sim.compiled.friends import store, take_private
from meshtwin.sim.compiled.jit import apart, inlined
from meshtwin.sim.compiled.keyed import draw, draw_below_ns, extend, join, wide
from meshtwin.sim.compiled.layout import (
    ACKNOWLEDGMENT,
    ARRIVAL_SHIFT,
    CAUSES,
    JUDGED,
    KINDS,
    POLL,
    SEGMENT,
    TRACES,
    WHOLE,
    State,
    code,
)
from meshtwin.sim.compiled.messages import (
    add_arrival,
    is_only_member,
    let_go,
    lose,
    member_place,
    remember,
    trace,
    trace_airing,
)
from meshtwin.sim.compiled.radio import ORDERS, is_sending, listens_to, quiet_share, survival_of
from meshtwin.sim.compiled.segments import take_acknowledgment, take_segment
from meshtwin.sim.compiled.sending import SWITCHED_OFF, send
from meshtwin.sim.compiled.transmitting import HEARD, LAST_PDU, LINK_SHIFT, PASSES
from meshtwin.sim.elements.access import RESPONSE_PART
from meshtwin.sim.fates import BURST_SALT
from meshtwin.sim.ordering import Rank
from meshtwin.sim.packets import LossCause, RecordKind

__all__ = ["judge"]

RESPOND = code(Rank.RESPOND)
RECEIVED, RELAYED = code(KINDS.index(RecordKind.RECEIVED)), code(KINDS.index(RecordKind.RELAYED))
LOST = code(KINDS.index(RecordKind.LOST))
SENSITIVITY, COLLISION = code(CAUSES.index(LossCause.BELOW_SENSITIVITY)), code(CAUSES.index(LossCause.COLLISION))
RADIO_BUSY, NOT_LISTENING = code(CAUSES.index(LossCause.RADIO_BUSY)), code(CAUSES.index(LossCause.NOT_LISTENING))
TTL, CACHE = code(CAUSES.index(LossCause.TTL)), code(CAUSES.index(LossCause.CACHE))
NO_LOSS = code(-1)
INTERFERENCE, REPLAY_LIST = code(CAUSES.index(LossCause.INTERFERENCE)), code(CAUSES.index(LossCause.REPLAY_LIST))


@inlined
def judge(s: State, now_ns: int, node: int, place: int) -> None:
    """Judges the ``place``-th PDU of the node's event at those who may listen to it."""
    nodes, waiting = s.nodes, s.waiting
    message = wide(nodes[node].air_message)
    base = node * 8 + nodes[node].air_which * 4
    channel = ORDERS[nodes[node].air_order, place]
    start_ns = s.air_ns[base + channel]
    slot = s.messages[message].slot
    first = nodes[node].air_from
    listens_late = s.profile[0].listens_late != 0
    for at in range(first, first + nodes[node].air_waiting):
        if (waiting[at] >> place) & 1 == 0:
            continue
        link = waiting[at] >> LINK_SHIFT
        receiver = wide(s.links[link].target)
        if listens_late:
            if not listens_to(s.profile, nodes, receiver, channel, start_ns, now_ns):
                continue
            waiting[at] |= HEARD
        if s.known[slot, receiver] & 1:
            s.losses[CACHE] += 1
        else:
            judge_at(s, now_ns, start_ns, node, channel, link, receiver, waiting[at] & PASSES)
    if place == LAST_PDU:
        silent = nodes[node].air_silent
        if listens_late:
            for at in range(first, first + nodes[node].air_waiting):
                silent += (waiting[at] & HEARD) == 0
        if silent > 0:
            s.losses[NOT_LISTENING] += silent
            record = s.counts[TRACES]
            trace(s, now_ns, LOST, node, message, NOT_LISTENING)
            trace_airing(s, record, node)
    if place == nodes[node].air_last:
        let_go(s, message)


@inlined
def judge_at(
    s: State, now_ns: int, start_ns: int, node: int, channel: int, link: int, receiver: int, passes: int
) -> None:
    """What becomes of a PDU at a receiver that listens to it and does not know the message."""
    message = wide(s.nodes[node].air_message)
    s.counts[JUDGED] += 1
    record = s.counts[TRACES]
    cause = loss_of(s, now_ns, start_ns, node, message, channel, link, receiver, passes)
    if cause >= 0:
        lose(s, now_ns, cause, receiver, message)
    else:
        receive(s, now_ns, receiver, message, wide(s.nodes[node].air_ttl), wide(s.nodes[node].air_hops))
    trace_airing(s, record, node)  # the first record: what follows from a reception is of no transmission yet


@inlined
def loss_of(
    s: State, now_ns: int, start_ns: int, node: int, message: int, channel: int, link: int, receiver: int, passes: int
) -> int:
    """Why the receiver loses the PDU; -1: it does not."""
    copy = wide(s.nodes[node].air_copy)
    if is_sending(s.nodes, receiver, start_ns, now_ns):
        return RADIO_BUSY
    delivery = s.deliveries[s.nodes[node].air_size, link]
    key = join(s.links[link].key, s.messages[message].key)
    is_heard = passes != 0
    if s.messages[message].state < 0:
        is_heard = delivery >= 1.0 or draw(key, copy) < delivery
    if not is_heard:
        return SENSITIVITY
    if s.profile[0].has_bursts != 0:
        calm = quiet_share(s, receiver, channel, start_ns, now_ns)
        if calm < 1.0 and draw(extend(key, BURST_SALT + channel), copy) >= calm:
            return INTERFERENCE
    survival = survival_of(s, node, receiver, s.links[link].rx_mw, channel, start_ns, now_ns)
    if survival < 1.0 and draw(key, -1 - copy) >= survival:
        return COLLISION
    if receiver == s.messages[message].source and s.profile[0].relays_own_echo == 0:
        return CACHE  # an own message, forgotten by the cache
    return NO_LOSS if s.nodes[receiver].is_on != 0 else SWITCHED_OFF


@inlined
def receive(s: State, now_ns: int, node: int, message: int, ttl: int, hops: int) -> None:
    remember(s, node, message)
    trace(s, now_ns, RECEIVED, node, message, hops)
    place = member_place(s, node, message)
    if place >= 0 and s.messages[message].kind == WHOLE and s.nodes[node].list_row < 0:
        accept(s, now_ns, node, message, s.messages[message].is_retry != 0, hops)
    elif place >= 0:
        take_in(s, now_ns, wide(node), wide(message), wide(place), wide(hops))
    if s.messages[message].kind >= POLL:
        return  # nobody else could decrypt it
    if s.nodes[node].friend_of >= 0:
        store(s, now_ns, wide(node), wide(message), wide(ttl), wide(hops))
    is_destination = s.messages[message].destination == node or (place >= 0 and is_only_member(s, message))
    if s.nodes[node].relay != 0 and not is_destination and is_relay_of(s, node, message):
        if ttl >= 2:
            trace(s, now_ns, RELAYED, node, message, ttl - 1)
            send(s, now_ns, node, message, ttl - 1, hops + 1, wide(0))
        else:
            lose(s, now_ns, TTL, node, message)


@apart
def take_in(s: State, now_ns: int, node: int, message: int, place: int, hops: int) -> None:
    """What the transport layer of a member does with a PDU; ``place``: of the node among those that it is for."""
    if s.messages[message].kind >= POLL:
        stored = take_private(s, now_ns, node, message)
        if stored < 0:
            return
        hops, message = wide(s.messages[message].stored_hops) + 1, stored
    kind = s.messages[message].kind
    if s.nodes[node].list_row >= 0 and not admit(s, node, message):
        lose(s, now_ns, REPLAY_LIST, node, message)
    elif kind == ACKNOWLEDGMENT:
        take_acknowledgment(s, message)
    elif kind != SEGMENT or take_segment(s, now_ns, node, place, message):
        accept(s, now_ns, node, message, s.messages[message].is_retry != 0, hops)


@inlined
def accept(s: State, now_ns: int, node: int, message: int, is_retry: bool, hops: int) -> None:
    """Notes the first arrival of a whole message at a member, which may ask for an answer; a retry asks again."""
    whole = wide(s.messages[message].part_of)
    if whole < 0:
        whole = message
    slot = s.messages[whole].slot
    if s.known[slot, node] & 2 == 0:
        s.known[slot, node] |= 2
        arrival = add_arrival(s, now_ns, whole, node, hops)
    elif is_retry:
        arrival = find_arrival(s, whole, node)
    else:
        return
    answers = s.messages[message].answers
    if answers >= 0:
        if s.arrivals[answers].answered_ns < 0:
            s.arrivals[answers].answered_ns = now_ns
            s.messages[s.arrivals[answers].message].answered += 1
    elif s.flows[s.messages[message].flow].response_airtime_ns >= 0:
        delay_ns = response_delay_ns(s, node, wide(s.arrivals[arrival].message), message)
        push(s, now_ns + delay_ns, RESPOND, node, (arrival << ARRIVAL_SHIFT) | message)


@inlined
def response_delay_ns(s: State, node: int, request: int, message: int) -> int:
    """As `meshtwin.sim.elements.access.response_delay_ns`, to a request that came in ``message``."""
    profile = s.profile[0]
    least_ns, jitter_ns = profile.response_least_ns, profile.response_jitter_ns
    if not is_only_member(s, request):
        least_ns, jitter_ns = profile.group_response_least_ns, profile.group_response_jitter_ns
    return int(least_ns + draw_below_ns(extend(s.messages[message].key, node), RESPONSE_PART, jitter_ns))


@inlined
def find_arrival(s: State, message: int, node: int) -> int:
    """The arrival of a message at a node that has it."""
    place = wide(s.messages[message].first_arrival)
    while s.arrivals[place].message != message or s.arrivals[place].node != node:
        place += 1
    return place


@inlined
def admit(s: State, node: int, message: int) -> bool:
    """Whether the node's replay protection list lets the message through; its source gets an entry if one is free."""
    row, source, sequence = s.nodes[node].list_row, s.messages[message].source, s.messages[message].sequence
    last = s.replay[row, source]
    if last > sequence or (last == sequence and s.messages[message].kind != SEGMENT):  # segments share theirs
        return False
    if last == 0:
        if s.nodes[node].list_free == 0:
            return False
        s.nodes[node].list_free -= 1
    s.replay[row, source] = sequence
    return True


@inlined
def is_relay_of(s: State, node: int, message: int) -> bool:
    """Whether the message's flow lets this node relay."""
    flow = s.messages[message].flow
    if flow < 0 or s.flows[flow].relay_from < 0:
        return True
    at, to = s.flows[flow].relay_from, s.flows[flow].relay_to
    while at < to and s.relays[at] < node:
        at += 1
    return bool(at < to and s.relays[at] == node)
