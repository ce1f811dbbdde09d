"""`MeshSegment`: its twin, monitoring, adoption, freshness, and whether the network differs from the record."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.nodes import Inventory
from meshtwin_operator.reconcile.adoption import plan_adoption
from meshtwin_operator.reconcile.commands import monitor_command, result_of
from meshtwin_operator.reconcile.conditions import (
    Said,
    condition_of,
    progressing,
    ready,
    said,
    settle,
    stalled,
    transition_events,
)
from meshtwin_operator.reconcile.drift import accept_drift, diverged
from meshtwin_operator.reconcile.freshness import figures, scorecard_of, synced
from meshtwin_operator.reconcile.naming import segment_workload, short_hash, twin_identity
from meshtwin_operator.reconcile.outcome import (
    Action,
    ApplyWorkload,
    Outcome,
    PublishCommand,
    Workload,
    WorkloadRole,
)
from meshtwin_operator.reconcile.retention import expired_records
from meshtwin_operator.reconcile.revisions import find_base, find_wanted
from meshtwin_operator.reconcile.segment_checks import check_segment
from meshtwin_operator.reconcile.stacks import stack_agreed
from meshtwin_operator.reconcile.tree import (
    Lineage,
    configurations_of,
    find_lineage,
    key_of,
)
from meshtwin_operator.reconcile.world import GatewayView, InventoryView, WorkloadView, World
from meshtwin_operator.resources.records import MeshConfiguration
from meshtwin_operator.resources.twins import MeshSegment, MeshSegmentStatus

__all__ = ["reconcile_segment"]

LOOK_AGAIN_S: Final = 300.0  # nothing is expected; time limits and clocks are looked at again
UNANSWERED_AGAIN_S: Final = 15.0  # a command without an answer is given again


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """Everything one segment is looked at with."""

    segment: MeshSegment
    world: World
    found: InventoryView
    view: GatewayView
    records: tuple[MeshConfiguration, ...]
    now: datetime


def reconcile_segment(segment: MeshSegment, world: World, now: datetime) -> Outcome:
    """Keep the segment's twin, tell its gateway what to monitor, adopt, and say how things stand."""
    namespace, name = segment.metadata.namespace, segment.metadata.name
    look = _Look(
        segment=segment,
        world=world,
        found=world.inventory(namespace, name),
        view=_gateway_view(segment, world),
        records=configurations_of(world, namespace, name),
        now=now,
    )
    try:
        lineage = find_lineage(world, namespace, segment.spec.twin_ref.name)
        inventory = _checked_inventory(look, lineage)
    except InvalidInput as error:
        return _outcome(look, [*stalled(error.reason, str(error)), *_network_conditions(look)])
    workload = segment_twin(segment, lineage, look.found)
    child = world.workload(namespace, workload.name)
    before: list[Action] = [ApplyWorkload(workload)]
    after: list[Action] = []
    wanted = [*_ready(child), *_network_conditions(look)]
    requeue = LOOK_AGAIN_S
    if segment.spec.stage == "Operating":
        adoption = plan_adoption(segment, lineage, inventory, look.view, look.records, epoch=world.epoch, now=now)
        wanted.append(adoption.said)
        before += [adoption.record] if adoption.record else []
        after += [adoption.publish] if adoption.publish else []
        after += _monitor(look, lineage, inventory)
        before += accept_drift(segment, lineage, inventory, look.view, look.records)
        requeue = min(requeue, adoption.requeue_after_s or requeue, UNANSWERED_AGAIN_S if after else requeue)
    before += expired_records(world, segment, look.records, now)
    outcome = _outcome(look, wanted, requeue=requeue, url=child.url)
    return replace(outcome, before=tuple(before), after=tuple(after))


def _checked_inventory(look: _Look, lineage: Lineage) -> Inventory:
    """The inventory; raises `InvalidInput` for what is wrong with it or with the segment."""
    if look.found.problem is not None or look.found.inventory is None:
        reason, message = look.found.problem or ("InventoryNotFound", "the inventory was not read yet")
        raise InvalidInput(message, reason=reason)
    check_segment(look.world, look.segment, look.found.inventory, lineage.root.metadata.name)
    return look.found.inventory


