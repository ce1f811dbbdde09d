"""Scorecards: what was predicted and what was measured afterwards, and how that changes the next interval.

A simulation's interval knows the chance of its own draws and of the fitted links, not what the model lacks. What
that is worth is learned only from predictions that came true or did not: first on many networks (`Prior`), then
from a segment's own `Scorecard`, which widens or narrows its later intervals.
Pure functions over values; times are given, never asked.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.kpis import Interval

__all__ = [
    "ENTRIES_MOST",
    "FigureKind",
    "Prior",
    "Scorecard",
    "ScoredPrediction",
    "Standing",
    "Standings",
    "adjust",
    "interval_score",
    "residual",
    "stand",
    "stand_all",
]

ENTRIES_MOST: Final = 200  # the newest are kept: networks and models change
SHARE_FLOOR: Final = 0.004  # half a message of about 120: shares are told apart from 0 and 1 no further
Z_90: Final = 1.645  # half width of a normal 90 % interval in deviations


class FigureKind(StrEnum):
    """What a prediction is about; each kind has errors of its own size."""

    ON_TIME = "onTime"
    DELIVERY = "delivery"
    LATENCY_P95 = "latencyP95"  # milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPrediction:
    """One prediction and what was measured then, over ``trials`` messages.

    ``predicted`` is the 90 % interval as ``model`` gave it, never one that a scorecard had changed: else it would
    learn from itself. Raises `InvalidInput` for what can't be.
    """

    kind: FigureKind
    flow: str
    predicted: Interval
    measured: float
    trials: int
    model: str
    predicted_at: datetime
    measured_at: datetime

    def __post_init__(self) -> None:
        place = f"scorecard.{self.flow}.{self.kind}"
        most = math.inf if self.kind is FigureKind.LATENCY_P95 else 1.0
        if not (math.isfinite(self.measured) and 0.0 <= self.measured <= most):
            raise InvalidInput(f"measured {self.measured} is not a number within 0..{most:g}", place=place)
        if self.trials < 1:
            raise InvalidInput(f"{self.trials} messages measure nothing; 1 is the least", place=place)
        if self.measured_at < self.predicted_at:
            raise InvalidInput(
                f"measured at {self.measured_at.isoformat()}, before {self.predicted_at.isoformat()} when it was "
                "predicted",
                place=place,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """A model's errors as they were on networks whose truth was known, for one kind of figure.

    Errors are residuals: measured less predicted on the scale of the kind (log odds of a share, logarithm of a
    latency), in deviations of what chance and ``model_error`` explain together. ``bias`` is their mean and
    ``deviation`` their root mean square about it; a segment's own residuals count beside ``bias_weight`` and
    ``deviation_weight`` of these. ``quantile``: within so many deviations lay 90 % of them.
    """

    kind: FigureKind
    model_error: float
    bias: float
    bias_weight: float
    deviation: float
    deviation_weight: float
    quantile: float

    def __post_init__(self) -> None:
        if min(self.model_error, self.bias_weight, self.deviation, self.deviation_weight, self.quantile) <= 0.0:
            raise InvalidInput("an error, a weight or a quantile is not above 0", place=f"prior.{self.kind}")


@dataclass(frozen=True, slots=True)
class Scorecard:
    """What one segment's predictions were worth, oldest first, `ENTRIES_MOST` at most."""

    entries: tuple[ScoredPrediction, ...] = ()

    def entered(self, entry: ScoredPrediction) -> "Scorecard":
        """The card with one more entry; the oldest goes where there is no more room."""
        return replace(self, entries=(*self.entries, entry)[-ENTRIES_MOST:])

    def about(self, kind: FigureKind, model: str) -> tuple[ScoredPrediction, ...]:
        """Entries of this kind by this model; another model's errors say nothing of it."""
        return tuple(e for e in self.entries if e.kind is kind and e.model == model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a model is worth in one segment: mean of its residuals, and their root mean square about it.

    ``entries`` of the card say so, measured from ``since`` to ``until``; 0 and None: the prior alone.
    """

    bias: float
    deviation: float
    entries: int = 0
    since: datetime | None = None
    until: datetime | None = None


# What one segment's card says, by model and kind; what it has no entry of is not in it.
Standings = Mapping[tuple[str, FigureKind], Standing]


def stand(card: Scorecard, prior: Prior, *, model: str) -> Standing:
    """The segment's residuals weighed against the prior's; with an empty card the prior alone speaks.

    Residuals that are larger than those which made the prior say that this is no network like those, and so many times
    less the prior counts: a wrong stack profile shows after one push instead of ten. Where they are not larger,
    nothing changes. Source of the idea: discounting a prior that the data contradict, Evans and Moshonov (2006).
    """
    entries = card.about(prior.kind, model)
    residuals = [residual(prior, e.predicted, e.measured, e.trials) for e in entries]
    count = len(residuals)
    discount = _discount(prior, residuals)
    bias_weight, deviation_weight = prior.bias_weight * discount, prior.deviation_weight * discount
    bias = (bias_weight * prior.bias + sum(residuals)) / (bias_weight + count)
    squares = deviation_weight * prior.deviation**2 + sum((r - bias) ** 2 for r in residuals)
    times = [e.measured_at for e in entries]
    return Standing(
        bias=bias,
        deviation=math.sqrt(squares / (deviation_weight + count)),
        entries=count,
        since=min(times, default=None),
        until=max(times, default=None),
    )


def stand_all(card: Scorecard, priors: Mapping[FigureKind, Prior]) -> Standings:
    """`stand` for every model and kind that the card has an entry of, in the order of their names."""
    found = {(e.model, e.kind) for e in card.entries if e.kind in priors}
    return {(model, kind): stand(card, priors[kind], model=model) for model, kind in sorted(found)}


def adjust(predicted: Interval, standing: Standing, prior: Prior, *, trials: int) -> Interval:
    """The 90 % interval of what ``trials`` messages will show, given what the model is known to be worth here.

    The estimate stays the model's own, and inside.
    """
    unit = _unit(prior, predicted, trials)
    centre = _to_scale(prior.kind, predicted.estimate) + standing.bias * unit
    half = prior.quantile * standing.deviation * unit
    low, high = _from_scale(prior.kind, centre - half), _from_scale(prior.kind, centre + half)
    return Interval(
        estimate=predicted.estimate, low=min(low, predicted.estimate), high=max(high, predicted.estimate), level=0.9
    )


def residual(prior: Prior, predicted: Interval, measured: float, trials: int) -> float:
    """Measured less predicted, in deviations that chance and the model's usual error explain."""
    error = _to_scale(prior.kind, measured) - _to_scale(prior.kind, predicted.estimate)
    return error / _unit(prior, predicted, trials)


def interval_score(interval: Interval, value: float) -> float:
    """Width, and 2 / (1 - level) times how far ``value`` lies outside; less is better.

    Source: Gneiting and Raftery (2007), strictly proper scoring rules, 6.2.

    >>> interval_score(Interval(estimate=0.5, low=0.4, high=0.6), 0.75)
    3.2
    """
    outside = max(0.0, interval.low - value, value - interval.high)
    return round(interval.high - interval.low + 2.0 / (1.0 - interval.level) * outside, 12)


def _discount(prior: Prior, residuals: Sequence[float]) -> float:
    """What a prior's weights are worth beside these residuals, 0..1: its mean square over theirs.

    One usual residual is reckoned in, so that a single odd figure does not throw the prior away.
    """
    usual = prior.deviation**2
    squares = usual + sum((r - prior.bias) ** 2 for r in residuals)
    return min(1.0, (len(residuals) + 1) * usual / squares)


def _unit(prior: Prior, predicted: Interval, trials: int) -> float:
    """One deviation on the scale: of the prediction, of the measuring, and of the model's usual error."""
    low, high = (_to_scale(prior.kind, bound) for bound in (predicted.low, predicted.high))
    variance = ((high - low) / (2.0 * Z_90)) ** 2 + prior.model_error**2
    if prior.kind is not FigureKind.LATENCY_P95:  # a share: binomial, by the delta method
        share = _off_the_edge(predicted.estimate)
        variance += 1.0 / (trials * share * (1.0 - share))
    return math.sqrt(variance)


def _off_the_edge(share: float) -> float:
    return (min(1.0, max(0.0, share)) + SHARE_FLOOR) / (1.0 + 2.0 * SHARE_FLOOR)


def _to_scale(kind: FigureKind, value: float) -> float:
    if kind is FigureKind.LATENCY_P95:
        return math.log(max(value, 0.1))  # 0.1 ms: less than one PDU takes
    share = _off_the_edge(value)
    return math.log(share / (1.0 - share))


def _from_scale(kind: FigureKind, value: float) -> float:
    if kind is FigureKind.LATENCY_P95:
        return math.exp(value)
    share = 1.0 / (1.0 + math.exp(-value)) if value > -700.0 else 0.0
    return min(1.0, max(0.0, share * (1.0 + 2.0 * SHARE_FLOOR) - SHARE_FLOOR))
