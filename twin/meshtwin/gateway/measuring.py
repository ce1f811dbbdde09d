"""Reading the network on command: ``adopt`` and ``probe``."""

from datetime import datetime, timedelta
from functools import partial
from typing import Final

from meshtwin.contract.configuration import Command, GatewayPhase, NodeOutcome, Outcome
from meshtwin.errors import InvalidInput
from meshtwin.gateway import transitions
from meshtwin.gateway.bench import Bench, Work
from meshtwin.gateway.commands import parse_nodes
from meshtwin.gateway.jobs import ReadJob, to_outcome
from meshtwin.gateway.measured import to_report
from meshtwin.gateway.probe import PRESSES_MAX, QUIET_S, ProbeJob
from meshtwin.gateway.upkeep import Upkeep
from meshtwin.mesh.addresses import UnicastAddress, format_address

__all__ = ["Measuring"]

# Messages per flow where a probe command does not say; the operator always does (``spec.push.probeMessages``). If all
# of 40 arrive, delivery is above 0.91 (95 %, Wilson), and a flow takes about a minute of mesh time: assumed to be
# enough for a look by hand.
DEFAULT_PRESSES: Final = 40
ANSWER_RESERVE: Final = timedelta(seconds=5)  # between the end of a probe and its command's ``notAfter``
RESERVE_SHARE_MAX: Final = 10  # the reserve is at most this part, one tenth, of what is left
PUSHING: Final = (GatewayPhase.COMMITTING, GatewayPhase.RESTORING)


class Measuring:
    """Both are refused while settings are on their way, and given up when a push begins."""

    def __init__(self, bench: Bench, upkeep: Upkeep, first_probe: int) -> None:
        self._bench = bench
        self._upkeep = upkeep
        self._probe = first_probe

    def on_adopt(self, command: Command, now: datetime) -> None:
        """Read all nodes; the first time, what they have becomes revision 0."""
        nodes = parse_nodes(command, self._bench.memory)
        if self._bench.answer_again(command, now):
            return
        self._refuse_while_pushing()
        job = ReadJob(nodes)
        self._bench.begin(Work("adopt", job, partial(self._finish_adopt, job), command), now)

    def on_probe(self, command: Command, now: datetime) -> None:
        """Measure the flows of the command, or those of ``monitor``, and who answers."""
        memory = self._bench.memory
        nodes = parse_nodes(command, memory)
        if self._bench.answer_again(command, now):
            return
        self._refuse_while_pushing()
        flows = command.flows
        if flows is None:
            flows = memory.monitoring.flows if memory.monitoring else []
        self._bench.listen_to(flows)
        presses = command.presses or DEFAULT_PRESSES
        if presses > PRESSES_MAX:
            raise InvalidInput(f"presses {presses} is above {PRESSES_MAX}", reason="TooMany")
        identity = self._bench.identity
        quiet_s = QUIET_S if identity.senses_occupancy else 0.0
        job = ProbeJob(
            flows=flows,
            nodes=nodes,
            presses=presses,
            first_probe=self._probe,
            quiet_s=quiet_s,
            spacing_s=self._bench.identity.probe_spacing_s,
            finish_by=_finish_by(command, now),
            asks_from=identity.address if identity.measures_round_trips else None,
            has_counters=identity.observability != "heartbeats",
        )
        self._probe = (self._probe + len(flows)) & 0xFF
        self._bench.begin(Work("probe", job, partial(self._finish_probe, job), command), now)

    def _refuse_while_pushing(self) -> None:
        phase = self._bench.memory.phase
        if phase in PUSHING:
            raise InvalidInput(f"a push is in flight (phase {phase})", reason="Busy")

    def _finish_adopt(self, job: ReadJob, command: Command | None, now: datetime) -> None:
        if command is None:
            return
        bench = self._bench
        read = bench.book.configuration(n for n in job.nodes if bench.book.is_complete(n))
        outcomes = [self._read_outcome(node, job.unanswered) for node in job.nodes]
        if not read.entries or job.unanswered.issuperset(job.nodes):  # what an earlier adoption read is kept
            bench.conclude(command, now, "failed", reason="Unreachable", outcomes=outcomes)
            return
        bench.remember(transitions.adopted(bench.memory, job.nodes, read, now))
        self._upkeep.note_drift(job.nodes)
        self._upkeep.read_compositions_again(job.nodes, now)
        self._upkeep.plan_monitoring(now)
        bench.say_reported(now)
        bench.conclude(command, now, "done", outcomes=outcomes)

    def _read_outcome(self, node: UnicastAddress, unanswered: set[UnicastAddress]) -> NodeOutcome:
        if node in unanswered:
            return to_outcome(node, Outcome.UNKNOWN, self._bench.book.why_silent(node))
        return to_outcome(node, Outcome.APPLIED, known=self._bench.book.known.get(node))

    def _finish_probe(self, job: ProbeJob, command: Command | None, now: datetime) -> None:
        if command is None:
            return
        attempt, uncertainty_ms = command.attempt_id, self._bench.identity.uncertainty_ms
        reports = [to_report(m, job.presses, attempt, uncertainty_ms) for m in job.measured]
        self._bench.say_flows(reports, job.airtime_ratio, now)
        self._bench.conclude(command, now, "done", message=_describe(job), outcomes=job.outcomes())


def _finish_by(command: Command, now: datetime) -> datetime:
    """When the answer to a probe must be on its way: later it is of no use to the operator.

    The span is what the operator has left when it sends, so that clocks that differ do not matter.
    """
    left = min(command.not_after - command.sent_at, command.not_after - now)
    return now + max(left - min(ANSWER_RESERVE, left / RESERVE_SHARE_MAX), timedelta())


def _describe(job: ProbeJob) -> str | None:
    """What a probe did not reach or measure; None: it has everything."""
    parts = []
    if job.unanswered:
        parts.append(f"silent: {' '.join(format_address(node) for node in sorted(job.unanswered))}")
    parts += [f"not measured: {flow}, {why}" for flow, why in sorted(job.missing.items())]
    return "; ".join(parts)[:1024] or None
