"""The shape of results. Format version ``meshtwin.dev/result/v1``."""

from collections.abc import Mapping
from math import inf
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from meshtwin.mesh.kpis import Interval
from meshtwin.sim.intervals import NOTHING_SENT

__all__ = [
    "CURVE_POINTS",
    "FLOWS_MAX",
    "Count",
    "CurveBoundsDocument",
    "Document",
    "FlowDocument",
    "IntervalDocument",
    "Name",
    "RatioDocument",
    "ResultDocument",
    "TimesDocument",
    "TotalsDocument",
]

FLOWS_MAX: Final = 10_000
CURVE_POINTS: Final = 101  # of a flow's latency distribution: every per cent


class Document(BaseModel):
    """Common ground: camelCase, nothing unknown, no NaN."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, allow_inf_nan=False
    )


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("a name has no control characters")
    return value


Name = Annotated[str, AfterValidator(_printable), Field(max_length=255)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Milliseconds = Annotated[float, Field(ge=0.0, le=1e13)]  # more than a scenario can take
Ratio = Annotated[float, Field(ge=0.0, le=1.0)]


class IntervalDocument(Document):
    """An estimate and its interval over replications (each an independent scramble where states are preset)."""

    estimate: float | None = Field(description="null: there was nothing to estimate from, see openBecause")
    low: float | None = Field(description="null: not known, see openBecause")
    high: float | None = Field(description="null: not known, see openBecause")
    level: float = Field(gt=0.0, lt=1.0, description="probability with which the interval holds the value")
    open_because: str | None = Field(default=None, max_length=1024, description="why a bound or the estimate is null")

    @model_validator(mode="before")
    @classmethod
    def _never_sent_is_not_estimated(cls, told: Any) -> Any:
        """Older files have 0.5 of what was never sent."""
        if isinstance(told, Mapping) and told.get("openBecause") == NOTHING_SENT:
            return {**told, "estimate": None, "low": None, "high": None}
        return told

    @model_validator(mode="after")
    def _bounds_hold_it(self) -> Self:
        if self.estimate is None:
            if self.open_because is None or self.low is not None or self.high is not None:
                raise ValueError("without an estimate there are no bounds, and openBecause says why")
            return self
        low = self.estimate if self.low is None else self.low
        high = self.estimate if self.high is None else self.high
        if not low <= self.estimate <= high:
            raise ValueError(f"estimate {self.estimate} is outside {low}..{high}")
        return self

    @classmethod
    def from_value(cls, value: Interval, *, most: float = inf) -> Self:
        """The document of a value within 0 .. ``most``: a bound that is not known is null, with the reason."""
        is_open = value.open_because is not None
        return cls(
            estimate=value.told,
            low=None if is_open and value.low <= 0.0 else value.low,
            high=None if is_open and value.high >= most else value.high,
            level=value.level,
            open_because=value.open_because,
        )


class RatioDocument(IntervalDocument):
    estimate: Ratio | None = Field(description="null: there was nothing to estimate from, see openBecause")
    low: Ratio | None = Field(description="null: not known, see openBecause")
    high: Ratio | None = Field(description="null: not known, see openBecause")


class CurveBoundsDocument(Document):
    """90 % intervals of the points of a curve, each for itself: they do not hold all at once with that probability."""

    kind: Literal["pointwise"] = Field(default="pointwise", description="each point for itself")
    level: float = Field(gt=0.0, lt=1.0, description="probability with which the interval of one point holds it")
    low: list[Milliseconds | None] = Field(
        min_length=CURVE_POINTS, max_length=CURVE_POINTS, description="of each point; null: not known"
    )
    high: list[Milliseconds | None] = Field(
        min_length=CURVE_POINTS, max_length=CURVE_POINTS, description="of each point; null: not known"
    )
    open_because: str | None = Field(default=None, max_length=1024, description="why bounds are null")


class TimesDocument(Document):
    """Milliseconds over all messages that arrived; intervals over replications (absent in older files)."""

    mean: IntervalDocument = Field(description="of what arrived")
    p50: Milliseconds = Field(description="median: half of what arrived took no longer")
    p95: Milliseconds = Field(description="95 % of what arrived took no longer")
    p99: Milliseconds = Field(description="99 % of what arrived took no longer")
    p50_interval: IntervalDocument | None = Field(default=None, description="of p50; null: an older file")
    p95_interval: IntervalDocument | None = Field(default=None, description="of p95; null: an older file")
    p99_interval: IntervalDocument | None = Field(default=None, description="of p99; null: an older file")
    curve: list[Milliseconds] = Field(
        min_length=CURVE_POINTS,
        max_length=CURVE_POINTS,
        description="quantiles 0, 1 % … 100 %, in milliseconds; their intervals are in curveBounds",
    )
    curve_bounds: CurveBoundsDocument | None = Field(default=None, description="null: a file without them")


class FlowDocument(Document):
    """One flow over all replications; ratios 0..1. Null: nothing arrived, or not asked for."""

    name: Name = Field(description="as the scenario calls it")
    source: Name = Field(description="address of the node that sends")
    members: Count = Field(description="nodes that each message is for")
    sent: Count = Field(description="messages, of all replications together")
    delivered: Count = Field(description="(message, member) pairs that arrived")
    delivery_ratio: RatioDocument = Field(description="share of (message, member) pairs that arrived at all")
    on_time_ratio: RatioDocument = Field(description="share of messages that reached every member within the deadline")
    deadline_milliseconds: Count = Field(description="from sending to the last member")
    latency_milliseconds: TimesDocument | None = Field(
        description="from sending to arrival, over (message, member) pairs; null: nothing arrived"
    )
    round_trip_milliseconds: TimesDocument | None = Field(
        description="from sending to the answer's arrival at the source; null: none came, or none was asked for"
    )
    spread_p95_milliseconds: Milliseconds | None = Field(
        description="95th percentile of the time from the first to the last member, over messages that reached all; "
        "null: a single member, or no such message"
    )
    mean_hops: float | None = Field(description="of what arrived, neighbour = 1; null: nothing arrived")
    spread_p95_interval: IntervalDocument | None = Field(
        default=None, description="of spreadP95Milliseconds; null: there is none, or an older file"
    )
    mean_hops_interval: IntervalDocument | None = Field(
        default=None, description="of meanHops; null: nothing arrived, or an older file"
    )
    answered: Count | None = Field(
        default=None,
        description="(message, member) pairs whose answer came back to the source; null: none was asked for",
    )
    answered_ratio: RatioDocument | None = Field(
        default=None,
        description="share of all that were asked, whether the request reached them or not; null: likewise",
    )


class TotalsDocument(Document):
    """All messages and all replications together."""

    messages: Count = Field(description="of all flows, not of background")
    transmissions: Count | None = Field(
        description="advertising events, each on three channels; null: the fast model does not tell them"
    )
    airtime_ratio: IntervalDocument = Field(description="share of time in use on one channel, mean over nodes")
    losses_by_cause: dict[str, int] = Field(description="receptions that were lost, by the one cause that each has")
    transmissions_per_replication: IntervalDocument | None = Field(
        default=None, description="mean over replications; null: an older file"
    )
    losses_per_replication: dict[str, IntervalDocument] = Field(default={}, description="by cause")


class ResultDocument(Document):
    """What `meshtwin simulate -o json` prints; its JSON schema: `meshtwin schema result`."""

    format: Literal["meshtwin.dev/result/v1"] = Field(
        default="meshtwin.dev/result/v1", description="version of this format"
    )
    scenario: Name = Field(description="name of the scenario")
    profile: Name = Field(description="stack whose timing rules the nodes had")
    engine: Name = Field(
        description="reference or compiled, which give the same figures; fast: the fast model, see states"
    )
    seed: int = Field(description="equal scenario, seed and version give equal figures")
    is_selective: bool = Field(default=False, description="preset states in place of draws")
    replications: Count = Field(description="finished ones, which all figures are made of; 0: of the fast model")
    states: Count | None = Field(
        default=None, description="floods of each flow that the fast model's figures are made of; null: a simulation"
    )
    replications_asked: Count = Field(description="more than replications: the run was ended early, see gaps")
    gaps: list[str] = Field(default=[], max_length=100, description="what was asked for and is not in it, and why")
    flows: list[FlowDocument] = Field(max_length=FLOWS_MAX, description="in the order of the scenario")
    totals: TotalsDocument = Field(description="of all messages and replications together")
