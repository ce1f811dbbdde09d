"""Heartbeats as observations: one turn of the rotation as a job, and the counts that come of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from meshtwin.contract.access import Opcode
from meshtwin.contract.configuration import NodeOutcome
from meshtwin.contract.telemetry import NeighbourCounter
from meshtwin.errors import InvalidInput
from meshtwin.gateway.exchanges import Completed, Request
from meshtwin.gateway.foundation import (
    HeartbeatHeard,
    ask_heartbeats_heard,
    parse_heartbeats_heard,
    publish_heartbeat,
    subscribe_heartbeats,
)
from meshtwin.gateway.heartbeat_counts import LISTENINGS_KEPT, Range, estimate_counts
from meshtwin.gateway.jobs import Desk
from meshtwin.gateway.rotation import Turn
from meshtwin.mesh.addresses import UnicastAddress, format_address

__all__ = ["HeartbeatBook", "TurnJob"]

# Questions per part of a turn, as many as any `Request`: with a fifth of the exchanges lost one part in 600 is missed,
# and the rotation listens again to a pair that it missed. Assumed.
TRIES: Final = 4
SUCCESS: Final = 0


@dataclass(slots=True)
class TurnJob:
    """Asks one node what a `Turn` says; codes are logarithms of periods as on the air.

    ``heard`` None: not asked, no answer, or the node had forgotten whom to listen to. ``refused``: an error status.
    """

    turn: Turn
    group: int
    publish_log: int
    listen_log: int
    heard: HeartbeatHeard | None = None
    is_listening: bool = False
    is_silent: bool = False
    refused: int | None = None
    finished: bool = False
    wake_at: datetime | None = None
    progress: float = 0.0

    def start(self, desk: Desk, now: datetime) -> None:
        """Collect first, since a new subscription counts from zero."""
        turn = self.turn
        if turn.collect is not None:
            self._ask(desk, ask_heartbeats_heard(), Opcode.HEARTBEAT_SUBSCRIPTION_STATUS, "collect")
        if turn.publish_ttl is not None:
            payload = publish_heartbeat(destination=self.group, ttl=turn.publish_ttl, period_log=self.publish_log)
            self._ask(desk, payload, Opcode.HEARTBEAT_PUBLICATION_STATUS, "publish")
        if turn.listen is not None:
            payload = subscribe_heartbeats(source=turn.listen, destination=self.group, period_log=self.listen_log)
            self._ask(desk, payload, Opcode.HEARTBEAT_SUBSCRIPTION_STATUS, "listen")
        self.finished = desk.exchanges.is_idle

    def completed(self, desk: Desk, exchange: Completed, now: datetime) -> None:
        """Note an answer, or that the node is silent."""
        if exchange.answer is None:
            self.is_silent = True
            desk.exchanges.drop_node(exchange.request.node)
        elif exchange.answer.parameters[:1] != bytes((SUCCESS,)):
            self.refused = exchange.answer.parameters[0] if exchange.answer.parameters else 0xFF
        elif exchange.request.tag == "collect":
            self._collect(exchange.answer.parameters[1:])
        elif exchange.request.tag == "listen":
            self.is_listening = True
        self.finished = desk.exchanges.is_idle

    def on_time(self, desk: Desk, now: datetime) -> None:
        """Nothing to do by time."""

    def interim(self) -> Sequence[NodeOutcome]:
        """Nothing before the end."""
        return ()

    def _collect(self, parameters: bytes) -> None:
        try:
            heard = parse_heartbeats_heard(parameters)
        except InvalidInput:
            return
        if heard.source == self.turn.collect:
            self.heard = heard

    def _ask(self, desk: Desk, payload: bytes, answer: Opcode, tag: str) -> None:
        desk.exchanges.add(Request(node=self.turn.node, payload=payload, answer=answer, tries=TRIES, tag=tag))


@dataclass(slots=True)
class Counts:
    """Of one pair. What was received in the `LISTENINGS_KEPT` last listenings is estimated anew with each of them."""

    expected: int = 0
    received: float = 0.0
    uncertainty: float = 0.0
    _recent: list[Range] = field(default_factory=list)
    _settled: tuple[float, float] = (0.0, 0.0)  # received and uncertainty of listenings before those

    def add(self, heard: Range, expected: int) -> None:
        """Count one listening in which ``expected`` heartbeats were sent."""
        if len(self._recent) == LISTENINGS_KEPT:
            self._settled = self._sum(self._recent[:1], expected)
            del self._recent[0]
        self._recent.append(heard)
        received, self.uncertainty = self._sum(self._recent, expected)
        self.received = min(self.received + expected, max(self.received, received))
        self.expected += expected

    def _sum(self, of: Sequence[Range], expected: int) -> tuple[float, float]:
        """Received and uncertainty, with those settled, of the first listenings that are kept."""
        counts, off = estimate_counts(self._recent, expected)
        received, uncertainty = self._settled
        for (low, high), count in zip(of, counts, strict=False):
            received += count
            uncertainty += min(off, (high - low + 1) / 2) if low < high else 0.0
        return received, uncertainty


@dataclass(slots=True)
class HeartbeatBook:
    """Cumulative counts per (listener, source); pairs that never heard each other are told of no more."""

    epoch: int
    _counts: dict[tuple[int, int], Counts] = field(default_factory=dict)
    _looked: set[tuple[int, int]] = field(default_factory=set)

    @property
    def mean_heard(self) -> float | None:
        """Mean number of sources that a listener heard; None before anybody listened."""
        listeners = {listener for listener, _ in self._looked}
        return len(self._counts) / len(listeners) if listeners else None

    @property
    def heard_by(self) -> Mapping[int, int]:
        """Number of sources that each listener heard."""
        out: dict[int, int] = {}
        for listener, _ in self._counts:
            out[listener] = out.get(listener, 0) + 1
        return out

    def is_known(self, listener: int, source: int) -> bool:
        """Whether the listener ever heard the source."""
        return (listener, source) in self._counts

    def fold(self, listener: int, heard: HeartbeatHeard, expected: int, transmissions: int) -> NeighbourCounter | None:
        """The pair's counter after one listening time in which ``expected`` heartbeats were sent; None: never heard.

        The code of a count stands for a range, which ends at ``expected``; how many were received is estimated.
        """
        pair = (listener, heard.source)
        self._looked.add(pair)
        if heard.count_low == 0 and pair not in self._counts:
            return None
        counts = self._counts.setdefault(pair, Counts())
        counts.add((min(heard.count_low, expected), min(heard.count_high, expected)), expected)
        return NeighbourCounter(
            neighbour=format_address(UnicastAddress(heard.source)),
            epoch=self.epoch,
            since_counter=0,
            last_counter=counts.expected,
            received=round(counts.received),
            received_uncertainty=math.ceil(counts.uncertainty),
            transmissions=transmissions,
        )
