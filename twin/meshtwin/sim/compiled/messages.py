"""Messages as nodes know them: caches, rows in flight, arrivals, and the records of what befalls them."""

import numpy as np

from meshtwin.sim.compiled.jit import inlined
from meshtwin.sim.compiled.layout import ARRIVALS, KINDS, SLOT_FREE, SLOTS, TRACES, State
from meshtwin.sim.packets import RecordKind

__all__ = ["add_arrival", "let_go", "lose", "new_slot", "remember", "trace"]

LOST = KINDS.index(RecordKind.LOST)


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


@inlined
def let_go(s: State, message: int) -> None:
    """One sender or receiver less that needs to know who has the message."""
    while message >= 0:
        left = s.messages[message].pending - 1
        s.messages[message].pending = left
        if left > 0:
            return
        slot = s.messages[message].slot
        s.slots[slot].next_free = s.counts[SLOT_FREE]
        s.counts[SLOT_FREE] = slot
        message = s.messages[message].part_of  # which a repetition needs to know who has it already


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
