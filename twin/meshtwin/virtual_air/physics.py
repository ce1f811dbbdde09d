"""Who receives an advertising event: reach, scanned channel, half duplex, collisions. Times are arguments.

An advertising event is one PDU on channels 37, 38 and 39, one after the other. A receiver scans one channel at a
time without pause, and is deaf while it sends. Overlapping transmissions add up; the stronger one is captured.
"""

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from meshtwin.emulation.radio import Reach
from meshtwin.emulation.scenario import RadioModel
from meshtwin.units import dbm_to_mw, mw_to_dbm

__all__ = ["AirPhysics", "Event", "Reception"]

# BlueZ 5.66, mesh/mesh-io-generic.c, scan_enable_rsp: interval and window 0x0010, 0.625 ms each.
SCAN_INTERVAL_S: Final = 0.010
# From the daemon's decision to the first PDU: HCI commands over USB, then the controller. Assumed, unverified.
START_DELAY_S: Final = (0.0005, 0.0020)
OVERHEAD_BYTES: Final = 16  # preamble 1, access address 4, header 2, advertiser address 6, CRC 3 (Core 5.4, vol 6, B)
BYTE_S: Final = 8e-6  # at 1 Mbit/s
RSSI_NOISE_DB: Final = 1.5  # of one reading; assumed
CHANNELS: Final = 3


@dataclass(frozen=True, slots=True)
class Event:
    """One advertising event; ``ad`` is AD type and payload as the daemon gave it.

    ``ends_s``: when the PDU on each channel ends. ``listeners``: per channel, who scans it from the PDU's beginning
    to its end; nobody is listed twice.
    """

    sender: int
    start_s: float
    pdu_s: float  # airtime on one channel
    ends_s: tuple[float, ...]
    listeners: tuple[tuple[Reach, ...], ...]
    ad: bytes

    @property
    def end_s(self) -> float:
        """When the sender is free again."""
        return self.ends_s[-1]


@dataclass(frozen=True, slots=True)
class Reception:
    """One receiver of an event, and the power it read."""

    target: int
    rssi_dbm: float


@dataclass(slots=True, eq=False)
class AirPhysics:
    """``reaches[i]``: who can hear node i. `begin` an event, then ask for the `receptions` of each channel, at or
    after the end of its PDU."""

    radio: RadioModel
    reaches: list[tuple[Reach, ...]]
    rng: random.Random
    powered: bytearray = field(init=False)
    channel_loss: list[float] = field(default_factory=lambda: [0.0] * CHANNELS)  # interference, 0..1
    collisions: int = 0
    _phase_s: list[float] = field(init=False)
    _busy_until_s: list[float] = field(init=False)
    _recent: deque[Event] = field(default_factory=deque)

    def __post_init__(self) -> None:
        size = len(self.reaches)
        self.powered = bytearray(b"\x01" * size)
        self._phase_s = [self.rng.uniform(0, CHANNELS * SCAN_INTERVAL_S) for _ in range(size)]
        self._busy_until_s = [0.0] * size

    def begin(self, sender: int, ad: bytes, now_s: float) -> Event:
        """The event in which ``sender`` sends ``ad``, behind what it is still sending."""
        start_s = max(now_s + self.rng.uniform(*START_DELAY_S), self._busy_until_s[sender])
        pdu_s = (OVERHEAD_BYTES + 1 + len(ad)) * BYTE_S
        ends_s = tuple(start_s + pdu_s + channel * (pdu_s + self._gap_s) for channel in range(CHANNELS))
        event = Event(sender, start_s, pdu_s, ends_s, self._find_listeners(sender, start_s, pdu_s), ad)
        self._busy_until_s[sender] = event.end_s
        self._recent.append(event)
        while self._recent[0].end_s < now_s - 0.1:
            self._recent.popleft()
        return event

    def receptions(self, event: Event, channel: int) -> list[Reception]:
        """Who receives the event's PDU on ``channel`` (0 to 2)."""
        near = [e for e in self._recent if e is not event and e.start_s < event.end_s and event.start_s < e.end_s]
        out = []
        for reach in event.listeners[channel]:
            if not self.powered[reach.target] or self._sends(reach.target, event, channel, near):
                continue
            if self.rng.random() >= reach.probability[channel] * (1.0 - self.channel_loss[channel]):
                continue
            if self._survives(reach, channel, event, near):
                power_dbm = reach.power_dbm[channel] + self.rng.gauss(0, RSSI_NOISE_DB)
                out.append(Reception(reach.target, power_dbm))
            else:
                self.collisions += 1
        return out

    @property
    def _gap_s(self) -> float:
        return self.radio.channel_gap_us * 1e-6

    def _find_listeners(self, sender: int, start_s: float, pdu_s: float) -> tuple[tuple[Reach, ...], ...]:
        found: tuple[list[Reach], ...] = ([], [], [])
        for reach in self.reaches[sender]:
            for channel in range(CHANNELS):
                first_s = start_s + channel * (pdu_s + self._gap_s) + self._phase_s[reach.target]
                window = int(first_s / SCAN_INTERVAL_S)
                if window % CHANNELS == channel and int((first_s + pdu_s) / SCAN_INTERVAL_S) == window:
                    found[channel].append(reach)
                    break
        return tuple(tuple(reaches) for reaches in found)

    def _sends(self, target: int, event: Event, channel: int, near: Sequence[Event]) -> bool:
        """Whether the target is sending itself while the PDU is on the air."""
        last_s = event.ends_s[channel]
        return any(e.sender == target and e.start_s < last_s and last_s - event.pdu_s < e.end_s for e in near)

    def _survives(self, reach: Reach, channel: int, event: Event, near: Sequence[Event]) -> bool:
        """Whether the PDU is so much stronger than all that overlaps it on its channel."""
        last_s, interference_mw = event.ends_s[channel], 0.0
        for other in near:
            other_s = other.ends_s[channel]
            if other_s - other.pdu_s >= last_s or last_s - event.pdu_s >= other_s:
                continue
            heard = next((r for r in self.reaches[other.sender] if r.target == reach.target), None)
            if heard is not None:
                interference_mw += dbm_to_mw(heard.power_dbm[channel])
        if interference_mw == 0.0:
            return True
        return reach.power_dbm[channel] - mw_to_dbm(interference_mw) >= self.radio.capture_db
