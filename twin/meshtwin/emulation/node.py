"""Network layer of one emulated node: message cache, managed flooding, and one advertiser with a queue."""

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import simpy

from meshtwin.emulation.medium import Medium, Pdu
from meshtwin.emulation.scenario import StackModel
from meshtwin.mesh.configuration import NodeSettings, Transmit

__all__ = ["NetworkLayer"]

SINGLE = Transmit(count=0, interval_steps=1)


@dataclass(slots=True, eq=False)
class NetworkLayer:
    """What one node does with network PDUs; ``settings`` is replaced as a whole when configured."""

    index: int
    address: int
    env: simpy.Environment
    medium: Medium
    stack: StackModel
    rng: random.Random
    settings: NodeSettings
    queue_dropped: int = 0
    _cache: deque[Pdu] = field(default_factory=deque)
    _queue: deque[tuple[Pdu, int, int, float]] = field(default_factory=deque)
    _sending: bool = False
    _life: int = 0  # grows with each restart, so that timers of an earlier life do nothing

    @property
    def queue_fill(self) -> float:
        """Share of the advertiser's queue in use."""
        return len(self._queue) / self.stack.queue_size

    def restart(self) -> None:
        """Lose everything that was only in memory."""
        self._life += 1
        self._queue.clear()
        self._cache.clear()
        self._sending = False

    def remember(self, pdu: Pdu) -> None:
        """Put a message into the message cache; the oldest goes."""
        pdu.heard[self.index] = 1
        self._cache.append(pdu)
        if len(self._cache) > self.stack.cache_size:
            self._cache.popleft().heard[self.index] = 0

    def originate(self, pdu: Pdu) -> None:
        """Send an own message with the node's network transmit."""
        self.remember(pdu)
        transmit = self.settings.network_transmit or SINGLE
        self._enqueue_later(pdu, pdu.initial_ttl, transmit, self.stack.local_delay_ms)

    def relay(self, pdu: Pdu, ttl: int) -> None:
        """Pass on a message that came with ``ttl`` of at least 2, if the node relays."""
        if self.settings.relay and ttl >= 2:
            transmit = self.settings.relay_retransmit or SINGLE
            self._enqueue_later(pdu, ttl - 1, transmit, self.stack.relay_delay_ms)

    def _enqueue_later(self, pdu: Pdu, ttl: int, transmit: Transmit, delay_ms: tuple[float, float]) -> None:
        delay_s = self.rng.uniform(*delay_ms) / 1e3
        entry = (pdu, ttl, transmit.transmissions, transmit.interval_s)
        timer = self.env.timeout(delay_s, (self._life, entry))
        timer.callbacks.append(self._enqueue)

    def _enqueue(self, event: Any) -> None:
        life, entry = event.value
        if life != self._life:
            return
        if len(self._queue) >= self.stack.queue_size:
            self.queue_dropped += 1
            return
        self._queue.append(entry)
        if not self._sending:
            self._sending = True
            self._advertise(None)

    def _advertise(self, event: Any) -> None:
        """Send the head of the queue once, and come back after its interval."""
        if event is not None and event.value != self._life:
            return
        if not self._queue:
            self._sending = False
            return
        pdu, ttl, left, interval_s = self._queue[0]
        self.medium.transmit(self.index, pdu, ttl)
        if left > 1:
            self._queue[0] = (pdu, ttl, left - 1, interval_s)
        else:
            self._queue.popleft()
        wait_s = interval_s + self.rng.random() * self.stack.advertising_jitter_ms / 1e3
        timer = self.env.timeout(wait_s, self._life)
        timer.callbacks.append(self._advertise)
