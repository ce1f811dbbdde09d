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
    RECEPTIONS,
    SENDINGS,
    SLOT_FREE,
    SLOTS,
    TRACES,
    State,
    code,
)
from meshtwin.sim.compiled.radio import restart_scanner
from meshtwin.sim.compiled.receiving import judge
from meshtwin.sim.compiled.sending import COPY_OVER, HAND_OVER, queue_job, send_out, serve
from meshtwin.sim.compiled.traffic import bring
from meshtwin.sim.compiled.transmitting import GIVE_BACK, GO_ON, NOTHING, begin, give_back, go_on, hand_over
from meshtwin.sim.ordering import Rank

__all__ = ["CHANGED", "FINISHED", "GROWING", "PAUSED", "advance"]

FINISHED: Final = -1
PAUSED: Final = -3  # so that an interrupt from the keyboard is seen
PAUSE_MASK: Final = (1 << 22) - 1  # events between two pauses, less 1; about half a second
CHANGED: Final = -2  # a node is to be switched or moved: ``counts[CHANGE]`` says by which change
GROWING: Final = (  # what `advance` may ask for
    "queue", "jobs", "messages", "arrivals", "trace", "slots", "sendings", "receptions",
)  # fmt: skip
BEGIN, END, JUDGE, QUEUE = code(Rank.BEGIN), code(Rank.END), code(Rank.JUDGE), code(Rank.QUEUE)
CHANGE_RANK = code(Rank.CHANGE)
MESSAGES_MOST: Final = 2  # that one event enters: a message and its first segment, or a poll and its PDU


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
        if counts[MESSAGES] + MESSAGES_MOST > s.messages.size:
            return 2
        if counts[ARRIVALS] + room > s.arrivals.size:
            return 3
        if s.profile[0].is_traced != 0 and counts[TRACES] + room > s.trace.size:
            return 4
        free = counts[SLOT_FREE]
        if counts[SLOTS] + MESSAGES_MOST > s.slots.size and (free < 0 or s.slots[free].next_free < 0):
            return 5
        if counts[SENDINGS] >= s.sendings.size:
            return 6
        if counts[RECEPTIONS] + s.profile[0].members_most > s.receptions.size:
            return 7
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
            message = bring(s, now_ns, rank, index, payload)
            if message >= 0:
                send_out(s, now_ns, message)
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
        if s.nodes[node].friendship < 0:
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
