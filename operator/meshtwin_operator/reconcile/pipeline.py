"""`Pipeline`: asks the parent twin for a better configuration, one segment at a time, and records the proposal."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.recipes.messages import RecipeUseModel
from meshtwin_operator.reconcile.conditions import (
    Said,
    is_true,
    progressing,
    ready,
    said,
    settle,
    stalled,
    transition_events,
    waiting,
)
from meshtwin_operator.reconcile.outcome import Action, Outcome
from meshtwin_operator.reconcile.recipe import check_use
from meshtwin_operator.reconcile.retention import delete_proposals, superfluous_proposals
from meshtwin_operator.reconcile.segment_runs import Asking, SegmentStep, is_edited, look_at_segment, proposals_of
from meshtwin_operator.reconcile.tree import (
    find_lineage,
    segments_of,
)
from meshtwin_operator.reconcile.world import ObjectKey, World
from meshtwin_operator.resources.pipelines import (
    SEGMENTS_MAX,
    ObjectivesSpec,
    Pipeline,
    PipelineStatus,
    Recipe,
    SegmentRun,
)
from meshtwin_operator.resources.twins import MeshSegment

__all__ = ["check_objectives", "forget_findings", "reconcile_pipeline"]

NAMED_MAX: Final = 16
FINDINGS_KEPT: Final = 32  # runs; at most 0.2 MB of the 1.5 MB that an object may have
FOLLOW_S: Final = 5.0  # a run is looked at this often, besides news of it


def reconcile_pipeline(pipeline: Pipeline, world: World, now: datetime) -> Outcome:
    """Bring every segment one step on; at most one run of the twin is under way."""
    try:
        lineage = find_lineage(world, pipeline.metadata.namespace, pipeline.spec.twin_ref.name)
        recipes = _recipes(pipeline, world)
        check_objectives(pipeline.spec.objectives)
        segments = _segments(pipeline, world)
    except (InvalidInput, Unavailable) as error:
        runs = pipeline.status.runs if pipeline.status else []
        say = stalled if isinstance(error, InvalidInput) else progressing
        return _outcome(pipeline, list(runs), say(error.reason, str(error)), [], now, requeue=60.0)
    steps: list[SegmentStep] = []
    busy = _is_twin_busy(pipeline, world)
    for segment in segments:
        asking = Asking(pipeline=pipeline, segment=segment, lineage=lineage, recipes=recipes, world=world, now=now)
        step = look_at_segment(asking, busy=busy)
        busy = busy or (step.run is not None and step.run.result == "Running")
        steps.append(step)
    before = [action for step in steps for action in step.before]
    before += _clear(pipeline, segments, world)
    after = [action for step in steps for action in step.after]
    runs = forget_findings([step.run for step in steps if step.run is not None])
    requeue = FOLLOW_S if after else _next_look_s(pipeline, runs, now)
    outcome = _outcome(pipeline, runs, _summary(segments, steps), _verdicts(runs), now, requeue=requeue)
    return replace(outcome, before=tuple(before), after=tuple(after))


def forget_findings(runs: Sequence[SegmentRun]) -> list[SegmentRun]:
    """The runs, the newest of them alone with what they found: a status has to stay small."""
    ended = sorted(
        (run.finished_at for run in runs if run.finished_at is not None and (run.search or run.warnings)), reverse=True
    )
    if len(ended) <= FINDINGS_KEPT:
        return list(runs)
    since = ended[FINDINGS_KEPT - 1]
    kept: list[SegmentRun] = []
    for run in runs:
        is_old = run.finished_at is None or run.finished_at < since
        kept.append(run.model_copy(update={"search": None, "warnings": []}) if is_old else run)
    return kept


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
    """What the pipeline's twin is to run; raises as `check_use`."""
    uses: list[RecipeUseModel] = []
    parameters: dict[str, int]
    twin = ObjectKey("DigitalTwin", pipeline.metadata.namespace, pipeline.spec.twin_ref.name)
    for index, reference in enumerate(pipeline.spec.recipes):
        found = world.get(ObjectKey("Recipe", pipeline.metadata.namespace, reference.name))
        name, parameters = reference.name, {}
        places = (f"spec.recipes[{index}]: no Recipe has that name", f"spec.recipes[{index}]")
        if isinstance(found, Recipe):
            name, parameters = found.spec.uses, dict(found.spec.parameters)
            places = (f"Recipe {reference.name}: spec.uses", f"Recipe {reference.name}: spec.parameters")
        check_use(name, parameters, world, twin, places)
        uses.append(RecipeUseModel(name=reference.name, uses=name, parameters=parameters))
    return uses


