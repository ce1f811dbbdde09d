"""Memory for the kernel: scratch of a flood, and the air of the background."""

from typing import Final, NamedTuple

import numpy as np

from meshtwin.fast.arrays import Air, BackgroundTable, Ints, Rules, SettingsTable, Work
from meshtwin.fast.declining import QUEUE_MOST

__all__ = ["find_excess", "make_air", "make_quiet_air", "make_work"]

COPIES_MOST: Final = 8  # transmit count 7 and the first
LISTED_HALF_MS: Final = 2048  # about a second, a power of two; later PDUs share a place, which costs time alone
OVERLAPS_MOST: Final = 256  # PDUs in the whole network that overlap one; more are not looked at
LIST_SHIFT: Final = 19  # as in the kernel
SPAN_MOST_S: Final = (
    4_000  # the kernel's heap keys hold 4398 s (42 bits of nanoseconds); the rest is for the last flood
)
EVENTS_MOST: Final = (2**31 - 1) // 3  # lists of PDUs hold 3 * event + channel in 32 bits
BYTES_MOST: Final = 8 << 30  # address space of one air; assumed to be more than a worker is given


class _Sizes(NamedTuple):
    """Lengths of the arrays of an air, derived from the rules; each reason stands where it is reckoned."""

    shift: int
    longest_ns: int
    buckets: int
    heads: int
    events: int
    jobs: int


def make_work(nodes: int) -> Work:
    """Scratch for floods among ``nodes`` nodes.

    A node schedules a message once, in at most `COPIES_MOST` copies (transmit counts are 0..7), on three channels.
    The heap holds one copy of each node in a flood, all copies when airtime is summed up, and serves as the ring of
    turns, which takes what there is place for.
    """
    copy_pdu_ns = np.zeros((nodes, COPIES_MOST, 3), np.int64)
    return Work(
        reached_ns=np.empty(nodes, np.int64),
        hops=np.zeros(nodes, np.int64),
        parent=np.zeros(nodes, np.int64),
        ttl=np.zeros(nodes, np.int64),
        phase_ns=np.zeros(nodes, np.int64),
        first_unit=np.zeros(nodes),
        step_unit=np.zeros((COPIES_MOST, nodes)),
        copies=np.zeros(nodes, np.int64),
        copy_start_ns=np.zeros((nodes, COPIES_MOST), np.int64),
        copy_pdu_ns=copy_pdu_ns,
        listed_ns=copy_pdu_ns.reshape(-1),
        heap=np.zeros(COPIES_MOST * nodes + 64, np.int64),
        release_ns=np.zeros(QUEUE_MOST, np.int64),
        busy_until_ns=np.zeros(nodes, np.int64),
        head=np.full(LISTED_HALF_MS, -1, np.int32),
        following=np.full(3 * COPIES_MOST * nodes, -1, np.int32),
        overlaps=np.zeros((OVERLAPS_MOST, 3), np.int64),
    )


def find_excess(rules: Rules, settings: SettingsTable, table: BackgroundTable, span_ns: int) -> str | None:
    """Why there is no room for the events of ``table``, which has a message at least; None: there is."""
    if span_ns > SPAN_MOST_S * 1_000_000_000:
        return f"other messages over {span_ns * 1e-9:.0f} s are more than {SPAN_MOST_S} s: ask for fewer states"
    sizes = _measure(rules, settings, table, span_ns)
    if sizes.events > EVENTS_MOST:
        return f"{sizes.events} events of other messages are more than {EVENTS_MOST}: ask for fewer states"
    nodes = len(settings.relay)
    size = 4 * (sizes.buckets * nodes + sizes.heads) + 69 * sizes.events + 112 * nodes * sizes.jobs
    if size > BYTES_MOST:
        return (
            f"other messages need {size / 2**30:.1f} GiB of room, more than {BYTES_MOST / 2**30:.0f} GiB: "
            "ask for fewer states"
        )
    return None


def _measure(rules: Rules, settings: SettingsTable, table: BackgroundTable, span_ns: int) -> _Sizes:
    airtimes = table.airtime_ns
    shortest_ns = rules.window_ns or int(3 * airtimes.min() + 2 * rules.gap_ns + rules.overhead_ns)
    longest_ns = rules.window_ns + rules.window_jitter_ns
    if not rules.window_ns:
        longest_ns = int(3 * airtimes.max() + 2 * rules.gap_ns + rules.overhead_ns)
    shift = shortest_ns.bit_length() - 1  # at most one event begins in a bucket: the radio does one at a time
    buckets = (span_ns >> shift) + 2
    # PDUs begin within their event, or later where the steps from one to the next are longer than the window
    steps_ns = rules.pdu_first_ns + rules.pdu_first_jitter_ns + 2 * (rules.pdu_next_ns + rules.pdu_next_jitter_ns)
    # every relay takes part once in every flood that may be relayed, the source sends its own message
    floods = int(np.sum(table.ttl >= 2))
    relayed = int(np.sum(settings.relay_count[settings.relay > 0]))
    return _Sizes(
        shift=int(shift),
        longest_ns=int(longest_ns),
        buckets=int(buckets),
        # The last PDU of the last event that has a slot still needs a place.
        heads=(((int(buckets) << int(shift)) + int(max(longest_ns, steps_ns))) >> LIST_SHIFT) + 2,
        events=floods * relayed + int(settings.own_count[table.source].sum()),
        # one row may have both the node's own messages and those that it relays
        jobs=int(np.bincount(table.source, minlength=len(settings.relay)).max()) + floods,
    )


def make_air(rules: Rules, settings: SettingsTable, table: BackgroundTable, span_ns: int) -> Air:
    """Room for all events of ``table``, should every relay take part in every flood that may be relayed.

    `find_excess` says beforehand whether there is room at all.
    """
    nodes, airtimes = len(settings.relay), table.airtime_ns
    sizes = _measure(rules, settings, table, span_ns)
    events, jobs = sizes.events, sizes.jobs
    return Air(
        slot=np.full((sizes.buckets, nodes), -1, np.int32),
        shift=sizes.shift,
        longest_ns=sizes.longest_ns,
        event_start_ns=np.empty(events, np.int64),
        event_end_ns=np.empty(events, np.int64),
        event_pdu_ns=np.empty((events, 3), np.int64),
        event_airtime_ns=np.empty(events, np.int64),
        event_node=np.empty(events, np.int64),
        event_is_own=np.empty(events, np.uint8),
        head=np.full(sizes.heads, -1, np.int32),
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
        counts=np.zeros(4, np.int64),
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
        event_is_own=np.zeros(0, np.uint8),
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
        counts=np.zeros(4, np.int64),
        is_loaded=0,
    )
