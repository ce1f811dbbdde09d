"""`ConfigurationProposal`: digest, judgement by the models, void or expired, and the decision."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import format_address
from meshtwin.mesh.configuration import Configuration, NodeSettings, compute_digest, expand_settings
from meshtwin.mesh.nodes import Inventory, Node
from meshtwin.recipes.messages import RunStatus
from meshtwin_operator.reconcile.conditions import (
    Said,
    condition_of,
    progressing,
    ready,
    said,
    settle,
    stalled,
    to_seconds,
    transition_events,
    waiting,
)
from meshtwin_operator.reconcile.decisions import approvals_of, decide
from meshtwin_operator.reconcile.judging import find_run, is_twin_ready, start_what_if, to_prediction, why_unanswered
from meshtwin_operator.reconcile.naming import configuration_name
from meshtwin_operator.reconcile.outcome import Action, CreateRecord, Outcome
from meshtwin_operator.reconcile.revisions import (
    configuration_manifest,
    expand_known,
    find_base,
    next_revision,
    settings_json,
)
from meshtwin_operator.reconcile.tree import Lineage, configurations_of, find_lineage, is_open
from meshtwin_operator.reconcile.world import ObjectKey, World
from meshtwin_operator.resources.records import (
    ConfigurationProposal,
    ConfigurationProposalStatus,
    MeshConfiguration,
)
from meshtwin_operator.resources.twins import MeshSegment

__all__ = ["check_settable", "reconcile_proposal"]

JUDGING_LIMIT_S: Final = 900  # a proposal is shown unjudged after this; people may know better than we


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """Everything one proposal is looked at with."""

    proposal: ConfigurationProposal
    segment: MeshSegment
    lineage: Lineage
    inventory: Inventory
    records: tuple[MeshConfiguration, ...]
    base: MeshConfiguration
    complete: Configuration
    changed: int


def reconcile_proposal(proposal: ConfigurationProposal, world: World, now: datetime) -> Outcome:
    """Bring the proposal one step on; closed ones are left alone."""
    status = proposal.status or ConfigurationProposalStatus()
    if not is_open(proposal):
        return Outcome()  # an approved one has its record: that was created before the status said so
    try:
        case = _open_case(proposal, world)
    except InvalidInput as error:
        if error.reason in ("NotAdopted", "InventoryNotFound"):
            wanted = waiting(error.reason, str(error))
            return _outcome(proposal, status.model_copy(update={"phase": "Pending"}), wanted, now, requeue=30.0)
        phase = "Void" if error.reason in ("BaseChanged", "InventoryChanged") else "Invalid"
        return _close(proposal, status, phase, error, now)
    status = _judged_facts(case, status, now)
    if status.expires_at is not None and now >= status.expires_at:
        late = InvalidInput(f"nobody decided before {status.expires_at.isoformat()}", reason="Expired")
        return _close(proposal, status, "Expired", late, now)
    if proposal.spec.prediction is None and status.prediction is None and status.phase != "AwaitingDecision":
        judged = _judge(case, status, world, now)
        if isinstance(judged, Outcome):
            return judged
        status = judged
    return _decide(case, status, world, now)


def _open_case(proposal: ConfigurationProposal, world: World) -> _Case:
    """The facts; raises `InvalidInput` with the reason why there is nothing to decide."""
    namespace, spec = proposal.metadata.namespace, proposal.spec
    segment = world.get(ObjectKey("MeshSegment", namespace, spec.segment_ref.name))
    if not isinstance(segment, MeshSegment):
        message = f"MeshSegment {spec.segment_ref.name!r} does not exist"
        raise InvalidInput(message, reason="SegmentNotFound", place="spec.segmentRef")
    lineage = find_lineage(world, namespace, segment.spec.twin_ref.name)
    inventory = world.inventory(namespace, segment.metadata.name).inventory
    if inventory is None:
        raise InvalidInput("the segment's inventory cannot be read", reason="InventoryNotFound")
    records = configurations_of(world, namespace, segment.metadata.name)
    base = find_base(records)
    if base is None:
        raise InvalidInput("the segment is not adopted yet: there is no base", reason="NotAdopted")
    _check_still_current(proposal, base, inventory)
    ranges = [entry.to_value() for entry in spec.settings]
    wanted = expand_settings(ranges, inventory.addresses)
    before = expand_known([entry.to_value() for entry in base.spec.settings], inventory.addresses)
    check_settable(wanted, before, inventory)
    complete = before.overlaid(wanted)
    changed = len(before.changed_nodes(complete)) + len(set(complete.addresses) - set(before.addresses))
    if changed == 0:
        raise InvalidInput(f"nothing differs from revision {base.spec.revision}", reason="NothingChanges")
    settings_json(complete, inventory.addresses)  # what no revision could hold is said before anybody decides
    return _Case(
        proposal=proposal,
        segment=segment,
        lineage=lineage,
        inventory=inventory,
        records=records,
        base=base,
        complete=complete,
        changed=changed,
    )


def _check_still_current(proposal: ConfigurationProposal, base: MeshConfiguration, inventory: Inventory) -> None:
    status = proposal.status or ConfigurationProposalStatus()
    revision = proposal.spec.base_revision if proposal.spec.base_revision is not None else status.base_revision
    if revision is not None and revision != base.spec.revision:
        raise InvalidInput(f"made for revision {revision}, in force is {base.spec.revision}", reason="BaseChanged")
    known = proposal.spec.inventory_hash or status.inventory_hash
    if known is not None and known != inventory.content_hash:
        raise InvalidInput("the inventory is not the one it was made for", reason="InventoryChanged")


def check_settable(wanted: Configuration, before: Configuration, inventory: Inventory) -> None:
    """Raises `InvalidInput` (``FrozenNode``, ``Unsupported``) for changes that must not or cannot be made."""
    nodes = {node.address: node for node in inventory.nodes}
    for address, settings in wanted.entries:
        node = nodes[address]
        differing = before.get(address).differing(settings)
        if node.frozen and differing:
            raise InvalidInput(
                f"node {format_address(address)} is frozen, {', '.join(differing)} would change",
                reason="FrozenNode",
                place="spec.settings",
            )
        if missing := _unsupported(node, settings, differing):
            raise InvalidInput(
                f"node {format_address(address)} does not support {missing}",
                reason="Unsupported",
                place="spec.settings",
            )


def _unsupported(node: Node, settings: NodeSettings, differing: tuple[str, ...]) -> str | None:
    can = node.capabilities
    if settings.relay and not can.relay and "relay" in differing:
        return "relay"
    if "relay_retransmit" in differing and not can.relay:
        return "relay retransmit"
    if "network_transmit" in differing and not can.network_transmit:
        return "network transmit"
    return "default TTL" if "default_ttl" in differing and not can.default_ttl else None


def _judged_facts(case: _Case, status: ConfigurationProposalStatus, now: datetime) -> ConfigurationProposalStatus:
    hours = case.proposal.spec.expire_after_hours or case.lineage.twin.spec.approval.expire_after_hours
    born = case.proposal.metadata.creation_timestamp or now
    return status.model_copy(
        update={
            "digest": compute_digest(case.complete),
            "base_revision": case.base.spec.revision,
            "inventory_hash": case.inventory.content_hash,
            "changed_nodes": case.changed,
            "expires_at": status.expires_at or to_seconds(born + timedelta(hours=hours)),
        }
    )


def _judge(
    case: _Case, status: ConfigurationProposalStatus, world: World, now: datetime
) -> Outcome | ConfigurationProposalStatus:
    """The models' word: the status with a prediction, or an outcome that waits for it."""
    meta = case.proposal.metadata
    run, answer = _run(case, world)
    if answer is not None and answer.state == "Done" and answer.what_if_result is not None:
        prediction = to_prediction(answer.what_if_result.prediction)
        return status.model_copy(update={"prediction": prediction, "run_id": run})
    waited_s = (now - (meta.creation_timestamp or now)).total_seconds()
    if (answer is not None and answer.state == "Failed") or waited_s > JUDGING_LIMIT_S:
        return status.model_copy(update={"run_id": run})  # shown unjudged, with the condition that says so
    judging = status.model_copy(update={"phase": "Judging", "run_id": run})
    silence = why_unanswered(world, meta.namespace, run)
    wanted = progressing("Judging", silence or "the models compute what it would change")
    after: tuple[Action, ...] = ()
    if is_twin_ready(world, case.lineage):
        start = start_what_if(
            world,
            case.lineage,
            run_id=run,
            segment=case.segment.metadata.name,
            settings=case.proposal.spec.settings,
        )
        after = (start,)
    return _outcome(case.proposal, judging, wanted, now, after=after, requeue=5.0)


