"""One segment under one pipeline: whether a run is due, following it, and recording what it proposes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from meshtwin.recipes.messages import ObjectivesModel, PipelineRequest, PipelineResponse, RecipeUseModel
from meshtwin_operator.reconcile.conditions import to_seconds
from meshtwin_operator.reconcile.judging import is_twin_ready, start_run, why_unanswered
from meshtwin_operator.reconcile.naming import PIPELINE_LABEL, SEGMENT_LABEL, TWIN_LABEL, proposal_name, run_id
from meshtwin_operator.reconcile.outcome import Action, CreateRecord, StartRun
from meshtwin_operator.reconcile.revisions import find_base, find_wanted
from meshtwin_operator.reconcile.searches import SHORT, to_search, to_warnings
from meshtwin_operator.reconcile.tree import Lineage, configurations_of, is_open, pushes_in_flight
from meshtwin_operator.reconcile.world import ObjectKey, World
from meshtwin_operator.resources.base import API_GROUP, API_VERSION
from meshtwin_operator.resources.pipelines import Pipeline, SegmentRun
from meshtwin_operator.resources.records import ConfigurationProposal
from meshtwin_operator.resources.twins import MeshSegment

__all__ = ["Asking", "SegmentStep", "is_edited", "look_at_segment", "proposals_of"]

FAILED_AGAIN_S: Final = 300  # a failed run is tried again after this


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Everything one segment is looked at with."""

    pipeline: Pipeline
    segment: MeshSegment
    lineage: Lineage
    recipes: Sequence[RecipeUseModel]
    world: World
    now: datetime

    @property
    def name(self) -> str:
        """Of the segment."""
        return self.segment.metadata.name

    @property
    def last(self) -> SegmentRun | None:
        """How the last run for the segment ended, as read from the status."""
        runs = self.pipeline.status.runs if self.pipeline.status else []
        return next((run for run in runs if run.segment == self.name), None)


@dataclass(frozen=True, slots=True)
class SegmentStep:
    """What happens for one segment now: its entry in status, and actions."""

    run: SegmentRun | None
    before: tuple[Action, ...] = ()
    after: tuple[Action, ...] = ()
    blocked: str | None = None  # why no run was started though one is due


def is_edited(pipeline: Pipeline) -> bool:
    """Whether the spec changed since the status was written."""
    return pipeline.status is None or pipeline.status.observed_generation != pipeline.metadata.generation


def proposals_of(pipeline: Pipeline, segment: str, world: World) -> list[ConfigurationProposal]:
    """Proposals that this pipeline made for a segment, by name."""
    return [
        proposal
        for proposal in world.find("ConfigurationProposal", pipeline.metadata.namespace, "segment", segment)
        if isinstance(proposal, ConfigurationProposal)
        and proposal.spec.pipeline_ref is not None
        and proposal.spec.pipeline_ref.name == pipeline.metadata.name
    ]


def look_at_segment(asking: Asking, *, busy: bool) -> SegmentStep:
    """The segment one step on; ``busy``: another run of the twin is under way."""
    last, edited = asking.last, is_edited(asking.pipeline)
    if last is not None and last.result == "Running":
        step = _follow(asking, last)
        if edited and step.run is not None and step.run.result != "Running":
            # What is asked changed meanwhile: the answer stands, and the question is asked again.
            step = replace(step, run=step.run.model_copy(update={"base_revision": None}))
        return step
    waiting_for = [p.metadata.name for p in proposals_of(asking.pipeline, asking.name, asking.world) if is_open(p)]
    if waiting_for:
        entry = last or SegmentRun(segment=asking.name, result="AwaitingDecision")
        update: dict[str, Any] = {"result": "AwaitingDecision", "proposal": waiting_for[-1], "message": ""}
        update |= {"search": None, "warnings": []}  # the proposal has its own
        if edited:
            update["base_revision"] = None  # what was asked has changed: run again after the decision
        return SegmentStep(entry.model_copy(update=update))
    if edited:
        last = None
    elif last is not None and last.result == "AwaitingDecision":
        last = last.model_copy(update={"result": "Proposed"})
    return _start_if_due(asking, last, busy=busy)


def _start_if_due(asking: Asking, last: SegmentRun | None, *, busy: bool) -> SegmentStep:
    namespace, root = asking.segment.metadata.namespace, asking.lineage.root.metadata.name
    records = configurations_of(asking.world, namespace, asking.name)
    base = find_base(records)
    if asking.segment.spec.stage == "Planned":
        return SegmentStep(last)
    if base is None:
        return SegmentStep(last, blocked="NotAdopted")
    if not _is_due(asking, last, base.spec.revision):
        return SegmentStep(last)
    if find_wanted(records) or pushes_in_flight(asking.world, namespace, root):
        return SegmentStep(last, blocked="PushInFlight")
    if not is_twin_ready(asking.world, asking.lineage):
        return SegmentStep(last, blocked="TwinNotReady")
    if busy:
        return SegmentStep(last, blocked="AnotherRun")
    run = run_id(asking.pipeline.metadata.uid, asking.name, base.spec.revision, int(asking.now.timestamp()))
    entry = SegmentRun(segment=asking.name, result="Running", run_id=run, base_revision=base.spec.revision)
    return SegmentStep(entry, after=(_start(asking, run),))


