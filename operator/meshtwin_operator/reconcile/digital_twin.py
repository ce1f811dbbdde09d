"""`DigitalTwin`: parent twin, broker at the root, roll-up of counts, and what is suspended or stopped."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from meshtwin.contract.summaries import SegmentSummary, TwinSummary
from meshtwin.errors import InvalidInput
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
from meshtwin_operator.reconcile.freshness import coarse_age_seconds
from meshtwin_operator.reconcile.naming import (
    broker_workload,
    parent_workload,
    segment_workload,
    short_hash,
    twin_identity,
)
from meshtwin_operator.reconcile.outcome import (
    Action,
    ApplyWorkload,
    DeleteWorkload,
    Outcome,
    Workload,
    WorkloadRole,
)
from meshtwin_operator.reconcile.recipe import plugin_names
from meshtwin_operator.reconcile.tree import (
    Lineage,
    child_twins,
    find_lineage,
    key_of,
    pushes_in_flight,
    segments_of,
    segments_of_tree,
    twins_of_tree,
)
from meshtwin_operator.reconcile.world import World
from meshtwin_operator.resources.base import Condition
from meshtwin_operator.resources.twins import DigitalTwin, DigitalTwinStatus, EmbeddedBroker

__all__ = ["reconcile_twin"]

BROKER_STORAGE_MEBIBYTES: Final = 64  # retained messages and queues of a few hundred gateways
# Changes bring us here by themselves. This is for what nobody tells: ages in status (coarse), accounts changed at the
# broker, retained topics that a departed gateway left, a certificate that becomes due. One look costs no request
# when nothing differs.
LOOK_AGAIN_S: Final = 120.0
NAMED_MAX: Final = 8  # names of up to 40 characters in one condition's message; more would hide what it says


def reconcile_twin(twin: DigitalTwin, world: World, now: datetime) -> Outcome:
    """Keep the parent twin (and the broker at the root), and roll up what is below."""
    namespace, name = twin.metadata.namespace, twin.metadata.name
    try:
        lineage = find_lineage(world, namespace, name)
    except InvalidInput as error:
        return _outcome(twin, None, world, [*stalled(error.reason, str(error))], now)
    workloads = [parent_twin(lineage, world)]
    before: list[Action] = []
    if len(lineage.twins) == 1 and not (twin.spec.broker and twin.spec.broker.external):
        workloads.insert(0, embedded_broker(twin, world))
    elif world.workload(namespace, broker_workload(name)).exists:
        before.append(DeleteWorkload(namespace, broker_workload(name), WorkloadRole.BROKER))
    before += [ApplyWorkload(workload) for workload in workloads]
    wanted = [*_ready(world, lineage, workloads), *_rolled_up(twin, world), *_control(lineage)]
    return replace(_outcome(twin, lineage, world, wanted, now), before=tuple(before))


def embedded_broker(root: DigitalTwin, world: World) -> Workload:
    """The broker of a tree, with the accounts it needs."""
    namespace, name = root.metadata.namespace, root.metadata.name
    segments = segments_of_tree(world, namespace, name)
    twins = twins_of_tree(world, namespace, name)
    children = [segment_workload(segment.metadata.name) for segment in segments]
    children += [parent_workload(one.metadata.name) for one in twins]
    gateways = {s.spec.gateway_id for s in segments if s.spec.gateway_id and s.spec.stage == "Operating"}
    return Workload(
        role=WorkloadRole.BROKER,
        namespace=namespace,
        name=broker_workload(name),
        owner=key_of(root),
        owner_uid=root.metadata.uid,
        root_twin=name,
        pod=root.spec.pod,
        storage_mebibytes=BROKER_STORAGE_MEBIBYTES,
        storage_class_name=root.spec.repository.storage_class_name,
        broker=(root.spec.broker.embedded if root.spec.broker else None) or EmbeddedBroker(),
        gateways=tuple(sorted(gateways)),
        twins=tuple(sorted(twin_identity(namespace, child) for child in children)),
    )


def parent_twin(lineage: Lineage, world: World) -> Workload:
    """The twin's own process; children without an address yet are left out until they have one."""
    twin, root = lineage.twin, lineage.root
    namespace, name = twin.metadata.namespace, parent_workload(twin.metadata.name)
    below = [segment_workload(s.metadata.name) for s in segments_of(world, namespace, twin.metadata.name)]
    below += [parent_workload(t.metadata.name) for t in child_twins(world, namespace, twin.metadata.name)]
    views = [(child, world.workload(namespace, child)) for child in sorted(below)]
    children = [{"name": child, "url": view.url} for child, view in views if view.exists and view.url]
    config: dict[str, Any] = {
        "namespace": namespace,
        "name": name,
        "children": children,
        "retentionDays": root.spec.repository.retention_days,
    }
    if len(lineage.twins) > 1:
        config["twin"] = lineage.twins[1].metadata.name
    model = twin.spec.model
    if model is not None:
        config["model"] = model.model_dump(
            mode="json", by_alias=True, exclude_none=True, exclude={"http": {"secret_ref"}}
        )
    config["configHash"] = short_hash(repr(config))[:16]
    return Workload(
        role=WorkloadRole.PARENT_TWIN,
        namespace=namespace,
        name=name,
        owner=key_of(twin),
        owner_uid=twin.metadata.uid,
        root_twin=root.metadata.name,
        config=config,
        identity=twin_identity(namespace, name),
        model_secret=model.http.secret_ref.name if model and model.http and model.http.secret_ref else None,
        pod=twin.spec.pod,
        storage_mebibytes=root.spec.repository.size_mebibytes,
        storage_class_name=root.spec.repository.storage_class_name,
    )


