"""Memory for the kernel: scratch of a flood, and the air of the background."""

from typing import Final

import numpy as np

from meshtwin.fast.arrays import Air, BackgroundTable, Ints, Rules, SettingsTable, Work

__all__ = ["make_air", "make_quiet_air", "make_work"]

COPIES_MOST: Final = 8  # transmit count 7 and the first
LISTED_HALF_MS: Final = 2048  # about a second, a power of two; later PDUs share a place, which costs time alone
OVERLAPS_MOST: Final = 256  # PDUs in the whole network that overlap one; more are not looked at
LIST_SHIFT: Final = 19  # as in the kernel
QUEUE_MOST: Final = 256  # messages ahead in a queue that are looked at


def make_work(nodes: int) -> Work:
    """Scratch for floods among ``nodes`` nodes."""
    return Work(
        reached_ns=np.empty(nodes, np.int64),
        hops=np.zeros(nodes, np.int64),
        ttl=np.zeros(nodes, np.int64),
        phase_ns=np.zeros(nodes, np.int64),
        copies=np.zeros(nodes, np.int64),
        copy_start_ns=np.zeros((nodes, COPIES_MOST), np.int64),
        copy_pdu_ns=np.zeros((nodes, COPIES_MOST, 3), np.int64),
        heap=np.zeros(COPIES_MOST * nodes + 64, np.int64),
        release_ns=np.zeros(QUEUE_MOST, np.int64),
        busy_until_ns=np.zeros(nodes, np.int64),
        head=np.full(LISTED_HALF_MS, -1, np.int32),
        following=np.full(3 * COPIES_MOST * nodes, -1, np.int32),
        overlaps=np.zeros((OVERLAPS_MOST, 3), np.int64),
    )


def make_air(rules: Rules, settings: SettingsTable, table: BackgroundTable, span_ns: int) -> Air:
    """Room for all events of ``table``, should every relay take part in every flood that may be relayed."""
    nodes = len(settings.relay)
    airtimes = table.airtime_ns
    shortest_ns = rules.window_ns or int(3 * airtimes.min() + 2 * rules.gap_ns + rules.overhead_ns)
    longest_ns = rules.window_ns + rules.window_jitter_ns
    if not rules.window_ns:
        longest_ns = int(3 * airtimes.max() + 2 * rules.gap_ns + rules.overhead_ns)
    shift = shortest_ns.bit_length() - 1  # at most one event begins in a bucket: the radio does one at a time
    floods = int(np.sum(table.ttl >= 2))
    relayed = int(np.sum(settings.relay_count[settings.relay > 0]))
    events = floods * relayed + int(settings.own_count[table.source].sum())
    jobs = np.bincount(table.source, minlength=nodes).max() + floods
    return Air(
        slot=np.full(((span_ns >> shift) + 2, nodes), -1, np.int32),
        shift=int(shift),
        longest_ns=int(longest_ns),
        event_start_ns=np.empty(events, np.int64),
        event_end_ns=np.empty(events, np.int64),
        event_pdu_ns=np.empty((events, 3), np.int64),
        event_airtime_ns=np.empty(events, np.int64),
        event_node=np.empty(events, np.int64),
        # The last PDU of the last event that has a slot still needs a place.
        head=np.full((((((span_ns >> shift) + 2) << shift) + longest_ns) >> LIST_SHIFT) + 2, -1, np.int32),
        following=np.empty(3 * events, np.int32),
        least_airtime_ns=int(airtimes.min()),
        most_airtime_ns=int(airtimes.max()),
        job_asked_ns=np.empty((2 * nodes, jobs), np.int64),
        job_taken_ns=np.empty((2 * nodes, jobs), np.int64),
        job_delay_ns=np.empty((2 * nodes, jobs), np.int64),
        job_placed_ns=np.empty((2 * nodes, jobs), np.int64),
        job_event=np.empty((2 * nodes, jobs), np.int64),
        job_events=np.empty((2 * nodes, jobs), np.int64),
        job_free_ns=np.empty((2 * nodes, jobs), np.int64),
        job_count=np.zeros(2 * nodes, np.int64),
        job_from=np.zeros(2 * nodes, np.int64),
        counts=np.zeros(2, np.int64),
        is_loaded=1,
    )


def make_quiet_air(nodes: int) -> Air:
    """An air with nothing on it."""
    none: Ints = np.zeros(0, np.int64)
    rows = np.zeros((2 * nodes, 1), np.int64)
    return Air(
        slot=np.full((1, 1), -1, np.int32),
        shift=20,
        longest_ns=1,
        event_start_ns=none,
        event_end_ns=none,
        event_pdu_ns=np.zeros((0, 3), np.int64),
        event_airtime_ns=none,
        event_node=none,
        head=np.full(1, -1, np.int32),
        following=np.zeros(0, np.int32),
        least_airtime_ns=1,
        most_airtime_ns=1,
        job_asked_ns=rows,
        job_taken_ns=rows.copy(),
        job_delay_ns=rows.copy(),
        job_placed_ns=rows.copy(),
        job_event=rows.copy(),
        job_events=rows.copy(),
        job_free_ns=rows.copy(),
        job_count=np.zeros(2 * nodes, np.int64),
        job_from=np.zeros(2 * nodes, np.int64),
        counts=np.zeros(2, np.int64),
        is_loaded=0,
    )
