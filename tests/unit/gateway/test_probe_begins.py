"""A probe: who answers comes first, a cut mesh shows at once, and the time limit holds whatever happens."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from meshtwin.contract.access import RESULTS_PER_PAGE, Access, Opcode, decode_access
from meshtwin.contract.configuration import FlowSpec, Outcome
from meshtwin.gateway.book import NodeBook
from meshtwin.gateway.exchanges import Exchanges, Outgoing, Request
from meshtwin.gateway.jobs import Desk
from meshtwin.gateway.measured import to_report
from meshtwin.gateway.probe import QUIET_S, ProbeJob
from meshtwin.mesh.addresses import UnicastAddress

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NODES = tuple(UnicastAddress(a) for a in range(1, 12))
FLOW = FlowSpec(name="lights", source="0001", destination="c001", members=["0003", "0006"], deadline_ms=150)
ANSWERS = {
    Opcode.RELAY_GET: lambda _: Access(Opcode.RELAY_STATUS, b"\x01\x00"),
    Opcode.PROBE_RUN: lambda p: Access(Opcode.PROBE_STARTED, p[:1]),
    Opcode.RESULT_GET: lambda p: Access(Opcode.RESULT, p[1:2] + bytes([5] * RESULTS_PER_PAGE)),
}


def make_exchanges() -> Exchanges:
    """Paced as on BlueZ with three copies of each relayed PDU: 0.17 s between two questions."""
    return Exchanges(flood_s=0.06, occupancy_share=0.7)


@dataclass
class Mesh:
    """Runs a probe; ``hears(node, question)`` says whether a node's answer comes, half a second later."""

    job: ProbeJob
    hears: Callable[[int, Opcode], bool] = lambda _node, _question: True
    desk: Desk = field(default_factory=lambda: Desk(exchanges=make_exchanges(), book=NodeBook(), time_scale=1.0))
    now: datetime = NOW
    asked: list[tuple[float, int, Opcode]] = field(default_factory=list)
    _coming: list[tuple[datetime, int, Access]] = field(default_factory=list)

    def start(self) -> "Mesh":
        self.job.start(self.desk, self.now)
        self._send()
        return self

    def run(self, until_s: float = 10_000.0) -> float:
        """Let time pass; seconds since the start when the probe was finished, or ``until_s``."""
        while not self.job.finished:
            times = [self.desk.exchanges.next_wakeup(), self.job.wake_at, *(at for at, _, _ in self._coming)]
            self.now = min(t for t in times if t is not None)
            if self.elapsed_s > until_s:
                return until_s
            self._deliver()
            self._expire()
            if self.job.wake_at is not None and self.job.wake_at <= self.now:
                self.job.on_time(self.desk, self.now)
            self._send()
        return self.elapsed_s

    @property
    def elapsed_s(self) -> float:
        return (self.now - NOW).total_seconds()

    def _deliver(self) -> None:
        due = [entry for entry in self._coming if entry[0] <= self.now]
        self._coming = [entry for entry in self._coming if entry[0] > self.now]
        for _, node, answer in due:
            completed = self.desk.exchanges.answered(node, answer, self.now)
            if completed is not None:
                self.job.completed(self.desk, completed, self.now)

    def _expire(self) -> None:
        for event in self.desk.exchanges.expire(self.now):
            if isinstance(event, Outgoing):
                self._ask(event.request)
            else:
                self.job.completed(self.desk, event, self.now)

    def _send(self) -> None:
        for outgoing in self.desk.exchanges.start_waiting(self.now):
            self._ask(outgoing.request)

    def _ask(self, request: Request) -> None:
        message = decode_access(request.payload)
        assert message is not None
        self.asked.append((self.elapsed_s, request.node, message.opcode))
        if self.hears(request.node, message.opcode):
            answer = ANSWERS[message.opcode](message.parameters)
            self._coming.append((self.now + timedelta(seconds=0.5), request.node, answer))


def make_job(presses: int = 10, *, limit_s: float | None = None, quiet_s: float = 0.0) -> ProbeJob:
    finish_by = None if limit_s is None else NOW + timedelta(seconds=limit_s)
    return ProbeJob(flows=[FLOW], nodes=NODES, presses=presses, first_probe=0, quiet_s=quiet_s, finish_by=finish_by)


def count(job: ProbeJob, outcome: Outcome) -> int:
    return sum(one.outcome is outcome for one in job.outcomes())


