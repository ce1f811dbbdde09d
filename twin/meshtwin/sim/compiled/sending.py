"""From a message to its advertising events: originating, queues, advertising sets, timing, as in the reference."""

from typing import NamedTuple

import numpy as np

from meshtwin.sim.compiled.event_queue import push
from meshtwin.sim.compiled.jit import inlined
from meshtwin.sim.compiled.keyed import draw, join
from meshtwin.sim.compiled.layout import (
    ARRIVALS,
    CAUSES,
    JOB_FREE,
    JOBS,
    KINDS,
    MESSAGES,
    State,
)
from meshtwin.sim.compiled.messages import let_go, lose, new_slot, remember, trace
from meshtwin.sim.compiled.radio import window_end
from meshtwin.sim.ordering import Rank
from meshtwin.sim.packets import LossCause, RecordKind
from meshtwin.sim.states import SLOTS_PER_NODE, Slot

__all__ = [
    "COPY_OVER",
    "HAND_OVER",
    "RELEASE",
    "SWITCHED_OFF",
    "NewMessage",
    "append_job",
    "ask_copy",
    "chance",
    "free_job",
    "free_start",
    "originate",
    "queue_job",
    "release_set",
    "send",
    "serve",
]

BEGIN, END, QUEUE = int(Rank.BEGIN), int(Rank.END), int(Rank.QUEUE)
ORIGINATED = KINDS.index(RecordKind.ORIGINATED)
BUFFER, SWITCHED_OFF = CAUSES.index(LossCause.BUFFER), CAUSES.index(LossCause.SWITCHED_OFF)
FIRST_DELAY, RECEPTION = int(Slot.FIRST_DELAY), int(Slot.RECEPTION)
RELEASE, COPY_OVER, HAND_OVER = 0, 1, 2  # what an END is about; its payload is job * 4 + this


@inlined
def free_job(s: State, job: int) -> None:
    s.jobs[job].next = s.counts[JOB_FREE]
    s.counts[JOB_FREE] = job
    let_go(s, s.jobs[job].message)


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
    profile, key, node, message = s.profile, s.jobs[job].key, s.jobs[job].node, s.jobs[job].message
    own = s.jobs[job].own != 0
    jitter = chance(s, message, node, FIRST_DELAY, key, -1)
    if own and profile[0].has_own_delay != 0:
        return profile[0].own_least_ns + int(jitter * float(profile[0].own_jitter_ns))
    delay = profile[0].processing_ns + int(jitter * float(profile[0].jitter_ns))
    if profile[0].first_send_after_interval != 0:
        delay += s.jobs[job].interval_ns
    if own:
        further = chance(s, message, node, RECEPTION, key, -2)
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
    if s.profile[0].start_at_scan_window_end != 0:
        return window_end(s.profile, s.nodes, node, time_ns)
    return time_ns


@inlined
def send(s: State, now_ns: int, node: int, message: int, ttl: int, hops: int, own: int) -> None:
    """Asks for a message to be sent; there must be room for a job and two events."""
    job = s.counts[JOB_FREE]
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
        lose(s, now_ns, SWITCHED_OFF, node, jobs[job].message)
        free_job(s, job)
        return
    settle(s, now_ns, node)
    waits_as_own = jobs[job].own != 0 and profile[0].one_queue == 0
    if not waits_as_own:
        held = nodes[node].relay_count
        if profile[0].one_queue != 0:
            held += profile[0].relay_sets - nodes[node].free_relay
        if held >= profile[0].buffer:
            lose(s, now_ns, BUFFER, node, jobs[job].message)
            free_job(s, job)
            return
    append_job(s, node, job)
    serve(s, now_ns, node)
    if nodes[node].relay_head >= 0 or nodes[node].own_head >= 0:
        wake_releasing(s, node)


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
    job = nodes[node].own_head
    if s.profile[0].own_first != 0 and s.profile[0].shares_sets != 0 and job >= 0 and nodes[node].free_relay > 0:
        nodes[node].free_relay -= 1
        nodes[node].own_head = s.jobs[job].next
        return job
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
            return job
        if nodes[node].free_own > 0:
            nodes[node].free_own -= 1
            nodes[node].own_head = s.jobs[job].next
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
    job, last = s.nodes[node].releasing, -1
    while job >= 0:
        following = s.jobs[job].next
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
    job = s.nodes[node].releasing
    s.nodes[node].releasing = -1
    while job >= 0:
        following = s.jobs[job].next
        push(s, s.jobs[job].free_ns, END, node, job * 4 + RELEASE)
        job = following


class NewMessage(NamedTuple):
    """What a new message is made of; ``source`` -1: none, after all."""

    key: np.uint64
    flow: int
    number: int
    source: int
    ttl: int
    airtime_ns: int
    asked_by: int
    answers: int
    state: int
    part_of: int
    is_retry: int


@inlined
def originate(s: State, now_ns: int, new: NewMessage) -> None:
    """Enters a new message and sends it; there must be room for it."""
    message = s.counts[MESSAGES]
    s.counts[MESSAGES] = message + 1
    s.messages[message].key = new.key
    s.messages[message].airtime_ns = new.airtime_ns
    s.messages[message].started_ns = now_ns
    s.messages[message].busy_ns = 0
    s.messages[message].number = new.number
    s.messages[message].flow = new.flow
    s.messages[message].source = new.source
    s.messages[message].slot = new_slot(s, message)
    s.messages[message].pending = 0
    s.messages[message].transmissions = 0
    s.messages[message].asked_by = new.asked_by
    s.messages[message].answers = new.answers
    s.messages[message].state = new.state
    if new.flow >= 0:
        s.nodes[new.source].sequence += 1
        s.messages[message].sequence = s.nodes[new.source].sequence
    s.messages[message].part_of = new.part_of
    s.messages[message].is_retry = new.is_retry
    s.messages[message].first_arrival = s.counts[ARRIVALS]
    s.messages[message].answered = 0
    if s.profile[0].relays_own_echo == 0 or new.part_of >= 0:
        remember(s, new.source, message)
    if new.part_of >= 0:
        s.messages[new.part_of].pending += 1
    else:
        trace(s, now_ns, ORIGINATED, new.source, message, new.number)
    send(s, now_ns, new.source, message, new.ttl, 1, 1)
