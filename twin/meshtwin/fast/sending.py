"""What one node sends of one message: when each copy begins, and on which channel when."""

from typing import Any

from meshtwin.fast.arrays import REFUSED
from meshtwin.fast.draws import extend, spread_unit, unit
from meshtwin.fast.events import add_event, free_start, list_copy
from meshtwin.fast.jit import part
from meshtwin.fast.queues import add_job, begin_ns_of, count_active, set_free_from, turn_end_ns

__all__ = ["draw_relaying", "schedule"]

FIRST_DELAY, ADVERTISING_DELAY = 1, 30  # what a node's draws for a message are keyed by; the latter plus the copy


@part
def draw_relaying(rules: Any, settings: Any, work: Any, copies: Any, message_key: Any, state: Any, bits: Any) -> Any:
    """Draws the delays of all nodes' ``copies`` beforehand, in loops that are vectorised: a tenth of the cost."""
    address, first_unit, step_unit = settings.address, work.first_unit, work.step_unit
    for node in range(address.shape[0]):
        first_unit[node] = spread_unit(extend(extend(message_key, address[node]), FIRST_DELAY), state, bits)
    if rules.advertising_delay_ns == 0:
        return
    for copy in range(copies):
        for node in range(address.shape[0]):
            key = extend(extend(message_key, address[node]), ADVERTISING_DELAY + copy)
            step_unit[copy, node] = spread_unit(key, state, bits)


@part
def _first_delay_ns(rules: Any, is_own: Any, interval_ns: Any, drawn: Any, key: Any, state: Any) -> Any:
    if is_own and rules.own_delay_ns >= 0:
        return rules.own_delay_ns + int(drawn * rules.own_jitter_ns)
    delay_ns = rules.processing_ns + int(drawn * rules.jitter_ns)
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
def schedule(
    rules: Any, settings: Any, air: Any, work: Any, node: Any, is_own: Any, asked_ns: Any, airtime_ns: Any,
    message_key: Any, state: Any, bits: Any, is_kept: Any,
) -> Any:  # fmt: skip
    """Plans all copies of a node; whether it sends at all (its queue may be full).

    Relaying takes what `draw_relaying` has drawn.
    """
    count = settings.own_count[node] if is_own else settings.relay_count[node]
    interval_ns = settings.own_interval_ns[node] if is_own else settings.relay_interval_ns[node]
    key = extend(message_key, settings.address[node])
    drawn = spread_unit(extend(key, FIRST_DELAY), state, bits) if is_own else work.first_unit[node]
    delay_ns = _first_delay_ns(rules, is_own, interval_ns, drawn, key, state)
    if rules.queue_after_delay:
        asked_ns += delay_ns
        delay_ns = 0
    length_ns = 3 * airtime_ns + 2 * rules.gap_ns + rules.overhead_ns
    row, sets = 2 * node, rules.relay_sets
    if is_own and rules.own_sets > 0:
        row, sets = row + 1, rules.own_sets
    taken_ns, waiting = asked_ns, 0
    if air.is_loaded:
        taken_ns, waiting = set_free_from(air, work, row, sets, air.job_count[row], asked_ns)
        if waiting >= (rules.own_buffer if is_own else rules.buffer):
            air.counts[REFUSED] += is_kept
            return False
    first_event = air.counts[0]
    begin_ns = begin_ns_of(rules, asked_ns, delay_ns, taken_ns)
    takes_turns = rules.takes_turns and air.is_loaded and not is_kept
    if takes_turns:
        turns = count_active(air, row, asked_ns, asked_ns)
        begin_ns = asked_ns + delay_ns
        if turns > 0:  # the turn that is under way, and one of each of the others
            begin_ns = turn_end_ns(air, row, asked_ns, interval_ns) + (turns - 1) * interval_ns
    # a single set never sends two messages at a time: those that use it then had to wait for this one
    waiting_kind = -1
    if sets == 1 and not is_kept:
        waiting_kind = int(is_own) if rules.own_sets > 0 else 2
    phase_ns = work.phase_ns[node]
    free_ns = begin_ns
    rested_ns = begin_ns  # as `begin_ns`, but for waits for the radio, of which there are none where copies take turns
    for copy in range(count):
        copy_key = key  # of use in a window alone
        if rules.window_ns > 0:
            copy_key = extend(extend(key, 3 + copy), state)
            length_ns = rules.window_ns + _window_jitter_ns(rules, copy_key)
        handed_ns = begin_ns
        start_ns = free_start(rules, air, node, phase_ns, begin_ns, length_ns, waiting_kind)
        work.copy_start_ns[node, copy] = start_ns
        _plan_event(rules, work.copy_pdu_ns[node, copy], start_ns, airtime_ns, length_ns, copy_key)
        free_ns = start_ns + length_ns
        list_copy(
            rules, work.head, work.following, work.copy_pdu_ns[node, copy], 8 * node + copy, work.head.shape[0] - 1
        )
        if is_kept:
            add_event(rules, air, node, is_own, start_ns, free_ns, work.copy_pdu_ns[node, copy], airtime_ns)
        if rules.at_window_end:
            phase_ns = rules.scan_interval_ns - free_ns % rules.scan_interval_ns  # scanning begins anew
        step_ns = interval_ns
        if rules.advertising_delay_ns > 0:
            drawn = work.step_unit[copy, node]
            if is_own:
                drawn = spread_unit(extend(key, ADVERTISING_DELAY + copy), state, bits)
            step_ns += int(drawn * rules.advertising_delay_ns)
        begin_ns = start_ns + step_ns
        rested_ns += step_ns
        if takes_turns:  # whoever comes in before this turn is over is ahead as well
            begin_ns += count_active(air, row, start_ns, begin_ns) * interval_ns
    work.copies[node] = count
    if is_kept:
        if rules.rests:
            free_ns = max(free_ns, begin_ns)
        if rules.hands_over:
            free_ns = handed_ns
        if rules.takes_turns:
            free_ns = rested_ns
        add_job(
            rules, air, work, row, sets, asked_ns, delay_ns, taken_ns, free_ns, first_event,
            air.counts[0] - first_event,
        )  # fmt: skip
    return True
