"""Which PDUs overlap one at a receiver, and what they leave of it."""

from typing import Any

import numpy as np

from meshtwin.fast.events import LIST_SHIFT
from meshtwin.fast.jit import part

__all__ = ["list_overlaps", "list_overlaps_of_background", "survive"]

SILENT_DBM = -900.0
PDUS_OF_NODE = 24  # room in the list: 8 copies on 3 channels
BY_BIT_ERRORS = 1  # codes of Rules.capture; 0: any overlap destroys
BY_RATIO = 2
BY_SAMPLES = 3


@part
def list_overlaps_of_background(
    rules: Any, head: Any, following: Any, event_pdu_ns: Any, event_airtime_ns: Any, event_node: Any,
    least_airtime_ns: Any, most_airtime_ns: Any, overlaps: Any, count: Any,
    sender: Any, channel: Any, start_ns: Any, airtime_ns: Any,
) -> Any:  # fmt: skip
    """Adds the background PDUs that overlap one to ``overlaps``, as `list_overlaps` does; gives how many there are."""
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
                overlaps[count, 1] = other_ns - start_ns
                overlaps[count, 2] = other_ns - start_ns + event_airtime_ns[event]
                count += 1
            entry = following[entry]
    return count


@part
def list_overlaps(
    rules: Any, head: Any, following: Any, listed_ns: Any, overlaps: Any,
    sender: Any, channel: Any, start_ns: Any, airtime_ns: Any,
) -> Any:  # fmt: skip
    """Writes the flood's own PDUs that overlap one to ``overlaps``; gives how many there are.

    Sender, start and end, both from the start of the PDU on. Where PDUs follow each other by rule, they are the same
    on each channel. ``listed_ns``: the PDUs' starts by entry of the list.
    """
    count = 0
    ahead = 0 if rules.window_ns else channel  # entries are those of the first channel then
    first_ns = start_ns - ahead * (airtime_ns + rules.gap_ns)
    mask = head.shape[0] - 1
    for bucket in range((first_ns - airtime_ns) >> LIST_SHIFT, ((first_ns + airtime_ns) >> LIST_SHIFT) + 1):
        entry = head[bucket & mask]
        while entry >= 0:
            after_ns = listed_ns[entry] - first_ns
            if -airtime_ns < after_ns < airtime_ns and (rules.window_ns == 0 or entry % 3 == channel):
                node = entry // PDUS_OF_NODE
                if node != sender and count < overlaps.shape[0]:
                    overlaps[count, 0] = node
                    overlaps[count, 1] = after_ns
                    overlaps[count, 2] = after_ns + airtime_ns
                    count += 1
            entry = following[entry]
    return count


@part
def survive(
    rules: Any, overlaps: Any, count: Any, disturbing_dbm: Any, log_survival: Any, receiver: Any, dbm: Any,
    start_ns: Any, airtime_ns: Any, phase_ns: Any,
) -> Any:  # fmt: skip
    """Probability 0..1 that a PDU comes through what overlaps it."""
    summed_mw, log_sum = 0.0, 0.0
    clean_from_ns, clean_until_ns = 0, airtime_ns
    is_disturbed = False
    for place in range(count):
        other_dbm = float(disturbing_dbm[receiver, overlaps[place, 0]])
        if other_dbm < SILENT_DBM:
            continue
        is_disturbed = True
        if rules.capture == BY_RATIO:
            summed_mw += 10.0 ** (other_dbm / 10.0)
        elif rules.capture == BY_BIT_ERRORS:
            overlap_ns = min(airtime_ns, overlaps[place, 2]) - max(0, overlaps[place, 1])
            tenths = min(max(int(round((dbm - other_dbm) * 10.0)), -600), 600) + 600
            log_sum += log_survival[tenths] * (overlap_ns // 1000)
        elif overlaps[place, 1] <= 0:
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
        wait_ns = -(start_ns + clean_from_ns + phase_ns) % rules.sample_ns
        return 1.0 if clean_from_ns + wait_ns < clean_until_ns else 0.0
    return 0.0
