"""How long records are kept. Deleting a record never changes a network.

Kept for ever: the revision in force, its proposal and approvals, and everything that is not decided.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from meshtwin_operator.reconcile.outcome import DeleteRecord
from meshtwin_operator.reconcile.revisions import find_base
from meshtwin_operator.reconcile.tree import TERMINAL, age_key, step_of
from meshtwin_operator.reconcile.world import ObjectKey, World
from meshtwin_operator.resources.records import Approval, ConfigurationProposal, MeshConfiguration
from meshtwin_operator.resources.twins import MeshSegment

__all__ = ["KEEP_DAYS", "KEEP_REVISIONS", "expired_records", "superfluous_proposals"]

KEEP_DAYS: Final = 30  # proposals that led to a configuration, their approvals, revisions not in force
KEEP_REVISIONS: Final = 20  # newest revisions of a segment, kept whatever their age: targets of a rollback
CLOSED: Final = frozenset({"Void", "Expired", "Invalid", "Rejected"})


def _older(created: datetime | None, now: datetime) -> bool:
    return created is not None and now - created > timedelta(days=KEEP_DAYS)


def expired_records(
    world: World, segment: MeshSegment, records: tuple[MeshConfiguration, ...], now: datetime
) -> list[DeleteRecord]:
    """Records of one segment whose time is over: decided proposals, their approvals, old revisions."""
    namespace, name = segment.metadata.namespace, segment.metadata.name
    base = find_base(records)
    gone: list[DeleteRecord] = []
    for record in records[:-KEEP_REVISIONS]:
        if record is not base and step_of(record) in TERMINAL and _older(record.metadata.creation_timestamp, now):
            gone.append(_delete(record))
    kept_names = {base.spec.proposal_ref.name} if base is not None and base.spec.proposal_ref else set()
    old = [
        proposal
        for proposal in world.find("ConfigurationProposal", namespace, "segment", name)
        if isinstance(proposal, ConfigurationProposal)
        and _older(proposal.metadata.creation_timestamp, now)
        and proposal.status is not None
        and proposal.status.phase in CLOSED | {"Approved"}
        and proposal.metadata.name not in kept_names
    ]
    gone += [_delete(proposal) for proposal in old]
    gone += _approvals_of(world, namespace, {proposal.metadata.name for proposal in old})
    return gone


def superfluous_proposals(proposals: Iterable[ConfigurationProposal], keep: int) -> tuple[ConfigurationProposal, ...]:
    """Closed proposals of one pipeline and segment beyond the newest ``keep``; approved ones go by age only."""
    closed = [p for p in proposals if p.status is not None and p.status.phase in CLOSED]
    closed.sort(key=age_key)
    return tuple(closed[: max(0, len(closed) - keep)])


def delete_proposals(world: World, namespace: str, proposals: Iterable[ConfigurationProposal]) -> list[DeleteRecord]:
    """Deletion of proposals with the approvals that name them."""
    chosen = list(proposals)
    names = {proposal.metadata.name for proposal in chosen}
    return [_delete(proposal) for proposal in chosen] + _approvals_of(world, namespace, names)


def _approvals_of(world: World, namespace: str, proposals: set[str]) -> list[DeleteRecord]:
    return [
        _delete(approval)
        for proposal in sorted(proposals)
        for approval in world.find("Approval", namespace, "proposal", proposal)
        if isinstance(approval, Approval)
    ]


def _delete(record: Approval | ConfigurationProposal | MeshConfiguration) -> DeleteRecord:
    return DeleteRecord(ObjectKey(record.kind, record.metadata.namespace, record.metadata.name))
