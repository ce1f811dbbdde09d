"""`Pipeline`: asks the parent twin for a better configuration, one segment at a time, and records the proposal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from meshtwin.errors import InvalidInput
from meshtwin.recipes.messages import ObjectivesModel, PipelineRequest, PipelineResponse, RecipeUseModel
from meshtwin_operator.reconcile.conditions import (
    Said,
    progressing,
    ready,
    said,
    settle,
    stalled,
    to_seconds,
    transition_events,
    waiting,
)
from meshtwin_operator.reconcile.judging import is_twin_ready, start_run
from meshtwin_operator.reconcile.naming import PIPELINE_LABEL, SEGMENT_LABEL, TWIN_LABEL, proposal_name, run_id
from meshtwin_operator.reconcile.outcome import Action, CreateRecord, Outcome, StartRun
from meshtwin_operator.reconcile.recipe import BUILT_IN_RECIPES
from meshtwin_operator.reconcile.retention import delete_proposals, superfluous_proposals
from meshtwin_operator.reconcile.revisions import find_base, find_wanted
from meshtwin_operator.reconcile.tree import (
    Lineage,
    configurations_of,
    find_lineage,
    pushes_in_flight,
    segments_of,
)
from meshtwin_operator.reconcile.world import ObjectKey, World
from meshtwin_operator.resources.base import API_GROUP, API_VERSION
from meshtwin_operator.resources.pipelines import ObjectivesSpec, Pipeline, PipelineStatus, Recipe, SegmentRun
from meshtwin_operator.resources.records import ConfigurationProposal
from meshtwin_operator.resources.twins import MeshSegment

__all__ = ["check_objectives", "reconcile_pipeline"]

FAILED_AGAIN_S: Final = 300  # a failed run is tried again after this
FOLLOW_S: Final = 5.0  # a run is looked at this often, besides news of it
PROPOSAL_OPEN: Final = frozenset({None, "Pending", "Judging", "AwaitingDecision"})


@dataclass(frozen=True, slots=True)
class _Step:
    """What happens for one segment now: its entry in status, and actions."""

    run: SegmentRun | None
    before: tuple[Action, ...] = ()
    after: tuple[Action, ...] = ()
    blocked: str | None = None  # why no run was started though one is due


def reconcile_pipeline(pipeline: Pipeline, world: World, now: datetime) -> Outcome:
    """Bring every segment one step on; at most one run of the twin is under way."""
    try:
        lineage = find_lineage(world, pipeline.metadata.namespace, pipeline.spec.twin_ref.name)
        recipes = _recipes(pipeline, world)
        check_objectives(pipeline.spec.objectives)
        segments = _segments(pipeline, world)
    except InvalidInput as error:
        runs = pipeline.status.runs if pipeline.status else []
        return _outcome(pipeline, list(runs), stalled(error.reason, str(error)), [], now, requeue=60.0)
    steps: list[_Step] = []
    busy = _is_twin_busy(pipeline, world)
    for segment in segments:
        step = _look_at(pipeline, segment, lineage, recipes, world, now, busy=busy)
        busy = busy or (step.run is not None and step.run.result == "Running")
        steps.append(step)
    before = [action for step in steps for action in step.before]
    before += _clear(pipeline, segments, world)
    after = [action for step in steps for action in step.after]
    runs = [step.run for step in steps if step.run is not None]
    requeue = FOLLOW_S if after else _next_look_s(pipeline, runs, now)
    outcome = _outcome(pipeline, runs, _summary(steps), _verdicts(runs), now, requeue=requeue)
    return replace(outcome, before=tuple(before), after=tuple(after))


def check_objectives(objectives: ObjectivesSpec) -> None:
    """Raises `InvalidInput` (``ContradictingObjectives``) for what no network can meet at once."""
    spread, on_time = objectives.spread, objectives.group_on_time
    if spread and on_time and spread.at_most_milliseconds > on_time.within_milliseconds:
        raise InvalidInput(
            f"spread of {spread.at_most_milliseconds} ms is above groupOnTime.withinMilliseconds "
            f"{on_time.within_milliseconds}",
            reason="ContradictingObjectives",
            place="spec.objectives",
        )
    redundancy, airtime = objectives.redundancy, objectives.airtime
    if redundancy and airtime and redundancy.at_least_paths > airtime.at_most_per_mille:
        # Each disjoint path sends every message once more: even 1 per mille each is above the limit.
        raise InvalidInput(
            f"{redundancy.at_least_paths} disjoint paths do not fit into {airtime.at_most_per_mille} per mille "
            "of airtime",
            reason="ContradictingObjectives",
            place="spec.objectives",
        )


def _recipes(pipeline: Pipeline, world: World) -> list[RecipeUseModel]:
    uses = []
    for index, reference in enumerate(pipeline.spec.recipes):
        found = world.get(ObjectKey("Recipe", pipeline.metadata.namespace, reference.name))
        if isinstance(found, Recipe):
            uses.append(
                RecipeUseModel(name=reference.name, uses=found.spec.uses, parameters=dict(found.spec.parameters))
            )
        elif reference.name in BUILT_IN_RECIPES:
            uses.append(RecipeUseModel(name=reference.name, uses=reference.name))
        if not uses or len(uses) <= index or uses[-1].uses not in BUILT_IN_RECIPES:
            known = ", ".join(sorted(BUILT_IN_RECIPES))
            raise InvalidInput(
                f"{reference.name!r} is neither a Recipe that exists nor one of {known}",
                reason="UnknownRecipe",
                place=f"spec.recipes[{index}]",
            )
    return uses


def _segments(pipeline: Pipeline, world: World) -> tuple[MeshSegment, ...]:
    """The segments to look after; raises `InvalidInput` for one that is not there or of another twin."""
    mine = segments_of(world, pipeline.metadata.namespace, pipeline.spec.twin_ref.name)
    if not pipeline.spec.segments:
        return mine
    by_name = {segment.metadata.name: segment for segment in mine}
    for index, reference in enumerate(pipeline.spec.segments):
        if reference.name not in by_name:
            raise InvalidInput(
                f"MeshSegment {reference.name!r} of twin {pipeline.spec.twin_ref.name!r} does not exist",
                reason="SegmentNotFound",
                place=f"spec.segments[{index}]",
            )
    return tuple(by_name[reference.name] for reference in pipeline.spec.segments)


def _is_twin_busy(pipeline: Pipeline, world: World) -> bool:
    """Whether a run of this twin is under way, of this pipeline or of another."""
    for other in world.all("Pipeline", pipeline.metadata.namespace):
        same = isinstance(other, Pipeline) and other.spec.twin_ref.name == pipeline.spec.twin_ref.name
        if same and isinstance(other, Pipeline) and other.status is not None:
            if any(run.result == "Running" for run in other.status.runs):
                return True
    return False


def _last_run(pipeline: Pipeline, segment: str) -> SegmentRun | None:
    runs = pipeline.status.runs if pipeline.status else []
    return next((run for run in runs if run.segment == segment), None)


def proposals_of(pipeline: Pipeline, segment: str, world: World) -> list[ConfigurationProposal]:
    """Proposals that this pipeline made for a segment, by name."""
    return [
        proposal
        for proposal in world.all("ConfigurationProposal", pipeline.metadata.namespace)
        if isinstance(proposal, ConfigurationProposal)
        and proposal.spec.segment_ref.name == segment
        and proposal.spec.pipeline_ref is not None
        and proposal.spec.pipeline_ref.name == pipeline.metadata.name
    ]


def _look_at(
    pipeline: Pipeline,
    segment: MeshSegment,
    lineage: Lineage,
    recipes: Sequence[RecipeUseModel],
    world: World,
    now: datetime,
    *,
    busy: bool,
) -> _Step:
    name = segment.metadata.name
    last = _last_run(pipeline, name)
    if last is not None and last.result == "Running":
        return _follow(pipeline, segment, lineage, recipes, world, last, now)
    waiting_for = [
        p.metadata.name
        for p in proposals_of(pipeline, name, world)
        if (p.status.phase if p.status else None) in PROPOSAL_OPEN
    ]
    edited = pipeline.status is None or pipeline.status.observed_generation != pipeline.metadata.generation
    if waiting_for:
        entry = last or SegmentRun(segment=name, result="AwaitingDecision")
        update: dict[str, Any] = {"result": "AwaitingDecision", "proposal": waiting_for[-1], "message": ""}
        if edited:
            update["base_revision"] = None  # what was asked has changed: run again after the decision
        return _Step(entry.model_copy(update=update))
    if edited:
        last = None
    elif last is not None and last.result == "AwaitingDecision":
        last = last.model_copy(update={"result": "Proposed"})
    records = configurations_of(world, segment.metadata.namespace, name)
    base = find_base(records)
    if segment.spec.stage == "Planned":
        return _Step(last)
    if base is None:
        return _Step(last, blocked="NotAdopted")
    if not _is_due(pipeline, last, base.spec.revision, segment, world, now):
        return _Step(last)
    if find_wanted(records) or any(pushes_in_flight(world, segment.metadata.namespace, lineage.root.metadata.name)):
        return _Step(last, blocked="PushInFlight")
    if not is_twin_ready(world, lineage):
        return _Step(last, blocked="TwinNotReady")
    if busy:
        return _Step(last, blocked="AnotherRun")
    run = run_id(pipeline.metadata.uid, name, base.spec.revision, int(now.timestamp()))
    entry = SegmentRun(segment=name, result="Running", run_id=run, base_revision=base.spec.revision)
    return _Step(entry, after=(_start(pipeline, name, lineage, recipes, run, world),))


def _is_due(
    pipeline: Pipeline,
    last: SegmentRun | None,
    base_revision: int,
    segment: MeshSegment,
    world: World,
    now: datetime,
) -> bool:
    """Whether a (new) run should be started when nothing else is in the way."""
    if last is None or last.base_revision is None:
        return True
    ended = last.finished_at
    if last.result == "Failed":
        return ended is None or now - ended >= timedelta(seconds=FAILED_AGAIN_S)
    if last.base_revision != base_revision:
        return not _came_from(pipeline, base_revision, segment, world)
    if _was_void(pipeline, last, world):
        return True
    every = pipeline.spec.run.every_minutes
    if every is not None and ended is not None and now - ended >= timedelta(minutes=every):
        return True
    return pipeline.spec.run.on_divergence and _diverged_since(segment, ended)


def _came_from(pipeline: Pipeline, revision: int, segment: MeshSegment, world: World) -> bool:
    """Whether the revision in force is this pipeline's own: asking again at once would only chase noise."""
    for record in configurations_of(world, segment.metadata.namespace, segment.metadata.name):
        if record.spec.revision == revision and record.spec.proposal_ref is not None:
            made = proposals_of(pipeline, segment.metadata.name, world)
            return any(p.metadata.name == record.spec.proposal_ref.name for p in made)
    return False


