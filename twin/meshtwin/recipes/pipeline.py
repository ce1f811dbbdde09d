"""Running a pipeline: recipes propose, the judge simulates, the cheapest that meets the objectives wins.

Who wins the rounds is judged once more, with the base, on fresh states: the best of many looks better than
it is, and only that second judgement is reported and decides.
"""

from dataclasses import replace

from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.mesh.configuration import compute_digest
from meshtwin.mesh.kpis import Objectives
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.ports import Judge, Progress
from meshtwin.recipes.messages import PipelineRequest
from meshtwin.recipes.registry import find_recipe
from meshtwin.recipes.results import Evidence, Outcome, PipelineResult
from meshtwin.recipes.rounds import CONFIRMATIONS, Pool, Rounds, Standing
from meshtwin.recipes.values import Question, RecipeUse, check_parameters, find_segment
from meshtwin.recipes.verdict import Confirmation, decide, describe_trials, find_warnings

__all__ = ["ask_question", "run_pipeline"]


def run_pipeline(
    request: PipelineRequest, snapshot: Snapshot, judge: Judge, *, seed: int, progress: Progress
) -> PipelineResult:
    """The best configuration for one segment that meets the objectives, or why there is none.

    ``seed`` stands for ``request.seed`` (which may leave it to the caller). Equal arguments give equal
    results. Raises `InvalidInput` for an unknown segment, recipe or parameter or a segment that no flow
    touches, `Unavailable` if no link is known yet, and whatever ``progress`` raises.
    """
    question = ask_question(snapshot, request.segment, request.objectives.to_value())
    uses = [
        RecipeUse(
            recipe=(recipe := find_recipe(use.uses, f"recipes[{index}].uses")),
            parameters=check_parameters(recipe, use.parameters, f"recipes[{index}].parameters"),
        )
        for index, use in enumerate(request.recipes)
    ]
    rounds = Rounds(
        question=question,
        judge=judge,
        seed=seed,
        messages_per_flow=request.messages_per_flow,
        replications=request.replications,
        progress=progress,
    )
    pool = rounds.collect(uses)
    finalists = rounds.select(pool.standing)
    confirmed: list[Confirmation] = []
    for attempt, finalist in enumerate(finalists.judged[:CONFIRMATIONS]):
        prediction = rounds.confirm(finalist.candidate, attempt)
        confirmed.append(Confirmation.of(question, finalist, prediction))
        if not confirmed[-1].gaps:
            break
    return _result(rounds, pool, finalists, confirmed)


def ask_question(snapshot: Snapshot, segment: str, objectives: Objectives) -> Question:
    """The question behind a request; its deadline replaces those of the flows that touch the segment.

    Raises as `run_pipeline` says.
    """
    view = find_segment(snapshot, segment)
    if not snapshot.links:
        raise Unavailable("no link is known yet: wait for neighbour reports", reason="NothingHeard")
    question = Question(snapshot=snapshot, segment=view, objectives=objectives)
    touching = {f.name for f in question.touching_flows}
    if not touching:
        raise InvalidInput(f"no flow touches segment {segment!r}: nothing to judge by", reason="NoFlows")
    within_ms = objectives.on_time_within_ms
    if within_ms is None:
        return question
    flows = tuple(replace(f, deadline_ms=within_ms) if f.name in touching else f for f in snapshot.flows)
    return replace(question, snapshot=replace(snapshot, flows=flows))


def _result(rounds: Rounds, pool: Pool, finalists: Standing, confirmed: list[Confirmation]) -> PipelineResult:
    question = rounds.question
    best = min(confirmed, key=lambda c: c.distance, default=None)
    verdict = decide(question, pool, best)
    base = question.snapshot.configuration.restricted(question.segment.addresses)
    proposed = best is not None and verdict.outcome is Outcome.PROPOSED
    chosen = best.judged.candidate.configuration if best is not None and proposed else None
    rounds.progress(1.0, verdict.outcome.value)
    return PipelineResult(
        outcome=verdict.outcome,
        message=verdict.message,
        segment=question.segment.name,
        segment_addresses=question.segment.addresses,
        configuration=chosen,
        digest=None if chosen is None else compute_digest(base.overlaid(chosen)),
        changed_nodes=() if chosen is None else base.changed_nodes(chosen),
        prediction=None if best is None else best.prediction,
        base_digest=compute_digest(base),
        base_revision=question.segment.revision,
        inventory_hash=question.segment.inventory_hash,
        evidence=Evidence(
            models=("graph", rounds.judge.model),
            seed=rounds.seed,
            candidates_tried=len(pool.standing.judged),
            proposed_by=pool.proposed_by,
            trials=describe_trials(question, pool, finalists, confirmed),
        ),
        gaps=() if best is None else tuple(gap.text for gap in best.gaps),
        warnings=(*find_warnings(question, best.prediction if best else None), *pool.refused),
    )