def _run(case: _Case, world: World) -> tuple[str, RunStatus | None]:
    return find_run(world, case.proposal.metadata, "judge", case.base.spec.revision)


def _judged(case: _Case, status: ConfigurationProposalStatus, world: World) -> Said:
    """Condition ``Judged``; where there is no prediction, why: after a restart of ours, as it was said before."""
    if case.proposal.spec.prediction is not None or status.prediction is not None:
        return said("Judged", True, "Judged")
    _, answer = _run(case, world)
    before = condition_of(case.proposal.status, "Judged")
    if answer is not None and answer.error is not None:
        why = f"{answer.error.reason}: {answer.error.message}"
    else:
        why = before.message if before else f"no answer within {JUDGING_LIMIT_S} s"
    return said("Judged", False, "ModelsUnavailable", why)


def _decide(case: _Case, status: ConfigurationProposalStatus, world: World, now: datetime) -> Outcome:
    proposal = case.proposal
    open_status = status.model_copy(update={"phase": "AwaitingDecision"})
    seen = proposal.model_copy(update={"status": open_status})
    decision = decide(world, seen, approvals_of(world, proposal), now)
    facts = [_judged(case, status, world), said("Void", False, "Current")]
    left_s = (status.expires_at - now).total_seconds() + 1 if status.expires_at else None
    if decision.result == "open":
        wanted = [*ready("AwaitingDecision", "waits for a person"), said("Approved", None, "Undecided"), *facts]
        return _outcome(proposal, open_status, wanted, now, requeue=min(left_s or 3600.0, 3600.0))
    decided = open_status.model_copy(
        update={"decided_by": list(decision.by), "decided_at": to_seconds(now), "phase": "Rejected"}
    )
    people = ", ".join(decision.by)
    if decision.result == "rejected":
        wanted = [*ready("Rejected", f"by {people}"), said("Approved", False, "Rejected", f"by {people}"), *facts]
        return _outcome(proposal, decided, wanted, now)
    record, name = _configuration(case, world)
    approved = decided.model_copy(update={"phase": "Approved", "configuration": name})
    wanted = [*ready("Approved", f"by {people}"), said("Approved", True, "Approved", f"by {people}"), *facts]
    touch = (ObjectKey("MeshConfiguration", proposal.metadata.namespace, name),)
    return replace(_outcome(proposal, approved, wanted, now, touch=touch), before=(record,) if record else ())


