"""What a scenario may have beyond flooding of short messages; one without it pays nothing for it."""

import math
from dataclasses import dataclass
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, format_address

__all__ = [
    "ExternalInterference",
    "LowPower",
    "PublishRetransmit",
    "Retries",
    "Segmentation",
    "check_finite",
]

DAY_S: Final = 86_400.0
SEGMENT_BYTES: Final = 12  # of an upper transport access PDU in one segment; Mesh Protocol 1.1, 3.5.2.2
SEGMENTS_MAX: Final = 32
NETWORK_OVERHEAD_BYTES: Final = 13  # IVI and NID 1, CTL and TTL 1, SEQ 3, SRC 2, DST 2, NetMIC 4
UNSEGMENTED_BYTES: Final = 15  # longest upper transport PDU that needs no segmenting


def check_finite(place: str, **values: float | None) -> None:
    """Raises `InvalidInput` naming the first value that is not finite; None is not looked at."""
    for name, value in values.items():
        if value is not None and not math.isfinite(value):
            raise InvalidInput(f"{name} {value} is not a finite number", place=place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """An access message of ``access_bytes`` (opcode and parameters), with a transport MIC of 4 or 8 bytes.

    It goes out in segments of 12 bytes if it does not fit one PDU. Source: Mesh Protocol 1.1, 3.5.2 and 3.6.2.
    """

    access_bytes: int
    mic_bytes: int = 4

    def __post_init__(self) -> None:
        if self.mic_bytes not in (4, 8):
            raise InvalidInput(f"transport MIC of {self.mic_bytes} bytes is neither 4 nor 8")
        most = SEGMENTS_MAX * SEGMENT_BYTES - self.mic_bytes
        if not 1 <= self.access_bytes <= most:
            raise InvalidInput(f"access message of {self.access_bytes} bytes is outside 1..{most}")

    @property
    def segment_pdu_bytes(self) -> tuple[int, ...]:
        """Sizes of the network PDUs; a single one is unsegmented.

        >>> Segmentation(access_bytes=11).segment_pdu_bytes, Segmentation(access_bytes=12).segment_pdu_bytes
        ((29,), (29, 21))
        """
        total = self.access_bytes + self.mic_bytes
        if total <= UNSEGMENTED_BYTES and self.mic_bytes == 4:  # an 8-byte MIC exists in segmented messages only
            return (NETWORK_OVERHEAD_BYTES + 1 + total,)
        count = -(-total // SEGMENT_BYTES)
        last = total - (count - 1) * SEGMENT_BYTES
        return (*[NETWORK_OVERHEAD_BYTES + 4 + SEGMENT_BYTES] * (count - 1), NETWORK_OVERHEAD_BYTES + 4 + last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """An acknowledged message is sent again, up to ``count`` times, each ``after_s`` without all answers."""

    count: int
    after_s: float

    def __post_init__(self) -> None:
        check_finite("retries", after_s=self.after_s)
        if not (0 <= self.count <= 100 and self.after_s > 0.0):
            raise InvalidInput(f"retries {self.count} are outside 0..100 or {self.after_s} s is not positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRetransmit:
    """A publication is repeated ``count`` times, every (``interval_steps`` + 1) * 50 ms, as new network PDUs.

    Source: Mesh Protocol 1.1, 4.2.3.6 and 4.2.3.7.
    """

    count: int
    interval_steps: int

    def __post_init__(self) -> None:
        if not (0 <= self.count <= 7 and 0 <= self.interval_steps <= 31):
            raise InvalidInput(
                f"publish retransmit count {self.count} is outside 0..7 or interval steps {self.interval_steps} "
                "outside 0..31"
            )

    @property
    def interval_s(self) -> float:
        """Time between two transmissions of the publication."""
        return (self.interval_steps + 1) * 0.050


@dataclass(frozen=True, slots=True, kw_only=True)
class LowPower:
    """A low-power node: deaf but for a window after each of its polls, in which ``friend`` sends what it stored.

    Times as in Mesh Protocol 1.1, 3.6.6: it polls every ``poll_interval_s`` (less than its PollTimeout),
    listens from ``receive_delay_s`` after a poll for at most ``receive_window_s``, and repeats an unanswered poll
    up to ``poll_retries`` times.
    """

    friend: UnicastAddress
    poll_interval_s: float
    receive_delay_s: float = 0.1  # BT_MESH_LPN_RECV_DELAY
    receive_window_s: float = 0.255  # BT_MESH_FRIEND_RECV_WIN
    poll_retries: int = 3

    def __post_init__(self) -> None:
        check_finite(
            f"low power with friend {format_address(self.friend)}",
            poll_interval_s=self.poll_interval_s,
            receive_delay_s=self.receive_delay_s,
            receive_window_s=self.receive_window_s,
        )
        if not 0.010 <= self.receive_delay_s <= 0.255:
            raise InvalidInput(f"receive delay {self.receive_delay_s} s is outside 0.010..0.255")
        if not 0.001 <= self.receive_window_s <= 0.255:
            raise InvalidInput(f"receive window {self.receive_window_s} s is outside 0.001..0.255")
        if not 0 <= self.poll_retries <= 10:
            raise InvalidInput(f"poll retries {self.poll_retries} are outside 0..10")
        shortest = (self.poll_retries + 1) * (self.receive_delay_s + self.receive_window_s + 0.1)
        if not shortest <= self.poll_interval_s <= 345_600.0:
            raise InvalidInput(
                f"poll interval {self.poll_interval_s} s is outside {shortest:.3f}..345600 (the retries must fit in)"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalInterference:
    """Traffic of another technology (Wi-Fi) in bursts at Poisson times: what a burst overlaps is lost.

    ``busy_ratio`` of the time is covered by bursts of ``burst_s``, on advertising channel ``channel`` (0, 1, 2 for
    37, 38, 39; None: all three), where ``nodes`` are (None: everywhere), from ``from_s`` to ``until_s`` after
    midnight, past midnight if ``until_s`` is the smaller. Bursts on two channels, and at two nodes, are independent
    (doubt: a Wi-Fi frame covers up to two advertising channels and is heard by neighbours alike).
    """

    busy_ratio: float
    burst_s: float = 0.001  # a Wi-Fi frame with its acknowledgment, order of magnitude
    channel: int | None = None
    nodes: tuple[UnicastAddress, ...] | None = None
    from_s: float = 0.0
    until_s: float = DAY_S

    def __post_init__(self) -> None:
        place = "interference"
        check_finite(place, busy_ratio=self.busy_ratio, burst_s=self.burst_s, from_s=self.from_s, until_s=self.until_s)
        if not 0.0 <= self.busy_ratio < 1.0:
            raise InvalidInput(f"busy ratio {self.busy_ratio} is outside 0..1 (1 excluded)", place=place)
        if not 0.0 < self.burst_s <= 1.0:
            raise InvalidInput(f"burst of {self.burst_s} s is outside 0..1 s", place=place)
        if self.channel not in (None, 0, 1, 2):
            raise InvalidInput(f"channel {self.channel} is not 0, 1 or 2", place=place)
        if not (0.0 <= self.from_s <= DAY_S and 0.0 <= self.until_s <= DAY_S):
            raise InvalidInput(f"time of day {self.from_s} to {self.until_s} s is outside 0..{DAY_S:.0f}", place=place)
        if self.from_s % DAY_S == self.until_s % DAY_S and (self.from_s, self.until_s) != (0.0, DAY_S):
            raise InvalidInput(f"from {self.from_s} to {self.until_s} s after midnight is no time", place=place)

    @property
    def bursts_per_s(self) -> float:
        """Rate of the bursts: those of a Poisson stream cover ``busy_ratio`` of the time."""
        return -math.log1p(-self.busy_ratio) / self.burst_s
