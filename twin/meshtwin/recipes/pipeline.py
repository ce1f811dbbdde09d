"""Running a pipeline: recipes propose, the fast model prunes, the judge simulates, the cheapest that suffices wins.

Who wins the rounds is judged once more, with the base, on fresh states: the best of many looks better than
it is, and only that second judgement is reported and decides.
"""

from collections.abc import Sequence
from dataclasses import replace

from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.mesh.configuration import compute_digest
from meshtwin.mesh.kpis import Objectives
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.ports import Judge, Progress, Provisional, QuickJudge, no_provisional
from meshtwin.recipes.beliefs import Beliefs, find_segments_of_flows
from meshtwin.recipes.found import Found
from meshtwin.recipes.losing import Losing, describe_trials
from meshtwin.recipes.messages import PipelineRequest
from meshtwin.recipes.registry import find_recipe
from meshtwin.recipes.results import Evidence, Outcome, PipelineResult
from meshtwin.recipes.rounds import CONFIRMATIONS, Finalist, Rounds
from meshtwin.recipes.trade_offs import choose_alternatives, find_pareto_points
from meshtwin.recipes.values import Question, RecipeUse, check_parameters, find_segment
from meshtwin.recipes.verdict import Confirmation, decide, find_warnings

__all__ = ["Found", "ask_question", "find_best", "find_uses", "run_pipeline"]


def run_pipeline(
    request: PipelineRequest,
    snapshot: Snapshot,
    judge: Judge,
    *,
    seed: int,
    progress: Progress,
    quick: QuickJudge | None = None,
    provisional: Provisional = no_provisional,
    beliefs: Beliefs | None = None,
) -> PipelineResult:
    """The best configuration for one segment that meets the objectives, or why there is none.

    ``quick`` prunes what the recipes propose; None: everything is simulated. ``provisional`` is told the best
    that it expects, each time that is another one. ``beliefs``: scorecards by which a finalist counts as sure to meet
    the objectives; None: no card is known.

    ``seed`` stands for ``request.seed`` (which may leave it to the caller). Equal arguments give equal
    results. Raises `InvalidInput` for an unknown segment, recipe or parameter or a segment that no flow
    touches, `Unavailable` if no link is known yet, and whatever ``progress`` raises.
    """
    question = ask_question(snapshot, request.segment, request.objectives.to_value())
    uses = find_uses(request)
    rounds = Rounds(
        question=question,
        judge=judge,
        seed=seed,
        messages_per_flow=request.messages_per_flow,
        replications=request.replications,
        progress=progress,
        quick=quick,
        provisional=provisional,
    )
    found = find_best(rounds, uses, Beliefs() if beliefs is None else beliefs)
    alternatives, left_out = choose_alternatives(question, found) if found.confirmed else ((), 0)
    found = replace(found, alternatives=rounds.place(alternatives))
    return _result(rounds, found, left_out)


def find_best(rounds: Rounds, uses: Sequence[RecipeUse], beliefs: Beliefs) -> Found:
    """Asks the recipes, judges in rounds, and judges finalists on fresh states until one is sure by ``beliefs``."""
    pool = rounds.collect(uses)
    standings = rounds.select(pool.standing)
    confirmed: list[Confirmation] = []
    looked_at: list[Finalist] = []
    segment_of = find_segments_of_flows(rounds.question.snapshot, rounds.question.segment.name)
    for attempt, finalist in enumerate(rounds.harden(standings[-1].judged[:CONFIRMATIONS], looked_at)):
        before = confirmed[0].prediction.before if confirmed else None
        prediction = rounds.confirm(finalist.judged.candidate, attempt, before)
        believed = beliefs.widen(prediction.after, prediction.model, segment_of)
        confirmed.append(Confirmation.of(rounds.question, finalist, prediction, believed))
        if confirmed[-1].is_sure and confirmed[-1].is_worth_a_push(rounds.question):
            break
    return Found(pool=pool, standings=standings, confirmed=tuple(confirmed), finalists=tuple(looked_at))


def find_uses(request: PipelineRequest) -> list[RecipeUse]:
    """The recipes that a request names; raises `InvalidInput` for one, or a parameter, that is not known."""
    return [
        RecipeUse(
            recipe=(recipe := find_recipe(use.uses, f"recipes[{index}].uses")),
            parameters=check_parameters(recipe, use.parameters, f"recipes[{index}].parameters"),
        )
        for index, use in enumerate(request.recipes)
    ]


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


def _result(rounds: Rounds, found: Found, pareto_left_out: int) -> PipelineResult:
    question, pool, best = rounds.question, found.pool, found.best_for(rounds.question)
    verdict = decide(question, pool, best)
    base = question.snapshot.configuration.restricted(question.segment.addresses)
    proposed = best is not None and verdict.outcome is Outcome.PROPOSED
    if best is not None and not proposed:
        best = found.closest_for(question, best)
        verdict = decide(question, pool, best)  # the same outcome: it misses something, too
    chosen = best.judged.candidate.configuration if best is not None and proposed else None
    losing = Losing(question=question, found=found, best=best, is_proposed=proposed)
    trials, trials_left_out = describe_trials(losing)
    rounds.progress(1.0, verdict.outcome.value)
    return PipelineResult(
        outcome=verdict.outcome,
        message=verdict.message,
        segment=question.segment.name,
        segment_addresses=question.segment.addresses,
        configuration=chosen,
        digest=None if chosen is None else compute_digest(base.overlaid(chosen)),
        changed_nodes=() if chosen is None else base.changed_nodes(chosen),
        prediction=None if best is None else question.focus(best.prediction),
        base_digest=compute_digest(base),
        base_revision=question.segment.revision,
        inventory_hash=question.segment.inventory_hash,
        evidence=Evidence(
            models=("graph", *(() if rounds.quick is None else (rounds.quick.quick_model,)), rounds.judge.model),
            seed=rounds.seed,
            candidates_tried=pool.tried,
            proposed_by=pool.proposed_by,
            trials=trials,
            trials_left_out=trials_left_out,
            pruned=0 if pool.pruned is None else len(pool.pruned.judged),
            pareto=find_pareto_points(losing),
            pareto_left_out=pareto_left_out,
        ),
        gaps=() if best is None else tuple(gap.text for gap in best.gaps),
        warnings=(*find_warnings(question, best.believed if best else None), *pool.refused),
    )