def _was_void(pipeline: Pipeline, last: SegmentRun, world: World) -> bool:
    if last.proposal is None:
        return False
    found = world.get(ObjectKey("ConfigurationProposal", pipeline.metadata.namespace, last.proposal))
    if not isinstance(found, ConfigurationProposal):
        return True
    return found.status is not None and found.status.phase in ("Void", "Invalid")


def _diverged_since(segment: MeshSegment, ended: datetime | None) -> bool:
    """Whether the network has left its record after the last run ended."""
    for condition in segment.status.conditions if segment.status else []:
        if condition.type == "Diverged" and condition.status == "True":
            return ended is None or condition.last_transition_time > ended
    return False


def _start(
    pipeline: Pipeline,
    segment: str,
    lineage: Lineage,
    recipes: Sequence[RecipeUseModel],
    run: str,
    world: World,
) -> StartRun:
    wanted = pipeline.spec.objectives
    on_time = wanted.group_on_time
    request = PipelineRequest(
        run_id=run,
        pipeline=pipeline.metadata.name,
        segment=segment,
        recipes=list(recipes),
        objectives=ObjectivesModel(
            on_time_within_milliseconds=on_time.within_milliseconds if on_time else None,
            on_time_at_least_per_mille=on_time.at_least_per_mille if on_time else None,
            spread_at_most_milliseconds=wanted.spread.at_most_milliseconds if wanted.spread else None,
            airtime_at_most_per_mille=wanted.airtime.at_most_per_mille if wanted.airtime else None,
            redundancy_at_least_paths=wanted.redundancy.at_least_paths if wanted.redundancy else None,
        ),
        seed=pipeline.spec.seed,
    )
    path = f"/api/v1/pipelines/{pipeline.metadata.name}/runs"
    body = request.model_dump(mode="json", by_alias=True, exclude_none=True)
    return start_run(world, lineage, path, run, body)


