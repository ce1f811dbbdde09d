"""The application of one node: a lamp or button with neighbour monitoring, on top of bluetooth-meshd.

Messages are those of `meshtwin.contract.access`. Notifications go out by the model's publication, whose TTL is 0:
a conforming stack drops an own message with TTL 1. Reports and answers go with the node's default TTL.
Nodes share no clock: a press is counted, its latency is not told (`LATENCY_UNKNOWN`).
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog

from meshtwin.contract.access import (
    LATENCY_LOST,
    LATENCY_UNKNOWN,
    RESULTS_PER_PAGE,
    Opcode,
    decode_access,
    encode_access,
    encode_records,
)
from meshtwin.errors import MeshTwinError
from meshtwin.gateway.bluez.application import Arrival
from meshtwin.gateway.bluez.local_node import LocalNode
from meshtwin.gateway.bluez.neighbour_counts import NeighbourCounts

__all__ = ["NOTIFICATION_TRANSMISSIONS", "NodeApplication"]

log = structlog.get_logger(__name__)

NOTIFICATION_TRANSMISSIONS: Final = 1  # copies of each; one copy tells of the link, several of their burst
TRANSMISSIONS_MAX: Final = 8  # of one message, and what a report's record can hold; Mesh Protocol 1.1, 4.2.19
PROBES_KEPT: Final = 64  # as many flows as a segment may have: all of them are sent before any is read
SENDING_MAX: Final = 4  # probes at a time; a gateway lets one source after the other send, and several may ask
PRESSES_MAX: Final = 256 * RESULTS_PER_PAGE  # the page number is one byte: further ones could not be read
SPACING_LEAST_S: Final = 0.1  # assumed: a flood over three hops takes as long, and a node must not start a storm
PROBE_BEGIN_S: Final = 0.5  # for the answer to be on its way
PROBE_LIFE_S: Final = 60.0  # after the last press, in which the same number is a repeated question
TRANSMISSIONS: Final = range(1, TRANSMISSIONS_MAX + 1)
REPORT_SPREAD: Final = 0.8  # of the report interval, over which its messages are spread


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRun:
    """What a gateway wants to be sent."""

    probe: int
    destination: int
    presses: int
    spacing_s: float


class NodeApplication:
    """``rssi_dbm(source)``: power of what was heard last from a neighbour; BlueZ does not tell it, hence None.

    ``rng`` draws phases; ``report_to`` is the gateway's address.
    """

    def __init__(
        self,
        node: LocalNode,
        *,
        report_to: int,
        rng: random.Random,
        rssi_dbm: Callable[[int], float | None] = lambda _source: None,
    ) -> None:
        self.received: list[tuple[float, int, bytes]] | None = None  # every message, where a test asks for it
        self.sent_total = 0
        self.failed_total = 0
        self._node = node
        self._report_to = report_to
        self._rng = rng
        self._rssi_dbm = rssi_dbm
        self._loop = asyncio.get_running_loop()
        self._timers: set[asyncio.TimerHandle] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts: NeighbourCounts | None = None
        self._notify_s = self._report_s = 0.0
        self._messages = 1
        self._counter = 0
        self._probes: dict[int, set[int]] = {}
        self._running: set[int] = set()  # probes begun, until a repeated question would be a new one
        self._sending: set[int] = set()  # those with presses still to come

    def take(self, arrival: Arrival) -> None:
        """Handle one message to this node."""
        if self.received is not None:
            self.received.append((self._loop.time(), arrival.source, arrival.payload))
        message = None if arrival.is_device_key else decode_access(arrival.payload)
        if message is None:
            return
        p = message.parameters
        match message.opcode:
            case Opcode.NOTIFICATION if len(p) == 3 and arrival.source != self._node.address and p[2] in TRANSMISSIONS:
                self._count(arrival.source, int.from_bytes(p[:2], "little"), p[2])
            case Opcode.MONITOR if len(p) == 6:
                self._monitor(p)
            case Opcode.PROBE_RUN if len(p) == 6:
                self._run_probe(arrival.source, p)
            case Opcode.PRESS if len(p) == 5 and int.from_bytes(p[1:3], "little") < PRESSES_MAX:
                self._note_press(p[0], int.from_bytes(p[1:3], "little"))
            case Opcode.RESULT_GET if len(p) == 2:
                self._answer_results(arrival.source, p[0], p[1])

    def press(self, destination: int, transaction: int) -> None:
        """The application's own message, as of a button."""
        self._send(destination, encode_access(Opcode.SWITCH, bytes((transaction & 0xFF,))))

    def silence(self) -> None:
        """Neither notify nor report any more; a probe that runs is given up, too."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._running.clear()
        self._sending.clear()
        self._counts = None

    def stop(self) -> None:
        """No timer fires any more; counts and probes are forgotten, as at a power cut."""
        self.silence()
        for task in self._tasks:
            task.cancel()
        self._counter = 0
        self._probes.clear()

    # Monitoring

    def _monitor(self, p: bytes) -> None:
        self._notify_s = int.from_bytes(p[1:3], "little") / 10
        self._report_s = int.from_bytes(p[3:5], "little") / 10
        self._messages = max(1, p[5])
        if not (self._notify_s > 0 and self._report_s > 0):
            self.silence()
            return
        first = self._counts is None
        if self._counts is None or self._counts.epoch != p[0]:
            self._counts = NeighbourCounts(p[0])
        if first:
            self._after(self._rng.random() * self._notify_s, self._notify)
            self._after(self._rng.random() * self._report_s, self._report)

    def _notify(self) -> None:
        self._counter = (self._counter + 1) & 0xFFFF
        parameters = self._counter.to_bytes(2, "little") + bytes((NOTIFICATION_TRANSMISSIONS,))
        self._start(self._node.publish(encode_access(Opcode.NOTIFICATION, parameters)))
        self._after(self._notify_s * self._rng.uniform(0.9, 1.1), self._notify)

    def _count(self, source: int, counter: int, transmissions: int) -> None:
        if self._counts is not None:
            self._counts.count(source, counter, transmissions, self._rssi_dbm(source))

    def _report(self) -> None:
        if self._counts is not None:
            for addresses in self._counts.choose(self._messages):
                self._after(
                    self._rng.random() * REPORT_SPREAD * self._report_s,
                    partial(self._send_report, self._counts, addresses),
                )
        self._after(self._report_s * self._rng.uniform(0.9, 1.1), self._report)

    def _send_report(self, counts: NeighbourCounts, addresses: tuple[int, ...]) -> None:
        if counts is self._counts:
            self._send(self._report_to, encode_access(Opcode.REPORT, encode_records(counts.tell(addresses))))

    # Probes

    def _run_probe(self, source: int, p: bytes) -> None:
        """Begin a probe and say so; a question that is repeated is answered, one too many or too large is not."""
        run = ProbeRun(
            probe=p[0],
            destination=int.from_bytes(p[1:3], "little"),
            presses=int.from_bytes(p[3:5], "little"),
            spacing_s=max(SPACING_LEAST_S, p[5] / 100),
        )
        is_known = run.probe in self._running
        if not is_known and (run.presses > PRESSES_MAX or len(self._sending) >= SENDING_MAX):
            log.info("Probe refused", node=self._node.address, presses=run.presses, sending=len(self._sending))
            return
        self._send(source, encode_access(Opcode.PROBE_STARTED, bytes((run.probe,))))
        if not is_known:
            self._running.add(run.probe)
            self._sending.add(run.probe)
            self._after(PROBE_BEGIN_S, partial(self._go_on, run, 0))

    def _go_on(self, run: ProbeRun, index: int) -> None:
        """The next press after a while, or the end: one timer per probe, however many presses it has."""
        if index < run.presses:
            self._after(run.spacing_s * self._rng.uniform(1.0, 1.5), partial(self._press, run, index))
        else:
            self._sending.discard(run.probe)
            self._after(PROBE_LIFE_S, partial(self._running.discard, run.probe))

    def _press(self, run: ProbeRun, index: int) -> None:
        no_time = b"\0\0"
        parameters = bytes((run.probe,)) + index.to_bytes(2, "little") + no_time
        self._send(run.destination, encode_access(Opcode.PRESS, parameters))
        self._go_on(run, index + 1)

    def _note_press(self, probe: int, index: int) -> None:
        self._probes.setdefault(probe, set()).add(index)
        while len(self._probes) > PROBES_KEPT:
            del self._probes[next(iter(self._probes))]

    def _answer_results(self, source: int, probe: int, page: int) -> None:
        noted, first = self._probes.get(probe, set()), page * RESULTS_PER_PAGE
        codes = bytes(LATENCY_UNKNOWN if i in noted else LATENCY_LOST for i in range(first, first + RESULTS_PER_PAGE))
        self._send(source, encode_access(Opcode.RESULT, bytes((page,)) + codes))

    # Sending

    def _send(self, destination: int, payload: bytes) -> None:
        self._start(self._node.send(destination, payload))

    def _start(self, sending: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(self._finish(sending))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, sending: Coroutine[Any, Any, None]) -> None:
        try:
            await sending
            self.sent_total += 1
        except MeshTwinError as error:
            self.failed_total += 1
            log.debug("Message not sent", node=self._node.address, error=str(error))

    def _after(self, delay_s: float, action: Callable[[], None]) -> None:
        def fire() -> None:
            self._timers.discard(timer)
            action()

        timer = self._loop.call_later(delay_s, fire)
        self._timers.add(timer)
