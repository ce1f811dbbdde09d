"""Running the models for a request: imported only when somebody asks, since an idle twin needs none of it."""

from collections.abc import Callable

from meshtwin.app.serving import utc_now
from meshtwin.app.settings import ModelConfig
from meshtwin.ports import Judge, Progress, Provisional, QuickJudge, no_provisional
from meshtwin.recipes.answers import answer_what_if, to_pipeline_response
from meshtwin.recipes.figures import PredictionModel
from meshtwin.recipes.messages import PipelineRequest, RunStatus, WhatIfRequest
from meshtwin.recipes.pipeline import run_pipeline
from meshtwin.recipes.scored import foresee_by_cards
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
    model: ModelConfig | None = None,
) -> RunStatus:
    """The finished run; gaps of the snapshot stand in the answer. Blocks; raises what `run_pipeline` raises.

    ``model``: somebody else's in the place of ``judge``; raises `MeshTwinError` where that fails and has to be asked.
    """

    def ask(chosen: Judge) -> RunStatus:
        result = run_pipeline(
            request, partial.snapshot, chosen, seed=seed, progress=progress, quick=quick, provisional=provisional
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

    What was decided by the models' own intervals stays decided: candidates were compared on equal states, and what
    a model lacks it lacks for all of them.
    """
    return foresee_by_cards(
        prediction,
        request.segment,
        partial.standings,
        segment_of=_segments_of_flows(partial, request.segment),
        messages=request.probe_messages,
        now=utc_now().replace(microsecond=0),
    )


def _segments_of_flows(partial: PartialSnapshot, default: str) -> Callable[[str], str]:
    """The segment that holds a flow's source: its gateway counts the flow. ``default``: of one that nobody holds."""
    owners = {address: view.name for view in partial.snapshot.segments for address in view.addresses}
    found = {flow.name: owners.get(flow.source, default) for flow in partial.snapshot.flows}
    return lambda flow: found.get(flow, default)


def _gaps(partial: PartialSnapshot) -> list[str]:
    return [f"{gap.place}: {gap.reason}" for gap in partial.gaps]
