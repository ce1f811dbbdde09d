"""One flood through given traffic, compiled: who is reached when, decided event by event.

A flood is put on top of what is on the air already: it waits for advertising sets, is deaf, collides, and is not
heard by the traffic that was put there before. Within itself it is treated as the simulator does, one PDU after
the other in order of time. Copies for which no neighbour is left to be reached are not judged at all: that, and
the traffic that is not simulated anew for every message, is what makes it fast.

numba compiles at the first call of each process without a cache: never call this on an event loop.
"""

from typing import Any

import numpy as np

from meshtwin.fast.draws import extend, normal, spread_unit, unit
from meshtwin.fast.jit import part

__all__ = ["flood", "occupy", "settle"]

LATEST_NS = 1 << 42  # 73 minutes: heap keys hold time, node and PDU in 63 bits
EVERY_PDU = 3
LIST_SHIFT = 19  # PDUs are listed by half milliseconds
SILENT_DBM = -900.0
BY_BIT_ERRORS = 1  # codes of Rules.capture; 0: any overlap destroys
BY_RATIO = 2
BY_SAMPLES = 3


@part
def _push(heap: Any, size: Any, key: Any) -> Any:
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if heap[parent] <= key:
            break
        heap[at] = heap[parent]
        at = parent
    heap[at] = key
    return size + 1


@part
def _pop(heap: Any, size: Any) -> Any:
    top = heap[0]
    size -= 1
    key = heap[size]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = key
    return top, size


@part
def _event_in(
    slot: Any,
    event_start_ns: Any,
    event_end_ns: Any,
    shift: Any,
    longest_ns: Any,
    node: Any,
    start_ns: Any,
    end_ns: Any,
) -> Any:
    """A background event of ``node`` that overlaps the time from ``start_ns`` to ``end_ns``; -1: none."""
    first = max(0, (start_ns - longest_ns) >> shift)
    last = min(slot.shape[0] - 1, end_ns >> shift)
    for bucket in range(first, last + 1):
        event = slot[bucket, node]
        if event >= 0 and event_start_ns[event] < end_ns and event_end_ns[event] > start_ns:
            return event
    return -1


@part
def _window_end(rules: Any, phase_ns: Any, time_ns: Any) -> Any:
    rest = (time_ns + phase_ns) % rules.scan_interval_ns
    return time_ns if rest == 0 else time_ns + rules.scan_interval_ns - rest


@part
def _free_start(rules: Any, air: Any, node: Any, phase_ns: Any, time_ns: Any, length_ns: Any) -> Any:
    """First time from ``time_ns`` on at which the radio is free for ``length_ns`` and the profile may begin."""
    while True:
        start_ns = _window_end(rules, phase_ns, time_ns) if rules.at_window_end else time_ns
        if not air.is_loaded:
            return start_ns
        event = _event_in(
            air.slot, air.event_start_ns, air.event_end_ns, air.shift, air.longest_ns, node, start_ns,
            start_ns + length_ns,
        )  # fmt: skip
        if event < 0:
            return start_ns
        time_ns = air.event_end_ns[event]
        if rules.restarts:
            phase_ns = rules.scan_interval_ns - time_ns % rules.scan_interval_ns


@part
def _begin_ns(rules: Any, asked_ns: Any, delay_ns: Any, taken_ns: Any) -> Any:
    """When the first copy is to begin of a message that was queued at ``asked_ns`` and got a set at ``taken_ns``."""
    if rules.hands_over:
        return taken_ns + delay_ns
    if rules.idle_only and taken_ns > asked_ns:
        return taken_ns
    return max(taken_ns, asked_ns + delay_ns)


