"""Changes of the memory in the commit-confirm sequence: pure, one function per step."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from meshtwin.contract.configuration import GatewayPhase, NodeOutcome, Outcome
from meshtwin.gateway.memory import HASHES_KEPT, Memory, NodeException, Pending
from meshtwin.gateway.phases import PhaseEvent, next_phase
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Configuration, compute_digest

__all__ = [
    "HARM",
    "abandoned",
    "adopted",
    "armed",
    "committing",
    "confirmed",
    "exceptions_of",
    "put_back",
    "restored",
    "restoring",
    "staged",
]

EPOCHS_LOST = 128  # chosen, half of what 8 bits hold: nodes may have been told some since the copy was made
COVERAGE_MISSED = "CoverageMissed"  # restored because too few nodes applied it
HARM = "Harm"  # reason of an abort that makes the hash unacceptable for good
TIMED_OUT = "TimedOut"


def adopted(memory: Memory, nodes: Sequence[UnicastAddress], read: Configuration, now: datetime) -> Memory:
    """What was read becomes revision 0, unless a later revision is in force."""
    memory = replace(memory, nodes=tuple(nodes), known=read, adopted_at=now)
    if memory.revision in (None, 0):
        return replace(memory, revision=0, hash=compute_digest(read), configuration=read, drifted=(), exceptions={})
    return memory


def staged(memory: Memory, pending: Pending, nodes: Sequence[UnicastAddress]) -> Memory:
    """Ready to be committed."""
    phase = next_phase(memory.phase, PhaseEvent.STAGE)
    return replace(
        memory, phase=phase, pending=pending, attempt_id=pending.attempt_id, nodes=tuple(nodes), rollback_at=None
    )


def committing(memory: Memory, pending: Pending, now: datetime) -> Memory:
    """Under way; nodes that will be touched are in doubt from here on.

    Until the gateway is armed the deadline is twice the confirmation time, so that a gateway that dies in
    the middle for long does not go on where it stopped.
    """
    touched = set(memory.known.changed_nodes(pending.configuration))
    certain = memory.known.restricted(a for a in memory.known.addresses if a not in touched)
    return replace(
        memory,
        phase=next_phase(memory.phase, PhaseEvent.COMMIT),
        pending=pending,
        attempt_id=pending.attempt_id,
        known=certain,
        rollback_at=now + timedelta(seconds=2 * pending.confirm_within_seconds),
        restore_reason=None,
    )


def armed(memory: Memory, read: Configuration, now: datetime) -> Memory:
    """Applied; restored at the deadline unless confirmed."""
    within_s = memory.pending.confirm_within_seconds if memory.pending else 0
    return replace(
        memory,
        phase=next_phase(memory.phase, PhaseEvent.COVERED),
        known=read,
        rollback_at=now + timedelta(seconds=within_s),
    )


def confirmed(memory: Memory, pending: Pending) -> Memory:
    """In force: the new last known good."""
    return replace(
        memory,
        phase=next_phase(memory.phase, PhaseEvent.CONFIRM),
        revision=pending.revision,
        hash=pending.hash,
        configuration=memory.configuration.overlaid(pending.configuration),
        pending=None,
        rollback_at=None,
        drifted=(),
        timed_out_hashes=tuple(h for h in memory.timed_out_hashes if h != pending.hash),
    )


def put_back(memory: Memory) -> Memory:
    """What holds of a copy that was put back: nothing that it had under way, and nothing of how nodes are now.

    Its revision stays, so that who has the records sees that it is older than theirs, and sends the one in force.
    """
    return replace(
        memory,
        phase=GatewayPhase.IDLE,
        pending=None,
        rollback_at=None,
        known=Configuration(),
        exceptions={},
        drifted=(),
        monitor_epoch=memory.monitor_epoch + EPOCHS_LOST,
    )


def abandoned(memory: Memory) -> Memory:
    """Staged and given up before anything was sent."""
    return replace(memory, phase=next_phase(memory.phase, PhaseEvent.ABORT), pending=None, rollback_at=None)


def restoring(memory: Memory, event: PhaseEvent, reason: str) -> Memory:
    """Being taken back; the verdict on the hash is noted now, so that it survives whatever comes."""
    digest = memory.pending.hash if memory.pending else None
    rejected, timed_out = memory.rejected_hashes, memory.timed_out_hashes
    if digest is not None and reason == HARM:
        rejected = remembered(rejected, digest)
    elif digest is not None and reason == TIMED_OUT:
        timed_out = remembered(timed_out, digest)
    return replace(
        memory,
        phase=next_phase(memory.phase, event),
        known=Configuration(),
        restore_reason=reason,
        rejected_hashes=rejected,
        timed_out_hashes=timed_out,
        rollback_at=None,
    )


def judged_by_silence(memory: Memory, pending: Pending, outcomes: Iterable[NodeOutcome]) -> Memory:
    """After a missed coverage: too many nodes that were silent under ``pending`` and answer again without it are harm.

    ``outcomes`` are those of the restore. A node that stays silent (its power is off, say) proves nothing.
    """
    if memory.restore_reason != COVERAGE_MISSED:
        return memory
    silent = {node for node, why in memory.exceptions.items() if why.outcome is Outcome.UNKNOWN}
    answered = {UnicastAddress(int(o.node, 16)) for o in outcomes if o.outcome is Outcome.APPLIED}
    allowed_per_mille = 1000 - pending.coverage_per_mille
    if len(silent & answered) * 1000 <= allowed_per_mille * len(pending.configuration.addresses):
        return memory
    return replace(memory, rejected_hashes=remembered(memory.rejected_hashes, pending.hash))


def restored(memory: Memory, read: Configuration, outcomes: Iterable[NodeOutcome]) -> Memory:
    """The last known good is back, as far as the nodes answered."""
    return replace(
        memory,
        phase=next_phase(memory.phase, PhaseEvent.RESTORED),
        pending=None,
        known=read,
        exceptions=exceptions_of(outcomes),
    )


def exceptions_of(outcomes: Iterable[NodeOutcome]) -> Mapping[UnicastAddress, NodeException]:
    """The nodes that are not as they should be."""
    return {
        UnicastAddress(int(o.node, 16)): NodeException(o.outcome, o.reason or "")
        for o in outcomes
        if o.outcome is not Outcome.APPLIED
    }


def remembered(hashes: tuple[str, ...], digest: str) -> tuple[str, ...]:
    """``digest`` as the newest entry, the oldest dropped beyond `HASHES_KEPT`."""
    return (*(h for h in hashes if h != digest), digest)[-HASHES_KEPT:]