def test_every_node_is_asked_before_the_first_message_is_sent() -> None:
    mesh = Mesh(make_job()).start()
    mesh.run()

    begins_s = next(at_s for at_s, _, opcode in mesh.asked if opcode is Opcode.PROBE_RUN)
    assert {node for at_s, node, _ in mesh.asked if at_s < begins_s} == set(NODES)
    assert count(mesh.job, Outcome.APPLIED) == len(NODES)
    assert to_report(mesh.job.measured[0], 10, "a", 10.0).on_time_presses == 10
    assert mesh.job.missing == {}


def test_probe_listens_between_the_last_answer_and_the_first_message() -> None:
    mesh = Mesh(make_job(quiet_s=QUIET_S)).start()
    mesh.run()

    asked_s = max(at_s for at_s, _, opcode in mesh.asked if opcode is Opcode.RELAY_GET)
    begins_s = next(at_s for at_s, _, opcode in mesh.asked if opcode is Opcode.PROBE_RUN)
    assert begins_s - asked_s >= QUIET_S


def test_silent_nodes_are_told_long_before_the_flows_are_measured() -> None:
    cut = {6, 7, 8, 9, 10, 11}
    mesh = Mesh(make_job(presses=100), hears=lambda node, _: node not in cut).start()

    mesh.run(until_s=40)
    assert {int(one.node, 16) for one in mesh.job.interim()} == cut
    assert not mesh.job.finished
    assert mesh.run() < 300
    assert count(mesh.job, Outcome.UNKNOWN) == len(cut)


def test_silent_members_are_not_asked_for_results_and_count_as_lost() -> None:
    mesh = Mesh(make_job(), hears=lambda node, _: node != 6).start()
    mesh.run()

    assert 6 not in {node for _, node, opcode in mesh.asked if opcode is Opcode.RESULT_GET}
    report = to_report(mesh.job.measured[0], 10, "a", 10.0)
    assert (report.presses, report.delivered_pairs, report.on_time_presses) == (10, 10, 0)


def test_a_flow_whose_source_is_silent_is_not_measured_and_the_reason_is_told() -> None:
    mesh = Mesh(make_job(), hears=lambda node, _: node != 1).start()
    mesh.run()

    assert mesh.job.missing == {"lights": "its source 0001 does not answer"}
    assert to_report(mesh.job.measured[0], 10, "a", 10.0).presses == 0
    assert Opcode.PROBE_RUN not in {opcode for _, _, opcode in mesh.asked}


def test_a_node_that_answers_in_the_second_pass_is_not_silent() -> None:
    tries: dict[int, int] = {}

    def hears(node: int, question: Opcode) -> bool:
        tries[node] = tries.get(node, 0) + (question is Opcode.RELAY_GET)
        return node != 4 or tries[node] > 3

    mesh = Mesh(make_job(), hears=hears).start()
    mesh.run()

    assert count(mesh.job, Outcome.APPLIED) == len(NODES)


def test_a_probe_without_time_for_its_flow_tells_who_answers_and_measures_nothing() -> None:
    mesh = Mesh(make_job(presses=60, limit_s=40.0)).start()

    assert mesh.run() <= 40.0
    assert mesh.job.missing == {"lights": "out of time"}
    assert count(mesh.job, Outcome.APPLIED) == len(NODES)


@given(st.floats(0.0, 200.0), st.sets(st.sampled_from(NODES)), st.sets(st.sampled_from(list(ANSWERS))))
def test_a_probe_ends_within_its_limit_and_names_every_node(
    limit_s: float, silent: set[int], unanswered: set[Opcode]
) -> None:
    job = make_job(limit_s=limit_s)
    mesh = Mesh(job, hears=lambda node, question: node not in silent and question not in unanswered).start()

    assert mesh.run() <= limit_s + 1e-3
    assert [int(one.node, 16) for one in job.outcomes()] == list(NODES)
    assert all(one.outcome is not Outcome.APPLIED for one in job.outcomes() if int(one.node, 16) in silent)
    assert all(m.missing or not m.outstanding for m in job.measured)


def test_a_part_that_is_cut_off_takes_little_longer_than_one_silent_node() -> None:
    def took_s(cut: set[int]) -> float:
        mesh = Mesh(ProbeJob(flows=[], nodes=NODES, presses=1, first_probe=0, quiet_s=0.0))
        mesh.hears = lambda node, _: node not in cut
        return mesh.start().run()

    assert took_s({5, 6, 7, 8, 9, 10, 11}) < 2 * took_s({11})
