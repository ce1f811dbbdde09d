"""The messages of one replication: one by one for those who look at them, and in columns for those who count.

A run of thousands of messages to several members is made, kept, counted and sent between processes as a few arrays; a
tuple of values takes ten times as long, most of it for collecting garbage. Values are made when somebody looks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, overload

import numpy as np
import numpy.typing as npt

from meshtwin.mesh.addresses import UnicastAddress

__all__ = ["ARRIVED", "SENT", "Arrival", "FlowColumns", "MessageResult", "MessageTable", "flow_columns"]

# A row per message; arrivals of message i are the rows first[i] .. first[i] + arrived[i] - 1 of the other array.
SENT: Final = np.dtype(
    [
        ("flow", np.int32),  # place in ``MessageTable.flows``
        ("number", np.int64),
        ("started_ns", np.int64),
        ("member_count", np.int32),
        ("transmissions", np.int64),
        ("first", np.int64),
        ("arrived", np.int32),
    ]
)
# A row per arrival; round_trip_ns -1: none.
ARRIVED: Final = np.dtype(
    [("member", np.uint16), ("hops", np.int32), ("latency_ns", np.int64), ("round_trip_ns", np.int64)]
)
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message at one member; ``round_trip_ns`` None: no answer was asked for, or none came."""

    member: UnicastAddress
    latency_ns: int
    hops: int
    round_trip_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageResult:
    """One message; ``arrivals`` in order of arrival, ties by address; members not in it were not reached."""

    flow: str
    number: int
    started_ns: int
    member_count: int
    arrivals: tuple[Arrival, ...]
    transmissions: int

    @property
    def reached_all(self) -> bool:
        """Whether every member got it."""
        return len(self.arrivals) == self.member_count

    def is_on_time(self, deadline_ms: float) -> bool:
        """Whether every member got it within the deadline; lost counts as late."""
        return self.reached_all and (not self.arrivals or self.arrivals[-1].latency_ns <= deadline_ms * 1e6)

    @property
    def spread_ns(self) -> int | None:
        """First to last member; None for a single member or if a member was not reached."""
        if self.member_count < 2 or not self.reached_all:
            return None
        return self.arrivals[-1].latency_ns - self.arrivals[0].latency_ns


