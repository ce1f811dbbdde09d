"""The kernel: takes events from the queue until the time is over, nothing is left, or an array is full."""

from typing import Final

from meshtwin.sim.compiled.event_queue import drop_first
from meshtwin.sim.compiled.jit import inlined, kernel
from meshtwin.sim.compiled.layout import (
    ARRIVALS,
    CHANGE,
    EVENTS,
    INDEX_MASK,
    INDEX_SHIFT,
    JOBS,
    MESSAGES,
    NOW,
    QUEUED,
    RANK_SHIFT,
    REPEAT_SHIFT,
    SLOT_FREE,
    SLOTS,
    TRACES,
    State,
)
from meshtwin.sim.compiled.messages import let_go
from meshtwin.sim.compiled.radio import restart_scanner
from meshtwin.sim.compiled.receiving import judge
from meshtwin.sim.compiled.sending import COPY_OVER, HAND_OVER, originate, queue_job, serve
from meshtwin.sim.compiled.traffic import ask_repeats, murmur, press, repeat, respond
from meshtwin.sim.compiled.transmitting import GIVE_BACK, GO_ON, NOTHING, begin, give_back, go_on, hand_over
from meshtwin.sim.ordering import Rank

__all__ = ["CHANGED", "FINISHED", "GROWING", "PAUSED", "advance"]

FINISHED: Final = -1
PAUSED: Final = -3  # so that an interrupt from the keyboard is seen
PAUSE_MASK: Final = (1 << 22) - 1  # events between two pauses, less 1; about half a second
CHANGED: Final = -2  # a node is to be switched or moved: ``counts[CHANGE]`` says by which change
GROWING: Final = ("queue", "jobs", "messages", "arrivals", "trace", "slots")  # what `advance` may ask for
BEGIN, END, JUDGE, QUEUE = int(Rank.BEGIN), int(Rank.END), int(Rank.JUDGE), int(Rank.QUEUE)
PRESS, MURMUR, CHANGE_RANK = int(Rank.PRESS), int(Rank.MURMUR), int(Rank.CHANGE)
TRANSPORT = int(Rank.TRANSPORT)


@kernel
def advance(s: State, stop_ns: int, room: int) -> int:
    """Runs; gives `FINISHED`, `CHANGED`, `PAUSED`, or the place in `GROWING` of the array that has to grow first.

    ``room`` is how many events, jobs, arrivals or records one event may add at most.
    """
    counts, queue = s.counts, s.queue
    while counts[QUEUED] > 0:
        now_ns = queue[0].time_ns
        if now_ns >= stop_ns:
            return FINISHED
        if counts[QUEUED] + room > queue.size:
            return 0
        if counts[JOBS] + room > s.jobs.size:
            return 1
        if counts[MESSAGES] >= s.messages.size:
            return 2
        if counts[ARRIVALS] + room > s.arrivals.size:
            return 3
        if s.profile[0].is_traced != 0 and counts[TRACES] + room > s.trace.size:
            return 4
        if counts[SLOT_FREE] < 0 and counts[SLOTS] >= s.slots.size:
            return 5
        order, payload = queue[0].order, queue[0].payload
        drop_first(s)
        counts[EVENTS] += 1
        rank = order >> RANK_SHIFT
        index = (order >> INDEX_SHIFT) & INDEX_MASK
        if rank == JUDGE:
            judge(s, now_ns, index, payload)
        elif rank in (BEGIN, END):
            work_on_job(s, now_ns, stop_ns, rank, index, payload)
        elif rank == QUEUE:
            queue_job(s, now_ns, index, payload)
        elif rank == CHANGE_RANK:
            counts[CHANGE], counts[NOW] = payload, now_ns
            return CHANGED
        else:
            bring_message(s, now_ns, rank, index, payload)
        if counts[EVENTS] & PAUSE_MASK == 0:
            return PAUSED
    return FINISHED


@inlined
def work_on_job(s: State, now_ns: int, stop_ns: int, rank: int, node: int, payload: int) -> None:
    """An advertising event begins or ends; one place for all that may follow keeps the compiled code small."""
    job, what, is_free = payload >> 2, payload & 3, False
    if rank == BEGIN:
        after = begin(s, now_ns, stop_ns, node, job)
    elif what == HAND_OVER:
        hand_over(s, node, job)
        after, is_free = NOTHING, True
    elif what == COPY_OVER:
        restart_scanner(s.nodes, node, now_ns, s.nodes[node].air_order)
        after = GO_ON
    else:
        after = GIVE_BACK
    if after == GO_ON:
        after = go_on(s, now_ns, node, job)
    if after == GIVE_BACK:
        is_free = give_back(s, node, job)
    if is_free:
        serve(s, now_ns, node)


@inlined
def bring_message(s: State, now_ns: int, rank: int, index: int, payload: int) -> None:
    """A message of a flow or a background, or an answer."""
    if rank == PRESS:
        new = press(s, now_ns, index)
    elif rank == TRANSPORT:
        new = repeat(s, index, payload)
    elif rank == MURMUR:
        new = murmur(s, now_ns, index)
    else:
        new = respond(s, index, payload)
    if new.source >= 0:
        originate(s, now_ns, new)
        if rank == PRESS and s.flows[index].repeats + s.flows[index].retries > 0:
            ask_repeats(s, now_ns, index, s.counts[MESSAGES] - 1)
    if rank == TRANSPORT:
        let_go(s, payload >> REPEAT_SHIFT)
