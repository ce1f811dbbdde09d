"""Advertising sets and their queues: who waits for whom.

Floods come one after the other in order of their start, but reach a node in another order; whoever asked later
waits for whoever asked earlier, and `settle` moves the events of those that had been placed too early.
"""

from typing import Any

from meshtwin.fast.arrays import NO_ROOM, OFF_TIME
from meshtwin.fast.events import move_event
from meshtwin.fast.jit import part

__all__ = ["add_job", "begin_ns_of", "count_active", "set_free_from", "settle", "turn_end_ns"]

LAST_NS = 1 << 61  # 73 years: a time beyond it is that of a queue without end, and sums of it would wrap


@part
def begin_ns_of(rules: Any, asked_ns: Any, delay_ns: Any, taken_ns: Any) -> Any:
    """When the first copy is to begin of a message that was queued at ``asked_ns`` and got a set at ``taken_ns``."""
    if rules.hands_over:
        return taken_ns + delay_ns
    if rules.idle_only and taken_ns > asked_ns:
        return taken_ns
    return max(taken_ns, asked_ns + delay_ns)


@part
def set_free_from(air: Any, work: Any, row: Any, sets: Any, until: Any, asked_ns: Any) -> Any:
    """When one of ``sets`` takes a message queued at ``asked_ns`` behind the first ``until`` jobs; how many wait."""
    ahead, release_ns = 0, work.release_ns
    for job in range(air.job_from[row], until):
        if air.job_asked_ns[row, job] > asked_ns:
            break
        free_ns = air.job_free_ns[row, job]
        if free_ns > asked_ns:
            if ahead < release_ns.shape[0]:
                at = ahead  # insertion sort: few are ahead
                while at > 0 and release_ns[at - 1] > free_ns:
                    release_ns[at] = release_ns[at - 1]
                    at -= 1
                release_ns[at] = free_ns
            ahead += 1
    if ahead < sets:
        return asked_ns, 0
    return release_ns[min(ahead, release_ns.shape[0]) - sets], ahead - sets


@part
def add_job(
    rules: Any, air: Any, work: Any, row: Any, sets: Any, asked_ns: Any, delay_ns: Any, taken_ns: Any, free_ns: Any,
    event: Any, events: Any,
) -> Any:  # fmt: skip
    """Lists a message in order of asking; those that asked later have to wait for it."""
    at = air.job_count[row]
    if at >= air.job_asked_ns.shape[1]:
        air.counts[NO_ROOM] += 1
        return
    while at > 0 and air.job_asked_ns[row, at - 1] > asked_ns:
        air.job_asked_ns[row, at] = air.job_asked_ns[row, at - 1]
        air.job_taken_ns[row, at] = air.job_taken_ns[row, at - 1]
        air.job_free_ns[row, at] = air.job_free_ns[row, at - 1]
        air.job_delay_ns[row, at] = air.job_delay_ns[row, at - 1]
        air.job_placed_ns[row, at] = air.job_placed_ns[row, at - 1]
        air.job_event[row, at] = air.job_event[row, at - 1]
        air.job_events[row, at] = air.job_events[row, at - 1]
        at -= 1
    air.job_asked_ns[row, at] = asked_ns
    air.job_taken_ns[row, at] = taken_ns
    air.job_free_ns[row, at] = free_ns
    air.job_delay_ns[row, at] = delay_ns
    air.job_placed_ns[row, at] = begin_ns_of(rules, asked_ns, delay_ns, taken_ns)
    air.job_event[row, at] = event
    air.job_events[row, at] = events
    air.job_count[row] += 1
    for job in range(at + 1, air.job_count[row]):
        asked_ns, delay_ns = air.job_asked_ns[row, job], air.job_delay_ns[row, job]
        taken_ns, _ = set_free_from(air, work, row, sets, job, asked_ns)
        air.job_free_ns[row, job] += begin_ns_of(rules, asked_ns, delay_ns, taken_ns)
        air.job_free_ns[row, job] -= begin_ns_of(rules, asked_ns, delay_ns, air.job_taken_ns[row, job])
        air.job_taken_ns[row, job] = taken_ns


