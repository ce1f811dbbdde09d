"""Scanners, half duplex and interference, as in `meshtwin.sim.elements` and `meshtwin.sim.air`."""

import math
from typing import Final

import numpy as np

from meshtwin.sim.air import NOISE_MW
from meshtwin.sim.compiled.jit import inlined
from meshtwin.sim.compiled.layout import SINR_LEAST_TENTHS, SINR_MOST_TENTHS, Records, State
from meshtwin.sim.elements.bearer import CHANNEL_ORDERS
from meshtwin.sim.interference import DAY_NS

__all__ = [
    "channel_at",
    "is_sending",
    "listens_to",
    "preset_scanner",
    "quiet_share",
    "restart_scanner",
    "survival_of",
    "turn_scanner",
    "window_end",
]

ORDERS: Final = np.array(CHANNEL_ORDERS, dtype=np.int64)


@inlined
def turn_scanner(profile: Records, nodes: Records, node: int, time_ns: int) -> int:
    """Time since the window in which ``time_ns`` falls began; that window becomes the one at hand."""
    since = time_ns - nodes[node].scan_ns
    interval = profile[0].scan_interval_ns
    if since < 0 or since >= interval:
        turns = since // interval
        nodes[node].scan_ns += turns * interval
        nodes[node].scan_turn = (nodes[node].scan_turn + turns) % 3
        since -= turns * interval
    return since


@inlined
def channel_at(profile: Records, nodes: Records, node: int, time_ns: int) -> int:
    """Channel 0..2, or -1 between window and interval."""
    since = turn_scanner(profile, nodes, node, time_ns)
    return ORDERS[nodes[node].scan_order, nodes[node].scan_turn] if since < profile[0].scan_window_ns else -1


