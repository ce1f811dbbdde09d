"""The arrays that the kernel works on: one record type per kind of thing, and the places of its counters.

Times are integer nanoseconds; indices count from 0; -1 is "none".
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from meshtwin.sim.packets import LossCause, PartKind, RecordKind

__all__ = ["CAUSES", "KINDS", "Records", "State", "code"]

Records = npt.NDArray[np.void]

CAUSES: Final = tuple(LossCause)
KINDS: Final = tuple(RecordKind)


def record(**types: Any) -> np.dtype[np.void]:
    return np.dtype(list(types.items()), align=True)


def code(number: int) -> int:
    """A constant as arrays hold it; a plain one would have its function compiled once more for each value."""
    return np.int64(number)  # type: ignore[return-value]  # an int for all that is done with it


I8, I4, U8, F8, U1 = np.int64, np.int32, np.uint64, np.float64, np.uint8

PROFILE: Final = record(
    processing_ns=I8, jitter_ns=I8, originated_extra_ns=I8, originated_jitter_ns=I8, own_least_ns=I8, own_jitter_ns=I8,
    response_least_ns=I8, response_jitter_ns=I8, group_response_least_ns=I8, group_response_jitter_ns=I8,
    scan_interval_ns=I8, scan_window_ns=I8, advertising_delay_ns=I8, channel_gap_ns=I8,
    event_overhead_ns=I8, event_window_ns=I8, event_window_jitter_ns=I8, event_window_step_ns=I8, pdu_first_ns=I8,
    pdu_first_jitter_ns=I8, pdu_next_ns=I8, pdu_next_jitter_ns=I8, scan_sample_ns=I8, buffer=I8, own_buffer=I8,
    cache_size=I8, relay_sets=I8, start_of_day_ns=I8, points=I8, capture_db=F8, has_own_delay=U1, queue_after_delay=U1,
    first_send_after_interval=U1, start_at_scan_window_end=U1, scan_restarts=U1, one_queue=U1, rests_after_last=U1,
    hands_over=U1, relays_own_echo=U1, delay_when_idle_only=U1, copies_take_turns=U1, is_spaced=U1,
    shares_sets=U1, captures=U1, has_capture_db=U1, has_bursts=U1, presets_scan=U1, listens_late=U1, is_traced=U1,
    segment_interval_ns=I8, discard_ns=I8, poll_airtime_ns=I8, update_airtime_ns=I8, acknowledgment_airtime_ns=I8,
    once_interval_ns=I8, members_most=I4, futile_resends=I4, acks_last_segment=U1,
)  # fmt: skip
NODE: Final = record(
    key=U8, scan_ns=I8, scan_origin_ns=I8, luck_started_ns=I8, luck_share=F8, radio_from_ns=I8, radio_until_ns=I8,
    radio_previous_ns=I8, own_interval_ns=I8, relay_interval_ns=I8, external_pdus_per_s=F8, scan_turn=I4,
    scan_order=I4, luck_message=I4, cycles=I4, link_from=I4, link_to=I4, heard_from=I4, heard_to=I4, air_from=I4,
    ttl=I4, own_transmissions=I4, relay_transmissions=I4, cache_place=I4, cache_count=I4, free_own=I4, free_relay=I4,
    own_head=I4, own_tail=I4, relay_head=I4, relay_tail=I4, relay_count=I4, own_count=I4, releasing=I4, air_message=I4,
    air_ttl=I4, air_hops=I4, air_copy=I4, air_waiting=I4, air_silent=I4, air_order=I4, air_which=I4,
    air_last=I4, air_size=I4, sequence=I4, list_row=I4, list_free=I4, relay=U1, is_on=U1, is_phased=U1,
    friendship=I4, friend_of=I4, window_until_ns=I8,
)  # fmt: skip
# air_size: of the event's PDUs, in ``State.airtimes_ns``
# list_row: of the node's replay protection list in ``State.replay``; friendship: a low-power node's own, -1: none;
# friend_of: the first friendship of a friend; a low-power node listens from ``scan_origin_ns`` to ``window_until_ns``
LINK: Final = record(key=U8, rx_mw=F8, target=I4, occupies=U1, group=U1)  # grouped by source
TO_OTHERS, TO_RELAYS, TO_LOW_POWER = 0, 1, 2  # ``group`` of a link, by its target
HEARD: Final = record(rx_mw=F8, source=I4)  # grouped by target
FLOW: Final = record(
    key=U8, start_ns=I8, period_ns=I8, spread_ns=I8, airtime_ns=I8, response_airtime_ns=I8, count=I8, number=I8,
    source=I4, ttl=I4, member_from=I4, member_to=I4, relay_from=I4, relay_to=I4,
    repeats=I4, retries=I4, repeat_s=F8, retry_s=F8,
    last_airtime_ns=I8, ack_delay_ns=I8, resend_ns=I8, segments=I4, resends=I4,
)  # fmt: skip  # relay_from -1: all relay it that relay at all; segments 1: none
BACKGROUND: Final = record(airtime_ns=I8, ttl=I4)
MESSAGE: Final = record(
    key=U8, airtime_ns=I8, started_ns=I8, busy_ns=I8, number=I8, flow=I4, source=I4, slot=I4, pending=I4,
    transmissions=I4, asked_by=I4, answers=I4, state=I4, sequence=I4, destination=I4,
    part_of=I4, is_retry=I4, first_arrival=I4, answered=I4,
    index=I8, kind=I4, ttl=I4, tries=I4, sending=I4, stored=I4, stored_hops=I4,
)  # fmt: skip
# destination: the one node that a background message is for, -1: none
# asked_by: the one node that an answer or a part is for; answers: the arrival that made it; part_of: the message of
# which it is a part, as ``kind`` says; index: as in `meshtwin.sim.packets.Part`; tries: polls before without an answer;
# sending: that of a segment or its acknowledgment; stored: what a friend delivers
WHOLE, REPETITION, RETRY, SEGMENT, ACKNOWLEDGMENT, POLL, DELIVERY = map(code, range(7))  # ``kind``
PART_KINDS: Final = (
    PartKind.REPETITION, PartKind.RETRY, PartKind.SEGMENT, PartKind.ACKNOWLEDGMENT, PartKind.POLL, PartKind.DELIVERY,
)  # fmt: skip  # from kind 1 on
SENDING: Final = record(
    acknowledged=I8, round=I8, message=I4, attempt=I4, turn=I4, number=I4, resends=I4, futile=I4, sequence=I4,
    first_reception=I4,
)  # fmt: skip  # a segmented message on its way; acknowledged, round: a bit per segment; number: the next of the round
RECEPTION: Final = record(
    segments=I8, last_ns=I8, due=I8, times=I4
)  # due: of the acknowledgment, in ns, plus 1; 0: none
FRIENDSHIP: Final = record(
    key=U8, interval_ns=I8, end_ns=I8, delay_ns=I8, window_ns=I8, low_power=I4, friend=I4, retries=I4, next=I4, fsn=I4,
    friend_fsn=I4, polls=I4, flow=I4, first=I4, size=I4, head=I4, count=I4, is_waiting=U1, is_first_sent=U1,
)  # fmt: skip  # next: of the same friend; first, size: of its queue in ``State.stored``; head, count: what waits there
STORED: Final = record(message=I4, hops=I4)
JOB: Final = record(
    key=U8, asked_ns=I8, begin_ns=I8, free_ns=I8, interval_ns=I8, message=I4, node=I4, ttl=I4, hops=I4,
    transmissions=I4, copies=I4, cycles=I4, next=I4, own=U1, is_held=U1,
)  # fmt: skip
ENTRY: Final = record(time_ns=I8, order=I8, payload=I8)  # of the event queue
BURST: Final = record(from_ns=I8, until_ns=I8, quiet_log=F8, bursts_per_s=F8)
SLOT: Final = record(owner=I4, next_free=I4)  # a row of ``known``; owner: the message that had it last
ARRIVAL: Final = record(time_ns=I8, answered_ns=I8, message=I4, node=I4, hops=I4)
TRACE: Final = record(time_ns=I8, detail=I8, kind=I4, node=I4, message=I4, sender=I4, copy=I4)


class State(NamedTuple):
    """All that a run reads and writes."""

    profile: Records  # one
    nodes: Records
    links: Records
    airtimes_ns: npt.NDArray[np.int64]  # of all PDUs that there can be, each once
    deliveries: npt.NDArray[np.float64]  # (airtimes, links): of a single transmission on a quiet channel
    heard: Records
    waiting: npt.NDArray[np.int64]  # one per link: link * 32 + bits, see `transmitting`
    busy_ns: npt.NDArray[np.int64]  # one per node: until when its airtime channel is in use
    watch: npt.NDArray[np.int32]  # one per node: its place among watched nodes, -1: none
    watched_ns: npt.NDArray[np.int64]  # (flows, watched nodes): airtime there; background has the last rows, as -1, -2
    air_ns: npt.NDArray[np.int64]  # 8 per node: of its two last events, starts on channels 0..2 and airtime
    flows: Records
    backgrounds: Records
    murmurs: Records  # all background messages of the run, in order
    members: npt.NDArray[np.int32]
    relays: npt.NDArray[np.int32]  # of flows that not all relay
    bursts: Records
    burst_from: npt.NDArray[np.int32]  # 3 * nodes + 1, by node and channel; empty without bursts
    states: npt.NDArray[np.float64]  # preset states: a row per message, `SLOTS_PER_NODE` per node
    survival: npt.NDArray[np.float64]  # of one bit, by tenths of dB from SINR_LEAST_TENTHS
    caches: npt.NDArray[np.int32]  # cache size per node
    sendings: Records
    receptions: Records  # a row per member of the message, from ``first_reception`` of its sending on
    friendships: Records
    stored: Records
    known: npt.NDArray[np.uint8]  # nodes per slot: 1 in the cache, 2 reached as a member
    replay: npt.NDArray[np.int32]  # (lists, nodes): the last sequence number from each source; 0: no entry
    slots: Records
    queue: Records
    jobs: Records
    messages: Records
    arrivals: Records
    trace: Records
    losses: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]


# Places in ``State.counts``.
(
    QUEUED, ASKED, JOBS, JOB_FREE, MESSAGES, ARRIVALS, TRACES, SLOTS, SLOT_FREE, EVENTS, JUDGED, SENT, CHANGE, NOW,
    SENDINGS, RECEPTIONS,
) = range(16)  # fmt: skip
COUNTS: Final = 16

ARRIVAL_SHIFT: Final = 31  # what asks for an answer: the arrival and, below it, the message that came
REPEAT_SHIFT: Final = 10  # what asks for a repetition: the message and, below it, which one
TRANSPORT_SHIFT: Final = 3  # what a transport timer is about and, below it, one of the following
REPEAT, NEXT_SEGMENT, ACKNOWLEDGE, POLL_AGAIN, END_WINDOW, ANSWER_POLL, POLL_MORE = map(code, range(7))
RANK_SHIFT: Final = 59
INDEX_SHIFT: Final = 35  # 24 bits for node, flow or background; 35 bits for the order of asking
INDEX_MASK: Final = (1 << 24) - 1

SINR_LEAST_TENTHS: Final = -1500  # bits at -150 dB and below are a coin's throw anyway
SINR_MOST_TENTHS: Final = 400  # above the cap of 35 dB
