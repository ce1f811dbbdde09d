"""Adoption: what a network has now is read and becomes the first revision on record."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from meshtwin.contract.configuration import CommandResult, Reported, Verb
from meshtwin.errors import InvalidInput
from meshtwin.mesh.nodes import Inventory
from meshtwin_operator.reconcile.commands import adopt_command
from meshtwin_operator.reconcile.conditions import Said, said
from meshtwin_operator.reconcile.naming import attempt_id
from meshtwin_operator.reconcile.outcome import CreateRecord, PublishCommand
from meshtwin_operator.reconcile.revisions import configuration_manifest, expand_known
from meshtwin_operator.reconcile.tree import Lineage
from meshtwin_operator.reconcile.world import GatewayView
from meshtwin_operator.resources.records import MeshConfiguration
from meshtwin_operator.resources.twins import MeshSegment

__all__ = ["AdoptionPlan", "plan_adoption"]

COVERAGE_PER_MILLE: Final = 900  # of nodes read; lamps that are off at the wall must not block adoption
TRY_EVERY_S: Final = 120  # a new attempt at reading; the gateway itself repeats within one
PROGRESS_WITHIN_S: Final = 60  # an attempt that told of progress within this time is left alone
NAMED_MAX: Final = 16  # nodes named in a message


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptionPlan:
    """What to do about adoption now, and how it stands."""

    said: Said
    record: CreateRecord | None = None
    publish: PublishCommand | None = None
    requeue_after_s: float | None = None


def plan_adoption(
    segment: MeshSegment,
    lineage: Lineage,
    inventory: Inventory,
    view: GatewayView,
    records: tuple[MeshConfiguration, ...],
    *,
    epoch: int,
    now: datetime,
) -> AdoptionPlan:
    """Read, then record. After the records were lost, what the gateway holds is adopted under its number."""
    if records:
        return _remind(segment, lineage, inventory, view, epoch=epoch, now=now)
    if lineage.mode == "Observe":
        return AdoptionPlan(said=said("Adopted", False, "Observing", "mode Observe: nothing is ever sent"))
    if view.state is None or not view.state.online:
        return AdoptionPlan(said=said("Adopted", False, "GatewayOffline", "waits for the gateway"))
    if lineage.stopped_by or lineage.suspended_by:
        return AdoptionPlan(said=said("Adopted", False, "Suspended", "nothing is sent while suspended"))
    reported = view.reported
    if reported is not None and reported.revision is not None and _is_enough(reported, inventory):
        return _record(segment, inventory, reported)
    return _read(segment, lineage, inventory, view, epoch=epoch, now=now)


def _remind(
    segment: MeshSegment, lineage: Lineage, inventory: Inventory, view: GatewayView, *, epoch: int, now: datetime
) -> AdoptionPlan:
    """There are records. A gateway that lost its own (a new device, a new disk) has to read the nodes again.

    Until it did nothing can be pushed through it; then it holds revision 0 and is healed (`healing`).
    """
    adopted = said("Adopted", True, "Adopted")
    knows_nothing = view.reported is not None and view.reported.revision is None
    is_online = view.state is not None and view.state.online
    held = lineage.mode == "Observe" or lineage.stopped_by or lineage.suspended_by
    if held or not (knows_nothing and is_online):
        return AdoptionPlan(said=adopted)
    return replace(_read(segment, lineage, inventory, view, epoch=epoch, now=now), said=adopted)


def _is_enough(reported: Reported, inventory: Inventory) -> bool:
    ours = set(inventory.addresses)
    told = expand_known([entry.to_value() for entry in reported.settings], inventory.addresses)
    return bool(told.entries) and 1000 * len(told.entries) >= COVERAGE_PER_MILLE * len(ours)


def _record(segment: MeshSegment, inventory: Inventory, reported: Reported) -> AdoptionPlan:
    told = expand_known([entry.to_value() for entry in reported.settings], inventory.addresses)
    try:
        manifest = configuration_manifest(
            segment,
            told,
            inventory.addresses,
            revision=reported.revision or 0,
            base_revision=None,
            proposal=None,
        )
    except InvalidInput as error:
        return AdoptionPlan(said=said("Adopted", False, error.reason, str(error)))
    return AdoptionPlan(said=said("Adopted", True, "Adopted"), record=CreateRecord(manifest))


def _newest_adoption(view: GatewayView) -> CommandResult | None:
    answers = [r for results in view.results.values() for r in results if r.verb is Verb.ADOPT]
    return max(answers, key=lambda result: result.sent_at, default=None)


def _read(
    segment: MeshSegment,
    lineage: Lineage,
    inventory: Inventory,
    view: GatewayView,
    *,
    epoch: int,
    now: datetime,
) -> AdoptionPlan:
    answer = _newest_adoption(view)
    reading = said("Adopted", False, "Reading", "what the nodes hold is being read")
    under_way = answer is not None and answer.status == "accepted"
    if answer is not None and under_way and (now - answer.sent_at).total_seconds() < PROGRESS_WITHIN_S:
        return AdoptionPlan(said=reading, requeue_after_s=PROGRESS_WITHIN_S)
    if view.reported is not None and view.reported.unheard:
        names = ", ".join(view.reported.unheard[:NAMED_MAX])
        reading = said("Adopted", False, "NodesNotHeard", f"not heard yet, read again: {names}")
    elif answer is not None and answer.status in ("failed", "refused"):
        why = answer.reason or answer.status
        reading = said("Adopted", False, why, answer.message or "the gateway could not read the nodes")
    slot = int(now.timestamp() // TRY_EVERY_S)
    attempt = "adopt-" + attempt_id(segment.metadata.uid, "adopt", slot)
    if answer is not None and answer.attempt_id == attempt and answer.status != "accepted":
        return AdoptionPlan(said=reading, requeue_after_s=TRY_EVERY_S - now.timestamp() % TRY_EVERY_S + 0.1)
    command = adopt_command(inventory, attempt=attempt, epoch=epoch, now=now)
    publish = PublishCommand(
        lineage.root.metadata.name, segment.spec.gateway_id or "", command, segment.metadata.namespace
    )
    return AdoptionPlan(said=reading, publish=publish, requeue_after_s=15.0)
