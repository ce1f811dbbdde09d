"""Measuring flows: the source sends numbered messages, members note latencies, the gateway collects them.

The latency is the difference of two synchronised clocks, so it carries their uncertainty; the counts do not.
Nodes without such a clock count alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from meshtwin.contract.access import (
    LATENCY_LOST,
    LATENCY_STEP_MS,
    LATENCY_UNKNOWN,
    RESULTS_PER_PAGE,
    Opcode,
    encode_access,
)
from meshtwin.contract.configuration import FlowSpec, NodeOutcome, Outcome
from meshtwin.contract.telemetry import FlowReport, LatencyHistogram
from meshtwin.gateway.exchanges import Completed, Request
from meshtwin.gateway.jobs import Desk, learn_status, to_outcome
from meshtwin.mesh.addresses import UnicastAddress

__all__ = ["PRESSES_MAX", "UNTIMED", "Measured", "ProbeJob", "to_report"]

BUCKETS_MS: Final = (10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 120, 150, 180, 200, 250, 300, 400, 500)
PRESSES_MAX: Final = 256 * RESULTS_PER_PAGE  # the page number is one byte
QUIET_S: Final = 30.0  # mesh time without own traffic, in which the airtime is measured; a usual report interval
UNTIMED: Final = -1
SETTLE_S: Final = 3.0  # mesh time for the last message to arrive


@dataclass(slots=True)
class Measured:
    """Results of one flow: latency in ms per member and message; None: lost, `UNTIMED`: nobody knows."""

    flow: FlowSpec
    probe: int
    started: bool = False
    latency_ms: dict[UnicastAddress, list[int | None]] = field(default_factory=dict)
    unfetched: set[UnicastAddress] = field(default_factory=set)


@dataclass(slots=True)
class ProbeJob:
    """Measures the airtime, then the flows one after the other, then whether every node answers."""

    flows: Sequence[FlowSpec]
    nodes: Sequence[UnicastAddress]
    presses: int
    first_probe: int  # 8-bit number of the first flow's probe
    quiet_s: float = QUIET_S  # 0 where nothing tells the airtime
    spacing_s: float = 1.0  # mesh time; closer messages would measure each other
    measured: list[Measured] = field(default_factory=list)
    unanswered: set[UnicastAddress] = field(default_factory=set)
    airtime_ratio: float | None = None
    finished: bool = False
    wake_at: datetime | None = None
    progress: float = 0.0
    _step: str = "quiet"
    _current: int = 0
    _sensed: tuple[float, float] | None = None

    def start(self, desk: Desk, now: datetime) -> None:
        """Listen first."""
        self.measured = [Measured(flow, (self.first_probe + i) & 0xFF) for i, flow in enumerate(self.flows)]
        desk.sense_wanted = True
        self._wait(desk, now, self.quiet_s)

    def sensed(self, busy_s: float, mesh_s: float) -> None:
        """Note a reading of the busy time; two of them make a ratio."""
        if self._sensed is None:
            self._sensed = (busy_s, mesh_s)
        elif mesh_s > self._sensed[1] and self.airtime_ratio is None:
            self.airtime_ratio = (busy_s - self._sensed[0]) / (mesh_s - self._sensed[1])

    def on_time(self, desk: Desk, now: datetime) -> None:
        """Go on after a wait."""
        if self.wake_at is None or now < self.wake_at:
            return
        self.wake_at = None
        if self._step == "quiet":
            desk.sense_wanted = True
            self._run_flow(desk)
        elif self._step == "run":
            self._current += 1
            self._run_flow(desk)

    def completed(self, desk: Desk, exchange: Completed, now: datetime) -> None:
        """Note an answer, and go on when the step is done."""
        tag, node = exchange.request.tag, UnicastAddress(exchange.request.node)
        match tag:
            case ("run", int(index)):
                self._source_answered(desk, index, exchange.answer is not None, now)
                return
            case ("page", int(index), int(page)):
                self._page(desk, self.measured[index], node, page, exchange)
            case _ if exchange.answer is None:
                self.unanswered.add(node)
            case _:
                learn_status(desk, node, exchange.answer)
        if desk.exchanges.is_idle:
            if self._step == "fetch":
                self._reach(desk)
            else:
                self.finished = True

    def outcomes(self) -> list[NodeOutcome]:
        """Reachability of every node; members whose results were not fetched are named."""
        unfetched = {node for m in self.measured for node in m.unfetched}
        out = []
        for node in sorted({*self.nodes, *unfetched}):
            if node in self.unanswered:
                out.append(to_outcome(node, Outcome.UNKNOWN, "no answer"))
            elif node in unfetched:
                out.append(to_outcome(node, Outcome.UNKNOWN, "probe results not fetched"))
            else:
                out.append(to_outcome(node, Outcome.APPLIED))
        return out

    def _wait(self, desk: Desk, now: datetime, mesh_s: float) -> None:
        self.wake_at = now + timedelta(seconds=mesh_s / desk.time_scale)

    def _run_flow(self, desk: Desk) -> None:
        self._step = "run"
        self.progress = 0.1 + 0.5 * self._current / max(1, len(self.measured))
        if self._current >= len(self.measured):
            self._fetch(desk)
            return
        m = self.measured[self._current]
        parameters = (
            bytes((m.probe,))
            + int(m.flow.destination, 16).to_bytes(2, "little")
            + self.presses.to_bytes(2, "little")
            + bytes((min(255, round(self.spacing_s * 100)),))
        )
        desk.exchanges.add(
            Request(
                node=int(m.flow.source, 16),
                payload=encode_access(Opcode.PROBE_RUN, parameters),
                answer=Opcode.PROBE_STARTED,
                answer_prefix=bytes((m.probe,)),
                tries=6,
                tag=("run", self._current),
            )
        )

    def _source_answered(self, desk: Desk, index: int, answered: bool, now: datetime) -> None:
        m = self.measured[index]
        m.started = answered
        if not answered:
            self.unanswered.add(UnicastAddress(int(m.flow.source, 16)))
        # The source spaces messages by 1.0 to 1.5 times the spacing, 1.25 in the mean.
        duration_s = 0.5 + self.presses * self.spacing_s * 1.27 + 1.0 + SETTLE_S
        self._wait(desk, now, duration_s if answered else 0.0)

    def _fetch(self, desk: Desk) -> None:
        self._step, self.progress = "fetch", 0.6
        pages = -(-self.presses // RESULTS_PER_PAGE)
        for index, m in enumerate(self.measured):
            if not m.started:
                continue
            for page in range(pages):
                for member in m.flow.members:
                    if member != m.flow.source:
                        desk.exchanges.add(_page_request(member, m.probe, index, page))
        if desk.exchanges.is_idle:
            self._reach(desk)

    def _page(self, desk: Desk, m: Measured, node: UnicastAddress, page: int, exchange: Completed) -> None:
        if exchange.answer is None:
            m.unfetched.add(node)
            m.latency_ms.pop(node, None)
            desk.exchanges.drop_node(node)
            return
        if node in m.unfetched:
            return
        row = m.latency_ms.setdefault(node, [None] * self.presses)
        for offset, code in enumerate(exchange.answer.parameters[1 : 1 + RESULTS_PER_PAGE]):
            index = page * RESULTS_PER_PAGE + offset
            if index < self.presses and code != LATENCY_LOST:
                row[index] = UNTIMED if code == LATENCY_UNKNOWN else code * LATENCY_STEP_MS

    def _reach(self, desk: Desk) -> None:
        self._step, self.progress = "reach", 0.9
        answered = {node for m in self.measured for node in m.latency_ms}
        for node in self.nodes:
            if node not in answered and node not in self.unanswered:
                desk.exchanges.add(
                    Request(
                        node=node,
                        payload=encode_access(Opcode.RELAY_GET),
                        answer=Opcode.RELAY_STATUS,
                        tries=5,
                        tag=("reach",),
                    )
                )
        self.finished = desk.exchanges.is_idle


def to_report(m: Measured, presses: int, attempt_id: str, uncertainty_ms: float) -> FlowReport:
    """Figures of one flow; a member whose results were not fetched counts as lost.

    Where members have no synchronised clock, no latency is told and no deadline either: what is counted then is
    how many messages reached every member at all.
    """
    members = [UnicastAddress(int(a, 16)) for a in m.flow.members if a != m.flow.source]
    sent = presses if m.started else 0
    on_time, spreads, latencies = 0, list[int](), list[int]()
    is_timed = not any(UNTIMED in row for row in m.latency_ms.values())
    for index in range(sent):
        got = [m.latency_ms[n][index] if n in m.latency_ms else None for n in members]
        arrived = [ms for ms in got if ms is not None]
        latencies.extend(arrived)
        if len(arrived) == len(members) and arrived:
            on_time += not is_timed or max(arrived) <= m.flow.deadline_ms
            spreads.append(max(arrived) - min(arrived))
    return FlowReport(
        flow=m.flow.name,
        attempt_id=attempt_id,
        presses=sent,
        on_time_presses=on_time,
        sent_pairs=sent * len(members),
        delivered_pairs=len(latencies),
        deadline_ms=m.flow.deadline_ms if is_timed else None,
        latency=_histogram(latencies) if is_timed else None,
        spread=_histogram(spreads) if is_timed else None,
        how_known="receiverCounted",
        clock_uncertainty_ms=uncertainty_ms if is_timed else None,
    )


def _histogram(values_ms: Sequence[int]) -> LatencyHistogram:
    counts = [0] * (len(BUCKETS_MS) + 1)
    for value in values_ms:
        bucket = next((i for i, upper in enumerate(BUCKETS_MS) if value <= upper), len(BUCKETS_MS))
        counts[bucket] += 1
    return LatencyHistogram(upper_ms=list(BUCKETS_MS), counts=counts)


def _page_request(member: str, probe: int, index: int, page: int) -> Request:
    return Request(
        node=int(member, 16),
        payload=encode_access(Opcode.RESULT_GET, bytes((probe, page))),
        answer=Opcode.RESULT,
        answer_prefix=bytes((page,)),
        tries=6,
        tag=("page", index, page),
    )