def segment_twin(segment: MeshSegment, lineage: Lineage, found: InventoryView) -> Workload:
    """The segment's twin as a child."""
    spec, meta = segment.spec, segment.metadata
    twin, root = lineage.twin, lineage.root
    name = segment_workload(meta.name)
    config: dict[str, Any] = {
        "namespace": meta.namespace,
        "name": name,
        "segment": meta.name,
        "twin": twin.metadata.name,
        "frozenNodes": list(spec.frozen_nodes),
        "flows": [
            {
                "name": flow.name,
                "source": flow.source.lower(),
                "destination": flow.destination.lower(),
                "ratePerMinute": flow.rate_per_minute,
                "deadlineMilliseconds": flow.deadline_milliseconds,
                **({"acknowledged": True} if flow.acknowledged else {}),  # the hash of others stays
            }
            for flow in spec.flows
        ],
        "stackProfile": spec.stack_profile,
        "monitoring": spec.monitoring.model_dump(mode="json", by_alias=True),
        "retentionDays": root.spec.repository.retention_days,
    }
    if spec.gateway_id is not None:
        config["gatewayId"] = spec.gateway_id
    if spec.inventory.tx_powers:  # not an empty list: the hash of segments that say nothing stays
        config["txPowers"] = [
            entry.model_dump(mode="json", by_alias=True, exclude_none=True) for entry in spec.inventory.tx_powers
        ]
    config["configHash"] = short_hash(repr(config), found.source_hash)[:16]
    reference = spec.inventory.config_map_ref
    return Workload(
        role=WorkloadRole.SEGMENT_TWIN,
        namespace=meta.namespace,
        name=name,
        owner=key_of(segment),
        owner_uid=meta.uid,
        root_twin=root.metadata.name,
        config=config,
        inventory=(reference.name, reference.key, spec.inventory.placement_key),
        restart_on=found.source_hash,
        identity=twin_identity(meta.namespace, name),
        pod=twin.spec.pod,
        storage_mebibytes=root.spec.repository.size_mebibytes,
        storage_class_name=root.spec.repository.storage_class_name,
    )


def _gateway_view(segment: MeshSegment, world: World) -> GatewayView:
    gateway_id = segment.spec.gateway_id
    if gateway_id is None or segment.spec.stage == "Planned":
        return GatewayView()
    return world.gateway(segment.metadata.namespace, gateway_id)


def _ready(child: WorkloadView) -> tuple[Said, ...]:
    if child.problem is not None and not child.ready:
        return stalled(*child.problem)
    if not child.exists or not child.ready:
        return progressing("TwinStarting", "the segment's twin is starting")
    return ready("TwinRuns", "the segment's twin answers")


def _network_conditions(look: _Look) -> list[Said]:
    segment = look.segment
    summary = look.world.summary(segment.metadata.namespace, segment_workload(segment.metadata.name))
    fresh, _ = synced(segment, look.view, summary, look.now)
    wanted = [fresh, diverged(segment, look.view, look.records)]
    if segment.spec.stage == "Operating":
        wanted.append(stack_agreed(segment, look.view))
    adopted = condition_of(segment.status, "Adopted")
    if look.records:
        wanted.append(said("Adopted", True, "Adopted"))
    elif adopted is not None:
        wanted.append(Said("Adopted", adopted.status, adopted.reason, adopted.message))
    return wanted


def _monitor(look: _Look, lineage: Lineage, inventory: Inventory) -> list[Action]:
    """The monitor command as long as this session of the gateway has not answered it."""
    segment, state = look.segment, look.view.state
    if lineage.mode == "Observe" or lineage.suspended_by or lineage.stopped_by:
        return []
    if state is None or not state.online:
        return []
    command = monitor_command(segment, inventory, epoch=look.world.epoch, session=state.session, now=look.now)
    if result_of(look.view, command.attempt_id, command.verb) is not None:
        return []
    namespace, gateway_id = segment.metadata.namespace, segment.spec.gateway_id or ""
    return [PublishCommand(lineage.root.metadata.name, gateway_id, command, namespace)]


def _outcome(look: _Look, wanted: list[Said], *, requeue: float = LOOK_AGAIN_S, url: str | None = None) -> Outcome:
    segment, world, reported = look.segment, look.world, look.view.reported
    namespace, name = segment.metadata.namespace, segment.metadata.name
    previous = segment.status or MeshSegmentStatus()
    summary = world.summary(namespace, segment_workload(name))
    shown = figures(summary, segment.status, look.now)
    _, stale_in_s = synced(segment, look.view, summary, look.now)
    generation = segment.metadata.generation
    conditions = settle(segment.status, wanted, generation=generation, now=look.now)
    desired = find_wanted(look.records) or find_base(look.records)
    inventory = look.found.inventory
    status = MeshSegmentStatus(
        observed_generation=generation,
        conditions=conditions,
        nodes=len(inventory.nodes) if inventory else None,
        nodes_heard=shown.nodes_heard,
        links=shown.links,
        inventory_hash=inventory.content_hash if inventory else None,
        revision=reported.revision if reported else previous.revision,
        revision_hash=reported.hash if reported else previous.revision_hash,
        desired_revision=desired.spec.revision if desired else None,
        drifted_nodes=len(reported.drifted) if reported else previous.drifted_nodes,
        last_report_at=shown.last_report_at,
        scorecard=scorecard_of(summary) or previous.scorecard,
        url=url or previous.url,
    )
    return Outcome(
        status=status.model_dump(mode="json", by_alias=True, exclude_none=True),
        events=transition_events(segment.status, conditions),
        requeue_after_s=min(requeue, stale_in_s) if stale_in_s else requeue,
    )
