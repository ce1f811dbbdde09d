"""Which objects a change concerns: the keys to queue besides the object itself."""

from collections.abc import Collection, Iterator
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin_operator.reconcile.naming import parent_workload, segment_workload
from meshtwin_operator.reconcile.tree import child_twins, configurations_of, find_lineage, segments_of, step_of
from meshtwin_operator.reconcile.world import ObjectKey, World
from meshtwin_operator.resources.pipelines import Pipeline, WhatIf
from meshtwin_operator.resources.records import Approval, ConfigurationProposal, MeshConfiguration
from meshtwin_operator.resources.twins import DigitalTwin, MeshSegment

__all__ = ["NEWS_KINDS", "related"]

NEWS_KINDS: Final = frozenset({"Gateway", "Twin", "Run"})
SETTLED: Final = frozenset({"RolledBack", "Rejected", "TimedOut", "Superseded"})
OPEN_PHASES: Final = frozenset({None, "Pending", "Judging", "AwaitingDecision"})


def related(key: ObjectKey, world: World) -> tuple[ObjectKey, ...]:
    """Keys to look at when the object of ``key`` came, changed or went; without ``key``, each once."""
    finders = {
        "Gateway": _of_gateway,
        "Twin": _of_workload,
        "Run": _of_run,
        "DigitalTwin": _of_twin,
        "MeshSegment": _of_segment,
        "Recipe": _of_recipe,
        "Pipeline": _of_pipeline,
        "ConfigurationProposal": _of_proposal,
        "Approval": _of_approval,
        "MeshConfiguration": _of_configuration,
        "ConfigMap": _of_config_map,
    }
    finder = finders.get(key.kind)
    found = finder(key, world) if finder else iter(())
    return tuple(dict.fromkeys(other for other in found if other != key))