class MessageTable(Sequence[MessageResult]):
    """A sequence of `MessageResult` held as arrays of `SENT` and `ARRIVED`, each message's arrivals in their order.

    Equal to any sequence of the same messages. The values are made at the first look at one, and kept.
    """

    __slots__ = ("_values", "arrived", "flows", "sent")

    def __init__(self, flows: tuple[str, ...], sent: Rows, arrived: Rows) -> None:
        self.flows = flows
        self.sent = sent
        self.arrived = arrived
        self._values: tuple[MessageResult, ...] | None = None

    @classmethod
    def of(cls, messages: Sequence[MessageResult]) -> "MessageTable":
        """The table of ``messages``; a table is its own."""
        if isinstance(messages, MessageTable):
            return messages
        flows = {name: place for place, name in enumerate(dict.fromkeys(m.flow for m in messages))}
        firsts = np.cumsum([0, *(len(m.arrivals) for m in messages)])
        sent = [
            (flows[m.flow], m.number, m.started_ns, m.member_count, m.transmissions, first, len(m.arrivals))
            for m, first in zip(messages, firsts, strict=False)
        ]
        arrived = [
            (a.member, a.hops, a.latency_ns, -1 if a.round_trip_ns is None else a.round_trip_ns)
            for m in messages
            for a in m.arrivals
        ]
        return cls(tuple(flows), np.array(sent, dtype=SENT), np.array(arrived, dtype=ARRIVED))

    def __len__(self) -> int:
        return len(self.sent)

    @overload
    def __getitem__(self, place: int) -> MessageResult: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[MessageResult, ...]: ...
    def __getitem__(self, place: int | slice) -> MessageResult | tuple[MessageResult, ...]:
        return self._all()[place]

    def __iter__(self) -> Iterator[MessageResult]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._all() == tuple(other)

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return repr(self._all())

    def __reduce__(self) -> tuple[type["MessageTable"], tuple[object, ...]]:
        """Without the values, which are made again where somebody looks."""
        return MessageTable, (self.flows, self.sent, self.arrived)

    def _all(self) -> tuple[MessageResult, ...]:
        if self._values is None:
            arrivals = [
                Arrival(member, latency_ns, hops, None if trip_ns < 0 else trip_ns)
                for member, hops, latency_ns, trip_ns in self.arrived.tolist()
            ]
            self._values = tuple(
                MessageResult(
                    flow=self.flows[flow], number=number, started_ns=started_ns, member_count=members,
                    arrivals=tuple(arrivals[first : first + count]), transmissions=transmissions,
                )
                for flow, number, started_ns, members, transmissions, first, count in self.sent.tolist()
            )  # fmt: skip
        return self._values


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowColumns:
    """One flow's messages, an element each; arrivals of all of them, message by message, an element each."""

    number: Ints
    started_ns: Ints
    member_count: Ints
    arrived: Ints  # how many of the members
    message: Ints  # of each arrival: place of its message
    member: npt.NDArray[np.uint16]
    hops: npt.NDArray[np.int32]
    latency_ns: Ints
    round_trip_ns: Ints  # -1: none

    @property
    def reached_all(self) -> Flags:
        """As of `MessageResult`, for each message."""
        return np.asarray(self.arrived == self.member_count)

    def is_on_time(self, deadline_ms: float) -> Flags:
        """As of `MessageResult`, for each message."""
        return np.asarray(self.reached_all & (self._last_ns() <= deadline_ms * 1e6))

    @property
    def spread_ns(self) -> Ints:
        """First to last member, of the messages that reached all of several."""
        told = self.reached_all & (self.member_count >= 2)
        firsts = np.cumsum(self.arrived) - self.arrived
        return np.asarray(self._last_ns()[told] - self.latency_ns[firsts[told]])

    @property
    def trips_ns(self) -> Ints:
        """Round trips of what was answered."""
        return self.round_trip_ns[self.round_trip_ns >= 0]

    @property
    def answered_share(self) -> float:
        """Share of (message, member) pairs whose answer came back to the source; 0 of none."""
        asked = int(self.member_count.sum())
        return len(self.trips_ns) / asked if asked else 0.0

    def has_arrivals_of(self, other: "FlowColumns") -> bool:
        """Whether all came as on the other side: to the same members, after as long, by as many hops, and back."""
        return all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("arrived", "member", "hops", "latency_ns", "round_trip_ns")
        )

    def _last_ns(self) -> Ints:
        """Latency of each message's last arrival; -1: it did not arrive anywhere."""
        last = np.full(len(self.arrived), -1, dtype=np.int64)
        some = self.arrived > 0
        last[some] = self.latency_ns[np.cumsum(self.arrived)[some] - 1]
        return last


def flow_columns(messages: Sequence[MessageResult], flow: str) -> FlowColumns:
    """The columns of the messages of ``flow``, in their order; empty ones if there are none."""
    table = MessageTable.of(messages)
    mine = table.sent[table.sent["flow"] == (table.flows.index(flow) if flow in table.flows else -1)]
    counts = mine["arrived"].astype(np.int64)
    begins = np.cumsum(counts) - counts
    rows = np.repeat(mine["first"] - begins, counts) + np.arange(int(counts.sum()))
    here = table.arrived[rows]
    return FlowColumns(
        number=mine["number"].astype(np.int64),
        started_ns=mine["started_ns"].astype(np.int64),
        member_count=mine["member_count"].astype(np.int64),
        arrived=counts,
        message=np.repeat(np.arange(len(mine)), counts),
        member=np.ascontiguousarray(here["member"]),
        hops=np.ascontiguousarray(here["hops"]),
        latency_ns=np.ascontiguousarray(here["latency_ns"]),
        round_trip_ns=np.ascontiguousarray(here["round_trip_ns"]),
    )
