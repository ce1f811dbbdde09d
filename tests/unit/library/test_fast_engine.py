"""`meshtwin.simulate` and `compare` with ``engine="fast"``."""

import json

import numpy as np
import pytest

import meshtwin
from meshtwin.errors import InvalidInput
from meshtwin.fast.comparing import subtract
from meshtwin.fast.declining import find_cut
from meshtwin.mesh.kpis import Interval
from meshtwin.sim import engine
from meshtwin.sim.arguments import take_scenario
from meshtwin.sim.result_file import read_result

PAIR = """
name: pair
defaults: {relay: false}
nodes: [{address: "0001"}, {address: "0002"}]
links: [{source: "0001", target: "0002", delivery: 0.9}]
flows: [{name: press, source: "0001", destination: "0002", count: 20, periodSeconds: 1}]
"""
LISTED = PAIR.replace("{relay: false}", "{relay: false, replayListEntries: 1}")


def test_answer_comes_as_a_result_of_so_many_states_without_replications(tmp_path):
    result = meshtwin.simulate(PAIR, engine="fast", seed=3)
    document = result.document

    assert (document.engine, document.states, document.replications, document.seed) == ("fast", 1024, 0, 3)
    assert document.flows[0].sent == 1024
    assert document.flows[0].delivery_ratio.low < document.flows[0].delivery_ratio.high
    assert document.totals.transmissions is None
    assert "fast model, 1024 states" in repr(result)
    assert result.is_complete
    result.save(tmp_path / "r.json")
    assert read_result(tmp_path / "r.json") == document


def test_curve_goes_through_the_quantiles_that_are_told():
    times = meshtwin.simulate(PAIR, engine="fast").document.flows[0].latency_milliseconds
    assert (times.curve[50], times.curve[95], times.curve[99]) == pytest.approx((times.p50, times.p95, times.p99))
    assert times.mean.low is None
    assert "not measured" in times.mean.open_because


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("replications", 8), ("is_selective", True), ("within_s", 5.0), ("workers", 2), ("precision", 0.02),
        ("run", engine.simulate),
    ],
)  # fmt: skip
def test_what_makes_no_sense_without_replications_is_refused_by_name(name, value):
    for ask in (lambda: meshtwin.simulate(PAIR, engine="fast", **{name: value}),
                lambda: meshtwin.compare(PAIR, PAIR, engine="fast", **{name: value})):  # fmt: skip
        with pytest.raises(InvalidInput, match=f"^{name} does not go with engine fast") as told:
            ask()
        assert told.value.place == name


def test_rows_of_messages_can_not_be_saved(tmp_path):
    with pytest.raises(InvalidInput, match=r"none of \.json"):
        meshtwin.simulate(PAIR, engine="fast").save(tmp_path / "r.parquet")


def test_simulator_itself_names_the_fast_engine_as_a_model_without_runs():
    with pytest.raises(InvalidInput, match="without runs"):
        engine.simulate(take_scenario(PAIR), seed=1, engine="fast")


def test_comparison_with_itself_finds_no_difference_and_is_not_surer_than_either_side():
    comparison = meshtwin.compare(PAIR, PAIR, engine="fast")
    (difference,) = comparison.differences
    delivery = comparison.second.kpis.flows[0].delivery

    assert difference.on_time.estimate == difference.latency_p95_ms.estimate == difference.latency_ms.estimate == 0.0
    assert difference.delivery.high - difference.delivery.low >= delivery.high - delivery.low
    assert json.loads(comparison.document.model_dump_json(by_alias=True))["first"]["states"] == 1024
    assert "fast model" in repr(comparison)


def test_comparison_tells_a_worse_link_apart():
    worse = PAIR.replace("delivery: 0.9", "delivery: 0.3")
    (difference,) = meshtwin.compare(PAIR, worse, engine="fast").differences
    assert difference.delivery.high < 0.0
    assert difference.latency_p50_ms.estimate > 0.0


def test_difference_of_what_nobody_reached_is_not_estimated():
    deaf = PAIR.replace("delivery: 0.9", "delivery: 0.0")
    (difference,) = meshtwin.compare(PAIR, deaf, engine="fast").differences
    assert difference.pairs == 0
    assert not difference.latency_p50_ms.is_estimated
    assert not difference.latency_ms.is_estimated


def test_difference_holds_the_errors_of_both_sides_as_squares():
    told = subtract(Interval(estimate=10.0, low=7.0, high=14.0), Interval(estimate=5.0, low=2.0, high=9.0))
    assert (told.estimate, told.low, told.high) == (5.0, 0.0, 10.0)


def test_list_with_room_for_every_source_is_a_gap_and_no_reason_to_decline():
    result = meshtwin.simulate(LISTED, engine="fast")
    assert result.kpis == meshtwin.simulate(PAIR, engine="fast").kpis
    assert "replay protection lists" in result.document.gaps[0]


def test_list_that_may_fill_is_declined_with_entries_and_sources():
    other = 'flows: [{name: other, source: "0003", destination: "0002", count: 3, periodSeconds: 9}, {name'
    crowded = LISTED.replace('{address: "0002"}', '{address: "0002"}, {address: "0003"}').replace(
        "flows: [{name", other
    )
    with pytest.raises(InvalidInput, match="node 0002: 1 free entry in its replay protection list for 2 sources"):
        meshtwin.simulate(crowded, engine="fast")


def test_run_that_ends_after_the_last_arrival_is_told_as_if_it_went_on():
    result = meshtwin.simulate(PAIR + "durationSeconds: 19.9\n", engine="fast")
    assert "may begin less than 1 s before the run ends at 19.9 s" in result.document.gaps[0]
    assert result.kpis.flows == meshtwin.simulate(PAIR, engine="fast").kpis.flows


def test_run_that_ends_before_messages_arrive_is_declined():
    with pytest.raises(InvalidInput, match=r"the end of the run at 19\.001 s comes before"):
        meshtwin.simulate(PAIR + "durationSeconds: 19.001\n", engine="fast")


def test_messages_due_after_the_end_are_told_not_to_take_airtime():
    result = meshtwin.simulate(PAIR + "durationSeconds: 10.5\n", engine="fast")
    assert "that fall due after the run ends at 10.5 s" in result.document.gaps[0]
    assert result.kpis.airtime_ratio.estimate > 0.0


def test_share_that_is_cut_off_counts_messages_that_begin_before_the_end_alone():
    """Of 4 messages at 0, 1, 2 and 3 s, the last has 0.5 s, in which half of the states are through."""
    scenario = take_scenario(PAIR.replace("count: 20", "count: 9") + "durationSeconds: 3.5\n")
    half = np.asarray([[400_000_000], [600_000_000]] * 8)

    assert "12% of its messages" in (find_cut(scenario, [half]) or "")
    assert find_cut(scenario, [np.minimum(half, 400_000_000)]) is None
