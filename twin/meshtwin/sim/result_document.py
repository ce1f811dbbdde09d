"""The shape of results. Format version ``meshtwin.dev/result/v1``."""

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

__all__ = [
    "CURVE_POINTS",
    "FlowDocument",
    "IntervalDocument",
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
    estimate: float
    low: float
    high: float
    level: float = Field(gt=0.0, lt=1.0)

    @model_validator(mode="after")
    def _bounds_hold_it(self) -> Self:
        if not self.low <= self.estimate <= self.high:
            raise ValueError(f"estimate {self.estimate} is outside {self.low}..{self.high}")
        return self


class RatioDocument(IntervalDocument):
    estimate: Ratio
    low: Ratio
    high: Ratio


class TimesDocument(Document):
    """Milliseconds over all messages that arrived; the mean with its interval over replications."""

    mean: IntervalDocument
    p50: Milliseconds
    p95: Milliseconds
    p99: Milliseconds
    curve: list[Milliseconds] = Field(
        min_length=CURVE_POINTS, max_length=CURVE_POINTS, description="quantiles 0, 1 % … 100 %, in milliseconds"
    )


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


class TotalsDocument(Document):
    """All messages and all replications together."""

    messages: Count
    transmissions: Count = Field(description="advertising events, each on three channels")
    airtime_ratio: IntervalDocument = Field(description="share of time in use on one channel, mean over nodes")
    losses_by_cause: dict[str, int]


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
    flows: list[FlowDocument] = Field(max_length=FLOWS_MAX)
    totals: TotalsDocument