def _of_gateway(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    for segment in world.all("MeshSegment", key.namespace):
        if isinstance(segment, MeshSegment) and segment.spec.gateway_id == key.name:
            yield ObjectKey("MeshSegment", key.namespace, segment.metadata.name)
            yield from _live_configurations(segment.metadata.name, key.namespace, world)


def _live_configurations(segment: str, namespace: str, world: World) -> Iterator[ObjectKey]:
    """Revisions that may have something to do: without a verdict, and the newest one in force."""
    records = configurations_of(world, namespace, segment)
    for record in records:
        if step_of(record) not in SETTLED | {"Confirmed", "Adopted"}:
            yield ObjectKey("MeshConfiguration", namespace, record.metadata.name)
    in_force = [record for record in records if step_of(record) in ("Confirmed", "Adopted")]
    if in_force:
        yield ObjectKey("MeshConfiguration", namespace, in_force[-1].metadata.name)


def _of_workload(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    for segment in world.all("MeshSegment", key.namespace):
        if segment_workload(segment.metadata.name) == key.name:
            yield ObjectKey("MeshSegment", key.namespace, segment.metadata.name)
    for twin in world.all("DigitalTwin", key.namespace):
        if parent_workload(twin.metadata.name) == key.name:
            yield ObjectKey("DigitalTwin", key.namespace, twin.metadata.name)
            yield from _askers(twin.metadata.name, key.namespace, world)


def _askers(twin: str, namespace: str, world: World) -> Iterator[ObjectKey]:
    """Whoever waits for the parent twin to answer."""
    segments = {segment.metadata.name for segment in segments_of(world, namespace, twin)}
    for pipeline in world.all("Pipeline", namespace):
        if isinstance(pipeline, Pipeline) and pipeline.spec.twin_ref.name == twin:
            yield ObjectKey("Pipeline", namespace, pipeline.metadata.name)
    yield from _open_proposals(segments, namespace, world)
    for question in world.all("WhatIf", namespace):
        if not isinstance(question, WhatIf) or question.spec.segment_ref.name not in segments:
            continue
        if question.status is None or question.status.prediction is None:
            yield ObjectKey("WhatIf", namespace, question.metadata.name)


def _open_proposals(segments: Collection[str], namespace: str, world: World) -> Iterator[ObjectKey]:
    """Proposals of these segments that are not decided."""
    for proposal in world.all("ConfigurationProposal", namespace):
        if not isinstance(proposal, ConfigurationProposal) or proposal.spec.segment_ref.name not in segments:
            continue
        if (proposal.status.phase if proposal.status else None) in OPEN_PHASES:
            yield ObjectKey("ConfigurationProposal", namespace, proposal.metadata.name)


def _of_run(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    for pipeline in world.all("Pipeline", key.namespace):
        runs = pipeline.status.runs if isinstance(pipeline, Pipeline) and pipeline.status else []
        if any(run.run_id == key.name for run in runs):
            yield ObjectKey("Pipeline", key.namespace, pipeline.metadata.name)
    for kind in ("ConfigurationProposal", "WhatIf"):
        for resource in world.all(kind, key.namespace):
            status = resource.status if isinstance(resource, ConfigurationProposal | WhatIf) else None
            if status is not None and status.run_id == key.name:
                yield ObjectKey(kind, key.namespace, resource.metadata.name)


def _of_twin(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    """Up to the root (its broker, its roll-up) and down to segments, records and pipelines."""
    found = world.get(key)
    if isinstance(found, DigitalTwin):
        try:
            for above in find_lineage(world, key.namespace, key.name).twins[1:]:
                yield ObjectKey("DigitalTwin", key.namespace, above.metadata.name)
        except InvalidInput:
            pass  # said in the twin's own status
    for child in child_twins(world, key.namespace, key.name):
        yield ObjectKey("DigitalTwin", key.namespace, child.metadata.name)
    for segment in segments_of(world, key.namespace, key.name):
        yield ObjectKey("MeshSegment", key.namespace, segment.metadata.name)
        yield from _live_configurations(segment.metadata.name, key.namespace, world)
    yield from _askers(key.name, key.namespace, world)


def _of_segment(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    """Its twin and the root; segments that may be in conflict with it; its records and pipelines."""
    found = world.get(key)
    if not isinstance(found, MeshSegment):
        # Gone: whoever was in conflict with it is freed, and the twins must forget it.
        for kind in ("DigitalTwin", "MeshSegment"):
            for other in world.all(kind, key.namespace):
                yield ObjectKey(kind, key.namespace, other.metadata.name)
        return
    twin = found.spec.twin_ref.name
    try:
        for above in find_lineage(world, key.namespace, twin).twins:
            yield ObjectKey("DigitalTwin", key.namespace, above.metadata.name)
    except InvalidInput:
        pass  # said in the segment's own status
    for other in world.all("MeshSegment", key.namespace):
        if isinstance(other, MeshSegment) and _in_conflict(found, other):
            yield ObjectKey("MeshSegment", key.namespace, other.metadata.name)
    yield from _live_configurations(key.name, key.namespace, world)
    yield from _of_segment_openings(key.name, key.namespace, twin, world)


def _in_conflict(one: MeshSegment, other: MeshSegment) -> bool:
    """Whether a change of one may free or block the other: same gateway, or the other is blocked by a claim."""
    if one.spec.gateway_id is not None and one.spec.gateway_id == other.spec.gateway_id:
        return True
    conditions = other.status.conditions if other.status else []
    return any(c.reason in ("GatewayClaimed", "NodeOwnedTwice") for c in conditions)


def _of_recipe(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    for pipeline in world.all("Pipeline", key.namespace):
        if isinstance(pipeline, Pipeline) and any(r.name == key.name for r in pipeline.spec.recipes):
            yield ObjectKey("Pipeline", key.namespace, pipeline.metadata.name)


def _of_pipeline(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    """Other pipelines of the same twin: one of them may go on when a run of this one ends."""
    found = world.get(key)
    for other in world.all("Pipeline", key.namespace):
        if not isinstance(other, Pipeline) or not isinstance(found, Pipeline):
            continue
        if other.spec.twin_ref.name == found.spec.twin_ref.name:
            yield ObjectKey("Pipeline", key.namespace, other.metadata.name)


def _of_proposal(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    found = world.get(key)
    for approval in world.all("Approval", key.namespace):
        if isinstance(approval, Approval) and approval.spec.proposal_ref.name == key.name:
            yield ObjectKey("Approval", key.namespace, approval.metadata.name)
    if isinstance(found, ConfigurationProposal):
        if found.status is not None and found.status.configuration is not None:
            yield ObjectKey("MeshConfiguration", key.namespace, found.status.configuration)
        if found.spec.pipeline_ref is not None:
            yield ObjectKey("Pipeline", key.namespace, found.spec.pipeline_ref.name)


def _of_approval(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    found = world.get(key)
    if isinstance(found, Approval):
        yield ObjectKey("ConfigurationProposal", key.namespace, found.spec.proposal_ref.name)


def _of_configuration(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    """Its segment and twin, and every other record of the tree that may wait for this push to end."""
    found = world.get(key)
    if not isinstance(found, MeshConfiguration):
        return
    name = found.spec.segment_ref.name
    yield ObjectKey("MeshSegment", key.namespace, name)
    segment = world.get(ObjectKey("MeshSegment", key.namespace, name))
    if not isinstance(segment, MeshSegment):
        return
    try:
        lineage = find_lineage(world, key.namespace, segment.spec.twin_ref.name)
    except InvalidInput:
        return
    for above in lineage.twins:
        yield ObjectKey("DigitalTwin", key.namespace, above.metadata.name)
    for other in world.all("MeshConfiguration", key.namespace):
        if isinstance(other, MeshConfiguration) and step_of(other) == "Pending":
            yield ObjectKey("MeshConfiguration", key.namespace, other.metadata.name)
    yield from _of_segment_openings(name, key.namespace, segment.spec.twin_ref.name, world)


def _of_segment_openings(segment: str, namespace: str, twin: str, world: World) -> Iterator[ObjectKey]:
    """Open proposals of the segment, and pipelines of its twin."""
    yield from _open_proposals({segment}, namespace, world)
    for pipeline in world.all("Pipeline", namespace):
        if isinstance(pipeline, Pipeline) and pipeline.spec.twin_ref.name == twin:
            yield ObjectKey("Pipeline", namespace, pipeline.metadata.name)


def _of_config_map(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    for segment in world.all("MeshSegment", key.namespace):
        if isinstance(segment, MeshSegment) and segment.spec.inventory.config_map_ref.name == key.name:
            yield ObjectKey("MeshSegment", key.namespace, segment.metadata.name)
