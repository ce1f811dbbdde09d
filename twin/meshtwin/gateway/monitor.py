"""Monitoring: telling nodes how often to notify and report, and turning their reports into telemetry."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from meshtwin.contract.access import NeighbourRecord, Opcode, encode_access
from meshtwin.contract.telemetry import NeighbourCounter
from meshtwin.gateway.memory import Monitoring
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import Configuration, NodeSettings
from meshtwin.mesh.reporting import (
    HEARD_LEAST,
    compute_notifications_ratio,
    compute_report_rate,
    stretch_notifications_s,
)

__all__ = [
    "HEARD_ASSUMED",
    "INTERVAL_MAX_S",
    "CounterBook",
    "MonitorSchedule",
    "ReportPlan",
    "mean_copies",
    "plan_reports",
]

HEARD_ASSUMED: Final = 12  # neighbours that hear a transmission, before anything is known
FIRST_REPEATS: Final = 3  # a broadcast is not acknowledged
REPEAT_SOON_S: Final = 2.0  # mesh time
REPEAT_LATE_S: Final = 120.0  # mesh time; nodes that were off, or missed all three
UNASSIGNED: Final = 0x0000  # the address of nobody; Mesh Protocol 1.1, 3.4.2.1
INTERVAL_MAX: Final = 65_535  # u16 of 100 ms
INTERVAL_MAX_S: Final = INTERVAL_MAX / 10


@dataclass(frozen=True, slots=True)
class ReportPlan:
    """What is told to the nodes, times in mesh seconds; an interval of 0: neither notify nor report."""

    notification_s: float
    report_s: float
    messages_per_report: int

    def to_payload(self, epoch: int) -> bytes:
        """The ``MONITOR`` message."""
        notification, report = _to_code(self.notification_s), _to_code(self.report_s)
        parameters = (
            bytes((epoch & 0xFF,))
            + notification.to_bytes(2, "little")
            + report.to_bytes(2, "little")
            + bytes((self.messages_per_report,))
        )
        return encode_access(Opcode.MONITOR, parameters)


def _to_code(interval_s: float) -> int:
    """In steps of 100 ms; none but 0 becomes 0."""
    return 0 if interval_s == 0 else min(INTERVAL_MAX, max(1, round(interval_s * 10)))


def plan_reports(
    monitoring: Monitoring,
    known: Configuration,
    nodes: int,
    heard: float,
    flood_s: float,
    *,
    repeats: bool = True,
    upkeep_ratio: float = 0.0,
) -> ReportPlan:
    """What the airtime budget allows, by the rule of `meshtwin.mesh.reporting`; ``flood_s`` as stated there.

    ``repeats``: notifications are sent as often as network transmit says. Then, as models foresee it, reports have
    the budget alone; where they go out once, notifications and ``upkeep_ratio`` are taken from it first.
    """
    settings = [s for _, s in known.entries]
    budget_ratio = monitoring.airtime_budget_percent / 100
    copies = mean_copies(settings) if repeats else 1.0
    notification_s = stretch_notifications_s(
        monitoring.notification_interval_seconds, budget_ratio=budget_ratio, heard=heard, transmissions=copies
    )
    rate = compute_report_rate(
        settings,
        interval_s=monitoring.report_interval_seconds,
        budget_ratio=budget_ratio,
        nodes=nodes,
        heard=heard,
        flood_s=flood_s,
        spent_ratio=0.0 if repeats else compute_notifications_ratio(notification_s, heard) + upkeep_ratio,
    )
    return ReportPlan(notification_s, rate.interval_s, rate.messages)


def mean_copies(settings: Sequence[NodeSettings]) -> float:
    """Mean number of transmissions of an own message, 1 before anything is known."""
    known = [s.network_transmit.transmissions for s in settings if s.network_transmit]
    return sum(known) / len(known) if known else 1.0


@dataclass(slots=True)
class MonitorSchedule:
    """When to broadcast ``MONITOR``: a few times soon, then seldom."""

    time_scale: float
    plan: ReportPlan | None = None
    next_at: datetime | None = None
    _epoch: int = -1
    _sent: int = 0

    def set_plan(self, plan: ReportPlan, epoch: int, now: datetime) -> None:
        """Broadcast from now on; nothing happens if plan and monitoring epoch are the same."""
        if (plan, epoch) != (self.plan, self._epoch):
            self.plan, self._epoch, self.next_at, self._sent = plan, epoch, now, 0

    def stop(self, epoch: int, now: datetime) -> None:
        """Let nodes that were told to notify be silent again."""
        self.set_plan(ReportPlan(0.0, 0.0, 0), epoch, now)

    def take(self, now: datetime) -> ReportPlan | None:
        """The plan if it is due, and the next time noted."""
        if self.plan is None or self.next_at is None or now < self.next_at:
            return None
        self._sent += 1
        pause_s = REPEAT_SOON_S if self._sent < FIRST_REPEATS else REPEAT_LATE_S
        self.next_at = now + timedelta(seconds=pause_s / self.time_scale)
        return self.plan


@dataclass(frozen=True, slots=True)
class Counter:
    epoch: int
    expected: int
    received: int
    raw_expected: int
    raw_received: int
    transmissions: int
    at: datetime


@dataclass(slots=True)
class CounterBook:
    """Unwraps the 8-bit counters of reports into cumulative ones, a new ``epoch`` at every restart."""

    time_scale: float
    monitor_epoch: int = 0
    notification_s: float = 10.0
    _counters: dict[tuple[int, int], Counter] = field(default_factory=dict)

    def restart(self, monitor_epoch: int, notification_s: float) -> None:
        """A new monitoring epoch: nodes begin counting again."""
        if monitor_epoch != self.monitor_epoch:
            self._counters.clear()
        self.monitor_epoch, self.notification_s = monitor_epoch, notification_s

    @property
    def mean_heard(self) -> float:
        """Mean number of neighbours per node that reported; `HEARD_ASSUMED` before there are any."""
        nodes = {node for node, _ in self._counters}
        return max(HEARD_LEAST, len(self._counters) / len(nodes)) if nodes else float(HEARD_ASSUMED)

    @property
    def heard_by(self) -> dict[int, int]:
        """Number of neighbours that each node told of."""
        out: dict[int, int] = {}
        for node, _ in self._counters:
            out[node] = out.get(node, 0) + 1
        return out

    @property
    def heard(self) -> dict[tuple[int, int], float]:
        """(node, neighbour) to the share of notifications that got through, never quite 0 (rule of succession)."""
        return {pair: (c.received + 1) / (c.expected + 2) for pair, c in self._counters.items()}

    def fold(self, node: UnicastAddress, records: Sequence[NeighbourRecord], now: datetime) -> list[NeighbourCounter]:
        """Cumulative counters of a report; records of another monitoring epoch, of itself or nobody are left out."""
        out = []
        for record in records:
            neighbour = UnicastAddress(node & 0xFF00 | record.neighbour_low)
            if record.odd_epoch != bool(self.monitor_epoch & 1) or neighbour in (node, UNASSIGNED):
                continue
            counter = self._advance((node, neighbour), record, now)
            self._counters[node, neighbour] = counter
            out.append(
                NeighbourCounter(
                    neighbour=format_address(neighbour),
                    epoch=counter.epoch,
                    since_counter=0,
                    last_counter=counter.expected,
                    received=counter.received,
                    transmissions=record.transmissions,
                    rssi_mean_dbm=record.rssi_dbm,
                )
            )
        return out

    def _advance(self, key: tuple[int, int], record: NeighbourRecord, now: datetime) -> Counter:
        old = self._counters.get(key)
        fresh = Counter(
            epoch=self.monitor_epoch * 1000 if old is None else old.epoch + 1,
            expected=record.expected,
            received=min(record.received, record.expected),
            raw_expected=record.expected,
            raw_received=record.received,
            transmissions=record.transmissions,
            at=now,
        )
        if old is None or old.transmissions != record.transmissions:
            return fresh
        expected = (record.expected - old.raw_expected) & 0xFF
        received = (record.received - old.raw_received) & 0xFF
        elapsed_s = (now - old.at).total_seconds() * self.time_scale
        # More than could have been sent, or more received than sent: the node counted from zero again.
        if received > expected or expected > 1.3 * elapsed_s / self.notification_s + 5:
            return fresh
        return replace(
            old,
            expected=old.expected + expected,
            received=old.received + received,
            raw_expected=record.expected,
            raw_received=record.received,
            at=now,
        )
