"""Requests and answers of recipes, pipelines and what-ifs, as they stand in JSON.

The figures have the names and units of the resources' ``prediction``, so that an answer can be put into a
`ConfigurationProposal` as it is: integers, per mille, milliseconds.
"""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field

from meshtwin.contract.wire import SettingsEntry, UnicastText, WireModel
from meshtwin.mesh.kpis import FlowKpis, Interval, NetworkKpis, Objectives, Prediction

__all__ = [
    "EvidenceModel",
    "FlowFiguresModel",
    "KpiFiguresModel",
    "ObjectivesModel",
    "PipelineRequest",
    "PipelineResponse",
    "PredictionModel",
    "RecipeUseModel",
    "RunError",
    "RunStatus",
    "WhatIfRequest",
]

Seed = int | None  # None: the twin draws one and reports it


class RecipeUseModel(WireModel):
    """A recipe as a pipeline names it: ``name`` is for people, ``uses`` is the built-in or plug-in."""

    name: str = Field(min_length=1, max_length=253)
    uses: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)
    parameters: dict[str, int] = Field(default={}, max_length=32)


class ObjectivesModel(WireModel):
    """What the pipeline wants; left out: not asked."""

    on_time_within_milliseconds: int | None = Field(default=None, ge=1, le=60_000)
    on_time_at_least_per_mille: int | None = Field(default=None, ge=1, le=1000)
    spread_at_most_milliseconds: int | None = Field(default=None, ge=1, le=60_000)
    airtime_at_most_per_mille: int | None = Field(default=None, ge=1, le=1000)
    redundancy_at_least_paths: int | None = Field(default=None, ge=1, le=8)

    def to_value(self) -> Objectives:
        """The frozen value, with ratios."""
        on_time, airtime = self.on_time_at_least_per_mille, self.airtime_at_most_per_mille
        return Objectives(
            on_time_within_ms=self.on_time_within_milliseconds,
            on_time_at_least=None if on_time is None else on_time / 1000,
            spread_at_most_ms=self.spread_at_most_milliseconds,
            airtime_at_most=None if airtime is None else airtime / 1000,
            redundancy_at_least=self.redundancy_at_least_paths,
        )


class PipelineRequest(WireModel):
    """Run ``recipes`` in order for one segment. A repeated ``runId`` is the same run."""

    run_id: str = Field(min_length=1, max_length=64)
    pipeline: str = Field(min_length=1, max_length=253)
    segment: str = Field(min_length=1, max_length=40)
    recipes: list[RecipeUseModel] = Field(min_length=1, max_length=16)
    objectives: ObjectivesModel = ObjectivesModel()
    seed: Seed = Field(default=None, ge=0, le=2_147_483_647)
    messages_per_flow: int = Field(default=40, ge=1, le=10_000)
    replications: int = Field(default=8, ge=1, le=1000)


class WhatIfRequest(WireModel):
    """What if these settings held, or these nodes failed."""

    run_id: str = Field(min_length=1, max_length=64)
    segment: str = Field(min_length=1, max_length=40)
    settings: list[SettingsEntry] = Field(default=[], max_length=256)
    failed_nodes: list[UnicastText] = Field(default=[], max_length=64)
    seed: Seed = Field(default=None, ge=0, le=2_147_483_647)
    messages_per_flow: int = Field(default=40, ge=1, le=10_000)
    replications: int = Field(default=8, ge=1, le=1000)


class PerMilleModel(WireModel):
    """An estimate and its bounds at the 90 % level."""

    estimate_per_mille: int = Field(ge=0, le=1000)
    low_per_mille: int = Field(ge=0, le=1000)
    high_per_mille: int = Field(ge=0, le=1000)

    @classmethod
    def from_value(cls, value: Interval) -> Self:
        """Per mille, rounded, and kept within 0..1000."""
        return cls(
            estimate_per_mille=_per_mille(value.estimate),
            low_per_mille=_per_mille(value.low),
            high_per_mille=_per_mille(value.high),
        )


