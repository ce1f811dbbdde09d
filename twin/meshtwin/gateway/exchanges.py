"""Acknowledged exchanges with nodes: one at a time per node, a few at a time in all, repeated when lost.

They are paced: every question and every answer is a flood that occupies the advertiser of every relay, and a
gateway that asks faster than the relays can send brings the whole mesh down. And they are few: a question counts
until its answer is overdue. Between two repetitions an exchange mostly waits, and leaves its place to others; so a
part of the mesh that is cut off takes little longer than one silent node.

Nobody tells a gateway what others send. Answers that come late do: then it asks less, and more again while answers
come in good time. Silence alone says nothing, since it is what a lamp without power does.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from meshtwin.contract.access import Access, Opcode

__all__ = ["CONCURRENT", "OCCUPANCY_SHARE", "Completed", "Exchanges", "Outgoing", "Request"]

CONCURRENT: Final = 3  # questions whose answers may be on their way; more would make the gateway its own interferer
OPEN_MAX: Final = 32  # exchanges begun and not ended; the first to be asked should not be the last to be asked again
BASE_TIMEOUT_S: Final = 0.8  # mesh time; answer and question of a node nearby, in a busy mesh
HOP_TIMEOUT_S: Final = 0.3  # per hop, both ways, with queues
# Factor from one timeout to the next, less than the usual 2 (RFC 6298, 5.5): what is lost in a mesh is mostly lost to
# the air, not to congestion, which pacing deals with. Four tries wait 1, 1.6, 2.6 and 4 times the first timeout: the
# last at `TIMEOUT_GROWTH_MAX`. Assumed; never varied in a measurement.
BACKOFF: Final = 1.6
TIMEOUT_GROWTH_MAX: Final = 4.0  # of the first timeout; a mesh so busy that more is needed is no mesh to configure
UNKNOWN_FLOOD_S: Final = 0.175  # assumed before anything was read: five transmissions, 35 ms apart
OCCUPANCY_SHARE: Final = 0.3  # of a relay's advertiser for our exchanges; several gateways share one mesh
# Less after an answer that took a second try, more after one that took less than half of the usual time. With a fifth
# of the first tries lost, both hold the balance: fewer losses are a lossy mesh, more are an overloaded one.
SHARE_DOWN: Final = 0.7
SHARE_UP: Final = 1.1
SHARE_LEAST: Final = 0.1
PLAIN_FLOODS: Final = 2  # the question and its answer, both unsegmented


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question to one node; ``answer_prefix`` must begin the parameters of the answer.

    ``floods``: network messages that question and answer take. Segments and their acknowledgements are floods, too.
    """

    node: int
    payload: bytes
    answer: Opcode
    answer_prefix: bytes = b""
    tries: int = 4
    floods: int = PLAIN_FLOODS
    ttl: int | None = None
    tag: object = None  # what it is for, given back with the answer


