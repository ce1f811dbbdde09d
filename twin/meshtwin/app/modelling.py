"""Running the models for a request: imported only when somebody asks, since an idle twin needs none of it."""

from collections.abc import Callable
from dataclasses import replace

from meshtwin.app.serving import utc_now
from meshtwin.app.settings import ModelConfig
from meshtwin.errors import InvalidInput
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.ports import Judge, JudgePlan, Progress, Provisional, QuickJudge, no_provisional
from meshtwin.recipes.answers import answer_what_if, to_pipeline_response
from meshtwin.recipes.beliefs import Beliefs, find_segments_of_flows
from meshtwin.recipes.figures import PredictionModel
from meshtwin.recipes.messages import PipelineRequest, RunStatus, WhatIfRequest
from meshtwin.recipes.questions import changes_of
from meshtwin.recipes.scored import foresee_by_cards
from meshtwin.twins.partial import Gap, PartialSnapshot
from meshtwin.whatif.asking import leave_out_unanswerable
from meshtwin.whatif.forks import fork
from meshtwin.whatif.sizes import check_size

__all__ = ["check_request", "run_pipeline_request", "run_what_if_request"]


def check_request(request: PipelineRequest | WhatIfRequest, snapshot: Snapshot) -> None:
    """Raises `InvalidInput` (``TooLarge``) for what could not be simulated anyway, before anything is begun.

    A what-if whose changes can't be is let pass: its run says what is wrong with them.
    """
    if isinstance(request, PipelineRequest):  # how many replications it takes is for its rounds to find out
        check_size(snapshot, 1, JudgePlan(seed=0, replications=1, messages_per_flow=request.messages_per_flow))
        return
    plan = JudgePlan(seed=0, replications=request.replications, messages_per_flow=request.messages_per_flow)
    check_size(snapshot, 2, plan)  # as it is and as it would be
    if request.traffic or request.added_nodes:
        try:
            changed = fork(snapshot, changes_of(request, snapshot))
        except InvalidInput:
            return
        check_size(changed, 2, plan)


def run_pipeline_request(
    request: PipelineRequest,
    partial: PartialSnapshot,
    judge: Judge,
    seed: int,
    progress: Progress,
    *,
    quick: QuickJudge | None = None,
    provisional: Provisional = no_provisional,
    model: ModelConfig | None = None,
) -> RunStatus:
    """The finished run; gaps of the snapshot stand in the answer. Blocks; raises what `run_pipeline` raises.

    ``model``: somebody else's in the place of ``judge``; raises `MeshTwinError` where that fails and has to be asked.
    """

    from meshtwin.recipes.pipeline import run_pipeline  # deferred: what-ifs need neither recipes nor networkx

    partial = _without_unanswerable(partial)

    def ask(chosen: Judge) -> RunStatus:
        result = run_pipeline(
            request,
            partial.snapshot,
            chosen,
            seed=seed,
            progress=progress,
            quick=quick,
            provisional=provisional,
            beliefs=Beliefs(cards=partial.standings),
        )
        response = to_pipeline_response(result)
        foreseen = None if response.prediction is None else _foresee(response.prediction, request, partial)
        response = response.model_copy(update={"prediction": foreseen, "gaps": [*response.gaps, *_gaps(partial)]})
        return RunStatus(
            run_id=request.run_id, state="Done", progress_per_mille=1000, stage="done", pipeline_result=response
        )

    return _ask(model, judge, ask)


def run_what_if_request(
    request: WhatIfRequest,
    partial: PartialSnapshot,
    judge: Judge,
    seed: int,
    progress: Progress,
    *,
    quick: QuickJudge | None = None,
    provisional: Provisional = no_provisional,
    model: ModelConfig | None = None,
) -> RunStatus:
    """The finished run; gaps of the snapshot stand among the warnings. ``model`` as in `run_pipeline_request`."""

    partial = _without_unanswerable(partial)

    def ask(chosen: Judge) -> RunStatus:
        response = answer_what_if(
            request, partial.snapshot, chosen, seed=seed, progress=progress, quick=quick, provisional=provisional
        )
        foreseen = _foresee(response.prediction, request, partial)
        warnings = [*response.warnings, *_gaps(partial)]
        response = response.model_copy(update={"prediction": foreseen, "warnings": warnings})
        return RunStatus(
            run_id=request.run_id, state="Done", progress_per_mille=1000, stage="done", what_if_result=response
        )

    return _ask(model, judge, ask)


def _ask(model: ModelConfig | None, own: Judge, ask: Callable[[Judge], RunStatus]) -> RunStatus:
    if model is None:
        return ask(own)
    from meshtwin.app.foreign_judge import judge_with  # loads more than a twin needs that asks its own model

    return judge_with(model, own, ask, _noted)


def _noted(status: RunStatus, text: str) -> RunStatus:
    """The answer with ``text`` where its reader sees it: in a proposal's reason, or among a what-if's warnings."""
    pipeline, what_if = status.pipeline_result, status.what_if_result
    if pipeline is not None:
        update = {"message": f"{pipeline.message}; {text}"[:1024], "warnings": [text, *pipeline.warnings]}
        pipeline = pipeline.model_copy(update=update)
    if what_if is not None:
        what_if = what_if.model_copy(update={"warnings": [text, *what_if.warnings]})
    return status.model_copy(update={"pipeline_result": pipeline, "what_if_result": what_if})


def _foresee(
    prediction: PredictionModel, request: PipelineRequest | WhatIfRequest, partial: PartialSnapshot
) -> PredictionModel:
    """The prediction with intervals that know what the model's earlier ones were worth.

    Whether a finalist is sure to meet its objectives was decided by such intervals, too (`meshtwin.recipes.beliefs`).
    Candidates were compared by the model's own: on equal states, what a model lacks it lacks for all of them.
    """
    return foresee_by_cards(
        prediction,
        request.segment,
        partial.standings,
        segment_of=find_segments_of_flows(partial.snapshot, request.segment),
        messages=request.probe_messages,
        now=utc_now().replace(microsecond=0),
    )


def _without_unanswerable(partial: PartialSnapshot) -> PartialSnapshot:
    """No judge is asked about flows from or to nodes that the snapshot does not hold; gaps tell them."""
    snapshot, left_out = leave_out_unanswerable(partial.snapshot)
    gaps = (*partial.gaps, *(Gap(f"flow {name}", why) for name, why in left_out))
    return replace(partial, snapshot=snapshot, gaps=gaps) if left_out else partial


def _gaps(partial: PartialSnapshot) -> list[str]:
    return [f"{gap.place}: {gap.reason}" for gap in partial.gaps]
