"""The arrays that the kernel works on, as named tuples (which numba takes as they are).

Times are int64 nanoseconds, powers float64; node and link indices count from 0 in the scenario's order.
No numba here: reading these types costs nothing.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "MET",
    "NO_ROOM",
    "OFF_TIME",
    "ON_THE_WAY",
    "REFUSED",
    "Air",
    "BackgroundTable",
    "Floats",
    "Ints",
    "Links",
    "Rules",
    "SettingsTable",
    "Work",
]

# Places in `Air.counts` after that of the events: see there.
NO_ROOM: Final = 1
OFF_TIME: Final = 2
REFUSED: Final = 3
# What a state knows of a node, as bits: it was reached; it handed the message on to a member.
MET: Final = 1
ON_THE_WAY: Final = 2

Ints = npt.NDArray[np.int64]
Small = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.uint8]


class Links(NamedTuple):
    """Directed links between nodes that are on, by sender.

    ``out_first``: (nodes + 1,) where a node's entries begin. ``out_delivery`` of a single transmission on a quiet
    channel, (1 + airtimes, links): first that of PDUs of ``out_told_ns``, then those of each of ``airtimes_ns``,
    ``out_deviation`` of the first one's posterior, ``out_dbm`` received power, ``out_audible``: takes the channel.
    ``disturbing_dbm``: (receivers, interferers) power of an interferer, with noise where bit errors decide; -999:
    none. ``external_per_ns``: (nodes,) PDUs of foreign traffic on each channel. ``log_survival``: (1201,) log of a
    bit's survival over 1 us at -60.0 to +60.0 dB of SINR.
    """

    out_first: Ints
    out_target: Ints
    out_delivery: Floats
    out_told_ns: Ints
    airtimes_ns: Ints
    out_deviation: Floats
    out_dbm: Floats
    out_key: npt.NDArray[np.uint64]
    out_audible: Flags
    disturbing_dbm: npt.NDArray[np.float32]
    external_per_ns: Floats
    log_survival: Floats


class Rules(NamedTuple):
    """The stack profile as numbers.

    ``capture``: 0 any overlap destroys, 1 by bit errors, 2 by capture ratio, 3 by samples.
    """

    processing_ns: int
    jitter_ns: int
    extra_ns: int
    extra_jitter_ns: int
    own_delay_ns: int  # -1: as relayed messages, plus the extra
    own_jitter_ns: int
    queue_after_delay: int
    first_after_interval: int
    at_window_end: int
    in_phase: int
    scan_interval_ns: int
    scan_window_ns: int
    advertising_delay_ns: int
    gap_ns: int
    overhead_ns: int
    window_ns: int
    window_jitter_ns: int
    own_sets: int
    relay_sets: int
    rests: int
    restarts: int
    idle_only: int
    hands_over: int
    takes_turns: int
    window_step_ns: int
    pdu_first_ns: int  # -1: anywhere in the window
    pdu_first_jitter_ns: int
    pdu_next_ns: int
    pdu_next_jitter_ns: int
    sample_ns: int
    buffer: int  # messages to be relayed that wait; more are refused
    own_buffer: int  # likewise of a node's own, where these have sets of their own
    capture: int
    capture_db: float


class SettingsTable(NamedTuple):
    """What is set on the nodes, (nodes,) each; counts are transmissions, ``address`` is what draws are keyed by."""

    address: Ints
    relay: Flags
    ttl: Ints
    own_count: Ints
    own_interval_ns: Ints
    relay_count: Ints
    relay_interval_ns: Ints
    most_copies: int  # that any of them relays


class BackgroundTable(NamedTuple):
    """Messages that are on the air beside the judged one, ascending by start."""

    start_ns: Ints
    source: Ints
    ttl: Ints
    airtime_ns: Ints
    group: Ints  # which part of the traffic it belongs to
    lone: Ints  # the node that it is for, which does not relay it; -1: several


class Air(NamedTuple):
    """Advertising events and queued messages of the background.

    ``slot``: (buckets, nodes) index of the event that begins there, -1: none. ``event_pdu_ns``: (events, 3) start
    on each channel. ``job_*``: (2 * nodes, room), row 2n for relayed messages of node n, 2n + 1 for its own, in
    order of asking: when a message asked for an advertising set, got it and gave it back; ``job_delay_ns``: from
    asking to the first copy; ``job_placed_ns``: the begin of its first copy by which its ``job_events`` events from
    ``job_event`` on were placed. ``counts``: events used; events and messages that found no room, and events at
    times that none can have (both 0 within the model's range); messages that a full queue refused.
    """

    slot: Small
    shift: int
    longest_ns: int
    event_start_ns: Ints
    event_end_ns: Ints
    event_pdu_ns: Ints
    event_airtime_ns: Ints
    event_node: Ints
    event_is_own: Flags  # 0: a message that its node relays
    head: Small  # last listed PDU of each half millisecond, as 3 * event + channel; -1: none
    following: Small  # the PDU listed before it
    least_airtime_ns: int
    most_airtime_ns: int
    job_asked_ns: Ints
    job_taken_ns: Ints
    job_free_ns: Ints
    job_delay_ns: Ints
    job_placed_ns: Ints
    job_event: Ints
    job_events: Ints
    job_count: Ints
    job_from: Ints
    counts: Ints
    is_loaded: int


class Work(NamedTuple):
    """Scratch of one flood: who was reached when (-1: not), over how many hops, with which TTL, and all copies."""

    reached_ns: Ints
    hops: Ints
    parent: Ints  # from whom; of nodes that were reached, the source apart
    ttl: Ints
    phase_ns: Ints
    first_unit: Floats  # draws in [0, 1) of a relay's first delay
    step_unit: Floats  # (8, nodes) and of its advertising delay after each copy
    copies: Ints
    copy_start_ns: Ints  # (nodes, 8) start of the event
    copy_pdu_ns: Ints  # (nodes, 8, 3) start on each channel
    listed_ns: Ints  # the same in one row, as `following` is
    heap: Ints
    release_ns: Ints  # scratch for waiting times
    busy_until_ns: Ints
    head: Small  # as in `Air`, by half millisecond modulo its length, 3 * (8 * node + copy) + channel
    following: Small
    overlaps: Ints  # (most, 3) sender, start and end of PDUs that overlap the one that is judged
