"""How far a run trusts a model's intervals when it decides whether a finalist meets the objectives with a margin."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.kpis import FlowKpis, HowKnown, Interval, NetworkKpis, Objectives, Prediction
from meshtwin.mesh.priors import SIMULATION
from meshtwin.mesh.scorecards import FigureKind, Scorecard, ScoredPrediction, stand_all
from meshtwin.ports import no_progress
from meshtwin.recipes.beliefs import Beliefs, find_segments_of_flows
from meshtwin.recipes.messages import ObjectivesModel, PipelineRequest, RecipeUseModel
from meshtwin.recipes.pipeline import run_pipeline
from meshtwin.recipes.rounds import Finalist
from meshtwin.recipes.values import Candidate, Judged, Question
from meshtwin.recipes.verdict import Confirmation
from meshtwin.whatif.judging import InProcessJudge

MODEL = "packet-simulator"
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def figures(on_time, name="west", half_width=0.005):
    share = Interval(estimate=on_time, low=max(0.0, on_time - half_width), high=min(1.0, on_time + half_width))
    flow = FlowKpis(
        flow=name,
        sent=400,
        on_time=share,
        delivery=share,
        latency_p50_ms=20.0,
        latency_p95_ms=40.0,
        latency_p99_ms=60.0,
        spread_p95_ms=None,
        how_known=HowKnown.PREDICTED,
    )
    return NetworkKpis(flows=(flow,), airtime_ratio=Interval(estimate=0.01, low=0.01, high=0.01))


def standings_of(*measured, said=0.97):
    entries = tuple(
        ScoredPrediction(
            kind=FigureKind.ON_TIME,
            flow="west",
            predicted=Interval(estimate=said, low=said - 0.01, high=said + 0.01),
            measured=value,
            trials=200,
            model=MODEL,
            predicted_at=NOON + timedelta(days=day),
            measured_at=NOON + timedelta(days=day, hours=1),
        )
        for day, value in enumerate(measured)
    )
    return stand_all(Scorecard(entries), SIMULATION)


def believe(kpis, **cards):
    return Beliefs(cards=cards).widen(kpis, MODEL, lambda _flow: "office").flows[0].on_time


def confirm(build_grid, on_time, **cards):
    snapshot = build_grid()
    question = Question(snapshot=snapshot, segment=snapshot.segments[0], objectives=Objectives(on_time_at_least=0.95))
    judged = Judged(candidate=Candidate(configuration=Configuration(), recipe="r", reason="so"), kpis=figures(on_time))
    prediction = Prediction(
        before=figures(0.95),
        after=figures(on_time),
        model=MODEL,
        profile="emulated",
        seed=1,
        replications=8,
        snapshot_fingerprint="f",
    )
    believed = Beliefs(cards=cards).widen(prediction.after, MODEL, lambda _flow: "office")
    finalist = Finalist(judged=judged, worst=None, plain=judged, lacked=None)
    return Confirmation.of(question, finalist, prediction, believed)


@given(on_time=st.floats(0.0, 1.0), half_width=st.floats(0.0, 0.2))
def test_estimate_stays_the_models_own_and_lies_inside(on_time, half_width):
    kpis = figures(on_time, half_width=half_width)

    interval = believe(kpis)

    assert interval.estimate == kpis.flows[0].on_time.estimate
    assert 0.0 <= interval.low <= interval.estimate <= interval.high <= 1.0


def test_finalist_whose_own_interval_clears_the_objective_narrowly_is_not_sure(build_grid):
    finalist = confirm(build_grid, 0.96)

    assert finalist.prediction.after.flows[0].on_time.low > 0.95
    assert finalist.gaps == ()
    assert not finalist.is_sure


def test_finalist_with_a_margin_is_sure(build_grid):
    assert confirm(build_grid, 0.995).is_sure


def test_model_that_promised_too_much_here_has_to_promise_more(build_grid):
    poor = standings_of(0.80, 0.75, 0.82, 0.70, 0.78, 0.80)

    assert not confirm(build_grid, 0.995, office=poor).is_sure


def test_model_that_kept_its_word_is_trusted_further():
    kept = standings_of(*[0.97] * 30)

    assert believe(figures(0.97), office=kept).low > believe(figures(0.97)).low


def test_flow_goes_by_the_card_of_the_segment_that_holds_its_source(build_grid):
    segment_of = find_segments_of_flows(build_grid(), "elsewhere")

    assert {name: segment_of(name) for name in ("west", "east", "stranger")} == {
        "west": "office-west",
        "east": "office-east",
        "stranger": "elsewhere",
    }


def test_proposal_close_to_its_objective_comes_with_a_warning_of_what_it_may_be(build_grid):
    asked = PipelineRequest(
        run_id="run",
        pipeline="lighting",
        segment="office-west",
        recipes=[RecipeUseModel(name="relays", uses="fewest-sufficient-relays")],
        objectives=ObjectivesModel(on_time_at_least_per_mille=900),
        messages_per_flow=8,
        replications=2,
    )
    poor = standings_of(*[0.5] * 12)

    result = run_pipeline(
        asked,
        build_grid(),
        InProcessJudge(),
        seed=4,
        progress=no_progress,
        beliefs=Beliefs(cards={"office-west": poor}),
    )

    assert result.prediction is not None
    (warning,) = [text for text in result.warnings if text.startswith("onTime of west: going by earlier predictions")]
    assert warning.endswith(" per mille, below 900")
    own = next(f for f in result.prediction.after.flows if f.flow == "west").on_time
    assert own.low == pytest.approx(own.estimate, abs=0.2)  # what is told stays the model's own; cards come later
