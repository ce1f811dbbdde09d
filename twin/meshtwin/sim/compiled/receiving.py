"""Judging PDUs at their receivers, and what follows from a reception."""

from meshtwin.sim.compiled.event_queue import push
from meshtwin.sim.compiled.jit import inlined
from meshtwin.sim.compiled.keyed import draw, extend, join, wide
from meshtwin.sim.compiled.layout import ARRIVAL_SHIFT, CAUSES, JUDGED, KINDS, State
from meshtwin.sim.compiled.messages import add_arrival, let_go, lose, remember, trace
from meshtwin.sim.compiled.radio import ORDERS, channel_at, is_sending, quiet_share, survival_of
from meshtwin.sim.compiled.sending import SWITCHED_OFF, send
from meshtwin.sim.compiled.transmitting import HEARD, LAST_PDU, LINK_SHIFT, PASSES
from meshtwin.sim.ordering import Rank
from meshtwin.sim.packets import LossCause, RecordKind
from meshtwin.sim.reference import BURST_SALT

__all__ = ["judge"]

RESPOND = int(Rank.RESPOND)
RECEIVED, RELAYED = KINDS.index(RecordKind.RECEIVED), KINDS.index(RecordKind.RELAYED)
LOST = KINDS.index(RecordKind.LOST)
SENSITIVITY, COLLISION = CAUSES.index(LossCause.BELOW_SENSITIVITY), CAUSES.index(LossCause.COLLISION)
RADIO_BUSY, NOT_LISTENING = CAUSES.index(LossCause.RADIO_BUSY), CAUSES.index(LossCause.NOT_LISTENING)
TTL, CACHE = CAUSES.index(LossCause.TTL), CAUSES.index(LossCause.CACHE)
INTERFERENCE, REPLAY_LIST = CAUSES.index(LossCause.INTERFERENCE), CAUSES.index(LossCause.REPLAY_LIST)


@inlined
def judge(s: State, now_ns: int, node: int, place: int) -> None:
    """Judges the ``place``-th PDU of the node's event at those who may listen to it."""
    nodes, waiting = s.nodes, s.waiting
    message = nodes[node].air_message
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
        receiver = s.links[link].target
        if listens_late:
            if channel_at(s.profile, nodes, receiver, start_ns) != channel:
                continue
            if channel_at(s.profile, nodes, receiver, now_ns) != channel:
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
            trace(s, now_ns, LOST, node, message, NOT_LISTENING)
    if place == nodes[node].air_last:
        let_go(s, message)


@inlined
def judge_at(
    s: State, now_ns: int, start_ns: int, node: int, channel: int, link: int, receiver: int, passes: int
) -> None:
    """What becomes of a PDU at a receiver that listens to it and does not know the message."""
    message, copy = s.nodes[node].air_message, s.nodes[node].air_copy
    s.counts[JUDGED] += 1
    if is_sending(s.nodes, receiver, start_ns, now_ns):
        lose(s, now_ns, RADIO_BUSY, receiver, message)
        return
    delivery = s.links[link].delivery
    key = join(s.links[link].key, s.messages[message].key)
    is_heard = passes != 0
    if s.messages[message].state < 0:
        is_heard = delivery >= 1.0 or draw(key, copy) < delivery
    if not is_heard:
        lose(s, now_ns, SENSITIVITY, receiver, message)
        return
    if s.profile[0].has_bursts != 0:
        calm = quiet_share(s, receiver, channel, start_ns, now_ns)
        if calm < 1.0 and draw(extend(key, BURST_SALT + channel), copy) >= calm:
            lose(s, now_ns, INTERFERENCE, receiver, message)
            return
    survival = survival_of(s, node, receiver, s.links[link].rx_mw, channel, start_ns, now_ns)
    if survival < 1.0 and draw(key, -1 - copy) >= survival:
        lose(s, now_ns, COLLISION, receiver, message)
        return
    if receiver == s.messages[message].source and s.profile[0].relays_own_echo == 0:
        lose(s, now_ns, CACHE, receiver, message)  # an own message, forgotten by the cache
    elif s.nodes[receiver].is_on == 0:
        lose(s, now_ns, SWITCHED_OFF, receiver, message)
    else:
        receive(s, now_ns, receiver, message, s.nodes[node].air_ttl, s.nodes[node].air_hops)


@inlined
def receive(s: State, now_ns: int, node: int, message: int, ttl: int, hops: int) -> None:
    remember(s, node, message)
    trace(s, now_ns, RECEIVED, node, message, hops)
    is_for_it = is_member(s, node, message)
    if is_for_it:
        if s.nodes[node].list_row >= 0 and not admit(s, node, message):
            lose(s, now_ns, REPLAY_LIST, node, message)
        else:
            accept(s, now_ns, node, message, hops)
    if s.nodes[node].relay != 0 and not (is_for_it and is_only_member(s, message)) and is_relay_of(s, node, message):
        if ttl >= 2:
            trace(s, now_ns, RELAYED, node, message, ttl - 1)
            send(s, now_ns, node, message, ttl - 1, hops + 1, 0)
        else:
            lose(s, now_ns, TTL, node, message)


@inlined
def accept(s: State, now_ns: int, node: int, message: int, hops: int) -> None:
    """Notes the first arrival at a member, which may ask for an answer."""
    whole = s.messages[message].part_of
    if whole < 0:
        whole = message
    slot = s.messages[whole].slot
    if s.known[slot, node] & 2 == 0:
        s.known[slot, node] |= 2
        arrival = add_arrival(s, now_ns, whole, node, hops)
    elif s.messages[message].is_retry != 0:
        arrival = find_arrival(s, whole, node)
    else:
        return
    answers = s.messages[message].answers
    if answers >= 0:
        if s.arrivals[answers].answered_ns < 0:
            s.arrivals[answers].answered_ns = now_ns
            s.messages[s.arrivals[answers].message].answered += 1
    elif s.flows[s.messages[message].flow].response_airtime_ns >= 0:
        push(s, now_ns + s.profile[0].response_ns, RESPOND, node, (arrival << ARRIVAL_SHIFT) | message)


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
    if last >= sequence:
        return False
    if last == 0:
        if s.nodes[node].list_free == 0:
            return False
        s.nodes[node].list_free -= 1
    s.replay[row, source] = sequence
    return True


@inlined
def is_member(s: State, node: int, message: int) -> bool:
    """Whether the message is for this node; members of a flow are sorted."""
    if s.messages[message].asked_by >= 0:
        return bool(s.messages[message].asked_by == node)
    flow = s.messages[message].flow
    if flow < 0:
        return False
    low, high = s.flows[flow].member_from, s.flows[flow].member_to
    while low < high:
        middle = (low + high) >> 1
        if s.members[middle] < node:
            low = middle + 1
        else:
            high = middle
    return bool(low < s.flows[flow].member_to and s.members[low] == node)


@inlined
def is_only_member(s: State, message: int) -> bool:
    """Whether the message goes to one node alone."""
    flow = s.messages[message].flow
    return bool(s.messages[message].asked_by >= 0 or s.flows[flow].member_to - s.flows[flow].member_from == 1)


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
