"""Segmented messages: what the sender still has to send, and what a receiver still misses.

Source: Mesh Protocol 1.1, 3.5.3 (segmentation and reassembly behaviour). Times and counts come from the profile.
"""

from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.profiles import SegmentationTiming
from meshtwin.units import s_to_ns

__all__ = ["SegmentedReception", "SegmentedSending", "segment_retry_ns"]


def segment_retry_ns(timing: SegmentationTiming, transmit: Transmit) -> int:
    """How long a segment that finds no free buffer waits before it is tried again.

    One segment interval; one transmit interval where a stack queues segments as fast as buffers come free. An
    approximation: stacks are told when one comes free, and are a little sooner.
    """
    return timing.segment_interval_ns or s_to_ns(transmit.interval_s)


class SegmentedSending:
    """The sender's side of one segmented message; ``is_acknowledged`` False: to several members, sent blindly."""

    __slots__ = ("_acknowledged", "_count", "_is_acknowledged", "_left", "_left_without_progress", "_timing", "_ttl")

    def __init__(self, timing: SegmentationTiming, *, count: int, ttl: int, is_acknowledged: bool) -> None:
        self._timing = timing
        self._count = count
        self._ttl = ttl
        self._is_acknowledged = is_acknowledged
        self._acknowledged = 0
        self._left = timing.retransmissions if is_acknowledged else timing.multicast_retransmissions
        self._left_without_progress = timing.retransmissions_without_progress

    def missing(self) -> tuple[int, ...]:
        """Numbers of the segments not yet acknowledged, in the order in which they are sent."""
        return tuple(i for i in range(self._count) if not self._acknowledged >> i & 1)

    @property
    def is_complete(self) -> bool:
        """Whether every segment is acknowledged."""
        return self._acknowledged == (1 << self._count) - 1

    def acknowledge(self, segments: int) -> None:
        """Takes in an acknowledgment, one bit per segment; progress renews the count of futile retransmissions."""
        if segments & ~self._acknowledged:
            self._left_without_progress = self._timing.retransmissions_without_progress
        self._acknowledged |= segments

    def retransmission_ns(self) -> int | None:
        """How long after the last segment the missing ones are sent again; None: not any more. Counts it."""
        if self._left == 0 or self.is_complete or (self._is_acknowledged and self._left_without_progress == 0):
            return None
        self._left -= 1
        self._left_without_progress -= 1
        if not self._is_acknowledged:
            return self._timing.multicast_interval_ns
        return self._timing.retransmission_ns + self._timing.per_ttl_ns * max(0, self._ttl - 1)


class SegmentedReception:
    """One member's side of one segmented message."""

    __slots__ = ("_count", "_last_ns", "_timing", "acknowledged_times", "acknowledges_at_ns", "segments")

    def __init__(self, timing: SegmentationTiming, count: int) -> None:
        self._timing = timing
        self._count = count
        self._last_ns = 0
        self.segments = 0  # one bit per segment received
        self.acknowledged_times = 0
        self.acknowledges_at_ns: int | None = None  # when the timer that runs will end; None: it does not run

    @property
    def is_complete(self) -> bool:
        """Whether all segments are there."""
        return self.segments == (1 << self._count) - 1

    def take(self, number: int, time_ns: int) -> bool:
        """Whether segment ``number`` completes the message; starts the acknowledgment timer if it does not run.

        A message that waited longer than the discard timeout for its next segment is dropped and begins anew. What
        comes after the message is complete asks for another acknowledgment.
        """
        if not self.is_complete and self.segments and time_ns - self._last_ns > self._timing.discard_ns:
            self.segments = 0
        self._last_ns = time_ns
        was_complete = self.is_complete
        self.segments |= 1 << number
        completes = self.is_complete and not was_complete
        if completes or (self._timing.acks_last_segment and number == self._count - 1):
            self.acknowledges_at_ns = time_ns
        elif self.acknowledges_at_ns is None:
            self.acknowledges_at_ns = time_ns + self._delay_ns()
        return completes

    def end_timer(self, due_ns: int) -> bool:
        """Whether an acknowledgment goes out at ``due_ns``, which is counted; not if the timer was set anew since."""
        if self.acknowledges_at_ns != due_ns:
            return False
        self.acknowledges_at_ns = None
        self.acknowledged_times += 1
        return True

    def _delay_ns(self) -> int:
        segments = min(self._count - 0.5, self._timing.ack_delay_segments)  # last segment number + 0.5
        return int(segments * self._timing.receiver_interval_ns)