@inlined
def listens_at(profile: Records, nodes: Records, node: int, time_ns: int) -> int:
    """`channel_at`, or that of a low-power node: -1 outside its window."""
    if nodes[node].friendship < 0:
        return channel_at(profile, nodes, node, time_ns)
    since = time_ns - nodes[node].scan_origin_ns
    if since < 0 or time_ns >= nodes[node].window_until_ns:
        return -1
    return (since // profile[0].scan_interval_ns) % 3


@inlined
def listens_to(profile: Records, nodes: Records, node: int, channel: int, start_ns: int, end_ns: int) -> bool:
    """Whether the node is on the channel from start to end, or at one sample where the channel is sampled."""
    step_ns = profile[0].scan_sample_ns
    if step_ns == 0:
        if listens_at(profile, nodes, node, start_ns) != channel:
            return False
        return bool(listens_at(profile, nodes, node, end_ns) == channel)
    sample_ns = start_ns + (nodes[node].scan_origin_ns - start_ns) % step_ns
    while sample_ns < end_ns:
        if listens_at(profile, nodes, node, sample_ns) == channel:
            return True
        sample_ns += step_ns
    return False


@inlined
def window_end(profile: Records, nodes: Records, node: int, time_ns: int) -> int:
    """End of the interval that runs at ``time_ns``; ``time_ns`` itself on a boundary."""
    return time_ns + (nodes[node].scan_ns - time_ns) % profile[0].scan_interval_ns


@inlined
def restart_scanner(nodes: Records, node: int, time_ns: int, order: int) -> None:
    """Begins a fresh window at ``time_ns``, from now on in that order of channels."""
    nodes[node].scan_turn = 0
    nodes[node].scan_order = order
    nodes[node].scan_ns = time_ns
    nodes[node].scan_origin_ns = time_ns


@inlined
def preset_scanner(profile: Records, nodes: Records, node: int, time_ns: int, share: float) -> None:
    """Puts the scanner ``share``, 0..1, into its turn over the three channels at ``time_ns``."""
    place = share * 3.0
    turn = int(place)
    origin_ns = time_ns - int((place - float(turn)) * float(profile[0].scan_interval_ns))
    nodes[node].scan_turn = turn
    nodes[node].scan_ns = origin_ns
    nodes[node].scan_origin_ns = origin_ns


@inlined
def is_sending(nodes: Records, node: int, start_ns: int, end_ns: int) -> bool:
    """Whether own sending touches the time from ``start_ns`` to ``end_ns``."""
    if nodes[node].radio_from_ns < end_ns and nodes[node].radio_until_ns > start_ns:
        return True
    return bool(nodes[node].radio_previous_ns > start_ns)


@inlined
def survival_of(s: State, sender: int, receiver: int, rx_mw: float, channel: int, start_ns: int, end_ns: int) -> float:
    """Probability that a PDU comes through.

    Looks at the two last events of each node that is heard here: PDUs are shorter than events, so that no earlier
    one can reach into this PDU.
    """
    profile, nodes, air = s.profile, s.nodes, s.air_ns
    survival = 1.0
    external = nodes[receiver].external_pdus_per_s
    if external > 0.0:
        survival = math.exp(-external * 2.0 * float(end_ns - start_ns) * 1e-9)
    if profile[0].scan_sample_ns != 0 and profile[0].captures == 0:
        return survival if is_sampled_clean(s, sender, receiver, channel, start_ns, end_ns) else 0.0
    summed_mw = 0.0
    for place in range(nodes[receiver].heard_from, nodes[receiver].heard_to):
        other = s.heard[place].source
        if nodes[other].radio_until_ns <= start_ns or other == sender:
            continue
        for which in range(2):
            base = other * 8 + which * 4
            other_start = air[base + channel]
            other_end = other_start + air[base + 3]
            if other_start >= end_ns or other_end <= start_ns:
                continue
            if profile[0].captures == 0:
                return 0.0
            interference_mw = s.heard[place].rx_mw
            if profile[0].has_capture_db != 0:
                summed_mw += interference_mw
                continue
            overlap_ns = min(end_ns, other_end) - max(start_ns, other_start)
            sinr_db = 10.0 * math.log10(rx_mw / (interference_mw + NOISE_MW))
            tenths = int(np.rint(sinr_db * 10.0))
            tenths = min(max(tenths, SINR_LEAST_TENTHS), SINR_MOST_TENTHS)
            survival *= s.survival[tenths - SINR_LEAST_TENTHS] ** float(overlap_ns // 1000)
    if summed_mw > 0.0:
        margin_db = 10.0 * math.log10(rx_mw / summed_mw) - profile[0].capture_db
        if margin_db < 0.0:
            survival *= 0.25 if margin_db > -3.0 else 0.0
    return survival


@inlined
def is_sampled_clean(s: State, sender: int, receiver: int, channel: int, start_ns: int, end_ns: int) -> bool:
    """Whether one of the receiver's samples on the channel finds nobody else that it can hear, or none overlaps."""
    step_ns = s.profile[0].scan_sample_ns
    if not is_disturbed(s, sender, receiver, channel, start_ns, end_ns):
        return True
    sample_ns = start_ns + (s.nodes[receiver].scan_origin_ns - start_ns) % step_ns
    while sample_ns < end_ns:
        is_there = listens_at(s.profile, s.nodes, receiver, sample_ns) == channel
        if is_there and not is_disturbed(s, sender, receiver, channel, sample_ns, sample_ns + 1):
            return True
        sample_ns += step_ns
    return False


@inlined
def is_disturbed(s: State, sender: int, receiver: int, channel: int, start_ns: int, end_ns: int) -> bool:
    """Whether anybody else that the receiver can hear is on the channel between the two times."""
    nodes, air = s.nodes, s.air_ns
    for place in range(nodes[receiver].heard_from, nodes[receiver].heard_to):
        other = s.heard[place].source
        if nodes[other].radio_until_ns <= start_ns or other == sender:
            continue
        for which in range(2):
            base = other * 8 + which * 4
            if air[base + channel] < end_ns and air[base + channel] + air[base + 3] > start_ns:
                return True
    return False


@inlined
def quiet_share(s: State, node: int, channel: int, start_ns: int, end_ns: int) -> float:
    """Probability that no burst of another technology touches the PDU at the node."""
    day_ns = (s.profile[0].start_of_day_ns + start_ns) % DAY_NS
    exponent = 0.0
    for place in range(s.burst_from[node * 3 + channel], s.burst_from[node * 3 + channel + 1]):
        from_ns, until_ns = s.bursts[place].from_ns, s.bursts[place].until_ns
        inside = (from_ns <= day_ns < until_ns) if from_ns <= until_ns else not (until_ns <= day_ns < from_ns)
        if inside:
            exponent += s.bursts[place].quiet_log - s.bursts[place].bursts_per_s * float(end_ns - start_ns) * 1e-9
    return math.exp(exponent)
