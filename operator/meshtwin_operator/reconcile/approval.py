"""`Approval`: condition ``Accepted`` with the reason why it counted or not."""

from datetime import datetime
from typing import Final

from meshtwin_operator.reconcile.conditions import Said, progressing, ready, said, settle, stalled, transition_events
from meshtwin_operator.reconcile.decisions import judge_approval
from meshtwin_operator.reconcile.outcome import Outcome
from meshtwin_operator.reconcile.world import ObjectKey, World
from meshtwin_operator.resources.records import Approval, ApprovalStatus, ConfigurationProposal

__all__ = ["reconcile_approval"]

# Time mends these by itself: the proposal comes, or gets its digest.
PASSING: Final = frozenset({"ProposalNotFound", "NotJudgedYet", "SegmentNotFound"})


def reconcile_approval(approval: Approval, world: World, now: datetime) -> Outcome:
    """Say whether the approval counts; the proposal itself decides what follows."""
    key = ObjectKey("ConfigurationProposal", approval.metadata.namespace, approval.spec.proposal_ref.name)
    proposal = world.get(key)
    known = proposal if isinstance(proposal, ConfigurationProposal) else None
    verdict = judge_approval(world, approval, known, now)
    accepted = said("Accepted", verdict.accepted, verdict.reason, verdict.message)
    wanted: tuple[Said, ...]
    if verdict.accepted:
        wanted = (*ready("Accepted"), accepted)
    elif verdict.reason == "NotJudgedYet":
        wanted = (*progressing(verdict.reason, verdict.message), accepted)
    else:
        wanted = (*stalled(verdict.reason, verdict.message), accepted)
    conditions = settle(approval.status, wanted, generation=approval.metadata.generation, now=now)
    status = ApprovalStatus(observed_generation=approval.metadata.generation, conditions=conditions)
    return Outcome(
        status=status.model_dump(mode="json", by_alias=True, exclude_none=True),
        events=transition_events(approval.status, conditions),
        touch=(key,) if verdict.accepted and approval.status is None else (),
        requeue_after_s=30.0 if verdict.reason in PASSING else None,
    )
