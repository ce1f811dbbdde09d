"""What a push showed of its prediction, and what earlier pushes make of a new one's intervals. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from meshtwin.mesh.kpis import Interval
from meshtwin.mesh.priors import SIMULATION
from meshtwin.mesh.scorecards import FigureKind, Prior, Scorecard, ScoredPrediction, Standing, Standings, adjust, stand
from meshtwin.recipes.figures import (
    FlowFiguresModel,
    KpiFiguresModel,
    PerMilleModel,
    PredictionModel,
    ScorecardUsedModel,
)
from meshtwin.recipes.score_messages import MeasuredPushModel

__all__ = ["COUNTED", "entries_of", "foresee_by_cards"]

# What was predicted is the way there: "roundTrip" counts question and answer, and "inferred" would score a guess by
# another one.
COUNTED: Final = frozenset({"receiverCounted"})

# Which segment's card a flow of that name goes by.
SegmentOf = Callable[[str], str]


def entries_of(push: MeasuredPushModel) -> tuple[ScoredPrediction, ...]:
    """What the push tells of the model: on-time share and delivery of every flow that was predicted and counted.

    Latencies are left out: what is on record of them is the upper bound of a histogram's bucket. Messages count as
    trials of the delivery too, since members of a group miss the same message together.
    """
    entries: list[ScoredPrediction] = []
    for said, seen in ((push.prediction.before, push.before), (push.prediction.after, push.after)):
        if seen is not None:
            entries += _entries_of_side(push, said, seen)
    return tuple(entries)


def _entries_of_side(push: MeasuredPushModel, said: KpiFiguresModel, seen: KpiFiguresModel) -> list[ScoredPrediction]:
    predicted = {flow.flow: flow for flow in said.flows}
    entries: list[ScoredPrediction] = []
    for flow in seen.flows:
        # Where two segments have flows of one name, the parent twin names them by segment.
        told = predicted.get(f"{push.segment}.{flow.flow}") or predicted.get(flow.flow)
        if told is None or flow.how_known not in COUNTED or flow.messages < 1:
            continue
        pairs = (
            (FigureKind.ON_TIME, told.on_time_by_model or told.on_time, flow.on_time),
            (FigureKind.DELIVERY, told.delivery_by_model or told.delivery, flow.delivery),
        )
        entries += [
            ScoredPrediction(
                kind=kind,
                flow=flow.flow,
                predicted=_interval(interval),
                measured=counted.estimate_per_mille / 1000,
                trials=flow.messages,
                model=push.prediction.model,
                predicted_at=min(push.prediction.predicted_at or push.predicted_at, push.measured_at),
                measured_at=push.measured_at,
            )
            for kind, interval, counted in pairs
            if interval is not None and interval.estimate_per_mille is not None
            if counted is not None and counted.estimate_per_mille is not None
        ]
    return entries


def foresee_by_cards(
    prediction: PredictionModel,
    segment: str,
    cards: Mapping[str, Standings],
    *,
    segment_of: SegmentOf,
    messages: int,
    now: datetime,
    priors: Mapping[FigureKind, Prior] = SIMULATION,
) -> PredictionModel:
    """The prediction with 90 % intervals of what ``messages`` messages per flow will show, estimates as they are.

    Each flow goes by the card of its own segment. A segment without a card, and a model that has no entry, go by
    ``priors``: those of the simulation, also for a foreign model, of which nothing better is known.
    """

    def worth(flow: str, kind: FigureKind) -> Standing:
        known = cards.get(segment_of(flow), {}).get((prediction.model, kind))
        return known or stand(Scorecard(), priors[kind], model=prediction.model)

    def figures(kpis: KpiFiguresModel) -> KpiFiguresModel:
        flows = [_foresee_flow(flow, worth, priors, messages) for flow in kpis.flows]
        return kpis.model_copy(update={"flows": flows})

    return prediction.model_copy(
        update={
            "before": figures(prediction.before),
            "after": figures(prediction.after),
            "predicted_at": now,
            "scorecard": _used(segment, cards.get(segment, {}), prediction.model, messages),
        }
    )


def _foresee_flow(
    flow: FlowFiguresModel,
    worth: Callable[[str, FigureKind], Standing],
    priors: Mapping[FigureKind, Prior],
    messages: int,
) -> FlowFiguresModel:
    def foreseen(kind: FigureKind, said: PerMilleModel) -> PerMilleModel:
        if said.estimate_per_mille is None:
            return said
        interval = adjust(_interval(said), worth(flow.flow, kind), priors[kind], trials=messages)
        return PerMilleModel.from_value(interval)

    on_time = flow.on_time
    return flow.model_copy(
        update={
            "on_time": None if on_time is None else foreseen(FigureKind.ON_TIME, on_time),
            "on_time_by_model": on_time,
            "delivery": foreseen(FigureKind.DELIVERY, flow.delivery),
            "delivery_by_model": flow.delivery,
        }
    )


def _used(segment: str, card: Standings, model: str, messages: int) -> ScorecardUsedModel:
    standings = [standing for (name, _), standing in card.items() if name == model and standing.entries]
    since = [standing.since for standing in standings if standing.since is not None]
    until = [standing.until for standing in standings if standing.until is not None]
    return ScorecardUsedModel(
        segment=segment,
        predictions=max((standing.entries for standing in standings), default=0),
        since=min(since, default=None),
        until=max(until, default=None),
        messages=messages,
    )


def _interval(said: PerMilleModel) -> Interval:
    return Interval(
        estimate=(said.estimate_per_mille or 0) / 1000, low=said.low_per_mille / 1000, high=said.high_per_mille / 1000
    )
