"""Which objects a change concerns: the keys to queue besides the object itself."""

from collections.abc import Iterable, Iterator
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.recipes.parameters import BUILT_IN_PARAMETERS
from meshtwin_operator.reconcile.conditions import condition_of
from meshtwin_operator.reconcile.naming import parent_workload, segment_workload
from meshtwin_operator.reconcile.tree import (
    TERMINAL,
    child_twins,
    configurations_of,
    find_lineage,
    is_open,
    segments_of,
    step_of,
)
from meshtwin_operator.reconcile.world import ObjectKey, World
from meshtwin_operator.resources.base import Resource
from meshtwin_operator.resources.pipelines import Pipeline, Recipe
from meshtwin_operator.resources.records import Approval, ConfigurationProposal, MeshConfiguration
from meshtwin_operator.resources.twins import DigitalTwin, MeshSegment
from meshtwin_operator.resources.whatifs import WhatIf

__all__ = ["NEWS_KINDS", "related", "shown_above"]

NEWS_KINDS: Final = frozenset({"Gateway", "Twin", "Run"})


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


def shown_above(segment: MeshSegment) -> tuple[object, ...]:
    """What the twins above read of a segment: as long as it is equal, they need not look because of it."""
    synced, diverged = (condition_of(segment.status, kind) for kind in ("Synced", "Diverged"))
    return (
        segment.metadata.uid,
        segment.spec.twin_ref.name,
        segment.spec.stage,
        segment.spec.gateway_id,
        synced and synced.status,
        diverged and diverged.status,
        segment.status and segment.status.url,  # its workload is there: the parent twin may ask it
    )


def _keys(resources: Iterable[Resource]) -> Iterator[ObjectKey]:
    for resource in resources:
        yield ObjectKey(resource.kind, resource.metadata.namespace, resource.metadata.name)


def _line(twin: str, namespace: str, world: World) -> tuple[DigitalTwin, ...]:
    """The twin and its ancestors; empty if something is wrong with them, which their own status says."""
    try:
        return find_lineage(world, namespace, twin).twins
    except InvalidInput:
        return ()


