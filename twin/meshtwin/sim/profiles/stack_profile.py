"""The shape of a stack profile."""

from dataclasses import dataclass

from meshtwin.errors import InvalidInput

__all__ = ["SegmentationTiming", "StackProfile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationTiming:
    """Timers and counts of the lower transport layer for segmented messages; times in nanoseconds.

    Defaults: SAR Transmitter and SAR Receiver states of Mesh Protocol 1.1 (4.2.47, 4.2.48) with the values that
    Zephyr's Kconfig gives them: segment interval step 5, two unicast retransmissions, two of them without progress,
    interval step 7 and increment 1, two multicast retransmissions every 250 ms, acknowledgment delay increment 1,
    receiver segment interval step 5, discard timeout 10 s.
    A sender waits ``retransmission_ns`` + ``per_ttl_ns`` * (TTL - 1), a receiver
    min(last segment + 0.5, ``ack_delay_segments``) * ``receiver_interval_ns`` before it acknowledges what it has;
    at once when it has all, and with ``acks_last_segment`` when the last one comes.
    """

    segment_interval_ns: int = 60_000_000
    retransmissions: int = 2
    retransmissions_without_progress: int = 2
    retransmission_ns: int = 200_000_000
    per_ttl_ns: int = 50_000_000
    multicast_retransmissions: int = 2
    multicast_interval_ns: int = 250_000_000
    ack_delay_segments: float = 2.5
    receiver_interval_ns: int = 60_000_000
    acks_last_segment: bool = False
    discard_ns: int = 10_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StackProfile:
    """Timing rules and constants of one implementation; all times in nanoseconds.

    ``processing_ns`` + uniform(0, ``jitter_ns``) pass between hearing (or being asked to send) and the first
    advertising event. Repeats follow every transmit interval + uniform(0, ``advertising_delay_ns``).
    An advertising event sends on the three channels one after the other with ``channel_gap_ns`` between, the
    radio being deaf ``event_overhead_ns`` more; or, if ``event_window_ns`` is not 0, at random times and in
    random channel order within ``event_window_ns`` + uniform(0, ``event_window_jitter_ns``), deaf throughout.
    """

    name: str
    source: str  # where the constants come from
    processing_ns: int
    jitter_ns: int
    originated_extra_ns: int = 0  # added for messages the node itself sends
    originated_jitter_ns: int = 0
    own_delay_ns: tuple[int, int] | None = None  # least and jitter for own messages, in place of all the above
    queue_after_delay: bool = False  # the delay passes before a message is queued, and holds no advertising set
    # from receiving a request to asking for the response to be sent: least and jitter; the second: of one to a group
    response_ns: tuple[int, int] = (0, 0)
    response_to_group_ns: tuple[int, int] = (0, 0)
    first_send_after_interval: bool = False  # the first transmission waits for a whole transmit interval
    start_at_scan_window_end: bool = False  # an advertising event waits for the running scan window
    scan_interval_ns: int = 30_000_000
    scan_window_ns: int = 30_000_000
    scan_restarts_after_event: bool = False  # a fresh window after each own event, channels in the event's order
    scan_in_phase: bool = False  # all nodes start their first window together
    advertising_delay_ns: int = 10_000_000  # advDelay, Bluetooth Core, Vol 6 Part B, 4.4.2.2.1
    channel_gap_ns: int = 150_000
    event_overhead_ns: int = 0
    pdu_airtime_ns: int = 0  # of every PDU, whatever its size, and so what noise leaves of it; 0: as its size asks
    event_window_ns: int = 0
    event_window_jitter_ns: int = 0
    event_window_step_ns: int = 0  # the jitter comes in whole steps, its upper end included; 0: any nanosecond
    pdu_first_ns: tuple[int, int] | None = None  # least and jitter: the window's start to its first PDU; None: anywhere
    pdu_next_ns: tuple[int, int] = (0, 0)  # least and jitter from one PDU's start to the next
    originated_sets: int = 1  # advertising sets for the node's own messages; 0: they share the relay sets
    relay_sets: int = 1
    one_queue: bool = False  # own and relayed messages wait in one queue, first come first sent, all bounded
    hands_over: bool = False  # a set is free when its last copy is handed to the bearer, which has a queue of its own
    relays_own_echo: bool = False  # own messages are not in the cache: one that a neighbour relays is relayed once
    rests_after_last: bool = False  # a set is free one interval after its last copy, not at once
    relay_buffer: int = 32  # relayed PDUs that wait for an advertising set; more are dropped
    # own PDUs that wait for an advertising set: asking for more fails, but segments are asked for again; None: without
    # a bound of their own (with ``one_queue`` the relay buffer bounds all)
    originated_buffer: int | None = None
    message_cache: int = 32  # messages remembered; the oldest is forgotten first
    replay_list_size: int = 10  # entries of the replay protection list where a node says nothing else
    allows_default_ttl_one: bool = True  # whether 1 may be a node's default TTL (Mesh Protocol 1.1 prohibits it)
    allows_flow_ttl_one: bool = True  # whether one message may be sent with TTL 1
    delay_when_idle_only: bool = False  # what waited for an advertising set is sent at once when it gets one
    copies_take_turns: bool = False  # after each copy the next PDU of the queue has its turn
    scan_sample_ns: int = 0  # not 0: one of these instants on the PDU's channel, with nobody else there, is enough
    segmentation: SegmentationTiming = SegmentationTiming()
    capture_db: float | None = None  # a PDU survives this much above the sum of interferers; None: by bit errors

    def __post_init__(self) -> None:
        """Raises `InvalidInput` for a buffer of own messages without a place: a segment would be tried for ever."""
        if self.originated_buffer is not None and self.originated_buffer < 1:
            raise InvalidInput(
                f"originated_buffer {self.originated_buffer} is less than 1; give 1 or more, or None for no bound",
                place=self.name,
            )
