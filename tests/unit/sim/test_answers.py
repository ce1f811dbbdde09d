"""Acknowledged exchanges: when members answer, and how many answers come back."""

from dataclasses import replace
from pathlib import Path

import pytest

from meshtwin.library import compare, simulate
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.engine import simulate as run_once
from meshtwin.sim.profiles import get_profile
from meshtwin.sim.result_file import read_result
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.scenario_file import parse_scenario

ONCE, THRICE = Transmit(count=0, interval_steps=1), Transmit(count=2, interval_steps=1)
SENDING_MS = 3.0  # more than airtime, gaps and overhead of an advertising event


def make_star(profile, *, members, count=40, transmit=ONCE, delivery=None, **flow):
    """Members that hear the source and each other, none of which relays."""
    nodes = range(1, members + 2)
    return Scenario(
        name="star",
        nodes=tuple(
            ScenarioNode(address=a, relay=False, ttl=7, network_transmit=transmit, relay_retransmit=transmit)
            for a in nodes
        ),
        links=tuple(
            ScenarioLink(source=a, target=b, rx_power_dbm=None if delivery else -60.0, delivery=delivery)
            for a in nodes
            for b in nodes
            if a != b
        ),
        flows=(
            ScenarioFlow(
                name="f",
                source=1,
                members=tuple(range(2, members + 2)),
                count=count,
                period_s=2.0,
                **{"pdu_bytes": 20, "response_pdu_bytes": 21} | flow,
            ),
        ),
        profile=profile,
    )


def waits_ms(result):
    """From a request's arrival to that of the answer."""
    return [
        (a.round_trip_ns - a.latency_ns) / 1e6
        for m in result.messages
        for a in m.arrivals
        if a.round_trip_ns is not None
    ]


def listening_always(name):
    """On one channel for ever: an event that meets the end of a scan window is half heard otherwise."""
    return replace(get_profile(name), scan_interval_ns=10**15, scan_window_ns=10**15)


def without_sending_delays(name):
    return replace(get_profile(name), processing_ns=0, jitter_ns=0, event_overhead_ns=0)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize(("members", "least_ms", "most_ms"), [(1, 20.0, 50.0), (3, 20.0, 500.0)])
def test_delayable_answers_wait_20_to_50_ms_or_to_500_ms_if_a_group_was_asked(engine, members, least_ms, most_ms):
    """Mesh Protocol 1.1, 3.7.3.1; a uniform delay has its mean in the middle."""
    scenario = make_star(without_sending_delays("zephyr-delayable"), members=members, count=300)
    waits = waits_ms(run_once(scenario, seed=3, engine=engine))
    assert len(waits) > 280 * members
    assert least_ms <= min(waits) < least_ms + 0.1 * (most_ms - least_ms)
    assert most_ms - 0.1 * (most_ms - least_ms) < max(waits) < most_ms + SENDING_MS
    assert sum(waits) / len(waits) == pytest.approx((least_ms + most_ms) / 2.0 + 1.0, rel=0.06)


@pytest.mark.parametrize("name", ["zephyr", "nrf5-sdk"])
def test_answers_of_other_stacks_leave_at_once(name):
    scenario = make_star(without_sending_delays(name), members=1)
    assert max(waits_ms(run_once(scenario, seed=3, engine="reference"))) < SENDING_MS


def test_answers_that_leave_together_get_lost_and_delayed_ones_do_not():
    """20 members heard one request; of 20 answers within some 7 ms few pass, spread over 480 ms nearly all."""
    shares = {}
    for name in ("zephyr", "zephyr-delayable"):
        (flow,) = simulate(make_star(get_profile(name), members=20), replications=2).document.flows
        assert flow.delivery_ratio.estimate > 0.95
        shares[name] = flow.answered_ratio.estimate
    assert shares["zephyr"] < 0.6
    assert shares["zephyr-delayable"] > 0.9


