"""Advertising events on the air: finding them by node and time, listing their PDUs by time, adding and moving them."""

from typing import Any

from meshtwin.fast.arrays import NO_ROOM, OFF_TIME
from meshtwin.fast.jit import part

__all__ = ["LIST_SHIFT", "add_event", "event_in", "free_start", "list_copy", "move_event"]

LIST_SHIFT = 19  # PDUs are listed by half milliseconds


@part
def event_in(
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
def free_start(rules: Any, air: Any, node: Any, phase_ns: Any, time_ns: Any, length_ns: Any, waiting: Any) -> Any:
    """First time from ``time_ns`` on at which the radio is free for ``length_ns`` and the profile may begin.

    ``waiting``: whose events are those of messages that wait for this one; 0: relayed ones, 1: own ones, -1: none,
    2: all.
    """
    while True:
        start_ns = _window_end(rules, phase_ns, time_ns) if rules.at_window_end else time_ns
        if waiting == 2 or not air.is_loaded:
            return start_ns
        event = event_in(
            air.slot, air.event_start_ns, air.event_end_ns, air.shift, air.longest_ns, node, start_ns,
            start_ns + length_ns,
        )  # fmt: skip
        if event < 0 or air.event_is_own[event] == waiting:
            return start_ns
        time_ns = air.event_end_ns[event]
        if rules.restarts:
            phase_ns = rules.scan_interval_ns - time_ns % rules.scan_interval_ns


@part
def add_event(
    rules: Any, air: Any, node: Any, is_own: Any, start_ns: Any, end_ns: Any, pdu_ns: Any, airtime_ns: Any
) -> Any:
    event = air.counts[0]
    if event >= air.event_start_ns.shape[0]:
        air.counts[NO_ROOM] += 1
        return
    air.counts[0] += 1
    air.event_start_ns[event] = start_ns
    air.event_end_ns[event] = end_ns
    air.event_airtime_ns[event] = airtime_ns
    air.event_node[event] = node
    air.event_is_own[event] = is_own
    for channel in range(3):
        air.event_pdu_ns[event, channel] = pdu_ns[channel]
    _enter_event(rules, air, event)


@part
def _enter_event(rules: Any, air: Any, event: Any) -> Any:
    """Makes an event visible, unless it is after the time that anybody looks at.

    `make_air` derives the length of ``head`` from the rules; an event that they can't give is counted, not listed.
    """
    bucket = air.event_start_ns[event] >> air.shift
    if bucket < air.slot.shape[0]:
        for channel in range(3 if rules.window_ns else 1):
            place = air.event_pdu_ns[event, channel] >> LIST_SHIFT
            if bucket < 0 or place < 0 or place >= air.head.shape[0]:
                air.counts[OFF_TIME] += 1
                return
        air.slot[bucket, air.event_node[event]] = event
        list_copy(rules, air.head, air.following, air.event_pdu_ns[event], event, -1)


@part
def move_event(rules: Any, air: Any, event: Any, start_ns: Any) -> Any:
    """Enters an event at ``start_ns``, or when the radio has done what it does then."""
    length_ns = air.event_end_ns[event] - air.event_start_ns[event]
    while True:
        other = event_in(
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
def list_copy(rules: Any, head: Any, following: Any, pdu_ns: Any, number: Any, mask: Any) -> Any:
    """Lists the PDUs of an event by the time of their start: the first alone where the others follow by rule.

    ``mask``: of the place in ``head``; -1: it is as long as the time.
    """
    for channel in range(3 if rules.window_ns else 1):
        bucket = (pdu_ns[channel] >> LIST_SHIFT) & mask
        following[3 * number + channel] = head[bucket]
        head[bucket] = 3 * number + channel
