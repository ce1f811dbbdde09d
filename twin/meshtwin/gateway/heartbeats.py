"""Heartbeats as observations: one turn of the rotation as a job, and the counts that come of it."""

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
from meshtwin.gateway.jobs import Desk
from meshtwin.gateway.rotation import Turn
from meshtwin.mesh.addresses import UnicastAddress, format_address

__all__ = ["HeartbeatBook", "TurnJob"]

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
    expected: int = 0
    received: int = 0
    uncertainty: int = 0


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

        The code of a count stands for a range, which ends at ``expected``: its middle counts as received, half its
        width as uncertainty.
        """
        pair = (listener, heard.source)
        self._looked.add(pair)
        if heard.count_low == 0 and pair not in self._counts:
            return None
        counts = self._counts.setdefault(pair, Counts())
        low, high = min(heard.count_low, expected), min(heard.count_high, expected)
        counts.expected += expected
        counts.received += (low + high) // 2
        counts.uncertainty += (high - low + 1) // 2
        return NeighbourCounter(
            neighbour=format_address(UnicastAddress(heard.source)),
            epoch=self.epoch,
            since_counter=0,
            last_counter=counts.expected,
            received=counts.received,
            received_uncertainty=counts.uncertainty,
            transmissions=transmissions,
        )
