"""Messages as nodes know them: beginnings, caches, rows in flight, members, arrivals, records of what befalls them."""

from typing import Final

import numpy as np

from meshtwin.sim.compiled.jit import apart, inlined
from meshtwin.sim.compiled.keyed import extend, join, wide
from meshtwin.sim.compiled.layout import (
    ARRIVALS,
    KINDS,
    MESSAGES,
    PART_KINDS,
    SLOT_FREE,
    SLOTS,
    TRACES,
    WHOLE,
    State,
    code,
)
from meshtwin.sim.draws import hash_text
from meshtwin.sim.packets import RecordKind

__all__ = [
    "add_arrival",
    "count_sequence",
    "enter",
    "enter_part",
    "enter_whole",
    "is_only_member",
    "let_go",
    "lose",
    "member_place",
    "remember",
    "trace",
    "trace_airing",
]

LOST, ORIGINATED = code(KINDS.index(RecordKind.LOST)), code(KINDS.index(RecordKind.ORIGINATED))
NAMES: Final = np.array([0, *(hash_text(kind.name) for kind in PART_KINDS)], dtype=np.uint64)


@inlined
def trace(s: State, time_ns: int, kind: int, node: int, message: int, detail: int) -> None:
    """Adds a record, if the run is traced."""
    if s.profile[0].is_traced != 0:
        place = s.counts[TRACES]
        s.counts[TRACES] = place + 1
        s.trace[place].time_ns = time_ns
        s.trace[place].kind = kind
        s.trace[place].node = node
        s.trace[place].message = message
        s.trace[place].detail = detail
        s.trace[place].sender = -1
        s.trace[place].copy = -1


@inlined
def trace_airing(s: State, place: int, sender: int) -> None:
    """Has the record at ``place``, if there is one, tell of which transmission it is: the one that ``sender`` ends."""
    if place < s.counts[TRACES]:
        s.trace[place].sender = sender
        s.trace[place].copy = s.nodes[sender].air_copy


@inlined
def lose(s: State, time_ns: int, cause: int, node: int, message: int) -> None:
    s.losses[cause] += 1
    trace(s, time_ns, LOST, node, message, cause)


@inlined
def remember(s: State, node: int, message: int) -> None:
    """Puts a message into the node's cache; the oldest is forgotten."""
    size = s.profile[0].cache_size
    known, slot = s.known, s.messages[message].slot
    if known[slot, node] & 1:
        return
    place = s.nodes[node].cache_place
    if s.nodes[node].cache_count >= size:
        old = s.caches[node * size + place]
        old_slot = s.messages[old].slot
        if s.slots[old_slot].owner == old:
            known[old_slot, node] &= np.uint8(2)
    else:
        s.nodes[node].cache_count += 1
    s.caches[node * size + place] = message
    place += 1
    s.nodes[node].cache_place = 0 if place >= size else place
    known[slot, node] |= np.uint8(1)


@inlined
def new_slot(s: State, message: int) -> int:
    """A row of ``known`` for a new message, all zero."""
    slot = s.counts[SLOT_FREE]
    if slot >= 0:
        s.counts[SLOT_FREE] = s.slots[slot].next_free
        s.known[slot, :] = np.uint8(0)
    else:
        slot = s.counts[SLOTS]
        s.counts[SLOTS] = slot + 1
    s.slots[slot].owner = message
    return slot


@apart
def enter(s: State, now_ns: int, key: np.uint64, flow: int, number: int, source: int, ttl: int, airtime_ns: int) -> int:
    """A new message that nobody knows, for the members of its flow; there must be room for it and its row."""
    message = s.counts[MESSAGES]
    s.counts[MESSAGES] = message + 1
    s.messages[message].key = key
    s.messages[message].airtime_ns = airtime_ns
    s.messages[message].started_ns = now_ns
    s.messages[message].busy_ns = 0
    s.messages[message].number = number
    s.messages[message].flow = flow
    s.messages[message].source = source
    s.messages[message].slot = new_slot(s, message)
    s.messages[message].pending = 0
    s.messages[message].transmissions = 0
    s.messages[message].asked_by = -1
    s.messages[message].destination = -1
    s.messages[message].answers = -1
    s.messages[message].state = -1
    s.messages[message].sequence = 0
    s.messages[message].part_of = -1
    s.messages[message].is_retry = 0
    s.messages[message].first_arrival = s.counts[ARRIVALS]
    s.messages[message].answered = 0
    s.messages[message].index = 0
    s.messages[message].kind = WHOLE
    s.messages[message].ttl = ttl
    s.messages[message].tries = 0
    s.messages[message].sending = -1
    s.messages[message].stored = -1
    s.messages[message].stored_hops = 0
    return int(message)


