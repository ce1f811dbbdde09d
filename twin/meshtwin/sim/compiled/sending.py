"""From a message to its advertising events: originating, queues, advertising sets, timing, as in the reference."""

import numpy as np

from meshtwin.sim.compiled.event_queue import push
from meshtwin.sim.compiled.friends import store
from meshtwin.sim.compiled.jit import inlined
from meshtwin.sim.compiled.keyed import draw, join, wide
from meshtwin.sim.compiled.layout import CAUSES, JOB_FREE, JOBS, POLL, State, code
from meshtwin.sim.compiled.messages import let_go, lose
from meshtwin.sim.compiled.radio import window_end
from meshtwin.sim.ordering import Rank
from meshtwin.sim.packets import LossCause
from meshtwin.sim.states import SLOTS_PER_NODE, Slot

__all__ = [
    "COPY_OVER",
    "HAND_OVER",
    "RELEASE",
    "SWITCHED_OFF",
    "append_job",
    "ask_copy",
    "chance",
    "free_job",
    "free_start",
    "queue_job",
    "refuses_own",
    "release_set",
    "send",
    "send_out",
    "serve",
]

BEGIN, END, QUEUE = code(Rank.BEGIN), code(Rank.END), code(Rank.QUEUE)
BUFFER, SWITCHED_OFF = code(CAUSES.index(LossCause.BUFFER)), code(CAUSES.index(LossCause.SWITCHED_OFF))
FIRST_DELAY, RECEPTION = code(Slot.FIRST_DELAY), code(Slot.RECEPTION)
RELEASE, COPY_OVER, HAND_OVER = code(0), code(1), code(2)  # what an END is about; its payload is job * 4 + this


@inlined
def free_job(s: State, job: int) -> None:
    s.jobs[job].next = s.counts[JOB_FREE]
    s.counts[JOB_FREE] = job
    let_go(s, wide(s.jobs[job].message))


@inlined
def chance(s: State, message: int, node: int, slot: int, key: np.uint64, part: int) -> float:
    """The number in [0, 1) of a node's slot for a message: preset, or drawn by (``key``, ``part``)."""
    row = s.messages[message].state
    if row < 0 or slot < 0:
        return draw(key, part)
    return s.states[row, node * SLOTS_PER_NODE + slot]


@inlined
def first_delay_ns(s: State, job: int) -> int:
    """From being asked to the first advertising event (or to the queue, where the profile says so)."""
    profile, key, node, message = s.profile, s.jobs[job].key, wide(s.jobs[job].node), wide(s.jobs[job].message)
    own = s.jobs[job].own != 0
    jitter = chance(s, message, node, FIRST_DELAY, key, wide(-1))
    if own and profile[0].has_own_delay != 0:
        return profile[0].own_least_ns + int(jitter * float(profile[0].own_jitter_ns))
    delay = profile[0].processing_ns + int(jitter * float(profile[0].jitter_ns))
    if profile[0].first_send_after_interval != 0:
        delay += s.jobs[job].interval_ns
    if own:
        further = chance(s, message, node, RECEPTION, key, wide(-2))
        delay += profile[0].originated_extra_ns + int(further * float(profile[0].originated_jitter_ns))
    return delay


@inlined
def first_begin_ns(s: State, now_ns: int, job: int) -> int:
    """When the next copy of a PDU that has just got an advertising set is to begin, not before now."""
    profile = s.profile
    asked_ns = now_ns if profile[0].hands_over != 0 else s.jobs[job].asked_ns
    if profile[0].queue_after_delay != 0 or s.jobs[job].copies > 0:
        return now_ns
    if profile[0].delay_when_idle_only != 0 and now_ns > asked_ns:
        return now_ns
    return max(asked_ns + first_delay_ns(s, job), now_ns)


@inlined
def free_start(s: State, node: int, time_ns: int) -> int:
    """First time from ``time_ns`` on at which the node's radio may begin an event."""
    time_ns = max(time_ns, s.nodes[node].radio_until_ns)
    if s.profile[0].start_at_scan_window_end != 0 and s.nodes[node].friendship < 0:
        return window_end(s.profile, s.nodes, node, time_ns)
    return time_ns


@inlined
def send(s: State, now_ns: int, node: int, message: int, ttl: int, hops: int, own: int) -> None:
    """Asks for a message to be sent; there must be room for a job and two events."""
    job = wide(s.counts[JOB_FREE])
    if job >= 0:
        s.counts[JOB_FREE] = s.jobs[job].next
    else:
        job = s.counts[JOBS]
        s.counts[JOBS] = job + 1
    s.jobs[job].key = join(s.nodes[node].key, s.messages[message].key)
    s.jobs[job].asked_ns = now_ns
    s.jobs[job].message = message
    s.jobs[job].node = node
    s.jobs[job].ttl = ttl
    s.jobs[job].hops = hops
    s.jobs[job].copies = 0
    s.jobs[job].own = own
    if own != 0:
        s.jobs[job].interval_ns = s.nodes[node].own_interval_ns
        s.jobs[job].transmissions = s.nodes[node].own_transmissions
        if s.messages[message].kind == POLL:
            s.jobs[job].interval_ns = s.profile[0].once_interval_ns
            s.jobs[job].transmissions = 1
    else:
        s.jobs[job].interval_ns = s.nodes[node].relay_interval_ns
        s.jobs[job].transmissions = s.nodes[node].relay_transmissions
    s.messages[message].pending += 1
    if s.profile[0].queue_after_delay != 0:
        push(s, now_ns + first_delay_ns(s, job), QUEUE, node, job)
    else:
        queue_job(s, now_ns, node, job)


