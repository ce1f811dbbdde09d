"""The safety net: stage, commit, confirm, abort, and taking back.

Law: each step is remembered before it is begun, and a verdict is remembered before it is acted on, so that
a gateway killed anywhere goes on where it stopped.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from meshtwin.contract.configuration import Command, GatewayPhase, Outcome, Verb
from meshtwin.gateway import transitions
from meshtwin.gateway.bench import Bench, Work, lost_nodes
from meshtwin.gateway.commands import check_abort, check_commit, check_confirm, check_stage, parse_nodes
from meshtwin.gateway.jobs import (
    RESTORE_PASSES,
    RESTORE_TRIES,
    RESTORE_TTL,
    PushJob,
    count_applied,
    plan_commit,
    plan_restore,
)
from meshtwin.gateway.memory import TIMED, NodeException, Pending
from meshtwin.gateway.phases import PhaseEvent
from meshtwin.gateway.upkeep import Upkeep
from meshtwin.mesh.addresses import UnicastAddress

__all__ = ["SafetyNet"]

DEFAULT_COVERAGE_PER_MILLE: Final = 950
DEFAULT_CONFIRM_S: Final = 300


class SafetyNet:
    """Commands of the commit-confirm sequence, and its timer."""

    def __init__(self, bench: Bench, upkeep: Upkeep) -> None:
        self._bench = bench
        self._upkeep = upkeep

    def resume(self, now: datetime) -> None:
        """Go on after a start where the memory says we stopped."""
        memory = self._bench.memory
        if memory.phase is GatewayPhase.RESTORING:
            self._begin_restore(None, now)
        elif memory.phase is GatewayPhase.COMMITTING and memory.pending is not None and not self._is_overdue(now):
            self._begin_commit(memory.pending, None, now)

    def on_time(self, now: datetime) -> None:
        """Take back what was not confirmed in time."""
        if self._bench.memory.phase in TIMED and self._is_overdue(now):
            self._take_back(PhaseEvent.TIME_OUT, transitions.TIMED_OUT, None, now)

    def next_wakeup(self) -> datetime | None:
        """The deadline of the rollback timer."""
        memory = self._bench.memory
        return memory.rollback_at if memory.phase in TIMED else None

    def on_stage(self, command: Command, now: datetime) -> None:
        """Check a configuration and keep it for `on_commit`."""
        bench = self._bench
        pending = check_stage(command, bench.memory)
        if pending is not None:
            bench.remember(transitions.staged(bench.memory, pending, parse_nodes(command, bench.memory)))
            bench.say_reported(now)
        bench.answer(command, now, "done")

    def on_commit(self, command: Command, now: datetime) -> None:
        """Bring the staged configuration to the nodes and arm the timer."""
        bench = self._bench
        pending = check_commit(command, bench.memory)
        if pending is None:
            if not bench.answer_again(command, now):
                under_way = bench.memory.phase is GatewayPhase.COMMITTING
                bench.answer(command, now, "accepted" if under_way else "done")
            return
        coverage = command.coverage_per_mille
        pending = replace(
            pending,
            attempt_id=command.attempt_id,
            coverage_per_mille=DEFAULT_COVERAGE_PER_MILLE if coverage is None else coverage,
            confirm_within_seconds=command.confirm_within_seconds or DEFAULT_CONFIRM_S,
        )
        bench.remember(transitions.committing(bench.memory, pending, now))
        bench.say_reported(now)
        self._begin_commit(pending, command, now)

    def on_confirm(self, command: Command, now: datetime) -> None:
        """Make the armed configuration the last known good."""
        bench = self._bench
        if check_confirm(command, bench.memory) and bench.memory.pending is not None:
            bench.remember(transitions.confirmed(bench.memory, bench.memory.pending))
            bench.say_reported(now)
        bench.answer(command, now, "done")

    def on_abort(self, command: Command, now: datetime) -> None:
        """Take back what is in flight; with reason ``Harm`` its hash is never accepted again."""
        bench = self._bench
        if not check_abort(command, bench.memory):
            self._note_harm(command, now)
        elif bench.memory.phase is GatewayPhase.STAGED:
            bench.remember(transitions.abandoned(bench.memory))
            self._note_harm(command, now)
            bench.say_reported(now)
        else:
            self._take_back(PhaseEvent.ABORT, command.reason or "Aborted", command, now)
            return
        bench.answer(command, now, "done")

    def _note_harm(self, command: Command, now: datetime) -> None:
        bench = self._bench
        if command.reason == transitions.HARM and command.hash not in (None, *bench.memory.rejected_hashes):
            rejected = transitions.remembered(bench.memory.rejected_hashes, str(command.hash))
            bench.remember(replace(bench.memory, rejected_hashes=rejected))
            bench.say_reported(now)

    def _is_overdue(self, now: datetime) -> bool:
        deadline = self._bench.memory.rollback_at
        return deadline is not None and deadline <= now

    def _begin_commit(self, pending: Pending, command: Command | None, now: datetime) -> None:
        bench = self._bench
        stages = plan_commit(bench.book, pending.configuration, bench.identity.address)
        job = PushJob(pending.configuration, stages, base=bench.memory.configuration)
        bench.begin(Work("commit", job, partial(self._finish_commit, job), command), now)

    def _take_back(self, event: PhaseEvent, reason: str, command: Command | None, now: datetime) -> None:
        bench = self._bench
        bench.remember(transitions.restoring(bench.memory, event, reason))
        bench.say_reported(now)
        self._begin_restore(command, now)

    def _begin_restore(self, command: Command | None, now: datetime) -> None:
        bench = self._bench
        pending = bench.memory.pending
        touched = pending.configuration.addresses if pending else bench.memory.nodes
        target = bench.memory.configuration.restricted(touched)
        stages = plan_restore(bench.book, target, bench.identity.address)
        job = PushJob(target, stages, tries=RESTORE_TRIES, ttl=RESTORE_TTL, passes_left=RESTORE_PASSES)
        bench.begin(Work("restore", job, partial(self._finish_restore, job), command), now)

    def _finish_commit(self, job: PushJob, command: Command | None, now: datetime) -> None:
        bench = self._bench
        pending = bench.memory.pending
        if pending is None:
            return
        command = command or self._commit_of(pending, now)
        outcomes = job.outcomes(bench.desk)
        applied = count_applied(outcomes).get(Outcome.APPLIED, 0)
        if applied * 1000 < pending.coverage_per_mille * len(outcomes):
            said = f"{applied} of {len(outcomes)} nodes applied, {pending.coverage_per_mille} per mille needed"
            bench.conclude(command, now, "failed", reason=transitions.COVERAGE_MISSED, message=said, outcomes=outcomes)
            known = bench.memory.exceptions
            fresh = {node: why for node, why in transitions.exceptions_of(outcomes).items() if node not in known}
            bench.remember(replace(bench.memory, exceptions=fresh))
            self._take_back(PhaseEvent.MISSED, transitions.COVERAGE_MISSED, None, now)
            return
        memory = transitions.armed(bench.memory, bench.book.configuration(bench.memory.nodes), now)
        bench.remember(replace(memory, exceptions=transitions.exceptions_of(outcomes)))
        self._upkeep.plan_monitoring(now)
        bench.say_reported(now)
        bench.conclude(command, now, "done", outcomes=outcomes)

    def _finish_restore(self, job: PushJob, command: Command | None, now: datetime) -> None:
        bench = self._bench
        outcomes = job.outcomes(bench.desk)
        pending, reason = bench.memory.pending, bench.memory.restore_reason
        read = bench.book.configuration(bench.memory.nodes)
        before = bench.memory if pending is None else transitions.judged_by_silence(bench.memory, pending, outcomes)
        memory = transitions.restored(before, read, outcomes)
        memory = replace(memory, exceptions={**memory.exceptions, **self._without_past(pending)})
        bench.remember(memory)
        self._upkeep.plan_monitoring(now)
        bench.say_reported(now)
        lost = lost_nodes(outcomes)
        message = f"restored revision {memory.revision}" + (f", lost: {' '.join(lost)}" if lost else "")
        if command is not None:
            bench.conclude(command, now, "done", reason=reason, message=message, outcomes=outcomes)
        if pending is not None:
            commit = self._commit_of(pending, now)
            bench.conclude(commit, now, "failed", reason=reason, message=message, outcomes=outcomes)

    def _without_past(self, pending: Pending | None) -> Mapping[UnicastAddress, NodeException]:
        """Nodes that were pushed to but never read before: nobody knows what to restore there."""
        if pending is None:
            return {}
        known = set(self._bench.memory.configuration.addresses)
        why = NodeException(Outcome.REFUSED, "never adopted, so there is nothing to restore")
        return {node: why for node in pending.configuration.addresses if node not in known}

    def _commit_of(self, pending: Pending, now: datetime) -> Command:
        """A stand-in for the commit under way, to answer it after a restart or once more.

        Not checked again: an earlier version may have taken what is refused now, and its commit still ends.
        """
        return Command.model_construct(
            verb=Verb.COMMIT,
            epoch=self._bench.memory.epoch,
            attempt_id=pending.attempt_id,
            sent_at=now,
            not_after=now,
            revision=pending.revision,
            hash=pending.hash,
        )
