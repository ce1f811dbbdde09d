"""Figures and predictions as they stand in JSON: integers, per mille, milliseconds.

The names and units are those of the resources' ``prediction``, so that an answer can be put into a
`ConfigurationProposal` as it is.
"""

from collections.abc import Sequence
from math import ceil, floor, inf
from typing import Literal, Self

from pydantic import AwareDatetime, Field

from meshtwin.contract.wire import UnicastText, WireModel
from meshtwin.mesh.addresses import format_address
from meshtwin.mesh.kpis import FlowKpis, Interval, NetworkKpis, Prediction
from meshtwin.recipes.difference_figures import FlowDifferenceModel
from meshtwin.recipes.telling import Told, choose_told

__all__ = [
    "FlowFiguresModel",
    "KpiFiguresModel",
    "MillisecondsBoundsModel",
    "NodeAirtimeModel",
    "PerMilleBoundsModel",
    "PerMilleModel",
    "PredictionModel",
    "ProvisionalModel",
    "ScorecardUsedModel",
]


class PerMilleModel(WireModel):
    """An estimate and its bounds at the 90 % level; without an estimate there was nothing to estimate from."""

    estimate_per_mille: int | None = Field(default=None, ge=0, le=1000)
    low_per_mille: int = Field(ge=0, le=1000)
    high_per_mille: int = Field(ge=0, le=1000)

    @classmethod
    def from_value(cls, value: Interval) -> Self:
        """Per mille, rounded, and kept within 0..1000."""
        return cls(
            estimate_per_mille=None if value.told is None else _per_mille(value.told),
            low_per_mille=_per_mille(value.low),
            high_per_mille=_per_mille(value.high),
        )


class MillisecondsBoundsModel(WireModel):
    """Bounds of an estimate at the 90 % level; left out: not known."""

    low_milliseconds: int | None = Field(default=None, ge=0)
    high_milliseconds: int | None = Field(default=None, ge=0)

    @classmethod
    def from_value(cls, value: Interval | None) -> Self | None:
        """Rounded outwards to whole milliseconds; None if neither bound is known."""
        low_ms, high_ms = _known_bounds(value, inf)
        if low_ms is None and high_ms is None:
            return None
        return cls(
            low_milliseconds=None if low_ms is None else floor(low_ms),
            high_milliseconds=None if high_ms is None else ceil(high_ms),
        )


class PerMilleBoundsModel(WireModel):
    """Likewise, per mille."""

    low_per_mille: int | None = Field(default=None, ge=0)
    high_per_mille: int | None = Field(default=None, ge=0)

    @classmethod
    def from_value(cls, value: Interval) -> Self | None:
        """Of a ratio, rounded outwards to whole per mille; None if neither bound is known."""
        low, high = _known_bounds(value, 1.0)
        if low is None and high is None:
            return None
        return cls(
            low_per_mille=None if low is None else floor(1000 * low),
            high_per_mille=None if high is None else ceil(1000 * high),
        )


class FlowFiguresModel(WireModel):
    """Figures of one flow, and how they are known.

    ``...ByModel``: the interval as the model gave it, where a scorecard has made another one of it.
    ``...Bounds``: the interval of a time, over replications, as the model gave it.
    ``onTime``: messages that reached every member within the deadline; left out where nodes share no clock.
    ``reachedAll``: messages that reached every member, however late; left out where ``onTime`` was measured.
    ``answered``: pairs of an acknowledged flow whose answer came back to the source, as the model gave it.
    Of ``roundTrip`` figures a pair is delivered if its answer came, and times are those until the answer.
    """

    flow: str = Field(max_length=40)
    messages: int = Field(ge=0)
    on_time: PerMilleModel | None = None
    reached_all: PerMilleModel | None = None
    delivery: PerMilleModel
    answered: PerMilleModel | None = None
    on_time_by_model: PerMilleModel | None = None
    delivery_by_model: PerMilleModel | None = None
    latency_p50_milliseconds: int | None = Field(default=None, ge=0)
    latency_p95_milliseconds: int | None = Field(default=None, ge=0)
    latency_p99_milliseconds: int | None = Field(default=None, ge=0)
    spread_p95_milliseconds: int | None = Field(default=None, ge=0)
    latency_p50_bounds: MillisecondsBoundsModel | None = None
    latency_p95_bounds: MillisecondsBoundsModel | None = None
    latency_p99_bounds: MillisecondsBoundsModel | None = None
    spread_p95_bounds: MillisecondsBoundsModel | None = None
    how_known: Literal["receiverCounted", "roundTrip", "inferred", "predicted"]

    @classmethod
    def from_value(cls, value: FlowKpis) -> Self:
        """Rounded to whole per mille and milliseconds."""
        return cls(
            flow=value.flow,
            messages=value.sent,
            on_time=PerMilleModel.from_value(value.on_time),
            reached_all=None if value.reached_all is None else PerMilleModel.from_value(value.reached_all),
            delivery=PerMilleModel.from_value(value.delivery),
            answered=None if value.answered is None else PerMilleModel.from_value(value.answered),
            latency_p50_milliseconds=_rounded(value.latency_p50_ms),
            latency_p95_milliseconds=_rounded(value.latency_p95_ms),
            latency_p99_milliseconds=_rounded(value.latency_p99_ms),
            spread_p95_milliseconds=_rounded(value.spread_p95_ms),
            latency_p50_bounds=MillisecondsBoundsModel.from_value(value.latency_p50),
            latency_p95_bounds=MillisecondsBoundsModel.from_value(value.latency_p95),
            latency_p99_bounds=MillisecondsBoundsModel.from_value(value.latency_p99),
            spread_p95_bounds=MillisecondsBoundsModel.from_value(value.spread_p95),
            how_known=value.how_known.value,
        )


