"""Approvals against proposals: which count, and what they decide together. Shared by both kinds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple

from meshtwin.errors import InvalidInput
from meshtwin_operator.reconcile.conditions import is_true
from meshtwin_operator.reconcile.naming import CREATED_BY_ANNOTATION
from meshtwin_operator.reconcile.tree import age_key, find_lineage
from meshtwin_operator.reconcile.world import ObjectKey, World
from meshtwin_operator.resources.records import Approval, ConfigurationProposal
from meshtwin_operator.resources.twins import DigitalTwin, MeshSegment

__all__ = ["Decision", "Verdict", "approvals_of", "decide", "is_expired", "judge_approval", "twin_of"]

TWO_PERSON_LEVELS: Final = frozenset({"important", "essential"})


class Verdict(NamedTuple):
    """Whether an approval counts, and why (not)."""

    accepted: bool
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the accepted approvals say together; ``open`` while more are needed."""

    result: Literal["open", "approved", "rejected"]
    by: tuple[str, ...] = ()


def twin_of(world: World, namespace: str, segment: str) -> DigitalTwin | None:
    """The twin of a segment; None if segment, twin or its ancestors are missing."""
    found = world.get(ObjectKey("MeshSegment", namespace, segment))
    if not isinstance(found, MeshSegment):
        return None
    try:
        return find_lineage(world, namespace, found.spec.twin_ref.name).twin
    except InvalidInput:
        return None


def approvals_of(world: World, proposal: ConfigurationProposal) -> tuple[Approval, ...]:
    """All approvals that name the proposal, oldest first."""
    named = [
        approval
        for approval in world.find("Approval", proposal.metadata.namespace, "proposal", proposal.metadata.name)
        if isinstance(approval, Approval)
    ]
    return tuple(sorted(named, key=age_key))


def is_expired(proposal: ConfigurationProposal, now: datetime) -> bool:
    """Whether the time to decide is over."""
    expires = proposal.status.expires_at if proposal.status else None
    return expires is not None and now >= expires


def judge_approval(world: World, approval: Approval, proposal: ConfigurationProposal | None, now: datetime) -> Verdict:
    """Whether an approval of ``proposal`` counts now. What was accepted once stays accepted."""
    if is_true(approval.status, "Accepted"):
        return Verdict(True, "Accepted")
    wanted = approval.spec.proposal_ref.name
    if proposal is None:
        return Verdict(False, "ProposalNotFound", f"ConfigurationProposal {wanted!r} does not exist")
    status = proposal.status
    if status is not None and status.phase in ("Void", "Invalid"):
        return Verdict(False, status.phase, f"{wanted} is {status.phase.lower()}")
    if status is None or status.phase in (None, "Pending", "Judging") or status.digest is None:
        return Verdict(False, "NotJudgedYet", f"{wanted} has no digest to decide on yet")
    if approval.spec.digest != status.digest:
        return Verdict(False, "DigestMismatch", f"approved is {approval.spec.digest}, {wanted} has {status.digest}")
    if status.phase == "Expired" or (status.phase == "AwaitingDecision" and is_expired(proposal, now)):
        return Verdict(False, "Expired", f"{wanted} expired at {status.expires_at}")
    if status.phase in ("Approved", "Rejected"):
        if approval.spec.approved_by in status.decided_by and _agrees(approval, status.phase):
            return Verdict(True, "Accepted")
        return Verdict(False, "AlreadyDecided", f"{wanted} is {status.phase.lower()} already")
    return _judge_person(world, approval, proposal)


def _agrees(approval: Approval, phase: str) -> bool:
    return (approval.spec.decision == "Approve") == (phase == "Approved")


def _judge_person(world: World, approval: Approval, proposal: ConfigurationProposal) -> Verdict:
    twin = twin_of(world, proposal.metadata.namespace, proposal.spec.segment_ref.name)
    if twin is None:
        return Verdict(False, "SegmentNotFound", f"segment {proposal.spec.segment_ref.name!r} has no twin")
    who, policy = approval.spec.approved_by, twin.spec.approval
    if policy.mode == "GitOps" and who != policy.git_ops_account:
        text = f"{who!r} is not the GitOps account {policy.git_ops_account!r} (spec.approval.gitOpsAccount)"
        return Verdict(False, "NotAllowed", text)
    creator = proposal.metadata.annotations.get(CREATED_BY_ANNOTATION)
    needs_two = twin.spec.security_level in TWO_PERSON_LEVELS and proposal.spec.origin != "Pipeline"
    if needs_two and creator is None and approval.spec.decision == "Approve":
        text = (
            f"securityLevel {twin.spec.security_level} asks for another person than the one who made the proposal, "
            f"and it does not say who did: make it again with the annotation {CREATED_BY_ANNOTATION}"
        )
        return Verdict(False, "CreatorUnknown", text)
    if needs_two and creator == who and approval.spec.decision == "Approve":
        text = f"{who!r} made the proposal; securityLevel {twin.spec.security_level} asks for another person"
        return Verdict(False, "SelfApproval", text)
    return Verdict(True, "Accepted")


def decide(world: World, proposal: ConfigurationProposal, approvals: Sequence[Approval], now: datetime) -> Decision:
    """One accepted rejection rejects; else as many different people as the policy asks for approve."""
    twin = twin_of(world, proposal.metadata.namespace, proposal.spec.segment_ref.name)
    needed = twin.spec.approval.required_approvals if twin else 1
    accepted = [approval for approval in approvals if judge_approval(world, approval, proposal, now).accepted]
    against = [approval.spec.approved_by for approval in accepted if approval.spec.decision == "Reject"]
    if against:
        return Decision(result="rejected", by=(against[0],))
    people = tuple(dict.fromkeys(a.spec.approved_by for a in accepted if a.spec.decision == "Approve"))
    if len(people) >= needed:
        return Decision(result="approved", by=people[:needed])
    return Decision(result="open", by=people)