def _ready(world: World, lineage: Lineage, workloads: Sequence[Workload]) -> tuple[Said, ...]:
    namespace, root = lineage.twin.metadata.namespace, lineage.root.metadata.name
    views = {workload.name: world.workload(namespace, workload.name) for workload in workloads}
    for name, view in views.items():
        if view.problem is not None and not view.ready:
            reason, message = view.problem
            return stalled(reason, f"{name}: {message}")
    missing = [name for name, view in views.items() if not view.ready]
    if missing:
        return progressing("ChildrenStarting", f"starting: {', '.join(missing)}")
    broker = world.broker(namespace, root)
    if broker is not None and broker.problem is not None:
        return progressing("BrokerUnavailable", broker.problem)
    return ready("TwinRuns", "the twin answers")


def _rolled_up(twin: DigitalTwin, world: World) -> list[Said]:
    """``Synced`` and ``Diverged`` from the segments and twins right below."""
    namespace, name = twin.metadata.namespace, twin.metadata.name
    below: list[tuple[str, Condition | None, Condition | None]] = [
        (s.metadata.name, condition_of(s.status, "Synced"), condition_of(s.status, "Diverged"))
        for s in segments_of(world, namespace, name)
        if s.spec.stage == "Operating"
    ]
    below += [
        (t.metadata.name, condition_of(t.status, "Synced"), condition_of(t.status, "Diverged"))
        for t in child_twins(world, namespace, name)
    ]
    below = [one for one in below if one[1] is None or one[1].reason != "NoSegments"]  # nothing to hear from there
    if not below:
        return [said("Synced", None, "NoSegments"), said("Diverged", None, "NoSegments")]
    behind = [child for child, fresh, _ in below if fresh is None or fresh.status != "True"]
    apart = [child for child, _, different in below if different is not None and different.status == "True"]
    return [
        said("Synced", not behind, "SegmentsNotSynced" if behind else "SegmentsSynced", _names(behind)),
        said("Diverged", bool(apart), "SegmentsDiverged" if apart else "AsRecorded", _names(apart)),
    ]


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more


def _control(lineage: Lineage) -> list[Said]:
    """Condition ``Suspended``: True while no push may start or go on."""
    if lineage.stopped_by:
        return [said("Suspended", True, "EmergencyStop", f"emergencyStop of twin {lineage.stopped_by}")]
    if lineage.suspended_by:
        return [said("Suspended", True, "Suspended", f"suspend of twin {lineage.suspended_by}")]
    return [said("Suspended", False, lineage.mode)]


def _sum_up(twin: DigitalTwin, summary: TwinSummary | None, world: World, now: datetime) -> dict[str, Any]:
    previous = twin.status
    count = len(segments_of(world, twin.metadata.namespace, twin.metadata.name))
    if summary is None or not summary.segments:
        kept = ("nodes", "nodes_heard", "links", "age_seconds")
        return {"segments": count, **{key: getattr(previous, key) if previous else None for key in kept}}
    parts: Sequence[SegmentSummary] = summary.segments
    newest = [part.newest_report_at for part in parts if part.newest_report_at is not None]
    oldest = min(newest) if len(newest) == len(parts) else None
    return {
        "segments": count,
        "nodes": sum(part.nodes for part in parts),
        "nodes_heard": sum(part.nodes_heard for part in parts),
        "links": _steady_links(previous, sum(part.links for part in parts)),
        "age_seconds": coarse_age_seconds(oldest, now),
    }


def _steady_links(previous: DigitalTwinStatus | None, links: int) -> int:
    """The shown number of links as long as the new one is within 5 % of it: links come and go all the time."""
    shown = previous.links if previous else None
    return shown if shown is not None and abs(links - shown) * 20 <= shown else links


def _outcome(
    twin: DigitalTwin,
    lineage: Lineage | None,
    world: World,
    wanted: Sequence[Said],
    now: datetime,
) -> Outcome:
    namespace, name = twin.metadata.namespace, twin.metadata.name
    conditions = settle(twin.status, wanted, generation=twin.metadata.generation, now=now)
    summary = world.summary(namespace, parent_workload(name))
    root = lineage.root.metadata.name if lineage else name
    pushes = [record.metadata.name for record in pushes_in_flight(world, namespace, root)] if lineage else []
    broker = world.broker(namespace, root) if lineage else None
    status = DigitalTwinStatus(
        observed_generation=twin.metadata.generation,
        conditions=conditions,
        # Before the root's first look after a start the broker is not known: what was said stays.
        broker_address=broker.external_address if broker else twin.status and twin.status.broker_address,
        url=world.workload(namespace, parent_workload(name)).url,
        push_in_flight=pushes[0] if pushes else None,
        plugin_recipes=sorted(plugin_names(summary)) or None,
        **_sum_up(twin, summary, world, now),
    )
    return Outcome(
        status=status.model_dump(mode="json", by_alias=True, exclude_none=True),
        events=transition_events(twin.status, conditions),
        requeue_after_s=LOOK_AGAIN_S,
    )
