"""The air: who is sending, who listens on which channel, what collides.

One simpy event ends each advertising event (the same PDU on three channels, one after the other) and decides
all receptions in a loop over the transmitter's reach. A receiver scans one channel at a time, so it meets
each advertising event on one channel only.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import simpy

from meshtwin.emulation.radio import Reach
from meshtwin.emulation.scenario import RadioModel, StackModel
from meshtwin.units import dbm_to_mw, mw_to_dbm

__all__ = ["Medium", "Pdu"]

CAPTURE_ATTEMPT_MARGIN_DB = 3.0  # this much under the capture ratio a collision still survives rarely


@dataclass(slots=True, eq=False)
class Pdu:
    """A message on the air; ``heard[i]``: it is in the message cache of node i."""

    source: int  # index of the origin
    source_address: int
    destination: int
    payload: bytes
    sent_s: float
    initial_ttl: int
    heard: bytearray
    delivered: bytearray


@dataclass(slots=True, eq=False)
class Medium:
    """State of the channels; ``received(target, pdu, ttl, power_dbm)`` is called for new messages only."""

    env: simpy.Environment
    radio: RadioModel
    stack: StackModel
    reaches: list[tuple[Reach, ...]]
    scan_phase_s: list[float]
    powered: bytearray
    rng: random.Random
    received: Callable[[int, Pdu, int, float], None]
    channel_loss: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    transmissions: int = 0
    collisions: int = 0
    _recent: deque[tuple[float, int]] = field(default_factory=deque)
    _sending_since_s: list[float] = field(default_factory=list)
    _airtime_s: float = 0.0
    _step_s: float = 0.0
    _busy_s: list[float] = field(default_factory=list)
    _busy_until_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        size = len(self.reaches)
        self._airtime_s = self.radio.airtime_us / 1e6
        self._step_s = self._airtime_s + self.radio.channel_gap_us / 1e6
        self._sending_since_s = [-1.0] * size
        self._busy_s = [0.0] * size
        self._busy_until_s = [0.0] * size

    @property
    def event_s(self) -> float:
        """Length of one advertising event on three channels."""
        return 2 * self._step_s + self._airtime_s

    def busy_s(self, index: int) -> float:
        """Time so far in which the node heard or sent something, counted on one channel."""
        return self._busy_s[index]

    def transmit(self, sender: int, pdu: Pdu, ttl: int) -> None:
        """Begin one advertising event now; its receptions are decided at its end."""
        now_s = self.env.now
        self.transmissions += 1
        self._sending_since_s[sender] = now_s
        recent = self._recent
        recent.append((now_s, sender))
        oldest_s = now_s - 2 * self.event_s
        while recent[0][0] < oldest_s:
            recent.popleft()
        self._count_busy(sender, now_s)
        end = self.env.timeout(self.event_s, (sender, pdu, ttl, now_s))
        end.callbacks.append(self._ended)

    def _count_busy(self, sender: int, now_s: float) -> None:
        end_s = now_s + self._airtime_s
        busy_s, until_s = self._busy_s, self._busy_until_s
        floor_dbm = self.radio.sensitivity_dbm
        for reach in self.reaches[sender]:
            if reach.power_dbm[0] >= floor_dbm:
                j = reach.target
                begin_s = until_s[j] if until_s[j] > now_s else now_s
                busy_s[j] += end_s - begin_s
                until_s[j] = end_s
        begin_s = max(until_s[sender], now_s)
        busy_s[sender] += end_s - begin_s
        until_s[sender] = end_s

    def _ended(self, event: Any) -> None:
        sender, pdu, ttl, start_s = event.value
        heard, powered = pdu.heard, self.powered
        others: list[int] | None = None
        for reach in self.reaches[sender]:
            j = reach.target
            if heard[j] or not powered[j]:
                continue
            channel = self._scanned_channel(j, start_s)
            if channel is None:
                continue
            chance = reach.probability[channel] * (1.0 - self.channel_loss[channel])
            if self.rng.random() >= chance:
                continue
            if others is None:
                airtime_s = self._airtime_s
                others = [s for t, s in self._recent if s != sender and -airtime_s < t - start_s < airtime_s]
            power_dbm = reach.power_dbm[channel]
            if others and not self._survives(j, power_dbm, others, channel):
                self.collisions += 1
                continue
            self.received(j, pdu, ttl, power_dbm)

    def _scanned_channel(self, j: int, start_s: float) -> int | None:
        """Channel (0..2) on which ``j`` meets the advertising event; None: deaf for it."""
        scan_s = self.stack.scan_interval_ms / 1e3
        window = int((start_s + self.scan_phase_s[j]) / scan_s)
        window_ends_s = (window + 1) * scan_s - self.scan_phase_s[j]
        channel = window % 3
        slot_s = start_s + channel * self._step_s
        if slot_s + self._airtime_s > window_ends_s:
            channel = (channel + 1) % 3
            slot_s = start_s + channel * self._step_s
            if slot_s < window_ends_s:
                return None
        own_s = self._sending_since_s[j]
        if own_s - self._airtime_s < slot_s < own_s + self.event_s:
            return None  # half duplex
        return channel

    def _survives(self, j: int, power_dbm: float, others: list[int], channel: int) -> bool:
        """Whether the stronger of overlapping transmissions is captured by ``j``."""
        interference_mw = 0.0
        for other in others:
            for reach in self.reaches[other]:
                if reach.target == j:
                    interference_mw += dbm_to_mw(reach.power_dbm[channel])
                    break
        margin_db = power_dbm - mw_to_dbm(interference_mw) - self.radio.capture_db
        if margin_db >= 0:
            return True
        return margin_db > -CAPTURE_ATTEMPT_MARGIN_DB and self.rng.random() < 0.25
