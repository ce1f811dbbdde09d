"""Differences of flows between two sides as they stand in JSON: integers, per mille, milliseconds, either sign.

The names and units are those of the resources' ``prediction.differences``.
"""

from collections.abc import Container, Sequence
from math import ceil, floor, isfinite
from typing import Self

from pydantic import Field

from meshtwin.contract.wire import WireModel
from meshtwin.mesh.kpis import FlowDifference, Interval

__all__ = ["FlowDifferenceModel", "MillisecondsDifferenceModel", "PerMilleDifferenceModel"]


class PerMilleDifferenceModel(WireModel):
    """A difference of shares and its bounds at the 90 % level, rounded outwards; absent: not known."""

    estimate_per_mille: int | None = Field(default=None, ge=-1000, le=1000)
    low_per_mille: int | None = Field(default=None, ge=-1000, le=1000)
    high_per_mille: int | None = Field(default=None, ge=-1000, le=1000)

    @classmethod
    def from_value(cls, value: Interval) -> Self:
        """Of a difference of ratios."""
        estimate, low, high = _rounded(value, 1000.0)
        return cls(estimate_per_mille=estimate, low_per_mille=low, high_per_mille=high)


class MillisecondsDifferenceModel(WireModel):
    """A difference of times and its bounds at the 90 % level, rounded outwards; absent: not known."""

    estimate_milliseconds: int | None = None
    low_milliseconds: int | None = None
    high_milliseconds: int | None = None

    @classmethod
    def from_value(cls, value: Interval) -> Self:
        """Of a difference in milliseconds."""
        estimate, low, high = _rounded(value, 1.0)
        return cls(estimate_milliseconds=estimate, low_milliseconds=low, high_milliseconds=high)


class FlowDifferenceModel(WireModel):
    """After less before, of one flow, over paired replications on the same states.

    ``latencyP50`` and so on are differences of the quantiles that stand before and after, of all that arrived.
    ``answered``: of pairs whose answer came back; left out where one of the sides asks for none.
    ``openBecause``: why bounds, or estimates, are not known.
    """

    flow: str = Field(max_length=40)
    on_time: PerMilleDifferenceModel
    delivery: PerMilleDifferenceModel
    latency_p50: MillisecondsDifferenceModel
    latency_p95: MillisecondsDifferenceModel
    latency_p99: MillisecondsDifferenceModel
    answered: PerMilleDifferenceModel | None = None
    open_because: str | None = Field(default=None, max_length=256)

    @classmethod
    def of(cls, differences: Sequence[FlowDifference], flows: Container[str]) -> list[Self]:
        """Of the flows whose names are in ``flows``: no more than a resource can hold."""
        return [cls.from_value(difference) for difference in differences if difference.flow in flows]

    @classmethod
    def from_value(cls, value: FlowDifference) -> Self:
        """Rounded to whole per mille and milliseconds."""
        told = (value.on_time, value.delivery, value.latency_p50_ms, value.latency_p95_ms, value.latency_p99_ms)
        answered = value.answered
        return cls(
            flow=value.flow,
            on_time=PerMilleDifferenceModel.from_value(value.on_time),
            delivery=PerMilleDifferenceModel.from_value(value.delivery),
            latency_p50=MillisecondsDifferenceModel.from_value(value.latency_p50_ms),
            latency_p95=MillisecondsDifferenceModel.from_value(value.latency_p95_ms),
            latency_p99=MillisecondsDifferenceModel.from_value(value.latency_p99_ms),
            answered=None if answered is None else PerMilleDifferenceModel.from_value(answered),
            open_because="; ".join(dict.fromkeys(i.open_because for i in told if i.open_because))[:256] or None,
        )


def _rounded(value: Interval, factor: float) -> tuple[int | None, int | None, int | None]:
    """Estimate, low, high; bounds outwards, None where they are not known."""
    estimate = None if value.told is None else round(factor * value.told)
    if value.open_because is not None or not (isfinite(value.low) and isfinite(value.high)):
        return estimate, None, None
    return estimate, floor(round(factor * value.low, 6)), ceil(round(factor * value.high, 6))
