"""Figures and predictions as they stand in JSON: integers, per mille, milliseconds.

The names and units are those of the resources' ``prediction``, so that an answer can be put into a
`ConfigurationProposal` as it is.
"""

from typing import Literal, Self

from pydantic import AwareDatetime, Field

from meshtwin.contract.wire import WireModel
from meshtwin.mesh.kpis import FlowKpis, Interval, NetworkKpis, Prediction

__all__ = [
    "FlowFiguresModel",
    "KpiFiguresModel",
    "PerMilleModel",
    "PredictionModel",
    "ProvisionalModel",
    "ScorecardUsedModel",
]


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
    """Figures of one flow, and how they are known.

    ``...ByModel``: the interval as the model gave it, where a scorecard has made another one of it.
    """

    flow: str = Field(max_length=40)
    messages: int = Field(ge=0)
    on_time: PerMilleModel | None = None
    delivery: PerMilleModel
    on_time_by_model: PerMilleModel | None = None
    delivery_by_model: PerMilleModel | None = None
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


class ScorecardUsedModel(WireModel):
    """On what experience the intervals of a prediction rest.

    They are 90 % intervals of what ``messages`` messages per flow will show. ``predictions`` of the same model in
    the segment were measured from ``since`` to ``until``; 0: what the model's errors were on other networks.
    """

    segment: str = Field(max_length=63)
    predictions: int = Field(ge=0)
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    messages: int = Field(ge=1)


class PredictionModel(WireModel):
    """Predicted effect of a change, before and after on the same states."""

    before: KpiFiguresModel
    after: KpiFiguresModel
    model: str = Field(max_length=80)
    profile: str = Field(max_length=40)
    seed: int = Field(ge=0)
    replications: int = Field(ge=1)
    snapshot_fingerprint: str = Field(max_length=64)
    provisional: Literal[True] | None = None  # the fast model's; the simulation that replaces it goes on
    predicted_at: AwareDatetime | None = None
    scorecard: ScorecardUsedModel | None = None  # None: the intervals are the model's own

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
            provisional=True if value.provisional else None,
        )


class ProvisionalModel(WireModel):
    """The fast model's answer to a run, there while the simulation goes on."""

    prediction: PredictionModel
    message: str = Field(default="", max_length=1024)  # what it is about


def _per_mille(ratio: float) -> int:
    return min(max(round(ratio * 1000), 0), 1000)


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)
