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
    level: float = Field(gt=0.0, lt=1.0)
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
    estimate: Ratio | None
    low: Ratio | None
    high: Ratio | None


class CurveBoundsDocument(Document):
    """90 % intervals of the points of a curve, each for itself: they do not hold all at once with that probability."""

    kind: Literal["pointwise"] = "pointwise"
    level: float = Field(gt=0.0, lt=1.0)
    low: list[Milliseconds | None] = Field(
        min_length=CURVE_POINTS, max_length=CURVE_POINTS, description="of each point; null: not known"
    )
    high: list[Milliseconds | None] = Field(
        min_length=CURVE_POINTS, max_length=CURVE_POINTS, description="of each point; null: not known"
    )
    open_because: str | None = Field(default=None, max_length=1024, description="why bounds are null")


class TimesDocument(Document):
    """Milliseconds over all messages that arrived; intervals over replications (absent in older files)."""

    mean: IntervalDocument
    p50: Milliseconds
    p95: Milliseconds
    p99: Milliseconds
    p50_interval: IntervalDocument | None = None
    p95_interval: IntervalDocument | None = None
    p99_interval: IntervalDocument | None = None
    curve: list[Milliseconds] = Field(
        min_length=CURVE_POINTS,
        max_length=CURVE_POINTS,
        description="quantiles 0, 1 % … 100 %, in milliseconds; their intervals are in curveBounds",
    )
    curve_bounds: CurveBoundsDocument | None = Field(default=None, description="null: a file without them")


class FlowDocument(Document):
    """One flow over all replications; ratios 0..1. Null: nothing arrived, or not asked for."""

    name: Name
    source: Name
    members: Count
    sent: Count
    delivered: Count = Field(description="(message, member) pairs that arrived")
    delivery_ratio: RatioDocument
    on_time_ratio: RatioDocument
    deadline_milliseconds: Count
    latency_milliseconds: TimesDocument | None
    round_trip_milliseconds: TimesDocument | None
    spread_p95_milliseconds: Milliseconds | None
    mean_hops: float | None
    spread_p95_interval: IntervalDocument | None = None
    mean_hops_interval: IntervalDocument | None = None
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

    messages: Count
    transmissions: Count = Field(description="advertising events, each on three channels")
    airtime_ratio: IntervalDocument = Field(description="share of time in use on one channel, mean over nodes")
    losses_by_cause: dict[str, int]
    transmissions_per_replication: IntervalDocument | None = None
    losses_per_replication: dict[str, IntervalDocument] = Field(default={}, description="by cause")


class ResultDocument(Document):
    """What `meshtwin simulate -o json` prints; its JSON schema: `meshtwin schema result`."""

    format: Literal["meshtwin.dev/result/v1"] = "meshtwin.dev/result/v1"
    scenario: Name
    profile: Name
    engine: Name
    seed: int
    is_selective: bool = Field(default=False, description="preset states in place of draws")
    replications: Count = Field(description="finished ones, which all figures are made of")
    replications_asked: Count
    gaps: list[str] = Field(default=[], max_length=100, description="what was asked for and is not in it, and why")
    flows: list[FlowDocument] = Field(max_length=FLOWS_MAX)
    totals: TotalsDocument
