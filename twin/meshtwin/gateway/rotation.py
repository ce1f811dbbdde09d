"""Who listens to whose heartbeats next: observing nodes of any make, one source per listener at a time. Pure.

Every node has one Heartbeat Publication and one Heartbeat Subscription state (Mesh Protocol 1.1, 4.2.18, 4.2.19).
So all nodes publish with TTL 0, which reaches neighbours alone, and each listens to one other node at a time, in
turn. Before that the gateway's node publishes with the highest TTL, and everybody counts the hops to it: nodes whose
distances differ by more than one do not hear each other, and need not listen to each other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from meshtwin.mesh.addresses import UnicastAddress

__all__ = ["FAR_TTL", "LISTEN_HEARTBEATS", "NEAR_TTL", "Rotation", "Turn", "to_period_log"]

FAR_TTL: Final = 127
NEAR_TTL: Final = 0
LISTEN_HEARTBEATS: Final = 16  # of one source while one node listens to it
PERIOD_LOG_MAX: Final = 0x11  # 65,536 s; Mesh Protocol 1.1, 4.2.18.3
CHECK_S: Final = 0.5  # a listening time is over that much after its end


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What is asked of ``node`` next; None: not asked. ``collect``: whom it listened to; ``listen``: to whom now."""

    node: UnicastAddress
    publish_ttl: int | None = None
    collect: UnicastAddress | None = None
    listen: UnicastAddress | None = None
    is_distance: bool = False  # the heartbeats collected came any number of hops

    @property
    def exchanges(self) -> int:
        """Questions, each with an answer."""
        return sum(part is not None for part in (self.publish_ttl, self.collect, self.listen))


def to_period_log(period_s: float) -> int:
    """Code of the shortest period that is not below ``period_s``: n stands for 2^(n-1) s, from 1 s on."""
    log = 1
    while log < PERIOD_LOG_MAX and 2 ** (log - 1) < period_s:
        log += 1
    return log


@dataclass(slots=True)
class Rotation:
    """Turns without end, at most one every ``exchange_s`` per exchange.

    ``hops``: distances from the gateway's node, as they become known. ``is_barred(node, source, other)``: the node
    must not listen to a source that it does not know yet, since its replay protection list has no room; ``other`` is
    whom it listens to just now.
    """

    nodes: Sequence[UnicastAddress]
    gateway: UnicastAddress
    listen_s: float
    exchange_s: float
    hops: Mapping[int, int]
    is_barred: Callable[[int, int, int | None], bool] = lambda _node, _source, _other: False
    rounds_done: int = 0
    pairs: int = 0  # of this round
    pairs_listened: int = 0
    turn: Turn | None = None  # under way or due
    next_at: datetime | None = None
    _turns: Iterator[Turn] | None = None
    _ready_at: dict[UnicastAddress, datetime] = field(default_factory=dict)
    _missed: list[tuple[UnicastAddress, UnicastAddress]] = field(default_factory=list)

    def due(self, now: datetime) -> Turn | None:
        """The turn that is to be done now; the same one until `done`."""
        if self._turns is None:
            self._turns = self._go_round()
            self.turn = next(self._turns)
            self.next_at = now
        if self.turn is None or (self.next_at is not None and now < self.next_at):
            return None
        ready_at = self._ready_at.get(self.turn.node)
        if self.turn.collect is not None and ready_at is not None and now < ready_at:
            self.next_at = ready_at
            return None
        return self.turn

    def done(self, now: datetime, *, is_listening: bool, is_collected: bool) -> None:
        """The turn is over; ``is_listening``: the node took its new subscription, ``is_collected``: its count came."""
        turn = self.turn
        if turn is None or self._turns is None:
            return
        if turn.listen is not None:
            if is_listening:
                self._ready_at[turn.node] = now + timedelta(seconds=self.listen_s + CHECK_S)
            else:
                self._ready_at.pop(turn.node, None)
        if turn.collect is not None and is_collected:
            self.pairs_listened += 1
        elif turn.collect is not None and not turn.is_distance:
            self._missed.append((turn.node, turn.collect))
        self.next_at = now + timedelta(seconds=self.exchange_s * max(1, turn.exchanges))
        self.turn = next(self._turns)

    def compute_full_picture_s(self) -> float:
        """How long one round takes until every pair was listened to, as far as distances are known now."""
        others = len(self.nodes) - 1
        counts = [len(candidates) for candidates in self._candidates().values()]
        full_s = (len(self.nodes) + 1) * self.exchange_s  # everybody publishes, and the gateway twice
        full_s += others * self.exchange_s + max(others * self.exchange_s, self.listen_s)  # distances
        for index in range(max(counts, default=0)):
            listeners = sum(count > index for count in counts)
            full_s += max(2 * listeners * self.exchange_s, self.listen_s)
        return full_s

    def _go_round(self) -> Iterator[Turn]:
        while True:
            others = [node for node in self.nodes if node != self.gateway]
            self.pairs = self.pairs_listened = 0
            yield Turn(node=self.gateway, publish_ttl=FAR_TTL)
            yield from (Turn(node=node, publish_ttl=NEAR_TTL) for node in others)
            yield from (Turn(node=node, listen=self.gateway) for node in others)
            yield from (Turn(node=node, collect=self.gateway, is_distance=True) for node in others)
            yield Turn(node=self.gateway, publish_ttl=NEAR_TTL)
            self.pairs_listened = 0  # distances are no pairs
            self._missed.clear()
            yield from self._listen()
            yield from self._listen_again()
            self.rounds_done += 1

    def _listen(self) -> Iterator[Turn]:
        candidates = self._candidates()
        self.pairs = sum(len(sources) for sources in candidates.values())
        before: dict[UnicastAddress, UnicastAddress] = {}
        for index in range(max((len(sources) for sources in candidates.values()), default=0)):
            for node, sources in candidates.items():
                if index >= len(sources):
                    continue
                if node in before and self.is_barred(node, sources[index], before[node]):
                    yield Turn(node=node, collect=before.pop(node))  # whether it heard that one decides
                if not self.is_barred(node, sources[index], None):
                    yield Turn(node=node, collect=before.pop(node, None), listen=sources[index])
                    before[node] = sources[index]
        yield from (Turn(node=node, collect=source) for node, source in before.items())

    def _listen_again(self) -> Iterator[Turn]:
        """Once more the pairs whose node did not answer: with a message lost here and there no picture were full."""
        missed = list(self._missed)
        while missed:
            wave = dict(missed)  # one source per node, the last one named
            yield from (Turn(node=node, listen=source) for node, source in wave.items())
            yield from (Turn(node=node, collect=source) for node, source in wave.items())
            missed = [pair for pair in missed if pair not in wave.items()]

    def _candidates(self) -> dict[UnicastAddress, tuple[UnicastAddress, ...]]:
        """Per listener whom it may hear, ascending by difference of distance, then address."""
        out = {}
        for node in self.nodes:
            ranked = sorted((self._rank(node, source), source) for source in self.nodes if self._may_hear(node, source))
            out[node] = tuple(source for _, source in ranked)
        return out

    def _may_hear(self, node: UnicastAddress, source: UnicastAddress) -> bool:
        difference = self._difference(node, source)
        return node != source and (difference is None or difference <= 1)

    def _rank(self, node: UnicastAddress, source: UnicastAddress) -> int:
        difference = self._difference(node, source)
        return 2 if difference is None else difference

    def _difference(self, node: UnicastAddress, source: UnicastAddress) -> int | None:
        here, there = (0 if n == self.gateway else self.hops.get(n) for n in (node, source))
        return None if here is None or there is None else abs(here - there)
