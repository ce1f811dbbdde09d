"""`MeshSegment`: its twin, monitoring, adoption, freshness, and whether the network differs from the record."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

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
from meshtwin_operator.reconcile.freshness import figures, synced
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
from meshtwin_operator.reconcile.tree import (
    Lineage,
    configurations_of,
    find_lineage,
    key_of,
    segments_of_tree,
)
from meshtwin_operator.reconcile.world import GatewayView, InventoryView, World, WorkloadView
from meshtwin_operator.resources.records import MeshConfiguration
from meshtwin_operator.resources.twins import MeshSegment, MeshSegmentStatus

__all__ = ["reconcile_segment"]

LOOK_AGAIN_S = 300.0  # nothing is expected; time limits and clocks are looked at again


def reconcile_segment(segment: MeshSegment, world: World, now: datetime) -> Outcome:
    """Keep the segment's twin, tell its gateway what to monitor, adopt, and say how things stand."""
    namespace, name = segment.metadata.namespace, segment.metadata.name
    view = _gateway_view(segment, world)
    records = configurations_of(world, namespace, name)
    found = world.inventory(namespace, name)
    try:
        lineage = find_lineage(world, namespace, segment.spec.twin_ref.name)
        if found.problem is not None or found.inventory is None:
            reason, message = found.problem or ("InventoryNotFound", "the inventory was not read yet")
            raise InvalidInput(message, reason=reason)
        others = [
            other
            for other in segments_of_tree(world, namespace, lineage.root.metadata.name)
            if other.metadata.name != name
        ]
        check_segment(world, segment, found.inventory, others)
    except InvalidInput as error:
        wanted = [*stalled(error.reason, str(error)), *_network_conditions(segment, view, records, world, now)]
        return _outcome(segment, world, found, view, records, wanted, now)
    workload = segment_twin(segment, lineage, found)
    child = world.workload(namespace, workload.name)
    before: list[Action] = [ApplyWorkload(workload)]
    after: list[Action] = []
    wanted = [*_ready(child), *_network_conditions(segment, view, records, world, now)]
    requeue = LOOK_AGAIN_S
    if segment.spec.stage == "Operating":
        adoption = plan_adoption(segment, lineage, found.inventory, view, records, epoch=world.epoch, now=now)
        wanted.append(adoption.said)
        before += [adoption.record] if adoption.record else []
        after += [adoption.publish] if adoption.publish else []
        after += _monitor(segment, lineage, found.inventory, view, world.epoch, now)
        before += accept_drift(segment, lineage, found.inventory, view, records)
        requeue = min(requeue, adoption.requeue_after_s or requeue, 15.0 if after else requeue)
    before += expired_records(world, segment, records, now)
    return _outcome(segment, world, found, view, records, wanted, now, before=before, after=after, requeue=requeue)


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
            }
            for flow in spec.flows
        ],
        "stackProfile": spec.stack_profile,
        "monitoring": spec.monitoring.model_dump(mode="json", by_alias=True),
        "retentionDays": root.spec.repository.retention_days,
    }
    if spec.gateway_id is not None:
        config["gatewayId"] = spec.gateway_id
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


def _network_conditions(
    segment: MeshSegment,
    view: GatewayView,
    records: tuple[MeshConfiguration, ...],
    world: World,
    now: datetime,
) -> list[Said]:
    summary = world.summary(segment.metadata.namespace, segment_workload(segment.metadata.name))
    fresh, _ = synced(segment, view, summary, now)
    wanted = [fresh, diverged(segment, view, records)]
    adopted = condition_of(segment.status, "Adopted")
    if records:
        wanted.append(said("Adopted", True, "Adopted"))
    elif adopted is not None:
        wanted.append(Said("Adopted", adopted.status, adopted.reason, adopted.message))
    return wanted


def _monitor(
    segment: MeshSegment,
    lineage: Lineage,
    inventory: Inventory,
    view: GatewayView,
    epoch: int,
    now: datetime,
) -> list[Action]:
    """The monitor command as long as this session of the gateway has not answered it."""
    if lineage.mode == "Observe" or lineage.suspended_by or lineage.stopped_by:
        return []
    if view.state is None or not view.state.online:
        return []
    command = monitor_command(segment, inventory, epoch=epoch, session=view.state.session, now=now)
    if result_of(view, command.attempt_id, command.verb) is not None:
        return []
    namespace, gateway_id = segment.metadata.namespace, segment.spec.gateway_id or ""
    return [PublishCommand(lineage.root.metadata.name, gateway_id, command, namespace)]


def _outcome(
    segment: MeshSegment,
    world: World,
    found: InventoryView,
    view: GatewayView,
    records: tuple[MeshConfiguration, ...],
    wanted: list[Said],
    now: datetime,
    *,
    before: list[Action] | None = None,
    after: list[Action] | None = None,
    requeue: float = LOOK_AGAIN_S,
) -> Outcome:
    namespace, name = segment.metadata.namespace, segment.metadata.name
    summary = world.summary(namespace, segment_workload(name))
    shown = figures(summary, segment.status, now)
    _, stale_in_s = synced(segment, view, summary, now)
    conditions = settle(segment.status, wanted, generation=segment.metadata.generation, now=now)
    previous = segment.status
    reported = view.reported
    desired = find_wanted(records) or find_base(records)
    child = world.workload(namespace, segment_workload(name))
    status = MeshSegmentStatus(
        observed_generation=segment.metadata.generation,
        conditions=conditions,
        nodes=len(found.inventory.nodes) if found.inventory else None,
        nodes_heard=shown.nodes_heard,
        links=shown.links,
        inventory_hash=found.inventory.content_hash if found.inventory else None,
        revision=reported.revision if reported else (previous.revision if previous else None),
        revision_hash=reported.hash if reported else (previous.revision_hash if previous else None),
        desired_revision=desired.spec.revision if desired else None,
        drifted_nodes=len(reported.drifted) if reported else (previous.drifted_nodes if previous else None),
        last_report_at=shown.last_report_at,
        url=child.url or (previous.url if previous else None),
    )
    return Outcome(
        before=tuple(before or ()),
        status=_dump(status),
        after=tuple(after or ()),
        events=transition_events(segment.status, conditions),
        requeue_after_s=min(requeue, stale_in_s) if stale_in_s else requeue,
    )


def _dump(status: MeshSegmentStatus) -> Mapping[str, Any]:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)
