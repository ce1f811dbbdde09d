"""Application of one emulated node: Configuration Server, neighbour monitoring, probes, lamps and buttons.

Everything a gateway gets from a node it gets through messages of `meshtwin.contract.access`.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import simpy

from meshtwin.contract.access import (
    LATENCY_LOST,
    LATENCY_STEP_MS,
    LATENCY_UNKNOWN,
    RESULTS_PER_PAGE,
    STATUS_OF,
    Access,
    NeighbourRecord,
    Opcode,
    decode_access,
    decode_status,
    encode_access,
    encode_records,
    encode_status,
)
from meshtwin.contract.model_messages import Publication
from meshtwin.emulation.model_server import DEFAULT_TTL, MODEL_OPCODES, ModelServer
from meshtwin.emulation.node import NetworkLayer
from meshtwin.errors import InvalidInput
from meshtwin.mesh.configuration import Transmit

__all__ = ["ALL_NODES", "Firmware", "Heard"]

RECORDS_PER_REPORT = 2  # 3 bytes opcode + 2 x 4 bytes fill an unsegmented message
RESTART_JUMP = 1000  # a notification counter that jumps further belongs to a restarted neighbour
ALL_NODES = 0xFFFF
NOBODY = 0  # the unassigned address: no publication
PROBES_KEPT = 64  # as many flows as a segment may have: all of them are sent before any is read


class Sender(Protocol):
    """How the firmware sends: destination, payload, TTL (None: the node's default)."""

    def __call__(self, destination: int, payload: bytes, ttl: int | None = None) -> None: ...


@dataclass(slots=True)
class Heard:
    """Counters of one neighbour since the monitoring epoch."""

    last_counter: int
    transmissions: int
    expected: int = 0
    received: int = 0
    reported: int = -3  # ``expected`` at the last report; new neighbours wait for three notifications
    rssi_mean_dbm: float = 0.0


@dataclass(slots=True, eq=False)
class Firmware:
    """``clock_error_s`` is hidden: the node's synchronised clock shows mesh time plus this error.

    Likewise ``rssi_error_db``: its radio reads power as so much higher than it is.
    """

    network: NetworkLayer
    env: simpy.Environment
    rng: random.Random
    send: Sender
    gateway_address: int
    clock_error_s: float
    refuses: bool
    notification_ttl: int
    on_settings: Callable[[], None] = lambda: None
    rssi_error_db: float = 0.0
    heard: dict[int, Heard] = field(default_factory=dict)
    models: ModelServer = field(init=False)
    _epoch: int | None = None
    _notify_s: float = 0.0
    _report_s: float = 0.0
    _reports_each: int = 1
    _counter: int = 0
    _life: int = 0
    _probes: dict[int, dict[int, int]] = field(default_factory=dict)
    _running: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        once = Transmit(count=0, interval_steps=0)  # network transmit repeats it
        publication = Publication(address=ALL_NODES, ttl=self.notification_ttl, retransmit=once)
        self.models = ModelServer(self.network.address, publication, refuses=self.refuses)

    def restart(self) -> None:
        """Lose everything that was only in memory; monitoring waits for the next ``MONITOR``."""
        self._life += 1
        self.heard.clear()
        self._epoch = None
        self._counter = 0
        self._probes.clear()
        self._running.clear()

    def receive(self, source: int, payload: bytes, power_dbm: float) -> None:
        """Handle one access message that is addressed to this node."""
        message = decode_access(payload)
        if message is None:
            return
        p = message.parameters
        match message.opcode:
            case Opcode.NOTIFICATION if len(p) == 3 and source != self.network.address:
                self._count(source, int.from_bytes(p[:2], "little"), p[2], power_dbm + self.rssi_error_db)
            case Opcode.MONITOR if len(p) == 6:
                self._monitor(p)
            case Opcode.PROBE_RUN if len(p) == 6:
                self._run_probe(source, p)
            case Opcode.PRESS if len(p) == 5:
                self._note_press(p)
            case Opcode.RESULT_GET if len(p) == 2:
                self._answer_results(source, p[0], p[1])
            case opcode if opcode in MODEL_OPCODES:
                answer = self.models.answer(message)
                if answer is not None:
                    self.send(source, answer)
            case opcode if opcode in STATUS_OF:
                self._configure(source, message)

    def _configure(self, source: int, message: Access) -> None:
        if message.parameters and not self.refuses:
            try:
                self.network.settings = self.network.settings.overlaid(decode_status(message))
            except InvalidInput:
                return  # a prohibited value is ignored, as the standard says
            self.on_settings()
        self.send(source, encode_status(STATUS_OF[message.opcode], self.network.settings))

    # Monitoring

    def _monitor(self, p: bytes) -> None:
        self._notify_s = int.from_bytes(p[1:3], "little") / 10
        self._report_s = int.from_bytes(p[3:5], "little") / 10
        self._reports_each = max(1, p[5])
        if p[0] == self._epoch:
            return
        first = self._epoch is None
        self._epoch = p[0]
        self.heard.clear()
        if first:
            self._after(self.rng.random() * self._notify_s, self._notify)
            self._after(self.rng.random() * self._report_s, self._report)

    def _notify(self) -> None:
        self._counter = (self._counter + 1) & 0xFFFF
        transmit = self.network.settings.network_transmit
        copies = transmit.transmissions if transmit else 1
        parameters = self._counter.to_bytes(2, "little") + bytes((copies,))
        publication = self.models.publication
        if publication.address != NOBODY:
            ttl = None if publication.ttl == DEFAULT_TTL else publication.ttl
            self.send(publication.address, encode_access(Opcode.NOTIFICATION, parameters), ttl)
        self._after(self._notify_s * self.rng.uniform(0.9, 1.1), self._notify)

    def _count(self, source: int, counter: int, transmissions: int, power_dbm: float) -> None:
        if self._epoch is None:
            return
        known = self.heard.get(source)
        if known is None or known.transmissions != transmissions:
            self.heard[source] = Heard(counter, transmissions, rssi_mean_dbm=power_dbm)
            return
        gap = (counter - known.last_counter) & 0xFFFF
        known.last_counter = counter
        known.expected += gap if gap <= RESTART_JUMP else 1
        known.received += 1
        known.rssi_mean_dbm += (power_dbm - known.rssi_mean_dbm) / min(known.received + 1, 16)

    def _report(self) -> None:
        # Neighbours never told of come first, the best heard of them before the others: they carry the mesh.
        changed = [
            (h.received if h.reported < 0 else 0, h.expected - h.reported, -a)
            for a, h in self.heard.items()
            if h.expected > max(0, h.reported)
        ]
        chosen = [-a for _, _, a in sorted(changed, reverse=True)]
        chosen = chosen[: self._reports_each * RECORDS_PER_REPORT]
        for start in range(0, len(chosen), RECORDS_PER_REPORT):
            part = tuple(chosen[start : start + RECORDS_PER_REPORT])
            self._after(self.rng.random() * 0.8 * self._report_s, partial(self._send_report, part))
        self._after(self._report_s * self.rng.uniform(0.9, 1.1), self._report)

    def _send_report(self, addresses: tuple[int, ...]) -> None:
        records = []
        for address in addresses:
            heard = self.heard.get(address)
            if heard is None:
                continue
            heard.reported = heard.expected
            records.append(
                NeighbourRecord(
                    neighbour_low=address & 0xFF,
                    expected=heard.expected,
                    received=heard.received,
                    transmissions=heard.transmissions,
                    rssi_dbm=round(heard.rssi_mean_dbm),
                    odd_epoch=bool((self._epoch or 0) & 1),
                )
            )
        if records:
            self.send(self.gateway_address, encode_access(Opcode.REPORT, encode_records(tuple(records))))

    # Probes

    def _run_probe(self, source: int, p: bytes) -> None:
        probe, presses, spacing_s = p[0], int.from_bytes(p[3:5], "little"), p[5] / 100
        destination = int.from_bytes(p[1:3], "little")
        self.send(source, encode_access(Opcode.PROBE_STARTED, bytes((probe,))))
        if probe in self._running:
            return
        self._running.add(probe)
        at_s = 0.5
        for index in range(presses):
            at_s += spacing_s * self.rng.uniform(1.0, 1.5)
            self._after(at_s, partial(self._press, probe, destination, index))
        self._after(at_s + 60, lambda: self._running.discard(probe))

    def _press(self, probe: int, destination: int, index: int) -> None:
        stamp = self._clock_ms() & 0xFFFF
        parameters = bytes((probe,)) + index.to_bytes(2, "little") + stamp.to_bytes(2, "little")
        self.send(destination, encode_access(Opcode.PRESS, parameters))

    def _note_press(self, p: bytes) -> None:
        index = int.from_bytes(p[1:3], "little")
        latency_ms = (self._clock_ms() - int.from_bytes(p[3:5], "little")) & 0xFFFF
        if latency_ms > 0x7FFF:
            latency_ms = 0  # the sender's clock is ahead of ours
        results = self._probes.setdefault(p[0], {})
        results.setdefault(index, min(LATENCY_UNKNOWN - 1, round(latency_ms / LATENCY_STEP_MS)))
        while len(self._probes) > PROBES_KEPT:
            del self._probes[next(iter(self._probes))]

    def _answer_results(self, source: int, probe: int, page: int) -> None:
        results = self._probes.get(probe, {})
        first = page * RESULTS_PER_PAGE
        codes = bytes(results.get(index, LATENCY_LOST) for index in range(first, first + RESULTS_PER_PAGE))
        self.send(source, encode_access(Opcode.RESULT, bytes((page,)) + codes))

    def _clock_ms(self) -> int:
        return round((self.env.now + self.clock_error_s) * 1000)

    def _after(self, delay_s: float, action: Callable[[], None]) -> None:
        life = self._life
        timer = self.env.timeout(delay_s)
        timer.callbacks.append(lambda _event: action() if self._life == life else None)
