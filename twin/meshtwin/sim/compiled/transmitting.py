"""Advertising events: when their PDUs are on which channel, and who listens."""

from typing import Final

import numpy as np

from meshtwin.sim.compiled.event_queue import push
from meshtwin.sim.compiled.friends import open_window
from meshtwin.sim.compiled.jit import apart, inlined
from meshtwin.sim.compiled.keyed import draw, draw_below_ns, extend, join, wide
from meshtwin.sim.compiled.layout import CAUSES, KINDS, POLL, SENT, TO_OTHERS, TO_RELAYS, Records, State, code
from meshtwin.sim.compiled.messages import lose, trace
from meshtwin.sim.compiled.radio import ORDERS, listens_to, preset_scanner, turn_scanner
from meshtwin.sim.compiled.sending import (
    COPY_OVER,
    RELEASE,
    SWITCHED_OFF,
    append_job,
    ask_copy,
    chance,
    free_job,
    free_start,
    release_set,
)
from meshtwin.sim.ordering import Rank
from meshtwin.sim.packets import LossCause, RecordKind
from meshtwin.sim.states import COPIES_WITH_SLOT, SLOTS_PER_NODE, Slot

__all__ = [
    "ALL_PDUS",
    "GIVE_BACK",
    "GO_ON",
    "HEARD",
    "LAST_PDU",
    "LINK_SHIFT",
    "NOTHING",
    "PASSES",
    "begin",
    "give_back",
    "go_on",
    "hand_over",
]

BEGIN, END, JUDGE = code(Rank.BEGIN), code(Rank.END), code(Rank.JUDGE)
TRANSMITTED = code(KINDS.index(RecordKind.TRANSMITTED))
NOT_LISTENING, CACHE = code(CAUSES.index(LossCause.NOT_LISTENING)), code(CAUSES.index(LossCause.CACHE))
ADVERTISING_DELAY, RECEPTION, SCAN = int(Slot.ADVERTISING_DELAY), int(Slot.RECEPTION), int(Slot.SCAN)
LAST_PDU: Final = 2
ALL_PDUS: Final = 7  # in ``State.waiting``: to be looked at when each PDU ends
HEARD: Final = 8  # in ``State.waiting``: listened to one of them
PASSES: Final = 16  # in ``State.waiting``: preset states let it be received
LINK_SHIFT: Final = 5
NOTHING, GO_ON, GIVE_BACK = 0, 1, 2  # what `begin` asks for