class NodeAirtimeModel(WireModel):
    """Share of time in which one node hears or sends something on one advertising channel."""

    node: UnicastText
    per_mille: int = Field(ge=0, le=1000)
    bounds: PerMilleBoundsModel | None = None

    @classmethod
    def from_value(cls, node: int, ratio: Interval) -> Self:
        """Rounded to whole per mille."""
        bounds = PerMilleBoundsModel.from_value(ratio)
        return cls(node=format_address(node), per_mille=_per_mille(ratio.estimate), bounds=bounds)


class KpiFiguresModel(WireModel):
    """Figures of the flows of a network. ``openBecause``: why bounds are not known that are left out.

    ``airtimePerMille``: mean over nodes, which only a model can tell. ``airtimeAt``: at the nodes of gateways, where it
    can be measured. ``redundancy``: disjoint relay paths from the gateway to the worst node. ``battery...``: what the
    low-power node that sends most spends on sending.
    """

    flows: list[FlowFiguresModel] = Field(default=[], max_length=64)
    airtime_per_mille: int | None = Field(default=None, ge=0)
    airtime_bounds: PerMilleBoundsModel | None = None
    airtime_at: list[NodeAirtimeModel] | None = Field(default=None, max_length=64)
    open_because: str | None = Field(default=None, max_length=256)
    redundancy: int | None = Field(default=None, ge=0)
    battery_millijoules_per_hour: int | None = Field(default=None, ge=0)

    @classmethod
    def from_value(cls, value: NetworkKpis, told: Told | None = None) -> Self:
        """The wire form of a value: of the flows and nodes that are ``told``; None: of the worst there is room for."""
        told = told or choose_told(value, value)
        flows = [f for f in value.flows if f.flow in told.flows]
        return cls(
            flows=[FlowFiguresModel.from_value(f) for f in flows],
            airtime_per_mille=_rounded(value.airtime_ratio.estimate * 1000),
            airtime_bounds=PerMilleBoundsModel.from_value(value.airtime_ratio),
            airtime_at=[NodeAirtimeModel.from_value(n, ratio) for n, ratio in value.airtime_at if n in told.nodes]
            or None,
            open_because=_why_open(flows, value.airtime_ratio),
            redundancy=value.redundancy,
            battery_millijoules_per_hour=_rounded(value.battery_energy_mj_per_h),
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
    """Predicted effect of a change, before and after on the same states.

    ``flowsLeftOut``, ``nodesLeftOut``: flows, and nodes of gateways, of which there is no room to tell; they change
    less, or are better off, than those that are told. Left out: none are.
    """

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
    differences: list[FlowDifferenceModel] | None = Field(default=None, max_length=64)  # None: none are told
    flows_left_out: int | None = Field(default=None, ge=1)
    nodes_left_out: int | None = Field(default=None, ge=1)

    @classmethod
    def from_value(cls, value: Prediction) -> Self:
        """The wire form of a value; where there is no room for all flows, see `choose_told`."""
        told = choose_told(value.before, value.after, own_flows=value.own_flows, own_nodes=value.own_nodes)
        return cls(
            before=KpiFiguresModel.from_value(value.before, told),
            after=KpiFiguresModel.from_value(value.after, told),
            model=value.model,
            profile=value.profile,
            seed=value.seed,
            replications=value.replications,
            snapshot_fingerprint=value.snapshot_fingerprint,
            provisional=True if value.provisional else None,
            differences=None if value.differences is None else FlowDifferenceModel.of(value.differences, told.flows),
            flows_left_out=told.flows_left_out or None,
            nodes_left_out=told.nodes_left_out or None,
        )


class ProvisionalModel(WireModel):
    """The fast model's answer to a run, there while the simulation goes on."""

    prediction: PredictionModel
    message: str = Field(default="", max_length=1024)  # what it is about


def _why_open(flows: Sequence[FlowKpis], airtime: Interval) -> str | None:
    """The reasons, each once; of a model that tells no intervals of times: that."""
    times = [(i, ms) for f in flows for i, ms in (
        (f.latency_p50, f.latency_p50_ms), (f.latency_p95, f.latency_p95_ms), (f.latency_p99, f.latency_p99_ms),
        (f.spread_p95, f.spread_p95_ms),
    )]  # fmt: skip
    shares = [i for f in flows for i in (f.on_time, f.delivery, f.answered) if i is not None]
    told = [i for i, _ in times if i is not None] + [airtime, *shares]
    reasons = dict.fromkeys(i.open_because for i in told if i.open_because)
    if any(i is None and ms is not None for i, ms in times):
        reasons["the model tells no intervals of some times"] = None
    return "; ".join(reasons)[:256] or None


def _known_bounds(value: Interval | None, most: float) -> tuple[float | None, float | None]:
    if value is None:
        return None, None
    if value.open_because is None:
        return value.low, value.high
    return value.low if value.low > 0.0 else None, value.high if value.high < most else None


def _per_mille(ratio: float) -> int:
    return min(max(round(ratio * 1000), 0), 1000)


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)