def _configuration(case: _Case, world: World) -> tuple[CreateRecord | None, str]:
    """The record to create, and its name; none to create if one for this proposal is there already."""
    name = case.proposal.metadata.name
    for record in case.records:
        if record.spec.proposal_ref is not None and record.spec.proposal_ref.name == name:
            return None, record.metadata.name
    namespace, gateway_id = case.segment.metadata.namespace, case.segment.spec.gateway_id
    reported = world.gateway(namespace, gateway_id).reported if gateway_id else None
    revision = next_revision(case.records, reported)
    manifest = configuration_manifest(
        case.segment,
        case.complete,
        case.inventory.addresses,
        revision=revision,
        base_revision=case.base.spec.revision,
        proposal=name,
    )
    return CreateRecord(manifest), configuration_name(case.segment.metadata.name, revision)


def _close(
    proposal: ConfigurationProposal,
    status: ConfigurationProposalStatus,
    phase: str,
    error: InvalidInput,
    now: datetime,
) -> Outcome:
    closed = status.model_copy(update={"phase": phase, "decided_at": to_seconds(now)})
    wanted: list[Said] = [said("Approved", False, error.reason, str(error))]
    if phase == "Invalid":
        wanted += [*stalled(error.reason, str(error)), said("Void", False, "Invalid")]
    else:
        wanted += [*ready(error.reason, str(error)), said("Void", True, error.reason, str(error))]
    return _outcome(proposal, closed, wanted, now)


def _outcome(
    proposal: ConfigurationProposal,
    status: ConfigurationProposalStatus,
    wanted: Any,
    now: datetime,
    *,
    after: tuple[Action, ...] = (),
    touch: tuple[ObjectKey, ...] = (),
    requeue: float | None = None,
) -> Outcome:
    generation = proposal.metadata.generation
    conditions = settle(proposal.status, wanted, generation=generation, now=now)
    settled = status.model_copy(update={"conditions": conditions, "observed_generation": generation})
    return Outcome(
        status=settled.model_dump(mode="json", by_alias=True, exclude_none=True),
        after=after,
        events=transition_events(proposal.status, conditions),
        touch=touch,
        requeue_after_s=requeue,
    )