def _segments(pipeline: Pipeline, world: World) -> tuple[MeshSegment, ...]:
    """The segments to look after; raises `InvalidInput` for one that is not there, of another twin, or too many."""
    mine = segments_of(world, pipeline.metadata.namespace, pipeline.spec.twin_ref.name)
    if not pipeline.spec.segments:
        if len(mine) > SEGMENTS_MAX:
            raise InvalidInput(
                f"twin {pipeline.spec.twin_ref.name!r} has {len(mine)} segments, above the {SEGMENTS_MAX} of one "
                "pipeline: name them in several pipelines",
                reason="TooManySegments",
                place="spec.segments",
            )
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
    return any(
        run.result == "Running"
        for other in world.find("Pipeline", pipeline.metadata.namespace, "twin", pipeline.spec.twin_ref.name)
        if isinstance(other, Pipeline) and other.status is not None
        for run in other.status.runs
    )


def _clear(pipeline: Pipeline, segments: Sequence[MeshSegment], world: World) -> list[Action]:
    """Deletion of closed proposals beyond those to keep."""
    gone: list[Action] = []
    for segment in segments:
        made = proposals_of(pipeline, segment.metadata.name, world)
        old = superfluous_proposals(made, pipeline.spec.keep_proposals)
        gone += delete_proposals(world, pipeline.metadata.namespace, old)
    return gone


def _summary(segments: Sequence[MeshSegment], steps: Sequence[SegmentStep]) -> tuple[Said, ...]:
    """Conditions over all segments; one that is at fault itself holds up nothing, and is named."""
    results = {step.run.result for step in steps if step.run is not None}
    held_up = [(step.blocked, one) for one, step in zip(segments, steps, strict=True) if step.blocked is not None]
    at_fault = [one.metadata.name for _, one in held_up if is_true(one.status, "Stalled")]
    blocked = sorted({why for why, one in held_up if one.metadata.name not in at_fault})
    if not steps:
        return waiting("NoSegments", "the twin has no segment")
    if "Running" in results:
        running = [step.run for step in steps if step.run is not None and step.run.result == "Running"]
        silence = next((f"{run.segment}: {run.message}" for run in running if run.message), "")
        return (
            progressing("TwinUnreachable", silence) if silence else progressing("Running", "the parent twin computes")
        )
    if blocked:
        return progressing(blocked[0], WHY_BLOCKED[blocked[0]])
    if "Failed" in results:
        failed = next(step.run for step in steps if step.run is not None and step.run.result == "Failed")
        return progressing("RunFailed", f"{failed.segment}: {failed.message}")
    if "AwaitingDecision" in results:
        return ready("AwaitingDecision", "a proposal waits for a person" + _left_out(at_fault))
    return ready("Ran", "every segment was looked at" + _left_out(at_fault))


def _left_out(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return f"; left out, being Stalled: {', '.join(names[:NAMED_MAX])}{more}" if names else ""


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
    running = any(run.result == "Running" for run in runs)
    before = pipeline.status.observed_generation if pipeline.status else None
    status = PipelineStatus(
        # An edit is observed once the run that answers the old question has ended.
        observed_generation=before if running and is_edited(pipeline) and before is not None else generation,
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