@inlined
def plan_event(s: State, node: int, start_ns: int, airtime_ns: int, key: np.uint64) -> int:
    """Writes the PDUs of the event that starts at ``start_ns`` into ``State.air_ns``; gives the event's end."""
    profile, nodes, air = s.profile, s.nodes, s.air_ns
    which = 1 - nodes[node].air_which
    nodes[node].air_which = which
    base = node * 8 + which * 4
    air[base + 3] = airtime_ns
    if profile[0].event_window_ns == 0:
        step = airtime_ns + profile[0].channel_gap_ns
        first = start_ns + profile[0].event_overhead_ns // 2
        air[base] = first
        air[base + 1] = first + step
        air[base + 2] = first + 2 * step
        return first + 2 * step + airtime_ns + profile[0].event_overhead_ns // 2
    step_ns, jitter_ns = profile[0].event_window_step_ns, profile[0].event_window_jitter_ns
    if step_ns == 0:
        window_ns = profile[0].event_window_ns + draw_below_ns(key, 0, jitter_ns)
    else:
        window_ns = profile[0].event_window_ns + draw_below_ns(key, 0, jitter_ns // step_ns + 1) * step_ns
    order = int(draw(key, 1) * 6.0)
    nodes[node].air_order = order
    a, b, c = place_in_window(profile, extend(key, 2), start_ns, window_ns, airtime_ns)
    air[base + ORDERS[order, 0]] = a
    air[base + ORDERS[order, 1]] = b
    air[base + ORDERS[order, 2]] = c
    return start_ns + window_ns


@inlined
def place_in_window(
    profile: Records, key: np.uint64, start_ns: int, window_ns: int, airtime_ns: int
) -> tuple[int, int, int]:
    """Starts of the three PDUs: spaced from each other, or anywhere in the window."""
    if profile[0].is_spaced != 0:
        least_ns, jitter_ns = profile[0].pdu_next_ns, profile[0].pdu_next_jitter_ns
        last_ns = start_ns + profile[0].event_window_ns - airtime_ns - least_ns
        a = start_ns + profile[0].pdu_first_ns + draw_below_ns(key, 0, profile[0].pdu_first_jitter_ns)
        b = a + least_ns + draw_below_ns(key, 1, min(jitter_ns, last_ns - a))
        c = b + least_ns + draw_below_ns(key, 2, min(jitter_ns, last_ns - b))
        return a, b, c
    free_ns = window_ns - 3 * airtime_ns
    a, b, c = draw_below_ns(key, 0, free_ns), draw_below_ns(key, 1, free_ns), draw_below_ns(key, 2, free_ns)
    low, high = min(a, b, c), max(a, b, c)
    return start_ns + low, start_ns + (a + b + c - low - high) + airtime_ns, start_ns + high + 2 * airtime_ns


@inlined
def pdus_listened_to(s: State, receiver: int, base: int, order: int, airtime_ns: int) -> int:
    """Bit per PDU, in order of their start, that the receiver listens to."""
    profile, nodes, air = s.profile, s.nodes, s.air_ns
    if profile[0].listens_late != 0:
        return ALL_PDUS
    first_ns = air[base + ORDERS[order, 0]]
    span_ns = air[base + ORDERS[order, LAST_PDU]] + airtime_ns - first_ns
    since_ns = turn_scanner(profile, nodes, receiver, first_ns)
    if since_ns + span_ns < profile[0].scan_window_ns and profile[0].scan_sample_ns <= airtime_ns:
        channel = ORDERS[nodes[receiver].scan_order, nodes[receiver].scan_turn]
        if ORDERS[order, 0] == channel:
            return 1
        return 2 if ORDERS[order, 1] == channel else 4
    bits = 0
    for place in range(3):
        channel = ORDERS[order, place]
        start_ns = air[base + channel]
        if listens_to(profile, nodes, receiver, channel, start_ns, start_ns + airtime_ns):
            bits |= 1 << place
    return bits


@inlined
def size_of(s: State, airtime_ns: int) -> int:
    """Place of a PDU's time on the air among all that there are; few, so that looking at each is quickest."""
    size = 0
    while size < s.airtimes_ns.size - 1 and s.airtimes_ns[size] != airtime_ns:
        size += 1
    return size


@inlined
def luck_of(s: State, message: int, link: int, node: int, copy: int, time_ns: int, size: int) -> int:
    """`PASSES` if the preset states let ``node`` receive the transmission; the first success sets its scanner."""
    nodes, share = s.nodes, s.states[s.messages[message].state, node * SLOTS_PER_NODE + RECEPTION]
    delivery = s.deliveries[size, link]
    if nodes[node].luck_message != message:
        if s.messages[message].started_ns <= nodes[node].luck_started_ns:
            return PASSES if draw(join(s.links[link].key, s.messages[message].key), copy) < delivery else 0
        nodes[node].luck_message = message
        nodes[node].luck_started_ns = s.messages[message].started_ns
        nodes[node].luck_share = share
        nodes[node].is_phased = 0
    left = nodes[node].luck_share
    if left >= delivery:
        nodes[node].luck_share = (left - delivery) / (1.0 - delivery)
        return 0
    nodes[node].luck_share = left / delivery
    if nodes[node].is_phased == 0:
        nodes[node].is_phased = 1
        if s.profile[0].presets_scan != 0:
            phase = s.states[s.messages[message].state, node * SLOTS_PER_NODE + SCAN]
            preset_scanner(s.profile, nodes, node, time_ns, phase)
    return PASSES


@apart
def note_watched(s: State, message: int, node: int, taken_ns: int) -> None:
    """Notes that a watched node heard or sent a part of ``message`` for so long."""
    flow = wide(s.messages[message].flow)
    row = flow if flow >= 0 else s.watched_ns.shape[0] + flow
    s.watched_ns[row, s.watch[node]] += taken_ns


@inlined
def occupy(s: State, message: int, node: int, start_ns: int, end_ns: int) -> int:
    """Notes that the channel is in use at ``node``; the nanoseconds in which it was not before."""
    until = s.busy_ns[node]
    if until >= end_ns:
        return 0
    taken_ns = end_ns - max(until, start_ns)
    s.busy_ns[node] = end_ns
    if s.watch[node] >= 0:
        note_watched(s, wide(message), wide(node), wide(taken_ns))
    return wide(taken_ns)


@inlined
def find_receivers(s: State, now_ns: int, stop_ns: int, node: int, message: int, ttl: int, copy: int) -> int:
    """Lists in ``State.waiting`` who may receive the event; gives a bit per PDU that has to be judged."""
    nodes, links, known = s.nodes, s.links, s.known
    base = node * 8 + nodes[node].air_which * 4
    order = nodes[node].air_order
    airtime_ns = s.air_ns[base + 3]
    size = size_of(s, airtime_ns)
    nodes[node].air_size = size
    start_ns = s.air_ns[base]  # on the channel on which airtime is counted
    end_ns = start_ns + airtime_ns
    taken_ns = occupy(s, message, node, start_ns, end_ns)
    groups, only = 1 << TO_OTHERS | 1 << TO_RELAYS, wide(-1)
    if s.messages[message].kind >= POLL:  # the one node that can decrypt it
        groups, only = 0, wide(s.messages[message].asked_by)
    elif s.messages[message].flow < 0:  # background concerns those alone who would relay it
        groups = 1 << TO_RELAYS if ttl >= 2 else 0
    has_state = s.messages[message].state >= 0
    slot = s.messages[message].slot
    first = nodes[node].link_from
    place, bits, silent, cached = first, 0, 0, 0
    for link in range(first, nodes[node].link_to):
        target = links[link].target
        if links[link].occupies != 0:
            taken_ns += occupy(s, message, target, start_ns, end_ns)
        if (groups >> links[link].group) & 1 == 0 and target != only:
            continue
        if known[slot, target] & 1:
            cached += 1
            continue
        passes = luck_of(s, message, link, target, copy, now_ns, size) if has_state else 0
        listened = pdus_listened_to(s, target, base, order, airtime_ns)
        if listened == 0:
            silent += 1
        else:
            s.waiting[place] = (link << LINK_SHIFT) + passes + listened
            place += 1
            bits |= listened
    s.messages[message].busy_ns += taken_ns
    s.losses[CACHE] += cached
    nodes[node].air_from = first
    nodes[node].air_waiting = place - first
    nodes[node].air_silent = silent
    if silent > 0 and s.profile[0].is_traced == 0:
        if s.air_ns[base + ORDERS[order, LAST_PDU]] + airtime_ns < stop_ns:
            s.losses[NOT_LISTENING] += silent
        nodes[node].air_silent = 0
    elif silent > 0:
        bits |= 1 << LAST_PDU
    return bits


@inlined
def begin(s: State, now_ns: int, stop_ns: int, node: int, job: int) -> int:
    """Sends one copy, if the radio is free; gives what comes after it: `NOTHING`, `GO_ON` or `GIVE_BACK`."""
    start_ns = free_start(s, node, now_ns)
    if start_ns > now_ns:
        push(s, start_ns, BEGIN, node, job * 4)
        return NOTHING
    nodes, jobs = s.nodes, s.jobs
    message, copy = wide(jobs[job].message), wide(jobs[job].copies)
    if jobs[job].cycles != nodes[node].cycles:
        lose(s, now_ns, SWITCHED_OFF, node, message)
        return GIVE_BACK
    copy_key = extend(jobs[job].key, copy + 1)
    end_ns = plan_event(s, node, now_ns, s.messages[message].airtime_ns, copy_key)
    nodes[node].radio_previous_ns = nodes[node].radio_until_ns
    nodes[node].radio_from_ns = now_ns
    nodes[node].radio_until_ns = end_ns
    s.counts[SENT] += 1
    counted = s.messages[message].part_of
    s.messages[counted if counted >= 0 else message].transmissions += 1
    trace(s, now_ns, TRANSMITTED, node, message, copy)
    bits = find_receivers(s, now_ns, stop_ns, node, message, jobs[job].ttl, copy)
    if bits != 0:
        ask_judgement(s, node, message, job, bits)
    slot = ADVERTISING_DELAY + copy if copy < COPIES_WITH_SLOT else -1
    delay = chance(s, message, node, wide(slot), copy_key, wide(3))
    jobs[job].begin_ns = now_ns + jobs[job].interval_ns + int(delay * float(s.profile[0].advertising_delay_ns))
    jobs[job].copies = copy + 1
    jobs[job].free_ns = end_ns
    if s.profile[0].scan_restarts != 0:
        push(s, end_ns, END, node, job * 4 + COPY_OVER)
        return NOTHING
    return GO_ON


@inlined
def ask_judgement(s: State, node: int, message: int, job: int, bits: int) -> None:
    """Events at the ends of the PDUs in ``bits``; until the last one the message is kept."""
    nodes = s.nodes
    nodes[node].air_message = message
    nodes[node].air_ttl = s.jobs[job].ttl
    nodes[node].air_hops = s.jobs[job].hops
    nodes[node].air_copy = s.jobs[job].copies
    s.messages[message].pending += 1
    base, order = node * 8 + nodes[node].air_which * 4, nodes[node].air_order
    for place in range(3):
        if (bits >> place) & 1:
            nodes[node].air_last = place
            push(s, s.air_ns[base + ORDERS[order, place]] + s.air_ns[base + 3], JUDGE, node, place)


@inlined
def go_on(s: State, now_ns: int, node: int, job: int) -> int:
    """After a copy: the next one, or the set comes free (with an event only where something waits for it).

    Gives `GIVE_BACK` if it is free already, else `NOTHING`.
    """
    nodes, jobs = s.nodes, s.jobs
    has_more = jobs[job].copies < jobs[job].transmissions
    if has_more and s.profile[0].copies_take_turns == 0:
        ask_copy(s, now_ns, node, job, jobs[job].begin_ns)
        return NOTHING
    if s.messages[jobs[job].message].kind == POLL and jobs[job].cycles == nodes[node].cycles:
        open_window(s, jobs[job].free_ns, node, wide(jobs[job].message))
    if s.profile[0].rests_after_last != 0:
        jobs[job].free_ns = max(jobs[job].free_ns, jobs[job].begin_ns)
    if jobs[job].free_ns <= now_ns:
        return GIVE_BACK
    if has_more or (jobs[job].is_held != 0 and (nodes[node].relay_head >= 0 or nodes[node].own_head >= 0)):
        push(s, jobs[job].free_ns, END, node, job * 4 + RELEASE)
    elif jobs[job].is_held == 0:
        free_job(s, job)
    else:
        keep_releasing(s, node, job)
    return NOTHING


@inlined
def keep_releasing(s: State, node: int, job: int) -> None:
    """Nothing waits for the set of ``job``: who asks next looks whether it is free by then."""
    nodes, jobs = s.nodes, s.jobs
    jobs[job].next = -1
    last = nodes[node].releasing
    if last < 0:
        nodes[node].releasing = job
        return
    while jobs[last].next >= 0:
        last = jobs[last].next
    jobs[last].next = job


@inlined
def give_back(s: State, node: int, job: int) -> bool:
    """The end of a job's turn: it waits for its next copy or is done. Gives whether a set came free."""
    jobs, is_held = s.jobs, s.jobs[job].is_held != 0
    if is_held:
        release_set(s, node, job)
    if jobs[job].copies < jobs[job].transmissions and jobs[job].cycles == s.nodes[node].cycles:
        append_job(s, node, job)
    else:
        free_job(s, job)
    return is_held


@inlined
def hand_over(s: State, node: int, job: int) -> None:
    """The set comes free before the copy is sent."""
    release_set(s, node, job)
    push(s, free_start(s, node, s.jobs[job].begin_ns), BEGIN, node, job * 4)