def _is_due(asking: Asking, last: SegmentRun | None, base_revision: int) -> bool:
    """Whether a (new) run should be started when nothing else is in the way."""
    if last is None or last.base_revision is None:
        return True
    ended, policy = last.finished_at, asking.pipeline.spec.run
    if last.result == "Failed":
        return ended is None or asking.now - ended >= timedelta(seconds=FAILED_AGAIN_S)
    if last.base_revision != base_revision and not _came_from(asking, base_revision):
        return True
    if _was_void(asking.pipeline, last, asking.world):
        return True
    every = policy.every_minutes
    if every is not None and ended is not None and asking.now - ended >= timedelta(minutes=every):
        return True
    return policy.on_divergence and _diverged_since(asking.segment, ended)


def _came_from(asking: Asking, revision: int) -> bool:
    """Whether the revision in force is this pipeline's own: asking again at once would only chase noise."""
    for record in configurations_of(asking.world, asking.segment.metadata.namespace, asking.name):
        if record.spec.revision == revision and record.spec.proposal_ref is not None:
            made = proposals_of(asking.pipeline, asking.name, asking.world)
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


def _start(asking: Asking, run: str) -> StartRun:
    pipeline = asking.pipeline
    wanted = pipeline.spec.objectives
    on_time = wanted.group_on_time
    request = PipelineRequest(
        run_id=run,
        pipeline=pipeline.metadata.name,
        segment=asking.name,
        recipes=list(asking.recipes),
        objectives=ObjectivesModel(
            on_time_within_milliseconds=on_time.within_milliseconds if on_time else None,
            on_time_at_least_per_mille=on_time.at_least_per_mille if on_time else None,
            spread_at_most_milliseconds=wanted.spread.at_most_milliseconds if wanted.spread else None,
            airtime_at_most_per_mille=wanted.airtime.at_most_per_mille if wanted.airtime else None,
            redundancy_at_least_paths=wanted.redundancy.at_least_paths if wanted.redundancy else None,
        ),
        seed=pipeline.spec.seed,
        probe_messages=asking.lineage.twin.spec.push.probe_messages,
    )
    path = f"/api/v1/pipelines/{pipeline.metadata.name}/runs"
    body = request.model_dump(mode="json", by_alias=True, exclude_none=True)
    return start_run(asking.world, asking.lineage, path, run, body)


def _follow(asking: Asking, last: SegmentRun) -> SegmentStep:
    """The run's answer, or asking for it again: the twin knows a repeated run by its id."""
    run = last.run_id or ""
    view = asking.world.run(asking.pipeline.metadata.namespace, run)
    answer = view.status if view else None
    ended = {"finished_at": to_seconds(asking.now)}
    if answer is not None and answer.state == "Failed":
        why = f"{answer.error.reason}: {answer.error.message}" if answer.error else "the run failed"
        return SegmentStep(last.model_copy(update={**ended, "result": "Failed", "message": why[:1024]}))
    if answer is None or answer.state == "Running" or answer.pipeline_result is None:
        silence = why_unanswered(asking.world, asking.pipeline.metadata.namespace, run) or ""
        return SegmentStep(last.model_copy(update={"message": silence[:1024]}), after=(_start(asking, run),))
    result = answer.pipeline_result
    if result.outcome != "Proposed":
        update = {**ended, "result": result.outcome, "message": result.message, "proposal": None}
        return SegmentStep(last.model_copy(update={**update, **_found(result)}))
    return _propose(asking, last, result, ended)


def _found(result: PipelineResponse) -> dict[str, Any]:
    """What the status keeps of a run that proposes nothing: the whole is in the twin's answer, while it keeps that."""
    evidence = result.evidence
    search = to_search(evidence, SHORT, is_proposed=False) if evidence.candidates_tried or evidence.pareto else None
    news = [text for text in result.gaps if text not in result.message]  # the message has what the best misses
    return {"search": search, "warnings": to_warnings(result.model_copy(update={"gaps": news}), SHORT)}


def _propose(asking: Asking, last: SegmentRun, result: PipelineResponse, ended: Mapping[str, Any]) -> SegmentStep:
    segment, world = asking.segment, asking.world
    namespace = segment.metadata.namespace
    reported = world.gateway(namespace, segment.spec.gateway_id).reported if segment.spec.gateway_id else None
    if reported is not None and result.digest in reported.rejected_hashes:
        text = "the best candidate was taken back earlier because it did harm; it is not proposed again"
        update = {**ended, "result": "NothingBetter", "message": text, **_found(result)}
        return SegmentStep(last.model_copy(update=update))
    base = find_base(configurations_of(world, namespace, segment.metadata.name))
    if base is None or base.spec.revision != last.base_revision:
        text = "the configuration changed while the models computed"
        return SegmentStep(last.model_copy(update={**ended, "result": "Failed", "message": text}))
    manifest = _manifest(asking.pipeline, segment, last, result)
    name = str(manifest["metadata"]["name"])
    update = {**ended, "result": "Proposed", "message": result.message, "proposal": name}
    return SegmentStep(last.model_copy(update=update), before=(CreateRecord(manifest),))


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
    if result.evidence.pareto:
        spec["search"] = to_search(result.evidence).model_dump(mode="json", by_alias=True, exclude_none=True)
    if warnings := to_warnings(result):
        spec["warnings"] = warnings
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
