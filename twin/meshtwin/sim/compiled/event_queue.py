"""The event queue: a binary heap in an array, by (time, order).

``order`` packs the rank, the index of node, flow or background, and the order of asking, so that ties end as in
the reference engine.
"""

from meshtwin.sim.compiled.jit import inlined
from meshtwin.sim.compiled.layout import ASKED, INDEX_SHIFT, QUEUED, RANK_SHIFT, State

__all__ = ["drop_first", "push"]


@inlined
def push(s: State, time_ns: int, rank: int, index: int, payload: int) -> None:
    """Adds an event; there must be room."""
    queue, counts = s.queue, s.counts
    order = (rank << RANK_SHIFT) | (index << INDEX_SHIFT) | counts[ASKED]
    counts[ASKED] += 1
    place = counts[QUEUED]
    counts[QUEUED] = place + 1
    while place > 0:
        above = (place - 1) >> 1
        above_ns = queue[above].time_ns
        if above_ns < time_ns or (above_ns == time_ns and queue[above].order < order):
            break
        queue[place].time_ns = above_ns
        queue[place].order = queue[above].order
        queue[place].payload = queue[above].payload
        place = above
    queue[place].time_ns = time_ns
    queue[place].order = order
    queue[place].payload = payload


@inlined
def drop_first(s: State) -> None:
    """Takes the first event away."""
    queue, counts = s.queue, s.counts
    size = counts[QUEUED] - 1
    counts[QUEUED] = size
    time_ns, order = queue[size].time_ns, queue[size].order
    place, below = 0, 1
    while below < size:
        below_ns = queue[below].time_ns
        right = below + 1
        if right < size:
            right_ns = queue[right].time_ns
            if right_ns < below_ns or (right_ns == below_ns and queue[right].order < queue[below].order):
                below, below_ns = right, right_ns
        if time_ns < below_ns or (time_ns == below_ns and order < queue[below].order):
            break
        queue[place].time_ns = below_ns
        queue[place].order = queue[below].order
        queue[place].payload = queue[below].payload
        place = below
        below = 2 * place + 1
    queue[place].time_ns = time_ns
    queue[place].order = order
    queue[place].payload = queue[size].payload