@dataclass(frozen=True, slots=True)
class Completed:
    """A request and its answer; None: no answer after all tries.

    ``waited``: from the question to the answer; None: it was asked more than once, so that nobody knows.
    """

    request: Request
    answer: Access | None
    waited: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request to be sent now."""

    request: Request


@dataclass(slots=True)
class InFlight:
    request: Request
    tries_left: int
    usual: timedelta  # in which an answer comes, if it comes
    timeout: timedelta  # of this try
    deadline: datetime
    sent_at: datetime  # this try

    @property
    def is_first_try(self) -> bool:
        return self.tries_left == self.request.tries - 1

    @property
    def places(self) -> int:
        return math.ceil(self.request.floods / PLAIN_FLOODS)

    @property
    def overdue_at(self) -> datetime:
        return self.sent_at + self.usual


@dataclass(slots=True)
class Exchanges:
    """Pure bookkeeping; times are wall times, mesh time runs ``time_scale`` times as fast."""

    time_scale: float = 1.0
    hops: dict[int, int] = field(default_factory=dict)
    flood_s: float = UNKNOWN_FLOOD_S  # how long one flood occupies the advertiser of a relay
    occupancy_share: float = OCCUPANCY_SHARE  # at most
    _share: float = OCCUPANCY_SHARE  # now
    _next_send_at: datetime | None = None
    _waiting: deque[Request] = field(default_factory=deque)
    _in_flight: dict[int, InFlight] = field(default_factory=dict)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is waiting and nothing is in flight."""
        return not self._waiting and not self._in_flight

    @property
    def gap_s(self) -> float:
        """Least mesh time between two plain questions."""
        return PLAIN_FLOODS * self.flood_s / min(self._share, self.occupancy_share)

    def add(self, request: Request) -> None:
        """Queue a request behind those already there."""
        self._waiting.append(request)

    def drop_node(self, node: int) -> None:
        """Forget the waiting requests to a node that does not answer."""
        self._waiting = deque(r for r in self._waiting if r.node != node)

    def clear(self) -> tuple[Request, ...]:
        """Forget everything; late answers are ignored. Gives what was asked and not answered yet."""
        asked = tuple(flight.request for flight in self._in_flight.values())
        self._waiting.clear()
        self._in_flight.clear()
        return asked

    def start_waiting(self, now: datetime) -> list[Outgoing]:
        """Requests that go out now, within the limits."""
        out = []
        for request in list(self._waiting):
            if len(self._in_flight) >= OPEN_MAX or not self._may_send(now):
                break
            if request.node in self._in_flight:
                continue
            self._waiting.remove(request)
            timeout_s = BASE_TIMEOUT_S + HOP_TIMEOUT_S * self.hops.get(request.node, 4)
            usual = timedelta(seconds=timeout_s / self.time_scale)
            self._in_flight[request.node] = InFlight(request, request.tries - 1, usual, usual, now + usual, now)
            out.append(self._outgoing(request, now))
        return out

    def _may_send(self, now: datetime) -> bool:
        sendable_at = self._sendable_at()
        return sendable_at is None or now >= sendable_at

    def _sendable_at(self) -> datetime | None:
        """When pacing and the number of open questions allow the next one, perhaps in the past; None: always."""
        overdue = sorted(flight.overdue_at for flight in self._in_flight.values() for _ in range(flight.places))
        times = [] if self._next_send_at is None else [self._next_send_at]
        if len(overdue) >= CONCURRENT:
            times.append(overdue[-CONCURRENT])  # from then on fewer answers may be on their way
        return max(times, default=None)

    def _outgoing(self, request: Request, now: datetime) -> Outgoing:
        self._next_send_at = now + request.floods / PLAIN_FLOODS * self._gap
        return Outgoing(request)

    @property
    def _gap(self) -> timedelta:
        return timedelta(seconds=self.gap_s / self.time_scale)

    def _has_newcomer(self) -> bool:
        """Whether somebody waits to be asked for the first time, who comes before all repetitions."""
        return len(self._in_flight) < OPEN_MAX and any(r.node not in self._in_flight for r in self._waiting)

    def answered(self, node: int, message: Access, now: datetime) -> Completed | None:
        """The exchange that ``message`` completes; None: none of ours."""
        flight = self._in_flight.get(node)
        if (
            flight is None
            or message.opcode is not flight.request.answer
            or not message.parameters.startswith(flight.request.answer_prefix)
        ):
            return None
        del self._in_flight[node]
        self._learn_pace(flight, now)
        return Completed(flight.request, message, now - flight.sent_at if flight.is_first_try else None)

    def _learn_pace(self, flight: InFlight, now: datetime) -> None:
        if not flight.is_first_try:
            self._share = max(SHARE_LEAST, SHARE_DOWN * self._share)
        elif now - flight.sent_at < flight.usual / 2:
            self._share = min(SHARE_UP * self._share, self.occupancy_share)

    def give_up(self, node: int) -> Completed | None:
        """End what is in flight to a node, without an answer; None: nothing was."""
        flight = self._in_flight.pop(node, None)
        return None if flight is None else Completed(flight.request, None)

    def expire(self, now: datetime) -> Iterator[Completed | Outgoing]:
        """Requests to be repeated now, and those that are given up, one at a time.

        Each ends only when it is given: who hears of the first silent node must not believe that nothing is under
        way any more while others are about to be given up, too. What ends or begins in between is left alone.
        """
        for node, flight in list(self._in_flight.items()):
            if self._in_flight.get(node) is not flight or flight.deadline > now:
                continue
            if flight.tries_left > 0 and (self._has_newcomer() or not self._may_send(now)):
                flight.deadline = max(self._sendable_at() or now, now + self._gap)
            elif flight.tries_left > 0:
                flight.tries_left -= 1
                flight.timeout = min(BACKOFF * flight.timeout, TIMEOUT_GROWTH_MAX * flight.usual)
                flight.deadline, flight.sent_at = now + flight.timeout, now
                yield self._outgoing(flight.request, now)
            else:
                del self._in_flight[node]
                yield Completed(flight.request, None)

    def next_wakeup(self) -> datetime | None:
        """When `expire` or `start_waiting` has something to do."""
        times = [f.deadline for f in self._in_flight.values()]
        sendable_at = self._sendable_at()
        if sendable_at is not None and self._has_newcomer():
            times.append(sendable_at)
        return min(times, default=None)