@inlined
def queue_job(s: State, now_ns: int, node: int, job: int) -> None:
    """Puts a job into its queue, and serves the queue."""
    profile, nodes, jobs = s.profile, s.nodes, s.jobs
    if nodes[node].is_on == 0:
        lose(s, now_ns, SWITCHED_OFF, node, wide(jobs[job].message))
        free_job(s, job)
        return
    settle(s, now_ns, node)
    if jobs[job].own != 0 and profile[0].one_queue == 0:
        is_full = refuses_own(s, node)
    else:
        held = nodes[node].relay_count
        if profile[0].one_queue != 0:
            held += profile[0].relay_sets - nodes[node].free_relay
        is_full = held >= profile[0].buffer
    if is_full:
        lose(s, now_ns, BUFFER, node, wide(jobs[job].message))
        free_job(s, job)
        return
    append_job(s, node, job)
    serve(s, now_ns, node)
    if nodes[node].relay_head >= 0 or nodes[node].own_head >= 0:
        wake_releasing(s, node)


@inlined
def refuses_own(s: State, node: int) -> bool:
    """Whether the buffer of the node's own PDUs is full; never where they wait with relayed ones."""
    return bool(s.profile[0].one_queue == 0 and s.nodes[node].own_count >= s.profile[0].own_buffer)


@inlined
def append_job(s: State, node: int, job: int) -> None:
    """Puts a job behind all others of its queue."""
    nodes, jobs = s.nodes, s.jobs
    jobs[job].next = -1
    if jobs[job].own != 0 and s.profile[0].one_queue == 0:
        if nodes[node].own_head < 0:
            nodes[node].own_head = job
        else:
            jobs[nodes[node].own_tail].next = job
        nodes[node].own_tail = job
        nodes[node].own_count += 1
        return
    if nodes[node].relay_head < 0:
        nodes[node].relay_head = job
    else:
        jobs[nodes[node].relay_tail].next = job
    nodes[node].relay_tail = job
    nodes[node].relay_count += 1


@inlined
def take(s: State, node: int) -> int:
    """The next job for which an advertising set is free, which is then taken; -1 if there is none."""
    nodes = s.nodes
    job = nodes[node].relay_head
    if job >= 0 and nodes[node].free_relay > 0:
        nodes[node].free_relay -= 1
        nodes[node].relay_head = s.jobs[job].next
        nodes[node].relay_count -= 1
        return job
    job = nodes[node].own_head
    if job >= 0:
        if s.profile[0].shares_sets != 0 and nodes[node].free_relay > 0:
            nodes[node].free_relay -= 1
            nodes[node].own_head = s.jobs[job].next
            nodes[node].own_count -= 1
            return job
        if nodes[node].free_own > 0:
            nodes[node].free_own -= 1
            nodes[node].own_head = s.jobs[job].next
            nodes[node].own_count -= 1
            return job
    return -1


@inlined
def serve(s: State, now_ns: int, node: int) -> None:
    """Gives waiting jobs to free advertising sets."""
    while True:
        job = take(s, node)
        if job < 0:
            return
        s.jobs[job].cycles = s.nodes[node].cycles
        s.jobs[job].is_held = 1
        ask_copy(s, now_ns, node, job, first_begin_ns(s, now_ns, job))


@inlined
def ask_copy(s: State, now_ns: int, node: int, job: int, begin_ns: int) -> None:
    """Asks for the next copy; where the last one is handed over, its set comes free before it is sent."""
    is_last = s.profile[0].copies_take_turns != 0 or s.jobs[job].copies == s.jobs[job].transmissions - 1
    if s.profile[0].hands_over != 0 and is_last:
        s.jobs[job].begin_ns = begin_ns
        push(s, max(begin_ns, now_ns), END, node, job * 4 + HAND_OVER)
        return
    push(s, free_start(s, node, begin_ns), BEGIN, node, job * 4)


@inlined
def release_set(s: State, node: int, job: int) -> None:
    """Gives back the set that sent ``job``."""
    s.jobs[job].is_held = 0
    if s.jobs[job].own != 0 and s.profile[0].shares_sets == 0:
        s.nodes[node].free_own += 1
    else:
        s.nodes[node].free_relay += 1


@inlined
def settle(s: State, now_ns: int, node: int) -> None:
    """Gives back the sets that came free while nothing waited for one."""
    job, last = wide(s.nodes[node].releasing), wide(-1)
    while job >= 0:
        following = wide(s.jobs[job].next)
        if s.jobs[job].free_ns <= now_ns:
            if last < 0:
                s.nodes[node].releasing = following
            else:
                s.jobs[last].next = following
            release_set(s, node, job)
            free_job(s, job)
        else:
            last = job
        job = following


@inlined
def wake_releasing(s: State, node: int) -> None:
    """Something waits: the sets that are coming free need an event of their own."""
    job = wide(s.nodes[node].releasing)
    s.nodes[node].releasing = -1
    while job >= 0:
        following = wide(s.jobs[job].next)
        push(s, s.jobs[job].free_ns, END, node, job * 4 + RELEASE)
        job = following


@inlined
def send_out(s: State, now_ns: int, message: int) -> None:
    """Sends a new message from its source, which keeps it for its low-power nodes if it is a friend."""
    source = wide(s.messages[message].source)
    if s.nodes[source].friend_of >= 0 and s.messages[message].kind < POLL:
        store(s, now_ns, source, message, wide(s.messages[message].ttl), wide(0))
    send(s, now_ns, source, message, wide(s.messages[message].ttl), wide(1), wide(1))
