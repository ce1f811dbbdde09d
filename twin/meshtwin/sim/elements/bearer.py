"""The advertising bearer: when the PDUs of one advertising event are on which channel."""

from typing import NamedTuple

from meshtwin.sim.draws import draw, draw_below_ns, extend_key
from meshtwin.sim.profiles import StackProfile

__all__ = ["Advertisement", "Pdu", "plan_event"]

CHANNEL_ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


class Pdu(NamedTuple):
    """One PDU on channel 0..2 (37..39)."""

    channel: int
    start_ns: int
    end_ns: int


class Advertisement(NamedTuple):
    """One advertising event: the time for which the radio is deaf, and its PDUs in order of their start."""

    start_ns: int
    end_ns: int
    pdus: tuple[Pdu, ...]


def plan_event(profile: StackProfile, start_ns: int, airtime_ns: int, key: int) -> Advertisement:
    """The event that starts at ``start_ns``; ``key`` belongs to (node, message, copy)."""
    if profile.event_window_ns == 0:
        step = airtime_ns + profile.channel_gap_ns
        first = start_ns + profile.event_overhead_ns // 2
        second, third = first + step, first + 2 * step
        pdus = (
            Pdu(0, first, first + airtime_ns),
            Pdu(1, second, second + airtime_ns),
            Pdu(2, third, third + airtime_ns),
        )
        return Advertisement(start_ns, third + airtime_ns + profile.event_overhead_ns // 2, pdus)
    window_ns = profile.event_window_ns + _window_jitter_ns(profile, key)
    order = CHANNEL_ORDERS[int(draw(key, 1) * len(CHANNEL_ORDERS))]
    if profile.pdu_first_ns is not None:
        starts = _spaced_starts(profile, start_ns, airtime_ns, extend_key(key, 2))
    else:
        starts = _any_starts(start_ns, window_ns, airtime_ns, extend_key(key, 2))
    a, b, c = (Pdu(order[i], starts[i], starts[i] + airtime_ns) for i in range(3))
    return Advertisement(start_ns, start_ns + window_ns, (a, b, c))


def _window_jitter_ns(profile: StackProfile, key: int) -> int:
    step_ns = profile.event_window_step_ns
    if step_ns == 0:
        return draw_below_ns(key, 0, profile.event_window_jitter_ns)
    return draw_below_ns(key, 0, profile.event_window_jitter_ns // step_ns + 1) * step_ns


def _spaced_starts(profile: StackProfile, start_ns: int, airtime_ns: int, key: int) -> list[int]:
    """Each PDU a least time and a jitter after the one before; all end within the window's fixed part."""
    first_ns, (least_ns, jitter_ns) = profile.pdu_first_ns or (0, 0), profile.pdu_next_ns
    last_ns = start_ns + profile.event_window_ns - airtime_ns
    starts = [start_ns + first_ns[0] + draw_below_ns(key, 0, first_ns[1])]
    for place in (1, 2):
        left_ns = last_ns - starts[-1] - least_ns
        starts.append(starts[-1] + least_ns + draw_below_ns(key, place, min(jitter_ns, left_ns)))
    return starts


def _any_starts(start_ns: int, window_ns: int, airtime_ns: int, key: int) -> list[int]:
    """Anywhere in the window, one after the other."""
    # uniform order statistics over the time that the three PDUs leave free, so that they never overlap
    free_ns = window_ns - 3 * airtime_ns
    slack = sorted(draw_below_ns(key, i, free_ns) for i in range(3))
    return [start_ns + slack[i] + i * airtime_ns for i in range(3)]