def _follow(
    pipeline: Pipeline,
    segment: MeshSegment,
    lineage: Lineage,
    recipes: Sequence[RecipeUseModel],
    world: World,
    last: SegmentRun,
    now: datetime,
) -> _Step:
    """The run's answer, or asking for it again: the twin knows a repeated run by its id."""
    run = last.run_id or ""
    view = world.run(pipeline.metadata.namespace, run)
    answer = view.status if view else None
    ended = {"finished_at": to_seconds(now)}
    if answer is not None and answer.state == "Failed":
        why = answer.error.message if answer.error else "the run failed"
        return _Step(last.model_copy(update={**ended, "result": "Failed", "message": why[:1024]}))
    if answer is None or answer.state == "Running" or answer.pipeline_result is None:
        again = _start(pipeline, segment.metadata.name, lineage, recipes, run, world)
        return _Step(last, after=(again,))
    result = answer.pipeline_result
    if result.outcome != "Proposed":
        update = {**ended, "result": result.outcome, "message": result.message, "proposal": None}
        return _Step(last.model_copy(update=update))
    return _propose(pipeline, segment, world, last, result, ended)


def _propose(
    pipeline: Pipeline,
    segment: MeshSegment,
    world: World,
    last: SegmentRun,
    result: PipelineResponse,
    ended: Mapping[str, Any],
) -> _Step:
    namespace = segment.metadata.namespace
    reported = world.gateway(namespace, segment.spec.gateway_id).reported if segment.spec.gateway_id else None
    if reported is not None and result.digest in reported.rejected_hashes:
        text = "the best candidate was taken back earlier because it did harm; it is not proposed again"
        return _Step(last.model_copy(update={**ended, "result": "NothingBetter", "message": text}))
    base = find_base(configurations_of(world, namespace, segment.metadata.name))
    if base is None or base.spec.revision != last.base_revision:
        text = "the configuration changed while the models computed"
        return _Step(last.model_copy(update={**ended, "result": "Failed", "message": text}))
    manifest = _manifest(pipeline, segment, last, result)
    name = str(manifest["metadata"]["name"])
    update = {**ended, "result": "Proposed", "message": result.message, "proposal": name}
    return _Step(last.model_copy(update=update), before=(CreateRecord(manifest),))


