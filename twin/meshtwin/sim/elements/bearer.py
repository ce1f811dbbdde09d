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
    window_ns = profile.event_window_ns + draw_below_ns(key, 0, profile.event_window_jitter_ns)
    order = CHANNEL_ORDERS[int(draw(key, 1) * len(CHANNEL_ORDERS))]
    # uniform order statistics over the time that the three PDUs leave free, so that they never overlap
    free_ns = window_ns - 3 * airtime_ns
    slack = sorted(draw_below_ns(extend_key(key, 2), i, free_ns) for i in range(3))
    starts = [start_ns + slack[i] + i * airtime_ns for i in range(3)]
    a, b, c = (Pdu(order[i], starts[i], starts[i] + airtime_ns) for i in range(3))
    return Advertisement(start_ns, start_ns + window_ns, (a, b, c))
