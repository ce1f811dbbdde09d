"""The shape of a stack profile."""

from dataclasses import dataclass

__all__ = ["StackProfile"]


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
    response_ns: int = 0  # from receiving a request to asking for the response to be sent
    first_send_after_interval: bool = False  # the first transmission waits for a whole transmit interval
    start_at_scan_window_end: bool = False  # an advertising event waits for the running scan window
    scan_interval_ns: int = 30_000_000
    scan_window_ns: int = 30_000_000
    scan_restarts_after_event: bool = False  # a fresh window on the next channel after each own event
    scan_in_phase: bool = False  # all nodes start their first window together
    advertising_delay_ns: int = 10_000_000  # advDelay, Bluetooth Core, Vol 6 Part B, 4.4.2.2.1
    channel_gap_ns: int = 150_000
    event_overhead_ns: int = 0
    pdu_airtime_ns: int = 0  # of every PDU, whatever its size; 0: as its size asks
    event_window_ns: int = 0
    event_window_jitter_ns: int = 0
    originated_sets: int = 1  # advertising sets for the node's own messages; 0: they share the relay sets
    relay_sets: int = 1
    one_queue: bool = False  # own and relayed messages wait in one queue, first come first sent, all bounded
    rests_after_last: bool = False  # a set is free one interval after its last copy, not at once
    relay_buffer: int = 32  # relayed PDUs that wait for an advertising set; more are dropped
    message_cache: int = 32  # messages remembered; the oldest is forgotten first
    capture_db: float | None = None  # a PDU survives this much above the sum of interferers; None: by bit errors