@part
def _set_free_from(air: Any, work: Any, row: Any, sets: Any, until: Any, asked_ns: Any) -> Any:
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
def _add_job(
    rules: Any, air: Any, work: Any, row: Any, sets: Any, asked_ns: Any, delay_ns: Any, taken_ns: Any, free_ns: Any,
    event: Any, events: Any,
) -> Any:  # fmt: skip
    """Lists a message in order of asking; those that asked later have to wait for it."""
    at = air.job_count[row]
    if at >= air.job_asked_ns.shape[1]:
        air.counts[1] += 1
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
    air.job_placed_ns[row, at] = _begin_ns(rules, asked_ns, delay_ns, taken_ns)
    air.job_event[row, at] = event
    air.job_events[row, at] = events
    air.job_count[row] += 1
    for job in range(at + 1, air.job_count[row]):
        asked_ns, delay_ns = air.job_asked_ns[row, job], air.job_delay_ns[row, job]
        taken_ns, _ = _set_free_from(air, work, row, sets, job, asked_ns)
        air.job_free_ns[row, job] += _begin_ns(rules, asked_ns, delay_ns, taken_ns)
        air.job_free_ns[row, job] -= _begin_ns(rules, asked_ns, delay_ns, air.job_taken_ns[row, job])
        air.job_taken_ns[row, job] = taken_ns


@part
def _add_event(rules: Any, air: Any, node: Any, start_ns: Any, end_ns: Any, pdu_ns: Any, airtime_ns: Any) -> Any:
    event = air.counts[0]
    if event >= air.event_start_ns.shape[0]:
        air.counts[1] += 1
        return
    air.counts[0] += 1
    air.event_start_ns[event] = start_ns
    air.event_end_ns[event] = end_ns
    air.event_airtime_ns[event] = airtime_ns
    air.event_node[event] = node
    for channel in range(3):
        air.event_pdu_ns[event, channel] = pdu_ns[channel]
    _enter_event(rules, air, event)


@part
def _enter_event(rules: Any, air: Any, event: Any) -> Any:
    """Makes an event visible, unless it is after the time that anybody looks at."""
    bucket = air.event_start_ns[event] >> air.shift
    if bucket < air.slot.shape[0]:
        air.slot[bucket, air.event_node[event]] = event
        _list_copy(rules, air.head, air.following, air.event_pdu_ns[event], event, air.head.shape[0])


@part
def _count_active(air: Any, row: Any, time_ns: Any) -> Any:
    """How many messages are queued or being sent at ``time_ns``."""
    active = 0
    for job in range(air.job_from[row], air.job_count[row]):
        if air.job_asked_ns[row, job] > time_ns:
            break
        active += air.job_free_ns[row, job] > time_ns
    return active


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
            begin_ns = _begin_ns(
                rules, air.job_asked_ns[row, job], air.job_delay_ns[row, job], air.job_taken_ns[row, job]
            )
            moved_ns = begin_ns - air.job_placed_ns[row, job]
            for place in range(air.job_events[row, job]):
                event = air.job_event[row, job] + place
                _move_event(rules, air, event, air.event_start_ns[event] + moved_ns)


@part
def _move_event(rules: Any, air: Any, event: Any, start_ns: Any) -> Any:
    """Enters an event at ``start_ns``, or when the radio has done what it does then."""
    length_ns = air.event_end_ns[event] - air.event_start_ns[event]
    while True:
        other = _event_in(
            air.slot, air.event_start_ns, air.event_end_ns, air.shift, air.longest_ns, air.event_node[event],
            start_ns, start_ns + length_ns,
        )  # fmt: skip
        if other < 0:
            break
        start_ns = air.event_end_ns[other]
    for channel in range(3):
        air.event_pdu_ns[event, channel] += start_ns - air.event_start_ns[event]
    air.event_start_ns[event] = start_ns
    air.event_end_ns[event] = start_ns + length_ns
    _enter_event(rules, air, event)


@part
def _take_turns(rules: Any, air: Any, queue: Any, row: Any) -> Any:
    """Orders the copies of one node where after each copy the next message has its turn; ``queue``: scratch."""
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
        step_ns = (
            (air.job_free_ns[row, job] - air.job_placed_ns[row, job]) // events
            if copy == 0
            else air.job_taken_ns[row, job]
        )
        air.job_taken_ns[row, job] = step_ns  # from here on the length of a turn
        _move_event(rules, air, event + copy, now_ns)
        now_ns += step_ns
        while coming < count and air.job_asked_ns[row, coming] <= now_ns and tail - head < size:
            queue[tail % size] = coming << 3
            tail += 1
            coming += 1
        if copy + 1 < events:
            queue[tail % size] = job << 3 | copy + 1
            tail += 1
        else:
            air.job_free_ns[row, job] = now_ns