def _of_gateway(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    for segment in _keys(world.find("MeshSegment", key.namespace, "gateway", key.name)):
        yield segment
        yield from _live_configurations(segment.name, key.namespace, world)


def _live_configurations(segment: str, namespace: str, world: World) -> Iterator[ObjectKey]:
    """Revisions that may have something to do: without a verdict, and the newest one in force."""
    records = configurations_of(world, namespace, segment)
    yield from _keys(record for record in records if step_of(record) not in TERMINAL)
    yield from _keys([record for record in records if step_of(record) in ("Confirmed", "Adopted")][-1:])


def _of_workload(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    segment, twin = key.name.removesuffix("-segment"), key.name.removesuffix("-parent")
    if key.name == segment_workload(segment):
        yield ObjectKey("MeshSegment", key.namespace, segment)
    if key.name == parent_workload(twin):
        yield ObjectKey("DigitalTwin", key.namespace, twin)
        yield from _askers(twin, key.namespace, world)
        for recipe in world.all("Recipe", key.namespace):  # a twin may have told that it knows it
            if isinstance(recipe, Recipe) and recipe.spec.uses not in BUILT_IN_PARAMETERS:
                yield from _keys([recipe])


def _askers(twin: str, namespace: str, world: World) -> Iterator[ObjectKey]:
    """Whoever waits for the parent twin to answer."""
    yield from _keys(world.find("Pipeline", namespace, "twin", twin))
    for segment in segments_of(world, namespace, twin):
        yield from _open_proposals(segment.metadata.name, namespace, world)
        for question in world.find("WhatIf", namespace, "segment", segment.metadata.name):
            if isinstance(question, WhatIf) and (question.status is None or question.status.prediction is None):
                yield from _keys([question])


def _open_proposals(segment: str, namespace: str, world: World) -> Iterator[ObjectKey]:
    """Proposals of a segment that are not decided."""
    for proposal in world.find("ConfigurationProposal", namespace, "segment", segment):
        if isinstance(proposal, ConfigurationProposal) and is_open(proposal):
            yield from _keys([proposal])


def _of_run(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    for pipeline in world.all("Pipeline", key.namespace):
        runs = pipeline.status.runs if isinstance(pipeline, Pipeline) and pipeline.status else []
        if any(run.run_id == key.name for run in runs):
            yield from _keys([pipeline])
    for kind in ("ConfigurationProposal", "WhatIf"):
        yield from _keys(world.find(kind, key.namespace, "run", key.name))


def _of_twin(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    """Up to the root: its roll-up and its broker. Down to everything below only when the spec is news.

    Counts and conditions of a twin change often, and nothing below depends on them.
    """
    found = world.get(key)
    if isinstance(found, DigitalTwin):
        yield from _keys(_line(key.name, key.namespace, world)[1:])
        if found.status is not None and found.status.observed_generation == found.metadata.generation:
            return
    yield from _keys(child_twins(world, key.namespace, key.name))
    for segment in segments_of(world, key.namespace, key.name):
        yield from _keys([segment])
        yield from _live_configurations(segment.metadata.name, key.namespace, world)
    yield from _askers(key.name, key.namespace, world)


def _of_segment(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    """Its twins up to the root; segments that may be in conflict with it; its records and pipelines."""
    found = world.get(key)
    if not isinstance(found, MeshSegment):
        # Gone: whoever was in conflict with it is freed, and the twins must forget it.
        yield from _keys(world.all("DigitalTwin", key.namespace))
        yield from _keys(world.find("MeshSegment", key.namespace, "conflict", "yes"))
        return
    twin = found.spec.twin_ref.name
    yield from _keys(_line(twin, key.namespace, world))
    if found.spec.gateway_id is not None:
        yield from _keys(world.find("MeshSegment", key.namespace, "gateway", found.spec.gateway_id))
    yield from _keys(world.find("MeshSegment", key.namespace, "conflict", "yes"))
    yield from _live_configurations(key.name, key.namespace, world)
    yield from _open_proposals(key.name, key.namespace, world)
    yield from _keys(world.find("Pipeline", key.namespace, "twin", twin))


def _of_recipe(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    for pipeline in world.all("Pipeline", key.namespace):
        if isinstance(pipeline, Pipeline) and any(r.name == key.name for r in pipeline.spec.recipes):
            yield from _keys([pipeline])


def _of_pipeline(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    """Other pipelines of the same twin: one of them may go on when a run of this one ends."""
    found = world.get(key)
    if isinstance(found, Pipeline):
        yield from _keys(world.find("Pipeline", key.namespace, "twin", found.spec.twin_ref.name))


def _of_proposal(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    found = world.get(key)
    yield from _keys(world.find("Approval", key.namespace, "proposal", key.name))
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
    """Its segment and twins, and every record that may wait for this push to end."""
    found = world.get(key)
    if not isinstance(found, MeshConfiguration):
        return
    name = found.spec.segment_ref.name
    yield ObjectKey("MeshSegment", key.namespace, name)
    segment = world.get(ObjectKey("MeshSegment", key.namespace, name))
    if not isinstance(segment, MeshSegment):
        return
    twin = segment.spec.twin_ref.name
    yield from _keys(_line(twin, key.namespace, world))
    yield from _keys(world.find("MeshConfiguration", key.namespace, "step", "Pending"))
    yield from _open_proposals(name, key.namespace, world)
    yield from _keys(world.find("Pipeline", key.namespace, "twin", twin))


def _of_config_map(key: ObjectKey, world: World) -> Iterator[ObjectKey]:
    yield from _keys(world.find("MeshSegment", key.namespace, "inventory", key.name))
