"""Acknowledged exchanges with nodes: one at a time per node, a few at a time in all, repeated when lost.

They are paced: every question and every answer is a flood that occupies the advertiser of every relay, and a
gateway that asks faster than the relays can send brings the whole mesh down.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from meshtwin.contract.access import Access, Opcode

__all__ = ["CONCURRENT", "OCCUPANCY_SHARE", "Completed", "Exchanges", "Outgoing", "Request"]

CONCURRENT: Final = 3  # exchanges in flight; more would make the gateway its own interferer
BASE_TIMEOUT_S: Final = 0.8  # mesh time; answer and question of a node nearby, in a busy mesh
HOP_TIMEOUT_S: Final = 0.3  # per hop, both ways, with queues
BACKOFF: Final = 1.6
UNKNOWN_FLOOD_S: Final = 0.175  # assumed before anything was read: five transmissions, 35 ms apart
OCCUPANCY_SHARE: Final = 0.3  # of a relay's advertiser for our exchanges; several gateways share one mesh


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question to one node; ``answer_prefix`` must begin the parameters of the answer."""

    node: int
    payload: bytes
    answer: Opcode
    answer_prefix: bytes = b""
    tries: int = 4
    ttl: int | None = None
    tag: object = None  # what it is for, given back with the answer


@dataclass(frozen=True, slots=True)
class Completed:
    """A request and its answer; None: no answer after all tries."""

    request: Request
    answer: Access | None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request to be sent now."""

    request: Request


@dataclass(slots=True)
class InFlight:
    request: Request
    tries_left: int
    timeout: timedelta
    deadline: datetime


@dataclass(slots=True)
class Exchanges:
    """Pure bookkeeping; times are wall times, mesh time runs ``time_scale`` times as fast."""

    time_scale: float = 1.0
    hops: dict[int, int] = field(default_factory=dict)
    flood_s: float = UNKNOWN_FLOOD_S  # how long one flood occupies the advertiser of a relay
    occupancy_share: float = OCCUPANCY_SHARE
    _next_send_at: datetime | None = None
    _waiting: deque[Request] = field(default_factory=deque)
    _in_flight: dict[int, InFlight] = field(default_factory=dict)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is waiting and nothing is in flight."""
        return not self._waiting and not self._in_flight

    def add(self, request: Request) -> None:
        """Queue a request behind those already there."""
        self._waiting.append(request)

    def drop_node(self, node: int) -> None:
        """Forget the waiting requests to a node that does not answer."""
        self._waiting = deque(r for r in self._waiting if r.node != node)

    def clear(self) -> None:
        """Forget everything; late answers are ignored."""
        self._waiting.clear()
        self._in_flight.clear()

    def start_waiting(self, now: datetime) -> list[Outgoing]:
        """Requests that go out now, within the limits."""
        out = []
        for request in list(self._waiting):
            if len(self._in_flight) >= CONCURRENT or not self._may_send(now):
                break
            if request.node in self._in_flight:
                continue
            self._waiting.remove(request)
            timeout_s = BASE_TIMEOUT_S + HOP_TIMEOUT_S * self.hops.get(request.node, 4)
            timeout = timedelta(seconds=timeout_s / self.time_scale)
            self._in_flight[request.node] = InFlight(request, request.tries - 1, timeout, now + timeout)
            out.append(self._outgoing(request, now))
        return out

    def _may_send(self, now: datetime) -> bool:
        return self._next_send_at is None or now >= self._next_send_at

    def _outgoing(self, request: Request, now: datetime) -> Outgoing:
        gap_s = 2 * self.flood_s / self.occupancy_share  # question and answer
        self._next_send_at = now + timedelta(seconds=gap_s / self.time_scale)
        return Outgoing(request)

    def answered(self, node: int, message: Access) -> Completed | None:
        """The exchange that ``message`` completes; None: none of ours."""
        flight = self._in_flight.get(node)
        if (
            flight is None
            or message.opcode is not flight.request.answer
            or not message.parameters.startswith(flight.request.answer_prefix)
        ):
            return None
        del self._in_flight[node]
        return Completed(flight.request, message)

    def expire(self, now: datetime) -> list[Completed | Outgoing]:
        """Requests to be repeated now, and those that are given up."""
        out: list[Completed | Outgoing] = []
        for node, flight in list(self._in_flight.items()):
            if flight.deadline > now:
                continue
            if flight.tries_left > 0 and not self._may_send(now):
                flight.deadline = self._next_send_at or now
            elif flight.tries_left > 0:
                flight.tries_left -= 1
                flight.timeout *= BACKOFF
                flight.deadline = now + flight.timeout
                out.append(self._outgoing(flight.request, now))
            else:
                del self._in_flight[node]
                out.append(Completed(flight.request, None))
        return out

    def next_wakeup(self) -> datetime | None:
        """When `expire` or `start_waiting` has something to do."""
        times = [f.deadline for f in self._in_flight.values()]
        is_sendable = any(request.node not in self._in_flight for request in self._waiting)
        if is_sendable and len(self._in_flight) < CONCURRENT and self._next_send_at is not None:
            times.append(self._next_send_at)
        return min(times, default=None)