@part
def _first_delay_ns(rules: Any, is_own: Any, interval_ns: Any, key: Any, state: Any, bits: Any) -> Any:
    if is_own and rules.own_delay_ns >= 0:
        return rules.own_delay_ns + int(spread_unit(extend(key, 1), state, bits) * rules.own_jitter_ns)
    delay_ns = rules.processing_ns + int(spread_unit(extend(key, 1), state, bits) * rules.jitter_ns)
    if rules.first_after_interval:
        delay_ns += interval_ns
    if is_own:
        delay_ns += rules.extra_ns + int(unit(extend(key, 2), state) * rules.extra_jitter_ns)
    return delay_ns


@part
def _plan_event(rules: Any, pdu_ns: Any, start_ns: Any, airtime_ns: Any, length_ns: Any, key: Any) -> Any:
    """Writes the start on each channel."""
    if rules.window_ns == 0:
        for channel in range(3):
            pdu_ns[channel] = start_ns + rules.overhead_ns // 2 + channel * (airtime_ns + rules.gap_ns)
        return
    order = int(unit(key, 14) * 6)
    first = order // 2
    second = (first + 1 + order % 2) % 3
    if rules.pdu_first_ns >= 0:
        at_ns = start_ns + rules.pdu_first_ns + int(unit(key, 11) * rules.pdu_first_jitter_ns)
        pdu_ns[first] = at_ns
        for place in range(2):
            left_ns = start_ns + rules.window_ns - at_ns - rules.pdu_next_ns
            jitter_ns = max(0, min(rules.pdu_next_jitter_ns, left_ns))
            at_ns += rules.pdu_next_ns + int(unit(key, 12 + place) * jitter_ns)
            pdu_ns[second if place == 0 else 3 - first - second] = at_ns
        return
    free = length_ns - 3 * airtime_ns
    a, b, c = int(unit(key, 11) * free), int(unit(key, 12) * free), int(unit(key, 13) * free)
    low, high = min(a, b, c), max(a, b, c)
    middle = a + b + c - low - high
    pdu_ns[first] = start_ns + low
    pdu_ns[second] = start_ns + middle + airtime_ns
    pdu_ns[3 - first - second] = start_ns + high + 2 * airtime_ns