@inlined
def count_sequence(s: State, node: int) -> int:
    """The sequence number of the next network PDU that ``node`` originates; counts it."""
    s.nodes[node].sequence += 1
    return wide(s.nodes[node].sequence)


@inlined
def enter_whole(
    s: State, now_ns: int, key: np.uint64, flow: int, number: int, source: int, ttl: int, airtime_ns: int
) -> int:
    """A message that begins."""
    message = enter(s, now_ns, key, wide(flow), wide(number), wide(source), wide(ttl), wide(airtime_ns))
    if s.profile[0].relays_own_echo == 0:
        remember(s, source, message)
    trace(s, now_ns, ORIGINATED, source, message, number)
    return message


@apart
def enter_part(s: State, now_ns: int, node: int, whole: int, kind: int, index: int, attempt: int, turn: int) -> int:
    """One network PDU of a message, sent by ``node``, with a key of its own; ttl and airtime are those of ``whole``."""
    key = join(s.messages[whole].key, NAMES[kind])
    key = extend(extend(extend(extend(key, node), index), attempt), turn)
    message = enter(
        s, now_ns, key, wide(s.messages[whole].flow), wide(s.messages[whole].number), node,
        wide(s.messages[whole].ttl), wide(s.messages[whole].airtime_ns),
    )  # fmt: skip
    s.messages[message].part_of = whole
    s.messages[message].kind = kind
    s.messages[message].index = index
    s.messages[whole].pending += 1
    remember(s, node, message)
    return message


@inlined
def let_go_chain(s: State, message: int) -> int:
    """One hold less on a message and, where it was the last, on what it is a part of; gives what that one delivered."""
    stored = -1
    while message >= 0:
        left = s.messages[message].pending - 1
        s.messages[message].pending = left
        if left > 0:
            break
        slot = s.messages[message].slot
        s.slots[slot].next_free = s.counts[SLOT_FREE]
        s.counts[SLOT_FREE] = slot
        if s.messages[message].stored >= 0:
            stored = wide(s.messages[message].stored)
        message = s.messages[message].part_of  # which a part needs to know who has it already
    return stored


@inlined
def let_go(s: State, message: int) -> None:
    """One sender, receiver or timer less that needs to know who has the message."""
    stored = let_go_chain(s, message)
    if stored >= 0:
        let_go_chain(s, stored)


@inlined
def add_arrival(s: State, time_ns: int, message: int, node: int, hops: int) -> int:
    place = s.counts[ARRIVALS]
    s.counts[ARRIVALS] = place + 1
    s.arrivals[place].time_ns = time_ns
    s.arrivals[place].answered_ns = -1
    s.arrivals[place].message = message
    s.arrivals[place].node = node
    s.arrivals[place].hops = hops
    return place


@inlined
def member_place(s: State, node: int, message: int) -> int:
    """Place of the node among those that the message is for, -1 if it is for others; members of a flow are sorted."""
    if s.messages[message].asked_by >= 0:
        return 0 if s.messages[message].asked_by == node else -1
    flow = s.messages[message].flow
    if flow < 0:
        return -1
    low, high = wide(s.flows[flow].member_from), wide(s.flows[flow].member_to)
    while low < high:
        middle = (low + high) >> 1
        if s.members[middle] < node:
            low = middle + 1
        else:
            high = middle
    if low < s.flows[flow].member_to and s.members[low] == node:
        return low - s.flows[flow].member_from
    return -1


@inlined
def is_only_member(s: State, message: int) -> bool:
    """Whether the message goes to one node alone."""
    flow = s.messages[message].flow
    return bool(s.messages[message].asked_by >= 0 or s.flows[flow].member_to - s.flows[flow].member_from == 1)