def _manifest(
    pipeline: Pipeline, segment: MeshSegment, last: SegmentRun, result: PipelineResponse
) -> Mapping[str, Any]:
    spec: dict[str, Any] = {
        "segmentRef": {"name": segment.metadata.name},
        "origin": "Pipeline",
        "reason": result.message[:1024],
        "pipelineRef": {"name": pipeline.metadata.name},
        "baseRevision": last.base_revision,
        "inventoryHash": result.inventory_hash,
        "settings": [e.model_dump(mode="json", by_alias=True, exclude_none=True) for e in result.settings],
    }
    if result.prediction is not None:
        spec["prediction"] = result.prediction.model_dump(mode="json", by_alias=True, exclude_none=True)
    labels = {
        TWIN_LABEL: pipeline.spec.twin_ref.name,
        SEGMENT_LABEL: segment.metadata.name,
        PIPELINE_LABEL: pipeline.metadata.name[:63],
    }
    name = proposal_name(pipeline.metadata.name, segment.metadata.name, last.run_id or "")
    return {
        "apiVersion": f"{API_GROUP}/{API_VERSION}",
        "kind": "ConfigurationProposal",
        "metadata": {"name": name, "namespace": segment.metadata.namespace, "labels": labels},
        "spec": spec,
    }


def _clear(pipeline: Pipeline, segments: Sequence[MeshSegment], world: World) -> list[Action]:
    """Deletion of closed proposals beyond those to keep."""
    gone: list[Action] = []
    for segment in segments:
        made = proposals_of(pipeline, segment.metadata.name, world)
        old = superfluous_proposals(made, pipeline.spec.keep_proposals)
        gone += delete_proposals(world, pipeline.metadata.namespace, old)
    return gone