class FlowFiguresModel(WireModel):
    """Figures of one flow, and how they are known."""

    flow: str = Field(max_length=40)
    messages: int = Field(ge=0)
    on_time: PerMilleModel | None = None
    delivery: PerMilleModel
    latency_p50_milliseconds: int | None = Field(default=None, ge=0)
    latency_p95_milliseconds: int | None = Field(default=None, ge=0)
    latency_p99_milliseconds: int | None = Field(default=None, ge=0)
    spread_p95_milliseconds: int | None = Field(default=None, ge=0)
    how_known: Literal["receiverCounted", "roundTrip", "inferred", "predicted"]

    @classmethod
    def from_value(cls, value: FlowKpis) -> Self:
        """Rounded to whole per mille and milliseconds."""
        return cls(
            flow=value.flow,
            messages=value.sent,
            on_time=PerMilleModel.from_value(value.on_time),
            delivery=PerMilleModel.from_value(value.delivery),
            latency_p50_milliseconds=_rounded(value.latency_p50_ms),
            latency_p95_milliseconds=_rounded(value.latency_p95_ms),
            latency_p99_milliseconds=_rounded(value.latency_p99_ms),
            spread_p95_milliseconds=_rounded(value.spread_p95_ms),
            how_known=value.how_known.value,
        )


class KpiFiguresModel(WireModel):
    """Figures of the flows of a network."""

    flows: list[FlowFiguresModel] = Field(default=[], max_length=64)
    airtime_per_mille: int | None = Field(default=None, ge=0)
    redundancy: int | None = Field(default=None, ge=0)

    @classmethod
    def from_value(cls, value: NetworkKpis) -> Self:
        """The wire form of a value; of more than 64 flows the first, which is what a resource can hold."""
        return cls(
            flows=[FlowFiguresModel.from_value(f) for f in value.flows[:64]],
            airtime_per_mille=_rounded(value.airtime_ratio.estimate * 1000),
            redundancy=value.redundancy,
        )


class PredictionModel(WireModel):
    """Predicted effect of a change, before and after on the same states."""

    before: KpiFiguresModel
    after: KpiFiguresModel
    model: str = Field(max_length=80)
    profile: str = Field(max_length=40)
    seed: int = Field(ge=0)
    replications: int = Field(ge=1)
    snapshot_fingerprint: str = Field(max_length=64)

    @classmethod
    def from_value(cls, value: Prediction) -> Self:
        """The wire form of a value."""
        return cls(
            before=KpiFiguresModel.from_value(value.before),
            after=KpiFiguresModel.from_value(value.after),
            model=value.model,
            profile=value.profile,
            seed=value.seed,
            replications=value.replications,
            snapshot_fingerprint=value.snapshot_fingerprint,
        )


class TrialModel(WireModel):
    """One candidate that was tried, and why it lost."""

    recipe: str
    reason: str
    digest: str
    relays: int
    airtime_per_mille: int
    verdict: str


class EvidenceModel(WireModel):
    """What the decision rests on."""

    models: list[str]
    seed: int
    candidates_tried: int
    trials: list[TrialModel] = Field(default=[], max_length=64)  # the closest ones, best first
    counts: Mapping[str, int] = Field(default={})  # candidates proposed, by recipe


class PipelineResponse(WireModel):
    """How a pipeline ended for one segment."""

    outcome: Literal["Proposed", "NothingBetter", "ObjectivesUnreachable"]
    message: str = Field(max_length=1024)
    segment: str
    settings: list[SettingsEntry] = Field(default=[], max_length=256)  # complete for all settable nodes
    digest: str | None = None  # of the segment's whole expanded configuration, frozen nodes included
    changed_nodes: list[UnicastText] = Field(default=[])
    prediction: PredictionModel | None = None
    base_digest: str
    base_revision: int | None = None
    inventory_hash: str
    evidence: EvidenceModel
    gaps: list[str] = Field(default=[])
    warnings: list[str] = Field(default=[])


class WhatIfResponse(WireModel):
    """The answer to a what-if."""

    segment: str
    prediction: PredictionModel
    warnings: list[str] = Field(default=[])


class RunError(WireModel):
    """Why a run failed; ``reason`` is one CamelCase word."""

    reason: str
    message: str


class RunStatus(WireModel):
    """A run that can be followed."""

    run_id: str
    state: Literal["Running", "Done", "Failed"]
    progress_per_mille: int = Field(default=0, ge=0, le=1000)
    stage: str = ""
    pipeline_result: PipelineResponse | None = None
    what_if_result: WhatIfResponse | None = None
    error: RunError | None = None


def _per_mille(ratio: float) -> int:
    return min(max(round(ratio * 1000), 0), 1000)


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)
