"""Deciding on proposals, going back, stopping: what the verbs check and write. Pure but for `ObjectAccess`."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

from meshtwin.errors import InvalidInput
from meshtwin_operator.cli.proposals import find_proposal
from meshtwin_operator.cli.target import Manifest, ObjectAccess
from meshtwin_operator.reconcile.naming import CREATED_BY_ANNOTATION
from meshtwin_operator.resources.base import API_GROUP, API_VERSION

__all__ = ["accepted_condition", "check_decidable", "condition", "decide", "propose_rollback", "push_step"]

Decision = Literal["Approve", "Reject"]

# What a phase other than AwaitingDecision means for somebody who wants to decide.
UNDECIDABLE: Final[Mapping[str | None, str]] = {
    None: "has not been looked at by the operator yet: is it running?",
    "Pending": "is not judged yet: wait for phase AwaitingDecision",
    "Judging": "is being judged: wait for phase AwaitingDecision",
    "Approved": "is approved already",
    "Rejected": "was rejected: propose again",
    "Void": "is void, configuration or inventory changed since: wait for the next one",
    "Expired": "has expired: wait for the next one",
    "Invalid": "is invalid: see its conditions",
}
REVISIONS_TO_RETURN_TO: Final = frozenset({"Confirmed", "Adopted"})


def check_decidable(proposal: Mapping[str, Any], now: datetime, digest: str | None = None) -> str:
    """The digest to pin a decision to; raises `InvalidInput` saying why no decision would count."""
    name = proposal["metadata"]["name"]
    status = proposal.get("status") or {}
    phase = status.get("phase")
    if phase != "AwaitingDecision":
        meaning = UNDECIDABLE.get(phase, f"is in phase {phase}")
        by = ", ".join(status.get("decidedBy") or [])
        raise InvalidInput(f"proposal {name} {meaning}" + (f" (by {by})" if by else ""), reason="NotDecidable")
    expires_at = status.get("expiresAt")
    if expires_at and datetime.fromisoformat(expires_at) <= now:
        raise InvalidInput(f"proposal {name} expired at {expires_at}: wait for the next one", reason="Expired")
    found = status.get("digest")
    if not found:
        raise InvalidInput(f"proposal {name} has no digest yet: wait", reason="NotDecidable")
    if digest is not None and digest != found:
        message = f"proposal {name} has digest {found}, not {digest}: look at it again with `meshtwin diff`"
        raise InvalidInput(message, reason="DigestMismatch")
    return str(found)


def decide(
    access: ObjectAccess,
    name: str,
    decision: Decision,
    *,
    now: datetime,
    digest: str | None = None,
    comment: str = "",
) -> Manifest:
    """Create the `Approval` of the calling user; raises `InvalidInput` if it would not count."""
    pinned = check_decidable(find_proposal(access, name), now, digest)
    user = access.whoami()
    try:
        return access.create(
            {
                **_head("Approval", _decision_name(name, user, pinned)),
                "spec": {
                    "proposalRef": {"name": name},
                    "decision": decision,
                    "digest": pinned,
                    "approvedBy": user,
                    **({"comment": comment} if comment else {}),
                },
            }
        )
    except InvalidInput as error:
        raise _decided_twice(error, name, user) from error


def propose_rollback(
    access: ObjectAccess, segment: str, *, to_revision: int | None, reason: str, now: datetime
) -> Manifest:
    """Create a proposal with the settings of an earlier revision; by default the one before that in force."""
    found = access.get("MeshSegment", segment)
    if found is None:
        raise InvalidInput(f"no MeshSegment {segment} in {access.namespace}", reason="NotFound")
    in_force = (found.get("status") or {}).get("revision")
    if in_force is None:
        raise InvalidInput(f"segment {segment} has no revision in force yet: wait for its adoption")
    earlier = {
        m["spec"]["revision"]: m
        for m in access.list_objects("MeshConfiguration")
        if m["spec"]["segmentRef"]["name"] == segment and m["spec"]["revision"] != in_force
    }
    proven = {r: m for r, m in earlier.items() if push_step(m) in REVISIONS_TO_RETURN_TO}
    older = [revision for revision in proven if revision < in_force]
    target = to_revision if to_revision is not None else max(older, default=None)
    if target is None or target not in proven:
        listed = ", ".join(str(r) for r in sorted(proven)) or "none"
        what = f"revision {target} cannot" if target is not None else f"no revision before {in_force} can"
        message = f"segment {segment}: {what} be returned to (in force: {in_force}; confirmed ones: {listed})"
        raise InvalidInput(message, reason="NoSuchRevision")
    configuration = proven[target]
    tag = hashlib.sha256(f"{segment} {target} {now.isoformat()}".encode()).hexdigest()[:8]
    return access.create(
        {
            **_head("ConfigurationProposal", f"{segment}-rollback-{tag}", {CREATED_BY_ANNOTATION: access.whoami()}),
            "spec": {
                "segmentRef": {"name": segment},
                "origin": "Rollback",
                "reason": reason or f"back to revision {target}",
                "baseRevision": in_force,
                "settings": configuration["spec"]["settings"],
            },
        }
    )


def condition(manifest: Mapping[str, Any], type_: str) -> Mapping[str, Any] | None:
    """One condition of an object; None if it has none of that type."""
    found = (manifest.get("status") or {}).get("conditions") or []
    return next((c for c in found if c.get("type") == type_), None)


def accepted_condition(approval: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Condition ``Accepted`` once it is decided; None before."""
    found = condition(approval, "Accepted")
    return found if found is not None and found["status"] in ("True", "False") else None


def _head(kind: str, name: str, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    metadata = {"name": name, **({"annotations": dict(annotations)} if annotations else {})}
    return {"apiVersion": f"{API_GROUP}/{API_VERSION}", "kind": kind, "metadata": metadata}


def _decision_name(proposal: str, user: str, digest: str) -> str:
    """One decision per user, proposal and digest: a second one meets the first."""
    tag = hashlib.sha256(f"{user}\0{digest}".encode()).hexdigest()[:8]
    return f"{proposal}-by-{tag}"


def push_step(configuration: Mapping[str, Any]) -> str | None:
    """Step of the push of a MeshConfiguration; None before the operator looked at it."""
    push = (configuration.get("status") or {}).get("push") or {}
    step = push.get("step")
    return None if step is None else str(step)


def _decided_twice(error: InvalidInput, name: str, user: str) -> InvalidInput:
    if error.reason in ("AlreadyExists", "Conflict"):
        return InvalidInput(f"{user} has decided on proposal {name} already", reason="AlreadyDecided")
    return error
