"""What was measured within no deadline, or until an answer, is not taken for what is on time one way."""

from typing import Any

import pytest

from meshtwin.contract.telemetry import FlowReport, LatencyHistogram
from meshtwin.mesh.scorecards import FigureKind
from meshtwin.recipes.figures import KpiFiguresModel
from meshtwin.recipes.score_messages import MeasuredPushModel
from meshtwin.recipes.scored import entries_of
from meshtwin_operator.cli.demo_tables import print_effects
from meshtwin_operator.cli.differences import kpi_rows
from meshtwin_operator.reconcile.measuring import figures_of, judge, merge_figures
from meshtwin_operator.reconcile.no_harm import Judgement
from meshtwin_operator.resources.settings import KpiFigures

SHARE = {"estimatePerMille": 950, "lowPerMille": 900, "highPerMille": 980}


def measure(good: int = 59, *, how_known: str = "receiverCounted", deadline_ms: int | None = None) -> KpiFigures:
    report = FlowReport(
        flow="lights",
        presses=60,
        on_time_presses=good,
        sent_pairs=300,
        delivered_pairs=295,
        deadline_ms=deadline_ms,
        latency=LatencyHistogram(upper_ms=[100, 200], counts=[10, 285, 0]),
        how_known=how_known,
    )
    return figures_of([report], None)


def to_json(figures: KpiFigures) -> dict[str, Any]:
    return figures.model_dump(mode="json", by_alias=True, exclude_none=True)


def predict(**more: Any) -> dict[str, Any]:
    flow = {"flow": "lights", "messages": 60, "onTime": SHARE, "reachedAll": SHARE, "delivery": SHARE, **more}
    return {"flows": [flow | {"howKnown": "predicted", "latencyP95Milliseconds": 80}]}


def test_messages_counted_without_a_deadline_are_not_on_time() -> None:
    [flow] = measure().flows
    assert flow.on_time is None
    assert flow.reached_all is not None
    [timed] = measure(deadline_ms=150).flows
    assert timed.on_time is not None
    assert timed.reached_all is None


@pytest.mark.parametrize("how_known", ["receiverCounted", "roundTrip"])
def test_harm_shows_in_figures_without_a_deadline(how_known: str) -> None:
    before, after = measure(60, how_known=how_known), measure(20, how_known=how_known)

    judgement, verdict = judge(before, after, margin_per_mille=50, newly_silent=(), allowed_silent=0)

    assert judgement is Judgement.HARMFUL
    said = "received by everybody" if how_known == "receiverCounted" else "answered by everybody"
    assert f"60 of 60 {said} before, 20 of 60 after" in verdict.message


def test_figures_of_different_kinds_are_not_compared() -> None:
    before, after = measure(60), measure(60, how_known="roundTrip")

    judgement, verdict = judge(before, after, margin_per_mille=50, newly_silent=(), allowed_silent=0)

    assert judgement is not Judgement.HARMLESS
    assert "not measured after: lights" in verdict.message


def test_two_probes_without_a_deadline_are_pooled() -> None:
    [flow] = merge_figures(measure(60), measure(30)).flows
    assert flow.reached_all is not None
    assert (flow.messages, flow.reached_all.estimate_per_mille) == (120, 750)


def test_rows_of_round_trips_never_stand_beside_one_way_figures() -> None:
    predicted = {title for _, title, _ in kpi_rows(predict(), is_whole=True)}
    trips = {title for _, title, _ in kpi_rows(to_json(measure(how_known="roundTrip")), is_whole=True)}
    counted = {title for _, title, _ in kpi_rows(to_json(measure()), is_whole=True)}

    assert trips == {"all answered", "answered", "round trip p95"}
    assert not trips & predicted
    assert {"reached all", "delivery"} <= counted & predicted
    assert "on time" not in counted


def test_the_table_of_the_demo_puts_like_beside_like(capsys: pytest.CaptureFixture[str]) -> None:
    said = to_json(measure())
    segment = {
        "segment": "north",
        "predicted": {"before": predict(), "after": predict()},
        "measured": {"before": said, "after": said},
    }
    print_effects({"segments": [segment], "ok": True, "seconds": 1.0})

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    [on_time] = [line for line in lines if line[2:4] == ["on", "time"]]
    [reached] = [line for line in lines if line[2:4] == ["reached", "all"]]
    assert on_time.count("–") == 2
    assert "–" not in reached


@pytest.mark.parametrize(
    ("measured", "scored"),
    [
        (measure(deadline_ms=150), {FigureKind.ON_TIME, FigureKind.DELIVERY}),
        (measure(), {FigureKind.DELIVERY}),
        (measure(how_known="roundTrip"), set()),
    ],
)
def test_a_scorecard_gets_what_was_predicted_alone(measured: KpiFigures, scored: set[FigureKind]) -> None:
    prediction = {
        "before": predict(),
        "after": predict(),
        "model": "packet-simulator",
        "profile": "bluez",
        "seed": 1,
        "replications": 8,
        "snapshotFingerprint": "f",
    }
    push = MeasuredPushModel.model_validate(
        {
            "segment": "north",
            "configuration": "north-r0001",
            "predictedAt": "2026-01-01T00:00:00Z",
            "measuredAt": "2026-01-01T01:00:00Z",
            "prediction": prediction,
            "after": KpiFiguresModel.model_validate(to_json(measured)),
        }
    )

    assert {entry.kind for entry in entries_of(push)} == scored


def test_measured_airtime_is_told_of_the_node_at_which_it_was_measured() -> None:
    figures = figures_of([], 0.0571, "0029")

    assert figures.airtime_per_mille is None
    assert [title for _, title, _ in kpi_rows(to_json(figures))] == ["airtime at 0029"]
    assert figures_of([], 0.0571, None).airtime_at is None


def test_the_demo_says_that_round_trips_are_not_comparable(capsys: pytest.CaptureFixture[str]) -> None:
    said = to_json(measure(how_known="roundTrip"))
    segment = {"segment": "north", "predicted": {"before": predict()}, "measured": {"before": said, "after": said}}

    print_effects({"segments": [segment], "ok": True, "seconds": 1.0})

    told = " ".join(capsys.readouterr().out.split())
    assert "north lights: measured until the answer came back, predicted one way: not comparable" in told