def test_delay_of_an_answer_does_not_change_when_another_node_is_asked_as_well():
    few, many = (make_star(without_sending_delays("zephyr-delayable"), members=n, count=10) for n in (2, 5))
    known = {
        (m.number, a.member): round(a.round_trip_ns - a.latency_ns, -7)
        for m in run_once(many, seed=4, engine="reference").messages
        for a in m.arrivals
        if a.round_trip_ns is not None
    }
    told = run_once(few, seed=4, engine="reference").messages
    both = [
        (round(a.round_trip_ns - a.latency_ns, -7), known[m.number, a.member])
        for m in told
        for a in m.arrivals
        if a.round_trip_ns is not None and (m.number, a.member) in known
    ]
    assert len(both) > 10
    assert sum(abs(x - y) <= 10_000_000 for x, y in both) >= 0.9 * len(both)  # but for collisions


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_answered_share_is_the_product_of_both_ways(engine):
    """Two nodes, one transmission each: 0.8 there and 0.8 back."""
    scenario = make_star(listening_always("zephyr"), members=1, count=500, delivery=0.8)
    (flow,) = simulate(scenario, replications=4, engine=engine).document.flows
    assert flow.delivery_ratio.estimate == pytest.approx(0.8, abs=0.03)
    assert flow.answered_ratio.estimate == pytest.approx(0.64, abs=0.03)
    assert flow.answered_ratio.low < 0.64 < flow.answered_ratio.high
    assert flow.answered == round(flow.answered_ratio.estimate * 2000)


def test_flow_that_asks_for_no_answer_has_no_answered_share():
    scenario = make_star(get_profile("zephyr"), members=1, response_pdu_bytes=None)
    (flow,) = simulate(scenario, replications=2).document.flows
    assert (flow.answered, flow.answered_ratio) == (None, None)


def test_answered_share_is_in_files_and_in_comparisons(tmp_path: Path):
    one = make_star(listening_always("zephyr"), members=1, count=200, delivery=0.5)
    other = make_star(listening_always("zephyr"), members=1, count=200, delivery=1.0)
    comparison = compare(one, other, replications=4)
    (difference,) = comparison.document.differences
    assert difference.answered_ratio is not None
    assert difference.answered_ratio.estimate == pytest.approx(0.75, abs=0.04)
    for suffix in (".json", ".parquet"):
        comparison.first.save(tmp_path / f"r{suffix}")
        (flow,) = read_result(tmp_path / f"r{suffix}").flows
        assert flow.answered_ratio == comparison.first.document.flows[0].answered_ratio


MOVES = """
format: meshtwin.dev/scenario/v1
name: moves
radio: {model: logDistance, shadowingDb: 6, pairShadowingDb: 3}
defaults: {relay: true, ttl: 5}
nodes:
  - {address: "0001", positionM: [0, 0]}
  - {address: "0002", positionM: [5, 0]}
  - {address: "0003", positionM: [0, 5]}
flows: [{name: f, source: "0001", destination: "0002", count: 5, periodSeconds: 1}]
changes:
  - {atSeconds: 2, node: "0002", moveToM: [8, 0]}
"""


def test_earlier_move_of_another_node_does_not_redraw_the_shadowing_of_a_move():
    plain = parse_scenario(MOVES).changes[0]
    earlier = parse_scenario(MOVES + '  - {atSeconds: 1, node: "0003", moveToM: [0, 6]}\n').changes[1]
    twice = parse_scenario(MOVES + '  - {atSeconds: 1, node: "0002", moveToM: [1, 1]}\n').changes[1]

    def powers(change):
        return {(x.source, x.target): x.rx_power_dbm for x in change.links if 3 not in (x.source, x.target)}

    assert powers(plain) == powers(earlier)
    assert powers(plain) != powers(twice)  # a new place, though it has the same coordinates, was come to otherwise


def test_picture_tells_how_many_were_answered():
    from meshtwin.plotting import draw_results

    scenario = make_star(listening_always("zephyr"), members=1, delivery=1.0)
    figure = draw_results([simulate(scenario, replications=2).document])
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == ["f\nanswered 100.0%"]
