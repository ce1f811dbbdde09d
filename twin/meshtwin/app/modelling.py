"""Running the models for a request: imported only when somebody asks, since an idle twin needs none of it."""

from meshtwin.ports import Judge, Progress, Provisional, QuickJudge, no_provisional
from meshtwin.recipes.answers import answer_what_if, to_pipeline_response
from meshtwin.recipes.messages import PipelineRequest, RunStatus, WhatIfRequest
from meshtwin.recipes.pipeline import run_pipeline
from meshtwin.twins.partial import PartialSnapshot

__all__ = ["run_pipeline_request", "run_what_if_request"]


def run_pipeline_request(
    request: PipelineRequest,
    partial: PartialSnapshot,
    judge: Judge,
    seed: int,
    progress: Progress,
    *,
    quick: QuickJudge | None = None,
    provisional: Provisional = no_provisional,
) -> RunStatus:
    """The finished run; gaps of the snapshot stand in the answer. Blocks; raises what `run_pipeline` raises."""
    result = run_pipeline(
        request, partial.snapshot, judge, seed=seed, progress=progress, quick=quick, provisional=provisional
    )
    response = to_pipeline_response(result)
    response = response.model_copy(update={"gaps": [*response.gaps, *_gaps(partial)]})
    return RunStatus(
        run_id=request.run_id, state="Done", progress_per_mille=1000, stage="done", pipeline_result=response
    )


def run_what_if_request(
    request: WhatIfRequest,
    partial: PartialSnapshot,
    judge: Judge,
    seed: int,
    progress: Progress,
    *,
    quick: QuickJudge | None = None,
    provisional: Provisional = no_provisional,
) -> RunStatus:
    """The finished run; gaps of the snapshot stand among the warnings."""
    response = answer_what_if(
        request, partial.snapshot, judge, seed=seed, progress=progress, quick=quick, provisional=provisional
    )
    response = response.model_copy(update={"warnings": [*response.warnings, *_gaps(partial)]})
    return RunStatus(
        run_id=request.run_id, state="Done", progress_per_mille=1000, stage="done", what_if_result=response
    )


def _gaps(partial: PartialSnapshot) -> list[str]:
    return [f"{gap.place}: {gap.reason}" for gap in partial.gaps]
