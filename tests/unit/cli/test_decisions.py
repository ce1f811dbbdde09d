"""What people decide: checked before it is written, pinned to a digest, in their own name."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.unit.cli.memory_access import Manifest, MemoryAccess

from meshtwin.errors import InvalidInput
from meshtwin_operator.cli.decisions import accepted_condition, check_decidable, decide, propose_rollback

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64


def proposal(**status: Any) -> Manifest:
    said = {"phase": "AwaitingDecision", "digest": DIGEST, **status}
    return {
        "kind": "ConfigurationProposal",
        "metadata": {"name": "p"},
        "spec": {"segmentRef": {"name": "north"}},
        "status": said,
    }


def configuration(revision: int, step: str) -> Manifest:
    return {
        "kind": "MeshConfiguration",
        "metadata": {"name": f"north-r{revision:04d}"},
        "spec": {
            "segmentRef": {"name": "north"},
            "revision": revision,
            "settings": [{"nodes": ["0001"], "defaultTtl": revision + 2}],
        },
        "status": {"push": {"step": step}},
    }


def segment(revision: int | None) -> Manifest:
    return {"kind": "MeshSegment", "metadata": {"name": "north"}, "status": {"revision": revision}}


def test_approval_is_pinned_to_the_digest_and_carries_the_calling_user() -> None:
    access = MemoryAccess(proposal(), user="alice")
    made = decide(access, "p", "Approve", now=NOW)
    assert made["spec"] == {
        "proposalRef": {"name": "p"},
        "decision": "Approve",
        "digest": DIGEST,
        "approvedBy": "alice",
    }


def test_rejection_keeps_its_comment() -> None:
    made = decide(MemoryAccess(proposal()), "p", "Reject", now=NOW, comment="too many relays")
    assert (made["spec"]["decision"], made["spec"]["comment"]) == ("Reject", "too many relays")


def test_second_decision_of_the_same_user_is_refused() -> None:
    access = MemoryAccess(proposal())
    decide(access, "p", "Approve", now=NOW)
    with pytest.raises(InvalidInput, match="alice has decided on proposal p already"):
        decide(access, "p", "Reject", now=NOW)


def test_two_users_may_both_approve() -> None:
    access = MemoryAccess(proposal())
    first = decide(access, "p", "Approve", now=NOW)
    other = MemoryAccess(*access.objects, user="bob")
    assert decide(other, "p", "Approve", now=NOW)["metadata"]["name"] != first["metadata"]["name"]


@pytest.mark.parametrize(
    ("phase", "said"),
    [
        (None, "is it running"),
        ("Judging", "being judged"),
        ("Void", "is void"),
        ("Expired", "has expired"),
        ("Approved", "approved already"),
        ("Rejected", "was rejected"),
        ("Invalid", "is invalid"),
    ],
)
def test_proposal_that_cannot_be_decided_is_refused_with_the_reason(phase: str | None, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        check_decidable(proposal(phase=phase), NOW)


def test_proposal_past_its_expiry_is_refused_even_before_the_operator_says_so() -> None:
    late = (NOW - timedelta(seconds=1)).isoformat()
    with pytest.raises(InvalidInput, match="expired at"):
        check_decidable(proposal(expiresAt=late), NOW)


def test_other_digest_than_the_one_looked_at_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_decidable(proposal(), NOW, digest="sha256:" + "b" * 64)
    assert caught.value.reason == "DigestMismatch"


def test_unknown_proposal_is_answered_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match=r"there are: p\)"):
        decide(MemoryAccess(proposal()), "q", "Approve", now=NOW)


def test_rollback_proposes_the_settings_of_the_revision_before() -> None:
    access = MemoryAccess(segment(2), configuration(0, "Adopted"), configuration(1, "Confirmed"))
    made = propose_rollback(access, "north", to_revision=None, reason="", now=NOW)
    assert made["spec"]["origin"] == "Rollback"
    assert made["spec"]["baseRevision"] == 2
    assert made["spec"]["settings"] == [{"nodes": ["0001"], "defaultTtl": 3}]


def test_rollback_to_a_revision_that_did_harm_is_refused() -> None:
    access = MemoryAccess(segment(2), configuration(0, "Adopted"), configuration(1, "RolledBack"))
    with pytest.raises(InvalidInput, match=r"revision 1 cannot be returned to \(in force: 2; confirmed ones: 0\)"):
        propose_rollback(access, "north", to_revision=1, reason="", now=NOW)


def test_rollback_before_adoption_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no revision in force yet"):
        propose_rollback(MemoryAccess(segment(None)), "north", to_revision=None, reason="", now=NOW)


def test_condition_that_is_unknown_is_no_answer_yet() -> None:
    approval = {"status": {"conditions": [{"type": "Accepted", "status": "Unknown", "reason": "Waiting"}]}}
    assert accepted_condition(approval) is None
