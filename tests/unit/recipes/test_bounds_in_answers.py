"""Intervals of times and airtime on their way to a resource: bounds, or the reason why there are none."""

import json

import pytest

from meshtwin.fast import estimate
from meshtwin.foreign.messages import KpisMessage
from meshtwin.mesh.kpis import Interval
from meshtwin.recipes.figures import KpiFiguresModel, MillisecondsBoundsModel, PerMilleBoundsModel
from meshtwin.sim.engine import simulate_replications
from meshtwin.sim.results import summarise
from meshtwin.sim.scenario_file import parse_scenario
from meshtwin_operator.cli.differences import kpi_rows
from meshtwin_operator.resources.settings import KpiFigures

GROUP = """
format: meshtwin.dev/scenario/v1
name: group
defaults: {relay: false, ttl: 3, networkTransmit: {count: 2, intervalSteps: 1}}
nodes: [{address: "0001"}, {address: "0002", groups: [c000]}, {address: "0003", groups: [c000]}]
links:
  - {source: "0001", target: "0002", delivery: 0.6}
  - {source: "0001", target: "0003", delivery: 0.8}
flows: [{name: lamps, source: "0001", destination: c000, count: 60, periodSeconds: 1, deadlineMilliseconds: 40}]
"""


@pytest.fixture(scope="module")
def several():
    return kpis_of(4)


def kpis_of(replications):
    scenario = parse_scenario(GROUP)
    return summarise(simulate_replications(scenario, seed=2, replications=replications), scenario.flows)


def test_answer_has_bounds_of_times_and_airtime_that_hold_the_estimate(several):
    figures = KpiFiguresModel.from_value(several)
    (flow,) = figures.flows
    for estimate_ms, bounds in (
        (flow.latency_p50_milliseconds, flow.latency_p50_bounds),
        (flow.latency_p95_milliseconds, flow.latency_p95_bounds),
        (flow.spread_p95_milliseconds, flow.spread_p95_bounds),
    ):
        assert bounds.low_milliseconds <= estimate_ms <= bounds.high_milliseconds
    assert figures.airtime_bounds.low_per_mille <= figures.airtime_per_mille <= figures.airtime_bounds.high_per_mille


def test_bound_that_messages_do_not_suffice_for_is_left_out_with_a_reason(several):
    figures = KpiFiguresModel.from_value(several)  # 240 messages
    assert figures.flows[0].latency_p99_bounds.low_milliseconds is not None
    assert figures.flows[0].latency_p99_bounds.high_milliseconds is None
    assert "240 messages do not bound p99 from above" in figures.open_because


def test_answer_of_one_replication_has_no_bounds_and_says_why():
    figures = KpiFiguresModel.from_value(kpis_of(1))
    (flow,) = figures.flows
    assert {flow.latency_p50_bounds, flow.latency_p95_bounds, flow.spread_p95_bounds, figures.airtime_bounds} == {None}
    assert "one replication" in figures.open_because


def test_bounds_are_rounded_outwards():
    assert MillisecondsBoundsModel.from_value(Interval(estimate=10.0, low=9.9, high=10.1)) == MillisecondsBoundsModel(
        low_milliseconds=9, high_milliseconds=11
    )
    assert PerMilleBoundsModel.from_value(Interval(estimate=0.0021, low=0.0019, high=0.0023)) == PerMilleBoundsModel(
        low_per_mille=1, high_per_mille=3
    )


def test_resource_takes_the_answer_as_it_is_and_the_table_shows_its_bounds(several):
    answer = json.loads(KpiFiguresModel.from_value(several).to_payload())
    figures = KpiFigures.model_validate(answer)
    bounds = figures.flows[0].latency_p95_bounds
    texts = {title: text for _, title, text in kpi_rows(answer)}
    assert texts["latency p95"].endswith(f"ms ({bounds.low_milliseconds}–{bounds.high_milliseconds})")
    assert texts["airtime, mean"].count("–") == 1


def test_table_without_bounds_shows_the_estimates_alone():
    texts = {
        title: text for _, title, text in kpi_rows(json.loads(KpiFiguresModel.from_value(kpis_of(1)).to_payload()))
    }
    assert texts["latency p95"].endswith(" ms")
    assert "(" not in texts["airtime, mean"]


def test_foreign_model_is_told_and_tells_intervals_of_times(several):
    back = KpisMessage.model_validate_json(KpisMessage.from_value(several).to_payload()).to_value()
    before, after = several.flows[0], back.flows[0]
    assert (after.latency_p95, after.spread_p95) == (before.latency_p95, before.spread_p95)
    assert after.latency_p99 == before.latency_p99
    assert after.latency_p99.open_because  # its upper bound is absent in the message, and the reason is not
    assert back.airtime_ratio == several.airtime_ratio


def test_fast_model_tells_bounds_of_all_times():
    figures = KpiFiguresModel.from_value(estimate(parse_scenario(GROUP)).kpis)
    flow = figures.flows[0]
    assert figures.open_because is None
    for bounds in (flow.latency_p50_bounds, flow.latency_p95_bounds, flow.latency_p99_bounds, flow.spread_p95_bounds):
        assert bounds.high_milliseconds is not None
