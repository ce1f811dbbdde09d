"""Long work of the gateway as small state machines: reading nodes, and pushing settings to them.

A job asks through its `Desk`, is told of every completed exchange, and says when it is finished.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from meshtwin.contract.access import (
    STATUS_OF,
    Access,
    Opcode,
    decode_access,
    decode_status,
    encode_get,
    encode_set,
)
from meshtwin.contract.configuration import NodeOutcome, Outcome
from meshtwin.contract.wire import SettingsEntry
from meshtwin.errors import InvalidInput
from meshtwin.gateway.book import NodeBook
from meshtwin.gateway.exchanges import Completed, Exchanges, Request
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import Configuration, NodeSettings, SettingsRange, Transmit

__all__ = [
    "Desk",
    "Job",
    "PushJob",
    "ReadJob",
    "doubt_abandoned",
    "learn_status",
    "plan_commit",
    "plan_restore",
    "to_outcome",
]

RESTORE_TTL: Final = 127  # across a mesh that was just damaged: as far as it goes
# Questions per Set and pass when restoring, two more than in a commit: with half of the exchanges lost, which is a mesh
# near its end, one Set in 128 is missed in a pass. Assumed; more would keep the others waiting for nodes that are cut
# off, and those have `RESTORE_PASSES`.
RESTORE_TRIES: Final = 7
RESTORE_PASSES: Final = 2  # over the nodes that did not answer, once the others are back

Stage = Sequence[tuple[UnicastAddress, NodeSettings]]


@dataclass(slots=True)
class Desk:
    """What jobs work with; ``sense`` is set to ask the mesh link for the busy time."""

    exchanges: Exchanges
    book: NodeBook
    time_scale: float
    sense_wanted: bool = False


class Job(Protocol):
    """Long work; ``wake_at`` is when it wants `on_time`, ``progress`` is 0..1.

    ``interim``: outcomes that are certain before the rest is, and worth telling.
    """

    finished: bool
    progress: float

    @property
    def wake_at(self) -> datetime | None: ...
    def interim(self) -> Sequence[NodeOutcome]: ...
    def start(self, desk: Desk, now: datetime) -> None: ...
    def completed(self, desk: Desk, exchange: Completed, now: datetime) -> None: ...
    def on_time(self, desk: Desk, now: datetime) -> None: ...


def learn_status(desk: Desk, node: UnicastAddress, answer: Access) -> None:
    """Note what a Status says; prohibited values are ignored."""
    try:
        desk.book.learn(node, decode_status(answer))
    except InvalidInput:
        return


def doubt_abandoned(desk: Desk, abandoned: Sequence[Request]) -> None:
    """A Set that was on its way when its job was given up may or may not have been applied: the node is in doubt."""
    for request in abandoned:
        if isinstance(request.tag, NodeSettings):
            desk.book.forget(UnicastAddress(request.node))


def ask_settings(desk: Desk, node: UnicastAddress, *, tries: int, tag: object = None) -> None:
    """Ask a node for all its settings."""
    for payload in encode_get():
        desk.exchanges.add(_request(node, payload, tries=tries, ttl=None, tag=tag))


@dataclass(slots=True)
class ReadJob:
    """Reads the settings of ``nodes``; ``unanswered`` did not answer every question."""

    nodes: Sequence[UnicastAddress]
    tries: int = 5
    unanswered: set[UnicastAddress] = field(default_factory=set)
    finished: bool = False
    wake_at: datetime | None = None
    progress: float = 0.0
    _answers: int = 0

    def start(self, desk: Desk, now: datetime) -> None:
        """Ask everybody."""
        for node in self.nodes:
            ask_settings(desk, node, tries=self.tries)
        self.finished = not self.nodes

    def completed(self, desk: Desk, exchange: Completed, now: datetime) -> None:
        """Note an answer, or give the node up."""
        node = UnicastAddress(exchange.request.node)
        self._answers += 1
        if exchange.answer is None:
            self.unanswered.add(node)
            desk.exchanges.drop_node(node)
        else:
            learn_status(desk, node, exchange.answer)
        self.progress = min(1.0, self._answers / (3 * len(self.nodes)))
        self.finished = desk.exchanges.is_idle

    def on_time(self, desk: Desk, now: datetime) -> None:
        """Nothing to do by time."""

    def interim(self) -> Sequence[NodeOutcome]:
        """Nothing before the end."""
        return ()


@dataclass(slots=True)
class PushJob:
    """Sets ``target`` node by node, stage by stage; every Set is acknowledged with the value in force.

    ``base``: what nodes had before. A node in doubt is set to all of it, with the target on top: relay and its repeats
    are one state on the air, so that a target that says the one alone would overwrite the other.
    """

    target: Configuration
    stages: list[Stage]
    base: Configuration = field(default_factory=Configuration)
    tries: int = 5
    ttl: int | None = None
    passes_left: int = 0
    refused: set[UnicastAddress] = field(default_factory=set)
    unanswered: set[UnicastAddress] = field(default_factory=set)
    finished: bool = False
    wake_at: datetime | None = None
    progress: float = 0.0
    _stage: int = 0

    def start(self, desk: Desk, now: datetime) -> None:
        """Begin with the first stage that has something to do."""
        self._next_stage(desk)

    def completed(self, desk: Desk, exchange: Completed, now: datetime) -> None:
        """Note an answer, or that a node is silent, and go on."""
        node = UnicastAddress(exchange.request.node)
        if exchange.answer is None:
            self.unanswered.add(node)
            desk.book.forget(node)
            desk.exchanges.drop_node(node)
        else:
            learn_status(desk, node, exchange.answer)
            self.unanswered.discard(node)
            wanted = exchange.request.tag
            said = desk.book.known.get(node, NodeSettings())  # nothing, if its Status held a prohibited value
            if isinstance(wanted, NodeSettings) and said.differing(wanted):
                self.refused.add(node)
        if desk.exchanges.is_idle:
            self._next_stage(desk)

    def on_time(self, desk: Desk, now: datetime) -> None:
        """Nothing to do by time."""

    def interim(self) -> Sequence[NodeOutcome]:
        """Nothing before the end."""
        return ()

    def outcomes(self, desk: Desk) -> list[NodeOutcome]:
        """One outcome per node of the target, ascending."""
        out = []
        for node, wanted in self.target.entries:
            known = desk.book.known.get(node)
            if known is not None and not known.differing(wanted):
                out.append(to_outcome(node, Outcome.APPLIED, known=known))
            elif node in self.refused and node not in self.unanswered:
                why = "the node keeps another value" if known is not None else "the node tells no value that there is"
                out.append(to_outcome(node, Outcome.REFUSED, why, known=known))
            else:
                out.append(to_outcome(node, Outcome.UNKNOWN, desk.book.why_silent(node)))
        return out

    def _next_stage(self, desk: Desk) -> None:
        while self._stage < len(self.stages):
            stage = self.stages[self._stage]
            self._stage += 1
            self.progress = self._stage / (len(self.stages) + 1)
            for node, wanted in stage:
                if node not in self.refused:
                    self._set(desk, node, wanted)
            if not desk.exchanges.is_idle:
                return
        missing = [node for node, _ in self.target.entries if node in self.unanswered]
        if self.passes_left > 0 and missing:
            self.passes_left -= 1
            wanted_of = self.target.as_dict()
            self.stages = [[(n, wanted_of[n]) for n in level] for level in desk.book.levels(missing, 0)]
            self._stage = 0
            self._next_stage(desk)
            return
        self.finished = True

    def _set(self, desk: Desk, node: UnicastAddress, wanted: NodeSettings) -> None:
        known = desk.book.known.get(node)
        if known is None:
            known, wanted = NodeSettings(), self.base.get(node).overlaid(wanted)
        for payload in encode_set(wanted, known):
            message = decode_access(payload)
            part = decode_status(message) if message else NodeSettings()
            desk.exchanges.add(_request(node, payload, tries=self.tries, ttl=self.ttl, tag=part))


def plan_commit(book: NodeBook, target: Configuration, gateway_node: int) -> list[Stage]:
    """First outward everything that widens the path, then inward what narrows it.

    So that each node can still be reached when it is its turn: relays on, TTLs and repeats up, from the
    gateway to the rim; then the final values from the rim to the gateway.
    """
    wanted = target.as_dict()
    levels = book.levels(wanted, gateway_node)
    widen: list[Stage] = [
        [(n, _widest(book.known[n], wanted[n])) for n in level if n in book.known] for level in levels
    ]
    narrow: list[Stage] = [[(n, wanted[n]) for n in level] for level in reversed(levels)]
    return widen + narrow


def plan_restore(book: NodeBook, target: Configuration, gateway_node: int) -> list[Stage]:
    """From the gateway outward, each node to its last known good settings."""
    wanted = target.as_dict()
    return [[(n, wanted[n]) for n in level] for level in book.levels(wanted, gateway_node)]


def to_outcome(
    node: UnicastAddress, outcome: Outcome, reason: str | None = None, known: NodeSettings | None = None
) -> NodeOutcome:
    """The wire form of one node's outcome."""
    text = format_address(node)
    read_back = None
    if known is not None:
        read_back = SettingsEntry.from_value(SettingsRange(nodes=(text,), settings=known))
    return NodeOutcome(node=text, outcome=outcome, reason=reason, read_back=read_back)


