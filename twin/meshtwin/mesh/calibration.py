"""Fitting a `Prior` on networks whose truth is known; who uses one needs nothing of this."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from statistics import fmean
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.scorecards import (
    FigureKind,
    Prior,
    Scorecard,
    ScoredPrediction,
    Standing,
    adjust,
    interval_score,
    residual,
    stand,
)

__all__ = ["fit_prior", "foresee"]

MODEL_ERRORS: Final = (0.05, 0.1, 0.2, 0.35, 0.5, 0.8, 1.2)  # on the scale of the kind
WEIGHTS: Final = (2.0, 5.0, 12.0, 30.0)  # residuals
SEGMENTS_LEAST: Final = 30  # below, a 90 % quantile is a guess

Segments = Sequence[Sequence[ScoredPrediction]]


def fit_prior(kind: FigureKind, segments: Segments, *, level: float = 0.9) -> Prior:
    """The prior whose intervals score best when each segment's entries are predicted from those measured before.

    ``segments``: entries per segment, of one model. The quantile is that of these residuals, so the share within is
    ``level`` here by making; on other networks it has to be shown.
    Raises `InvalidInput` for too few segments with an entry of ``kind``.
    """
    kept = [entries for segment in segments if (entries := [e for e in segment if e.kind is kind])]
    if len(kept) < SEGMENTS_LEAST:
        raise InvalidInput(
            f"{len(kept)} segments with entries of {kind} are fewer than {SEGMENTS_LEAST}", place="segments"
        )
    priors = (
        _with_quantile(prior, kept, level)
        for model_error in MODEL_ERRORS
        for prior in _with_weights(_with_moments(kind, model_error, kept))
    )
    return min(priors, key=lambda prior: _score(prior, kept))


def foresee(prior: Prior, entries: Sequence[ScoredPrediction]) -> Iterator[tuple[ScoredPrediction, Standing]]:
    """Each entry with what was known of the model when it was predicted: the entries measured by then."""
    for entry in entries:
        before = Scorecard(tuple(e for e in entries if e.measured_at <= entry.predicted_at))
        yield entry, stand(before, prior, model=entry.model)


def _with_moments(kind: FigureKind, model_error: float, segments: Segments) -> Prior:
    prior = Prior(
        kind=kind, model_error=model_error, bias=0.0, bias_weight=1.0, deviation=1.0, deviation_weight=1.0, quantile=1.0
    )
    residuals = [residual(prior, e.predicted, e.measured, e.trials) for entries in segments for e in entries]
    bias = fmean(residuals)
    deviation = math.sqrt(fmean((r - bias) ** 2 for r in residuals))
    return replace(prior, bias=bias, deviation=max(deviation, 1e-6))


def _with_weights(prior: Prior) -> Iterator[Prior]:
    for bias_weight, deviation_weight in product(WEIGHTS, WEIGHTS):
        yield replace(prior, bias_weight=bias_weight, deviation_weight=deviation_weight)


def _with_quantile(prior: Prior, segments: Segments, level: float) -> Prior:
    """Within ``quantile`` deviations lie ``level`` of all residuals, each seen from what was known before it."""
    away = sorted(
        abs(residual(prior, e.predicted, e.measured, e.trials) - standing.bias) / standing.deviation
        for entries in segments
        for e, standing in foresee(prior, entries)
    )
    place = min(len(away) - 1, math.ceil(level * (len(away) + 1)) - 1)
    return replace(prior, quantile=max(1e-6, away[place]))


def _score(prior: Prior, segments: Segments) -> float:
    return fmean(
        interval_score(adjust(e.predicted, standing, prior, trials=e.trials), e.measured)
        for entries in segments
        for e, standing in foresee(prior, entries)
    )
