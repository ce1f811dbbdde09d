"""The office once more, with the published run's own random numbers: a second implementation of the toolbox's rules.

Every cell of the published table is one run, and every run has the same luck: the toolbox seeds each block with the
number of its node. So its draws can be drawn again (MATLAB's twister and numpy's `RandomState` are one generator),
and what is left between table and replay is the receiver at signal level alone. A witness: it shares no rule with
the engines, and its mean over other seeds is to be theirs (`tests/validation/test_office_replay.py`).

Source: github.com/phanvanhai/ble-mesh, commits 7f5f1ee (classes of the toolbox) and 2df892f (script of the runs).
Times are integers in microseconds, as there. What a PDU meets after the receiver locked on it is judged by our own
bit error curve in place of a demodulated waveform; frequency offsets, drawn from a stream of its own there, are left
out.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from numpy.random import RandomState

from meshtwin.radio.reception import compute_overlap_survival
from meshtwin.sim.validation.tables import Table

__all__ = ["SCRIPT_STOP_S", "Survival", "count_arrivals", "has_survived"]

SCRIPT_STOP_S: Final = 10.3  # stopTime at both commits that the table names; its 10.2 s are of earlier pictures
ORDERS: Final = ((39, 38, 37), (39, 37, 38), (38, 39, 37), (38, 37, 39), (37, 39, 38), (37, 38, 39))
FIRST_ORDER: Final = ORDERS[4]  # drawn before the block is seeded, so by generated code's default seed: all nodes alike
WINDOW_US, EVENT_US, STEP_US = 30_000, 20_000, 1_000  # scan window; least length of an event; what is added to it
FIRST_PDU_US, NEXT_PDU_US = (1_000, 7_000), (1_000, 8_000)  # after the event's start; after the PDU before
INTERVAL_US: Final = 60_000  # from taking a message to handing it to the link layer
PDU_US: Final = 273  # 34 bytes, and a bit time that the transmitter's model appends

Key = tuple[int, int]  # source and number of a message
Survival = Callable[[Sequence[tuple[float, int]]], bool]  # of (signal to interference in dB, overlap in us) pairs


class Message(NamedTuple):
    """A network PDU as it is sent: ``ttl`` is that of its header."""

    key: Key
    target: int
    ttl: int


class Reception(NamedTuple):
    """What a receiver locked on, and who began to send meanwhile."""

    start_us: int
    sender: int
    message: Message
    channel: int
    interferers: list[Key]  # (start, sender)


def has_survived(interferers: Sequence[tuple[float, int]]) -> bool:
    """Whether a PDU comes through more often than not, each interferer judged over its own overlap."""
    return math.prod(compute_overlap_survival(sir_db, overlap * 1_000) for sir_db, overlap in interferers) >= 0.5


@dataclass(slots=True)
class ReplayNode:
    """State of one node; ``link_luck`` and ``network_luck`` are the streams of its two blocks."""

    number: int
    is_relay: bool
    link_luck: RandomState
    network_luck: RandomState
    order: tuple[int, ...] = FIRST_ORDER
    place: int = 0  # in ``order``, of the next channel
    channel: int | None = None  # None: not listening
    reception: Reception | None = None
    cache: set[Key] = field(default_factory=set)
    relayed: deque[Message] = field(default_factory=deque)
    own: deque[Message] = field(default_factory=deque)
    handed_over: deque[Message] = field(default_factory=deque)
    is_waiting: bool = False  # whether the network layer has taken a message


class Replay:
    """One run; ``distances_m`` has those pairs alone that hear each other."""

    def __init__(
        self, relays: Set[int], distances_m: Mapping[Key, float], seeds: Mapping[int, int], survives: Survival
    ) -> None:
        self._distances_m, self._survives = distances_m, survives
        self._nodes = {
            number: ReplayNode(number, number in relays, RandomState(seed), RandomState(seed))
            for number, seed in seeds.items()
        }
        self._neighbours: dict[int, list[ReplayNode]] = {number: [] for number in seeds}
        for sender, receiver in distances_m:
            self._neighbours[sender].append(self._nodes[receiver])
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count, self._now_us = 0, 0
        self.arrived: set[Key] = set()

    def run(self, flows: Sequence[Sequence[int]], ttl: int, period_us: int, stop_us: int) -> None:
        """All flows begin after one period, and send until ``stop_us``."""
        for node in self._nodes.values():
            self._stand_by(node)
        for source, target in flows:
            self._at(period_us, partial(self._press, source, Message((source, 0), target, ttl), period_us))
        while self._events and self._events[0][0] <= stop_us:
            self._now_us, _, action = heapq.heappop(self._events)
            action()

    def _at(self, time_us: int, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (time_us, self._count, action))

    def _press(self, source: int, message: Message, period_us: int) -> None:
        node, number = self._nodes[source], message.key[1]
        node.own.append(message)
        self._take(node)
        after = message._replace(key=(source, number + 1))
        self._at(self._now_us + period_us, partial(self._press, source, after, period_us))

    def _take(self, node: ReplayNode) -> None:
        """The network layer takes one message, relayed ones first, and hands it over one interval later."""
        if node.is_waiting or not (node.relayed or node.own):
            return
        node.is_waiting = True
        if node.relayed:
            message, wait_us = node.relayed.popleft(), INTERVAL_US
        else:
            message, wait_us = node.own.popleft(), INTERVAL_US + draw_int(node.network_luck, 1, 10) * STEP_US
        self._at(self._now_us + wait_us, partial(self._hand_over, node, message))

    def _hand_over(self, node: ReplayNode, message: Message) -> None:
        node.handed_over.append(message)
        node.is_waiting = False
        self._take(node)

    def _stand_by(self, node: ReplayNode) -> None:
        """Between windows and events: an advertising event if anything waits, else the next scan window."""
        if not node.handed_over:
            node.channel = node.order[node.place % 3]
            node.place += 1
            self._at(self._now_us + WINDOW_US, partial(self._stand_by, node))
            return
        luck, message, start_us = node.link_luck, node.handed_over.popleft(), self._now_us
        node.channel, node.place, node.order = None, 0, ORDERS[draw_int(luck, 1, 6) - 1]
        length_us = EVENT_US + draw_int(luck, 0, 10) * STEP_US
        offset_us = draw_int(luck, *FIRST_PDU_US)
        for place in range(3):
            if place > 0:
                latest_us = offset_us + NEXT_PDU_US[1] if place == 1 else min(offset_us + NEXT_PDU_US[1], EVENT_US)
                offset_us = draw_int(luck, offset_us + NEXT_PDU_US[0], latest_us)
            if offset_us < length_us:
                self._at(start_us + offset_us, partial(self._transmit, node, message, node.order[place]))
        self._at(start_us + length_us, partial(self._stand_by, node))

    def _transmit(self, node: ReplayNode, message: Message, channel: int) -> None:
        """Who listens and is free locks on the PDU; to who is not it is interference; others never notice it."""
        for receiver in self._neighbours[node.number]:
            if receiver.channel != channel:
                continue
            if receiver.reception is None:
                receiver.reception = Reception(self._now_us, node.number, message, channel, [])
                self._at(self._now_us + PDU_US, partial(self._decode, receiver))
            else:
                receiver.reception.interferers.append((self._now_us, node.number))

    def _decode(self, node: ReplayNode) -> None:
        reception, node.reception = node.reception, None
        if reception is None or node.channel != reception.channel:
            return  # the radio has gone on to another channel, for which bits are whitened otherwise, or sends
        wanted_m = self._distances_m[reception.sender, node.number]
        interferers = [
            (20.0 * math.log10(self._distances_m[sender, node.number] / wanted_m), self._now_us - start_us)
            for start_us, sender in reception.interferers
        ]
        message = reception.message
        if (interferers and not self._survives(interferers)) or message.key in node.cache:
            return
        node.cache.add(message.key)
        if message.target == node.number:
            self.arrived.add(message.key)
        elif node.is_relay and message.ttl >= 2:
            node.relayed.append(message._replace(ttl=message.ttl - 1))
            self._take(node)


def draw_int(luck: RandomState, low: int, high: int) -> int:
    """MATLAB's ``randi([low high])``."""
    return low + int(luck.random_sample() * (high - low + 1))


def count_arrivals(
    table: Table,
    relay_set: str,
    ttl: int,
    *,
    seeds: Mapping[int, int] | None = None,
    stop_s: float = SCRIPT_STOP_S,
    survives: Survival = has_survived,
) -> int:
    """Messages that arrive in one run of a cell; ``seeds`` by node (None: its number, as published)."""
    conditions, positions = table["conditions"], table["positions_m"]
    relays = set(positions) if relay_set == "all" else set(table["relay_sets"][relay_set])
    distances_m = {
        (a, b): distance_m
        for a in positions
        for b in positions
        if a != b and (distance_m := math.dist(positions[a], positions[b])) <= conditions["reception_range_m"]
    }
    replay = Replay(relays, distances_m, seeds or {number: number for number in positions}, survives)
    replay.run(conditions["flows"], ttl, round(1e6 / conditions["rate_per_s"]), round(stop_s * 1e6))
    return len(replay.arrived)
