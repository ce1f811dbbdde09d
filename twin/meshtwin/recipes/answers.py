"""Between the JSON of requests and answers and the values that the models work with."""

from dataclasses import replace
from typing import Final

from meshtwin.contract.wire import SettingsEntry
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import Configuration, SettingsRange, compress_settings
from meshtwin.mesh.kpis import Objectives
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.ports import Judge, JudgePlan, Progress, Provisional, QuickJudge, no_provisional
from meshtwin.recipes.figures import PredictionModel
from meshtwin.recipes.messages import (
    EvidenceModel,
    ParetoPointModel,
    PipelineResponse,
    TrialModel,
    WhatIfRequest,
    WhatIfResponse,
)
from meshtwin.recipes.questions import changes_of
from meshtwin.recipes.results import Evidence, ParetoPoint, PipelineResult
from meshtwin.recipes.values import Question, find_segment
from meshtwin.whatif.comparison import expect, predict
from meshtwin.whatif.forks import fork
from meshtwin.whatif.sizes import check_size
from meshtwin.wording import counted

__all__ = ["answer_what_if", "to_pipeline_response"]

RANGES_PER_ENTRY: Final = 64  # bound of `nodes` in the resources' settings


def to_pipeline_response(result: PipelineResult) -> PipelineResponse:
    """The wire form of a result; settings as the shortest ranges that are exact within the segment."""
    configuration = result.configuration
    return PipelineResponse(
        outcome=result.outcome.value,
        message=result.message[:1024],
        segment=result.segment,
        settings=[] if configuration is None else _settings(result, configuration),
        digest=result.digest,
        changed_nodes=[format_address(a) for a in result.changed_nodes],
        prediction=None if result.prediction is None else PredictionModel.from_value(result.prediction),
        base_digest=result.base_digest,
        base_revision=result.base_revision,
        inventory_hash=result.inventory_hash,
        evidence=_evidence(result.evidence),
        gaps=list(result.gaps),
        warnings=list(result.warnings),
    )


def answer_what_if(
    request: WhatIfRequest,
    snapshot: Snapshot,
    judge: Judge,
    *,
    seed: int,
    progress: Progress,
    quick: QuickJudge | None = None,
    provisional: Provisional = no_provisional,
) -> WhatIfResponse:
    """The figures as it is and as it would be, and warnings about nodes that the gateway would lose.

    ``provisional`` is told what ``quick`` expects before the simulation starts, unless it declines.
    Raises `InvalidInput` for changes that can't be, and (``TooLarge``) for more than memory holds.
    """
    changes = changes_of(request, snapshot)
    changed = fork(snapshot, changes)
    plan = JudgePlan(seed=seed, replications=request.replications, messages_per_flow=request.messages_per_flow)
    for side in (snapshot, changed):
        check_size(side, 2, plan)  # before the fast answer: what is refused is refused at once
    before, after = _question(snapshot, request.segment), _question(changed, request.segment)
    if quick is not None and (expected := expect(snapshot, changed, quick=quick, seed=seed)) is not None:
        provisional(after.focus(before.focus(expected)), "before the simulation")
    prediction = after.focus(before.focus(predict(snapshot, changed, judge=judge, plan=plan, progress=progress)))
    from meshtwin.recipes.faults import find_managed  # deferred: networkx (11 MiB, 0.1 s), which no first answer needs
    from meshtwin.recipes.scoring import tell_standing_facts

    lost = find_managed(before, snapshot.configuration) - find_managed(after, changed.configuration)
    failed = _addresses(snapshot) - _addresses(changed)
    warnings = [
        f"{counted(len(cut), 'node')} would be cut off from the gateway: "
        + ", ".join(format_address(a) for a in sorted(cut)[:8])
        for cut in [lost - failed]
        if cut
    ]
    missing = {f.name for f in snapshot.flows} - {f.name for f in changed.flows}
    warnings += _guessed(snapshot, changed)
    warnings += [f"flow {name} would have no source or no member left" for name in sorted(missing)]
    if prediction.differences is None:
        warnings.append(f"no differences with intervals: {judge.model} does not tell its replications apart")
    prediction = replace(
        prediction,
        before=tell_standing_facts(before, snapshot.configuration, prediction.before),
        after=tell_standing_facts(after, changed.configuration, prediction.after),
    )
    return WhatIfResponse(segment=request.segment, prediction=PredictionModel.from_value(prediction), warnings=warnings)


def _guessed(snapshot: Snapshot, changed: Snapshot) -> list[str]:
    """Names the nodes whose links are expected from their place alone."""
    places = {n.address: n.position for n in snapshot.nodes}
    nodes = [n.address for n in changed.nodes if n.address not in places or n.position != places[n.address]]
    if not nodes:
        return []
    names = ", ".join(format_address(a) for a in nodes[:8])
    return [f"links of {names} are expected from placement, not measured: walls are not known"]


def _addresses(snapshot: Snapshot) -> frozenset[UnicastAddress]:
    return frozenset(n.address for n in snapshot.nodes)


def _question(snapshot: Snapshot, segment: str) -> Question:
    return Question(snapshot=snapshot, segment=find_segment(snapshot, segment), objectives=Objectives())


def _settings(result: PipelineResult, configuration: Configuration) -> list[SettingsEntry]:
    """Ranges in entries that fit a resource."""
    return [
        SettingsEntry.from_value(SettingsRange(nodes=nodes, settings=entry.settings))
        for entry in compress_settings(configuration, result.segment_addresses)
        for nodes in batched(entry.nodes)
    ]


def batched(nodes: tuple[str, ...]) -> list[tuple[str, ...]]:
    """``nodes`` in runs of at most 64, in order."""
    return [nodes[i : i + RANGES_PER_ENTRY] for i in range(0, len(nodes), RANGES_PER_ENTRY)]


def _evidence(evidence: Evidence) -> EvidenceModel:
    return EvidenceModel(
        models=list(evidence.models),
        seed=evidence.seed,
        candidates_tried=evidence.candidates_tried,
        counts=dict(evidence.proposed_by),
        pruned=evidence.pruned,
        trials_left_out=evidence.trials_left_out,
        pareto_left_out=evidence.pareto_left_out,
        pareto=[_pareto_point(p) for p in evidence.pareto[:64]],
        trials=[
            TrialModel(
                recipe=t.recipe,
                reason=t.reason,
                digest=t.digest,
                relays=t.relays,
                airtime_per_million=round(t.airtime_ratio * 1e6),
                verdict=t.verdict,
                stage=t.stage.value,
            )
            for t in evidence.trials
        ],
    )


def _pareto_point(point: ParetoPoint) -> ParetoPointModel:
    merits = point.merits
    spread_ms, energy_mj_per_h = merits.spread_p95_ms, merits.energy_mj_per_h
    return ParetoPointModel(
        digest=point.digest,
        recipe=point.recipe,
        reason=point.reason,
        role=point.role.value,
        is_beaten=point.is_beaten,
        messages=point.messages,
        verdict=point.verdict,
        on_time_per_mille=min(max(round(merits.on_time * 1000), 0), 1000),
        spread_p95_milliseconds=None if spread_ms is None else round(spread_ms),
        airtime_per_million=round(merits.airtime_ratio * 1e6),
        redundancy=merits.redundancy,
        battery_millijoules_per_hour=None if energy_mj_per_h is None else round(energy_mj_per_h),
    )