def _widest(known: NodeSettings, wanted: NodeSettings) -> NodeSettings:
    """For each setting that ``wanted`` says, the value that carries further."""
    return NodeSettings(
        relay=None if wanted.relay is None else bool(known.relay or wanted.relay),
        relay_retransmit=_more(known.relay_retransmit, wanted.relay_retransmit),
        network_transmit=_more(known.network_transmit, wanted.network_transmit),
        default_ttl=None if wanted.default_ttl is None else max(known.default_ttl or 0, wanted.default_ttl),
    )


def _more(known: Transmit | None, wanted: Transmit | None) -> Transmit | None:
    if wanted is None or known is None:
        return wanted
    return known if known.count > wanted.count else wanted


def _request(node: UnicastAddress, payload: bytes, *, tries: int, ttl: int | None, tag: object) -> Request:
    message = decode_access(payload)
    opcode = message.opcode if message else Opcode.RELAY_GET
    return Request(node=node, payload=payload, answer=STATUS_OF[opcode], tries=tries, ttl=ttl, tag=tag)


def count_applied(outcomes: Sequence[NodeOutcome]) -> Mapping[Outcome, int]:
    """Number of nodes per outcome."""
    counts: dict[Outcome, int] = {}
    for outcome in outcomes:
        counts[outcome.outcome] = counts.get(outcome.outcome, 0) + 1
    return counts
