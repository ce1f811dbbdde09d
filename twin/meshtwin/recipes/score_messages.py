"""Scorecards as they stand in JSON: what a push is handed in as, a card, and what a card says of a model."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal, Self

from pydantic import AwareDatetime, Field

from meshtwin.contract.wire import WireModel
from meshtwin.mesh.kpis import Interval
from meshtwin.mesh.priors import SIMULATION
from meshtwin.mesh.scorecards import FigureKind, Scorecard, ScoredPrediction, Standing, Standings
from meshtwin.recipes.figures import KpiFiguresModel, PredictionModel

__all__ = [
    "PUSHES_MOST",
    "EntryModel",
    "MeasuredPushModel",
    "ScorecardModel",
    "StandingModel",
    "to_standing_models",
    "to_standings",
]

PUSHES_MOST: Final = (
    400  # ids that are remembered, so that none counts twice; a push gives at least one entry, and 200 stay
)


class MeasuredPushModel(WireModel):
    """Body of ``PUT /api/v1/scorecard/pushes/{attemptId}``: what was predicted of a push, and what it showed.

    ``before`` was measured of the configuration it replaced, ``after`` of the one it brought; left out: not measured.
    """

    segment: str = Field(min_length=1, max_length=63)
    configuration: str = Field(min_length=1, max_length=253)
    predicted_at: AwareDatetime  # when it was not told: of the record that was approved
    measured_at: AwareDatetime
    prediction: PredictionModel
    before: KpiFiguresModel | None = None
    after: KpiFiguresModel | None = None


class EntryModel(WireModel):
    """One prediction and what was measured then; ratios 0..1, latencies in milliseconds."""

    kind: Literal["onTime", "delivery", "latencyP95"]
    flow: str
    predicted: float
    predicted_low: float
    predicted_high: float
    measured: float
    trials: int = Field(ge=1)
    model: str
    predicted_at: AwareDatetime
    measured_at: AwareDatetime

    @classmethod
    def from_value(cls, value: ScoredPrediction) -> Self:
        """The wire form of a value."""
        return cls(
            kind=value.kind.value,
            flow=value.flow,
            predicted=value.predicted.estimate,
            predicted_low=value.predicted.low,
            predicted_high=value.predicted.high,
            measured=value.measured,
            trials=value.trials,
            model=value.model,
            predicted_at=value.predicted_at,
            measured_at=value.measured_at,
        )

    def to_value(self) -> ScoredPrediction:
        """The frozen value; raises `InvalidInput` for what can't be."""
        return ScoredPrediction(
            kind=FigureKind(self.kind),
            flow=self.flow,
            predicted=Interval(estimate=self.predicted, low=self.predicted_low, high=self.predicted_high),
            measured=self.measured,
            trials=self.trials,
            model=self.model,
            predicted_at=self.predicted_at,
            measured_at=self.measured_at,
        )


class StandingModel(WireModel):
    """What a model is worth in a segment, for one kind of figure.

    ``widthRatio``: its intervals' half width against that of a segment without a card, on the scale of the kind.
    """

    model: str
    kind: Literal["onTime", "delivery", "latencyP95"]
    entries: int = Field(ge=1)
    since: AwareDatetime
    until: AwareDatetime
    bias: float
    deviation: float = Field(ge=0)
    width_ratio: float | None = None  # for readers, ignored when parsed

    def to_value(self) -> Standing:
        """The frozen value."""
        return Standing(
            bias=self.bias, deviation=self.deviation, entries=self.entries, since=self.since, until=self.until
        )


class ScorecardModel(WireModel):
    """A segment's card: entries, oldest first; ``pushes`` are ids of the attempts that were entered, newest last."""

    contract: Literal[1] = 1
    segment: str
    pushes: list[str] = Field(default=[], max_length=PUSHES_MOST)
    entries: list[EntryModel] = Field(default=[])
    standings: list[StandingModel] = Field(default=[])  # for readers, ignored when parsed

    def to_card(self) -> Scorecard:
        """The frozen value; raises `InvalidInput` for an entry that can't be."""
        return Scorecard(tuple(entry.to_value() for entry in self.entries))


def to_standing_models(standings: Standings) -> list[StandingModel]:
    """The wire form; what has no entry is left out."""
    return [
        StandingModel(
            model=model,
            kind=kind.value,
            entries=standing.entries,
            since=_told(standing.since),
            until=_told(standing.until),
            bias=standing.bias,
            deviation=standing.deviation,
            width_ratio=round(standing.deviation / SIMULATION[kind].deviation, 3),
        )
        for (model, kind), standing in standings.items()
        if standing.entries
    ]


def to_standings(models: Iterable[StandingModel]) -> Standings:
    """The values by model and kind."""
    return {(one.model, FigureKind(one.kind)): one.to_value() for one in models}


def _told(time: datetime | None) -> datetime:
    if time is None:
        raise AssertionError("a standing with entries has their times")
    return time
