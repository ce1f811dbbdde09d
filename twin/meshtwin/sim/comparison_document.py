"""The shape of comparisons. Format version ``meshtwin.dev/comparison/v1``."""

from typing import Literal, Self

from pydantic import Field, model_validator

from meshtwin.mesh.kpis import Interval, check_told
from meshtwin.sim.differences import FlowDifference
from meshtwin.sim.result_document import FLOWS_MAX, Count, Document, Name, ResultDocument

__all__ = ["ComparisonDocument", "DifferenceDocument", "FlowDifferenceDocument"]


class DifferenceDocument(Document):
    """A difference and its interval over paired replications; it may have either sign."""

    estimate: float | None = Field(description="null: there was nothing to estimate from, see openBecause")
    low: float | None = Field(description="null: not known, see openBecause")
    high: float | None = Field(description="null: not known, see openBecause")
    level: float = Field(gt=0.0, lt=1.0, description="probability with which the interval holds the value")
    open_because: str | None = Field(default=None, max_length=1024, description="why a bound or the estimate is null")

    @model_validator(mode="after")
    def _bounds_hold_it(self) -> Self:
        check_told(self.low, self.estimate, self.high, self.open_because)
        return self

    @classmethod
    def from_value(cls, value: Interval) -> Self:
        """The document of a value: bounds that are not known are null, with the reason."""
        is_open = value.open_because is not None
        return cls(
            estimate=value.told,
            low=None if is_open else value.low,
            high=None if is_open else value.high,
            level=value.level,
            open_because=value.open_because,
        )


class FlowDifferenceDocument(Document):
    """The second scenario less the first, of one flow; ratios as differences of ratios."""

    name: Name = Field(description="as both scenarios call it")
    on_time_ratio: DifferenceDocument = Field(description="of messages that reached every member within the deadline")
    delivery_ratio: DifferenceDocument = Field(description="of (message, member) pairs that arrived at all")
    latency_milliseconds: DifferenceDocument | None = Field(
        description="mean over messages and members that both sides reached; null: an older file, and there were none"
    )
    latency_p50_milliseconds: DifferenceDocument | None = Field(
        default=None, description="the median of these on the second side less that on the first; null: an older file"
    )
    latency_p95_milliseconds: DifferenceDocument | None = Field(default=None, description="likewise")
    latency_p99_milliseconds: DifferenceDocument | None = Field(default=None, description="likewise")
    pairs: Count = Field(description="(message, member) pairs that both sides reached")
    answered_ratio: DifferenceDocument | None = Field(
        default=None, description="null: a side that asks for no answer, or an older file"
    )

    @classmethod
    def from_value(cls, value: FlowDifference) -> Self:
        """The document of a value."""
        return cls(
            name=value.flow,
            on_time_ratio=DifferenceDocument.from_value(value.on_time),
            delivery_ratio=DifferenceDocument.from_value(value.delivery),
            latency_milliseconds=DifferenceDocument.from_value(value.latency_ms),
            latency_p50_milliseconds=DifferenceDocument.from_value(value.latency_p50_ms),
            latency_p95_milliseconds=DifferenceDocument.from_value(value.latency_p95_ms),
            latency_p99_milliseconds=DifferenceDocument.from_value(value.latency_p99_ms),
            pairs=value.pairs,
            answered_ratio=None if value.answered is None else DifferenceDocument.from_value(value.answered),
        )


class ComparisonDocument(Document):
    """What `meshtwin compare -o json` prints; its JSON schema: `meshtwin schema comparison`."""

    format: Literal["meshtwin.dev/comparison/v1"] = Field(
        default="meshtwin.dev/comparison/v1", description="version of this format"
    )
    first: ResultDocument = Field(description="what was compared with")
    second: ResultDocument = Field(description="what was compared")
    differences: list[FlowDifferenceDocument] = Field(
        max_length=FLOWS_MAX, description="the second less the first, of each flow that both have"
    )