@part
def count_active(air: Any, row: Any, from_ns: Any, until_ns: Any) -> Any:
    """How many messages are queued or being sent at ``from_ns``, or come in by ``until_ns``."""
    active = 0
    for job in range(air.job_from[row], air.job_count[row]):
        if air.job_asked_ns[row, job] > until_ns:
            break
        active += air.job_free_ns[row, job] > from_ns
    return active


@part
def turn_end_ns(air: Any, row: Any, time_ns: Any, interval_ns: Any) -> Any:
    """When the turn is over that is under way at ``time_ns``: one begins with each copy, the first with its delay."""
    latest_ns, next_ns = -1, LAST_NS
    for job in range(air.job_from[row], air.job_count[row]):
        if air.job_asked_ns[row, job] > time_ns:
            break
        if air.job_free_ns[row, job] <= time_ns:
            continue
        for event in range(air.job_event[row, job], air.job_event[row, job] + air.job_events[row, job]):
            start_ns = air.event_start_ns[event]
            if start_ns <= time_ns:
                latest_ns = max(latest_ns, start_ns)
            else:
                next_ns = min(next_ns, start_ns)
    if latest_ns + interval_ns > time_ns:
        return latest_ns + interval_ns
    return interval_ns + (next_ns if next_ns < LAST_NS else time_ns)


@part
def settle(rules: Any, air: Any, work: Any) -> Any:
    """Moves the events of messages that had to wait for others which came into the queue before them later on."""
    air.slot[:] = -1
    air.head[:] = -1
    for row in range(air.job_count.shape[0]):
        if rules.takes_turns:
            _take_turns(rules, air, work.heap, row)
            continue
        for job in range(air.job_count[row]):
            begin_ns = begin_ns_of(
                rules, air.job_asked_ns[row, job], air.job_delay_ns[row, job], air.job_taken_ns[row, job]
            )
            moved_ns = begin_ns - air.job_placed_ns[row, job]
            for place in range(air.job_events[row, job]):
                event = air.job_event[row, job] + place
                move_event(rules, air, event, air.event_start_ns[event] + moved_ns)


@part
def _take_turns(rules: Any, air: Any, queue: Any, row: Any) -> Any:
    """Orders the copies of one node where after each copy the next message has its turn; ``queue``: scratch.

    Messages that find ``queue`` full come in when there is a place. With more ahead of a message than
    `set_free_from` looks at, its times may run backwards: that is counted, and ends the ordering.
    """
    count, size = air.job_count[row], queue.shape[0]
    head, tail, coming, now_ns = 0, 0, 0, 0
    while coming < count or head < tail:
        is_idle = head == tail
        if is_idle:
            queue[tail % size] = coming << 3
            tail += 1
            now_ns = max(now_ns, air.job_asked_ns[row, coming])
            coming += 1
        job, copy = queue[head % size] >> 3, queue[head % size] & 7
        head += 1
        event, events = air.job_event[row, job], air.job_events[row, job]
        if events == 0:
            continue
        if is_idle and now_ns == air.job_asked_ns[row, job]:
            now_ns += air.job_delay_ns[row, job]
        step_ns = air.job_taken_ns[row, job]
        if copy == 0:
            begin_ns = begin_ns_of(rules, air.job_asked_ns[row, job], air.job_delay_ns[row, job], step_ns)
            step_ns = (air.job_free_ns[row, job] - begin_ns) // events
        if step_ns < 0 or step_ns > LAST_NS or now_ns > LAST_NS:
            air.counts[OFF_TIME] += 1
            return
        air.job_taken_ns[row, job] = step_ns  # from here on the length of a turn
        move_event(rules, air, event + copy, now_ns)
        now_ns += step_ns
        while (
            coming < count and air.job_asked_ns[row, coming] <= now_ns and tail - head < size - 1
        ):  # one for the next copy
            queue[tail % size] = coming << 3
            tail += 1
            coming += 1
        if copy + 1 < events:
            queue[tail % size] = job << 3 | copy + 1
            tail += 1
        else:
            air.job_free_ns[row, job] = now_ns