@part
def _window_jitter_ns(rules: Any, key: Any) -> Any:
    if rules.window_step_ns == 0:
        return int(unit(key, 10) * rules.window_jitter_ns)
    return int(unit(key, 10) * (rules.window_jitter_ns // rules.window_step_ns + 1)) * rules.window_step_ns


@part
def _schedule(
    rules: Any, settings: Any, air: Any, work: Any, node: Any, is_own: Any, asked_ns: Any, airtime_ns: Any,
    message_key: Any, state: Any, bits: Any, is_kept: Any,
) -> Any:  # fmt: skip
    """Plans all copies of a node; whether it sends at all (its queue may be full)."""
    count = settings.own_count[node] if is_own else settings.relay_count[node]
    interval_ns = settings.own_interval_ns[node] if is_own else settings.relay_interval_ns[node]
    key = extend(message_key, settings.address[node])
    delay_ns = _first_delay_ns(rules, is_own, interval_ns, key, state, bits)
    if rules.queue_after_delay:
        asked_ns += delay_ns
        delay_ns = 0
    length_ns = 3 * airtime_ns + 2 * rules.gap_ns + rules.overhead_ns
    row, sets = 2 * node, rules.relay_sets
    if is_own and rules.own_sets > 0:
        row, sets = row + 1, rules.own_sets
    taken_ns, waiting = asked_ns, 0
    if air.is_loaded:
        taken_ns, waiting = _set_free_from(air, work, row, sets, air.job_count[row], asked_ns)
        if waiting >= rules.buffer and not is_own:
            return False
    first_event = air.counts[0]
    begin_ns = _begin_ns(rules, asked_ns, delay_ns, taken_ns)
    turns = 0
    if rules.takes_turns and air.is_loaded and not is_kept:
        turns = _count_active(air, row, asked_ns)
        begin_ns = asked_ns + delay_ns
        if turns > 0:  # the turn that is under way, of which any part may be over, and those of all others
            begin_ns = asked_ns + int((unit(extend(key, 4), state) + turns - 1) * interval_ns)
    phase_ns = work.phase_ns[node]
    free_ns = begin_ns
    for copy in range(count):
        copy_key = extend(extend(key, 3 + copy), state)
        if rules.window_ns > 0:
            length_ns = rules.window_ns + _window_jitter_ns(rules, copy_key)
        handed_ns = begin_ns
        start_ns = _free_start(rules, air, node, phase_ns, begin_ns, length_ns)
        work.copy_start_ns[node, copy] = start_ns
        _plan_event(rules, work.copy_pdu_ns[node, copy], start_ns, airtime_ns, length_ns, copy_key)
        free_ns = start_ns + length_ns
        _list_copy(rules, work.head, work.following, work.copy_pdu_ns[node, copy], 8 * node + copy, work.head.shape[0])
        if is_kept:
            _add_event(rules, air, node, start_ns, free_ns, work.copy_pdu_ns[node, copy], airtime_ns)
        if rules.at_window_end:
            phase_ns = rules.scan_interval_ns - free_ns % rules.scan_interval_ns  # scanning begins anew
        spread = spread_unit(extend(key, 30 + copy), state, bits)
        begin_ns = start_ns + interval_ns + int(spread * rules.advertising_delay_ns)
        if turns > 0:
            turns = _count_active(air, row, start_ns)
            begin_ns += turns * interval_ns
    work.copies[node] = count
    if is_kept:
        if rules.rests:
            free_ns = max(free_ns, begin_ns)
        if rules.hands_over:
            free_ns = handed_ns
        _add_job(
            rules, air, work, row, sets, asked_ns, delay_ns, taken_ns, free_ns, first_event,
            air.counts[0] - first_event,
        )  # fmt: skip
    return True


@part
def _list_copy(rules: Any, head: Any, following: Any, pdu_ns: Any, number: Any, size: Any) -> Any:
    """Lists the PDUs of an event by the time of their start: the first alone where the others follow by rule."""
    for channel in range(3 if rules.window_ns else 1):
        bucket = (pdu_ns[channel] >> LIST_SHIFT) % size
        following[3 * number + channel] = head[bucket]
        head[bucket] = 3 * number + channel


@part
def _list_overlaps_of_background(
    rules: Any, head: Any, following: Any, event_pdu_ns: Any, event_airtime_ns: Any, event_node: Any,
    least_airtime_ns: Any, most_airtime_ns: Any, overlaps: Any, count: Any,
    sender: Any, channel: Any, start_ns: Any, airtime_ns: Any,
) -> Any:  # fmt: skip
    """Adds the background PDUs that overlap one to ``overlaps`` (sender, start, end); gives how many there are."""
    back_ns = 0 if rules.window_ns else channel * (most_airtime_ns + rules.gap_ns)
    first = max(0, (start_ns - back_ns - most_airtime_ns) >> LIST_SHIFT)
    last = start_ns + airtime_ns
    if not rules.window_ns:
        last -= channel * (least_airtime_ns + rules.gap_ns)
    for bucket in range(first, min(head.shape[0] - 1, last >> LIST_SHIFT) + 1):
        entry = head[bucket]
        while entry >= 0:
            event = entry // 3
            other_ns = event_pdu_ns[event, channel]
            if (
                (rules.window_ns == 0 or entry - 3 * event == channel)
                and other_ns < start_ns + airtime_ns
                and other_ns + event_airtime_ns[event] > start_ns
                and event_node[event] != sender
                and count < overlaps.shape[0]
            ):
                overlaps[count, 0] = event_node[event]
                overlaps[count, 1] = other_ns
                overlaps[count, 2] = other_ns + event_airtime_ns[event]
                count += 1
            entry = following[entry]
    return count


@part
def _list_overlaps(
    rules: Any, head: Any, following: Any, copy_pdu_ns: Any, overlaps: Any,
    sender: Any, channel: Any, start_ns: Any, airtime_ns: Any,
) -> Any:  # fmt: skip
    """Writes the flood's own PDUs that overlap one to ``overlaps`` (sender, start, end); gives how many there are."""
    count = 0
    listed_ns = start_ns if rules.window_ns else start_ns - channel * (airtime_ns + rules.gap_ns)
    size = head.shape[0]
    for bucket in range((listed_ns - airtime_ns) >> LIST_SHIFT, ((listed_ns + airtime_ns) >> LIST_SHIFT) + 1):
        entry = head[bucket % size]
        while entry >= 0:
            number = entry // 3
            other_ns = copy_pdu_ns[number >> 3, number & 7, channel]
            if (
                (rules.window_ns == 0 or entry - 3 * number == channel)
                and abs(other_ns - start_ns) < airtime_ns
                and number >> 3 != sender
                and count < overlaps.shape[0]
            ):
                overlaps[count, 0] = number >> 3
                overlaps[count, 1] = other_ns
                overlaps[count, 2] = other_ns + airtime_ns
                count += 1
            entry = following[entry]
    return count


@part
def _survive(
    rules: Any, overlaps: Any, count: Any, disturbing_dbm: Any, log_survival: Any, receiver: Any, dbm: Any,
    start_ns: Any, airtime_ns: Any, phase_ns: Any,
) -> Any:  # fmt: skip
    """Probability 0..1 that a PDU comes through what overlaps it."""
    end_ns = start_ns + airtime_ns
    summed_mw, log_sum = 0.0, 0.0
    clean_from_ns, clean_until_ns = start_ns, end_ns
    is_disturbed = False
    for place in range(count):
        other_dbm = float(disturbing_dbm[receiver, overlaps[place, 0]])
        if other_dbm < SILENT_DBM:
            continue
        is_disturbed = True
        if rules.capture == BY_RATIO:
            summed_mw += 10.0 ** (other_dbm / 10.0)
        elif rules.capture == BY_BIT_ERRORS:
            overlap_ns = min(end_ns, overlaps[place, 2]) - max(start_ns, overlaps[place, 1])
            tenths = min(max(int(round((dbm - other_dbm) * 10.0)), -600), 600) + 600
            log_sum += log_survival[tenths] * (overlap_ns // 1000)
        elif overlaps[place, 1] <= start_ns:
            clean_from_ns = max(clean_from_ns, overlaps[place, 2])
        else:
            clean_until_ns = min(clean_until_ns, overlaps[place, 1])
    if not is_disturbed:
        return 1.0
    if rules.capture == BY_BIT_ERRORS:
        return np.exp(log_sum)
    if rules.capture == BY_RATIO:
        margin_db = dbm - 10.0 * np.log10(summed_mw) - rules.capture_db
        return 1.0 if margin_db >= 0.0 else (0.25 if margin_db > -3.0 else 0.0)
    if rules.capture == BY_SAMPLES:
        wait_ns = -(clean_from_ns + phase_ns) % rules.sample_ns
        return 1.0 if clean_from_ns + wait_ns < clean_until_ns else 0.0
    return 0.0


@part
def _push_copy(
    rules: Any, heap: Any, pdu_ns: Any, size: Any, node: Any, copy: Any, after_ns: Any, airtime_ns: Any
) -> Any:
    """Queues the next judgement of a copy: of the whole event, or of its first PDU after ``after_ns``."""
    if rules.window_ns == 0:
        return _push(heap, size, (pdu_ns[2] + airtime_ns) << 21 | node << 5 | copy << 2 | EVERY_PDU)
    best = -1
    for channel in range(3):
        if pdu_ns[channel] > after_ns and (best < 0 or pdu_ns[channel] < pdu_ns[best]):
            best = channel
    if best < 0:
        return -size - 1
    return _push(heap, size, (pdu_ns[best] + airtime_ns) << 21 | node << 5 | copy << 2 | best)


@part
def flood(
    links: Any, rules: Any, settings: Any, air: Any, work: Any, start_ns: Any, source: Any, ttl: Any,
    airtime_ns: Any, key: Any, state: Any, bits: Any, wanted: Any, wanted_count: Any, lone: Any, is_kept: Any,
) -> Any:  # fmt: skip
    """Runs one flood; afterwards ``work`` tells who was reached, when and over how many hops.

    ``wanted``: flags of nodes after ``wanted_count`` of which it ends (0: runs to its end). ``lone``: the single
    destination, which does not relay; -1: several. ``is_kept``: it becomes part of the background, and concerns
    those alone who would relay it. Gives the members reached.
    """
    # arrays by name: taking one out of a tuple within a loop counts its references each time
    out_first, out_target, out_key = links.out_first, links.out_target, links.out_key
    out_delivery, out_deviation, out_dbm = links.out_delivery, links.out_deviation, links.out_dbm
    disturbing_dbm, log_survival, external_per_ns = links.disturbing_dbm, links.log_survival, links.external_per_ns
    slot, event_start_ns, event_end_ns = air.slot, air.event_start_ns, air.event_end_ns
    event_pdu_ns, event_airtime_ns, event_node = air.event_pdu_ns, air.event_airtime_ns, air.event_node
    air_head, air_following = air.head, air.following
    reached_ns, hops, ttls, phase_ns = work.reached_ns, work.hops, work.ttl, work.phase_ns
    copies, copy_pdu_ns, heap = work.copies, work.copy_pdu_ns, work.heap
    head, following, overlaps = work.head, work.following, work.overlaps
    relay, address = settings.relay, settings.address
    copies[:] = 0
    reached_ns[:] = -1
    head[:] = -1
    cycle_ns = 3 * rules.scan_interval_ns
    phase_key = extend(key, 7)
    for node in range(reached_ns.shape[0]):
        # a node that relays has begun its scanning anew after its own events, where the profile does so
        is_common = rules.in_phase and not (rules.restarts and relay[node])
        number = 0 if is_common else address[node]
        phase_ns[node] = int(spread_unit(extend(phase_key, number), state, bits) * cycle_ns)
    reached_ns[source] = start_ns
    hops[source] = 0
    ttls[source] = ttl
    size, members = 0, 0
    message_key = extend(key, 8)
    posterior_key = extend(message_key, 99)
    if _schedule(rules, settings, air, work, source, True, start_ns, airtime_ns, message_key, state, bits, is_kept):
        size = _push_copy(rules, heap, copy_pdu_ns[source, 0], size, source, 0, -1, airtime_ns)
    while size > 0:
        top, size = _pop(heap, size)
        channels, copy, node = top & 3, (top >> 2) & 7, (top >> 5) & 0xFFFF
        left = 0
        sent_ttl = ttls[node] - (1 if hops[node] > 0 else 0)
        copy_key = extend(message_key, 100 + copy)
        first_ns = copy_pdu_ns[node, copy, 0]
        turn_ns = first_ns % cycle_ns
        for link in range(out_first[node], out_first[node + 1]):
            target = out_target[link]
            if reached_ns[target] >= 0:
                continue
            relays = relay[target] and sent_ttl >= 2 and target != lone
            if is_kept and not relays:
                continue
            left += 1
            place_ns = turn_ns + phase_ns[target]  # how far the target's scanner is in its turn over the channels
            if place_ns >= cycle_ns:
                place_ns -= cycle_ns
            for channel in range(3):
                if channels != EVERY_PDU and channel != channels:
                    continue
                pdu_ns = copy_pdu_ns[node, copy, channel]
                at_ns = place_ns + pdu_ns - first_ns
                if at_ns >= cycle_ns:
                    at_ns -= cycle_ns
                elif at_ns < 0:
                    at_ns += cycle_ns
                rest_ns = at_ns - channel * rules.scan_interval_ns
                if rest_ns < 0 or rest_ns + airtime_ns >= rules.scan_window_ns:
                    continue
                if air.is_loaded and _event_in(
                    slot, event_start_ns, event_end_ns, air.shift, air.longest_ns, target, pdu_ns, pdu_ns + airtime_ns
                ) >= 0:  # fmt: skip
                    continue
                draw_key = extend(copy_key, out_key[link])
                delivery = out_delivery[link]
                if out_deviation[link] > 0.0:
                    deviate = normal(extend(posterior_key, out_key[link]), state)
                    delivery = min(1.0, max(0.0, delivery + out_deviation[link] * deviate))
                if unit(draw_key, 2 * state) >= delivery:
                    continue
                dbm = out_dbm[link]
                count = _list_overlaps(rules, head, following, copy_pdu_ns, overlaps, node, channel, pdu_ns, airtime_ns)
                if air.is_loaded:
                    count = _list_overlaps_of_background(
                        rules, air_head, air_following, event_pdu_ns, event_airtime_ns, event_node,
                        air.least_airtime_ns, air.most_airtime_ns, overlaps, count, node, channel, pdu_ns, airtime_ns,
                    )  # fmt: skip
                survival = 1.0
                if count > 0:
                    survival = _survive(
                        rules, overlaps, count, disturbing_dbm, log_survival, target, dbm, pdu_ns, airtime_ns,
                        phase_ns[target],
                    )  # fmt: skip
                if external_per_ns[target] > 0.0:
                    survival *= np.exp(-external_per_ns[target] * 2.0 * airtime_ns)
                if survival < 1.0 and unit(draw_key, 2 * state + 1) >= survival:
                    continue
                left -= 1
                reached_ns[target] = pdu_ns + airtime_ns
                hops[target] = hops[node] + 1
                ttls[target] = sent_ttl
                break
            if reached_ns[target] < 0:
                continue
            if wanted[target]:
                members += 1
                if members == wanted_count:
                    return members
            if relays and _schedule(
                rules, settings, air, work, target, False, reached_ns[target], airtime_ns, message_key, state, bits,
                is_kept,
            ):  # fmt: skip
                size = _push_copy(rules, heap, copy_pdu_ns[target, 0], size, target, 0, -1, airtime_ns)
        if left == 0:
            continue
        if channels != EVERY_PDU:
            size = _push_copy(
                rules, heap, copy_pdu_ns[node, copy], size, node, copy, copy_pdu_ns[node, copy, channels], airtime_ns
            )
            if size >= 0:
                continue
            size = -size - 1
        if copy + 1 < copies[node]:
            size = _push_copy(rules, heap, copy_pdu_ns[node, copy + 1], size, node, copy + 1, -1, airtime_ns)
    return members


@part
def occupy(links: Any, work: Any, airtime_ns: Any) -> Any:
    """Nanoseconds of one channel that the flood just run takes, summed over all nodes that hear or send it.

    Events count in order of their start, as in the simulator, whatever the order of their PDUs.
    """
    out_first, out_target, out_audible = links.out_first, links.out_target, links.out_audible
    copies, copy_start_ns, copy_pdu_ns = work.copies, work.copy_start_ns, work.copy_pdu_ns
    heap, busy_until_ns = work.heap, work.busy_until_ns
    size = 0
    for node in range(copies.shape[0]):
        busy_until_ns[node] = 0
        for copy in range(copies[node]):
            size = _push(heap, size, copy_start_ns[node, copy] << 21 | node << 3 | copy)
    taken = 0
    while size > 0:
        top, size = _pop(heap, size)
        node, copy = (top >> 3) & 0xFFFF, top & 7
        start_ns = copy_pdu_ns[node, copy, 0]
        end_ns = start_ns + airtime_ns
        for link in range(out_first[node] - 1, out_first[node + 1]):
            is_itself = link < out_first[node]
            if not is_itself and not out_audible[link]:
                continue
            hearer = node if is_itself else out_target[link]
            until_ns = busy_until_ns[hearer]
            if until_ns < end_ns:
                busy_until_ns[hearer] = end_ns
                taken += end_ns - max(until_ns, start_ns)
    return taken