def _summary(steps: Sequence[_Step]) -> tuple[Said, ...]:
    results = {step.run.result for step in steps if step.run is not None}
    blocked = sorted({step.blocked for step in steps if step.blocked is not None})
    if not steps:
        return waiting("NoSegments", "the twin has no segment")
    if "Running" in results:
        return progressing("Running", "the parent twin computes")
    if blocked:
        return progressing(blocked[0], WHY_BLOCKED[blocked[0]])
    if "Failed" in results:
        failed = next(step.run for step in steps if step.run is not None and step.run.result == "Failed")
        return progressing("RunFailed", f"{failed.segment}: {failed.message}")
    if "AwaitingDecision" in results:
        return ready("AwaitingDecision", "a proposal waits for a person")
    return ready("Ran", "every segment was looked at")


WHY_BLOCKED: Final = {
    "AnotherRun": "another run of this twin is under way",
    "NotAdopted": "what the network has now is not on record yet",
    "PushInFlight": "a configuration is being pushed",
    "TwinNotReady": "the parent twin has not heard enough yet",
}


def _verdicts(runs: Sequence[SegmentRun]) -> list[Said]:
    """Condition ``ObjectivesMet``: False names segments for which nothing reaches the objectives."""
    unreachable = [run.segment for run in runs if run.result == "ObjectivesUnreachable"]
    if unreachable:
        text = "no candidate reaches the objectives for " + ", ".join(unreachable)
        return [said("ObjectivesMet", False, "ObjectivesUnreachable", text)]
    settled = runs and all(run.result == "NothingBetter" for run in runs)
    return [said("ObjectivesMet", True if settled else None, "NothingBetter" if settled else "Undecided")]


def _next_look_s(pipeline: Pipeline, runs: Sequence[SegmentRun], now: datetime) -> float:
    due = _next_run_at(pipeline, runs)
    failed = any(run.result == "Failed" for run in runs)
    limit = 30.0 if failed or not runs else 300.0
    return limit if due is None else max(1.0, min(limit, (due - now).total_seconds() + 1))


def _next_run_at(pipeline: Pipeline, runs: Sequence[SegmentRun]) -> datetime | None:
    every = pipeline.spec.run.every_minutes
    ended = [run.finished_at for run in runs if run.finished_at is not None]
    return min(ended) + timedelta(minutes=every) if every is not None and ended else None


def _outcome(
    pipeline: Pipeline,
    runs: list[SegmentRun],
    summary: Sequence[Said],
    verdicts: Sequence[Said],
    now: datetime,
    *,
    requeue: float,
) -> Outcome:
    generation = pipeline.metadata.generation
    conditions = settle(pipeline.status, [*summary, *verdicts], generation=generation, now=now)
    ended = [run.finished_at for run in runs if run.finished_at is not None]
    status = PipelineStatus(
        observed_generation=generation,
        conditions=conditions,
        last_run_at=max(ended) if ended else None,
        next_run_at=_next_run_at(pipeline, runs),
        runs=runs,
    )
    return Outcome(
        status=status.model_dump(mode="json", by_alias=True, exclude_none=True),
        events=transition_events(pipeline.status, conditions),
        requeue_after_s=requeue,
    )
