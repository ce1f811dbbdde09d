"""What a push tells the scorecard, and what the card makes of later intervals."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.mesh.kpis import Interval
from meshtwin.mesh.priors import SIMULATION
from meshtwin.mesh.scorecards import FigureKind, Scorecard, ScoredPrediction, adjust, stand, stand_all
from meshtwin.recipes.figures import PredictionModel
from meshtwin.recipes.score_messages import MeasuredPushModel
from meshtwin.recipes.scored import entries_of, foresee_by_cards

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MODEL = "packet-simulator"


def per_mille(estimate, low=None, high=None):
    return {
        "estimatePerMille": estimate,
        "lowPerMille": estimate if low is None else low,
        "highPerMille": estimate if high is None else high,
    }


def flow(name="lights", on_time=900, how_known="predicted", messages=400, **more):
    said = per_mille(on_time, max(0, on_time - 20), min(1000, on_time + 20))
    return {"flow": name, "messages": messages, "onTime": said, "delivery": said, "howKnown": how_known, **more}


def counted(on_time=880, name="lights", messages=60, how_known="receiverCounted"):
    return flow(name, on_time, how_known, messages)


def prediction(before=700, after=900, **more):
    return {
        "before": {"flows": [flow(on_time=before)]},
        "after": {"flows": [flow(on_time=after)]},
        "model": MODEL,
        "profile": "zephyr",
        "seed": 1,
        "replications": 8,
        "snapshotFingerprint": "f",
        **more,
    }


def push(**changes):
    body = {
        "segment": "north",
        "configuration": "north-r0001",
        "predictedAt": NOON,
        "measuredAt": NOON + timedelta(hours=1),
        "prediction": prediction(),
        "before": {"flows": [counted(720)]},
        "after": {"flows": [counted(880)]},
        **changes,
    }
    return MeasuredPushModel.model_validate(body)


def foresee(told=None, cards=None, messages=60, segment_of=lambda flow: "north"):
    return foresee_by_cards(
        PredictionModel.model_validate(told or prediction()),
        "north",
        cards or {},
        segment_of=segment_of,
        messages=messages,
        now=NOON,
    )


def card_of(*measured, said=0.9):
    interval = Interval(estimate=said, low=said - 0.02, high=said + 0.02)
    return Scorecard(
        tuple(
            ScoredPrediction(
                kind=kind,
                flow="lights",
                predicted=interval,
                measured=value,
                trials=60,
                model=MODEL,
                predicted_at=NOON + timedelta(days=day),
                measured_at=NOON + timedelta(days=day, hours=1),
            )
            for day, value in enumerate(measured)
            for kind in (FigureKind.ON_TIME, FigureKind.DELIVERY)
        )
    )


def standings_of(*measured, said=0.9):
    return stand_all(card_of(*measured, said=said), SIMULATION)


def width(figures):
    return figures.high_per_mille - figures.low_per_mille


def test_push_tells_on_time_and_delivery_of_both_sides():
    entries = entries_of(push())
    assert [(e.kind, e.predicted.estimate, e.measured, e.trials) for e in entries] == [
        (FigureKind.ON_TIME, 0.7, 0.72, 60),
        (FigureKind.DELIVERY, 0.7, 0.72, 60),
        (FigureKind.ON_TIME, 0.9, 0.88, 60),
        (FigureKind.DELIVERY, 0.9, 0.88, 60),
    ]
    assert {e.model for e in entries} == {MODEL}


def test_what_was_not_measured_is_not_scored():
    assert [e.measured for e in entries_of(push(after=None))] == [0.72, 0.72]


@pytest.mark.parametrize(
    "seen",
    [counted(how_known="inferred"), counted(name="doors"), counted(messages=0)],
    ids=["inferred", "not predicted", "no message"],
)
def test_what_was_not_counted_or_not_predicted_is_not_scored(seen):
    assert entries_of(push(before=None, after={"flows": [seen]})) == ()


def test_flow_that_the_parent_named_by_its_segment_is_found():
    told = prediction()
    told["after"] = {"flows": [flow("lights", 100), flow("north.lights", 900)]}
    entries = entries_of(push(prediction=told, before=None))
    assert entries[0].predicted.estimate == 0.9


def test_card_learns_from_the_models_own_interval_never_from_one_it_had_changed():
    told = foresee().model_dump(mode="json", by_alias=True, exclude_none=True)
    assert told["after"]["flows"][0]["onTime"] != told["after"]["flows"][0]["onTimeByModel"]
    assert entries_of(push(prediction=told))[2].predicted == Interval(estimate=0.9, low=0.88, high=0.92)


def test_prediction_that_seems_younger_than_its_measurement_is_taken_as_old_as_it():
    told = prediction(predictedAt=NOON + timedelta(hours=2))  # clocks of two machines
    entry = entries_of(push(prediction=told))[0]
    assert entry.predicted_at == entry.measured_at == NOON + timedelta(hours=1)


def test_without_a_card_the_calibrated_prior_alone_speaks():
    prior = SIMULATION[FigureKind.ON_TIME]
    alone = stand(Scorecard(), prior, model=MODEL)
    wanted = adjust(Interval(estimate=0.9, low=0.88, high=0.92), alone, prior, trials=60)
    told = foresee().after.flows[0].on_time
    assert (told.low_per_mille, told.high_per_mille) == (round(1000 * wanted.low), round(1000 * wanted.high))


def test_prediction_says_which_card_it_used():
    used = foresee(cards={"north": standings_of(0.9, 0.9)}).scorecard
    assert (used.segment, used.predictions, used.messages) == ("north", 2, 60)
    assert (used.since, used.until) == (NOON + timedelta(hours=1), NOON + timedelta(days=1, hours=1))
    assert foresee().scorecard.predictions == 0


def test_card_of_another_model_says_nothing():
    cards = {"north": {("theirs", kind): worth for (_, kind), worth in standings_of(0.2, 1.0).items()}}
    assert foresee(cards=cards) == foresee()


def test_each_flow_goes_by_the_card_of_its_own_segment():
    cards = {"south": standings_of(*[0.9] * 10)}
    theirs = foresee(cards=cards, segment_of=lambda flow: "south").after.flows[0].on_time
    ours = foresee(cards=cards).after.flows[0].on_time
    assert width(theirs) < width(ours)


def test_more_messages_leave_less_to_chance():
    few, many = (foresee(messages=messages).after.flows[0].on_time for messages in (20, 2000))
    assert width(many) < width(few)


@given(estimate=st.integers(100, 900), count=st.integers(6, 40), half=st.integers(0, 30))
def test_good_predictions_narrow_and_bad_ones_widen_whatever_is_predicted(estimate, count, half):
    told = prediction()
    told["after"]["flows"][0]["onTime"] = per_mille(estimate, estimate - half, estimate + half)
    good, bad = standings_of(*[0.5] * 2 * count, said=0.5), standings_of(*[0.02, 0.98] * count, said=0.5)
    nothing, narrow, wide = (
        foresee(told, cards).after.flows[0].on_time for cards in ({}, {"north": good}, {"north": bad})
    )
    assert width(narrow) < width(nothing) < width(wide)
    for interval in (nothing, narrow, wide):
        assert interval.estimate_per_mille == estimate
        assert 0 <= interval.low_per_mille <= estimate <= interval.high_per_mille <= 1000
