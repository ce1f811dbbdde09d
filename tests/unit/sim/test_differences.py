from dataclasses import replace

import pytest

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.differences import compute_differences
from meshtwin.sim.engine import simulate_replications
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode

A, B = UnicastAddress(1), UnicastAddress(2)


def make_pair(delivery=0.7, *, name="pair", flow="press"):
    once = Transmit(count=0, interval_steps=1)
    return Scenario(
        name=name,
        nodes=tuple(
            ScenarioNode(address=a, relay=False, ttl=3, network_transmit=once, relay_retransmit=once) for a in (A, B)
        ),
        links=(ScenarioLink(source=A, target=B, delivery=delivery),),
        flows=(ScenarioFlow(name=flow, source=A, members=(B,), count=50, period_s=1.0),),
    )


def run(scenario, *, seed=1, replications=4):
    return simulate_replications(scenario, seed=seed, replications=replications)


def test_scenario_differs_in_nothing_from_itself():
    runs = run(make_pair())
    (difference,) = compute_differences(make_pair(), runs, make_pair(), runs)
    assert (difference.delivery.estimate, difference.delivery.high) == (0.0, 0.0)
    assert difference.latency_ms.estimate == 0.0


def test_better_link_delivers_more_with_a_narrow_interval_on_the_same_states():
    good, bad = make_pair(0.9), make_pair(0.7)
    (difference,) = compute_differences(bad, run(bad, replications=12), good, run(good, replications=12))
    assert difference.delivery.low > 0.1
    assert difference.delivery.high < 0.3
    assert difference.latency_ms.estimate == 0.0  # messages that both delivered came in the same time


def test_equal_shares_of_different_runs_claim_no_certainty():
    good, slower = make_pair(1.0), make_pair(1.0)
    slower = replace(slower, flows=(replace(slower.flows[0], pdu_bytes=25),))
    (difference,) = compute_differences(good, run(good), slower, run(slower))
    assert difference.delivery.estimate == 0.0
    assert 0.005 < difference.delivery.high == -difference.delivery.low < 0.02  # 200 messages


def test_runs_of_other_seeds_are_not_compared():
    with pytest.raises(InvalidInput, match="compare runs of the same states"):
        compute_differences(make_pair(), run(make_pair()), make_pair(), run(make_pair(), seed=2))


def test_scenarios_without_a_common_flow_are_refused():
    other = make_pair(flow="other")
    with pytest.raises(InvalidInput, match="no flow has a name that is in both"):
        compute_differences(make_pair(), run(make_pair()), other, run(other))


def test_nothing_delivered_on_both_sides_has_no_latency():
    dead = replace(make_pair(), links=(ScenarioLink(source=A, target=B, delivery=0.0),))
    (difference,) = compute_differences(make_pair(), run(make_pair()), dead, run(dead))
    assert difference.latency_ms is None
    assert difference.pairs == 0


def test_flow_that_one_side_never_sends_differs_by_nothing_that_is_known():
    silent = make_pair()
    silent = replace(silent, flows=(replace(silent.flows[0], count=0),))
    (difference,) = compute_differences(make_pair(), run(make_pair()), silent, run(silent))
    assert (difference.on_time.low, difference.on_time.high) == (-1.0, 1.0)
    assert difference.on_time.open_because == difference.delivery.open_because == "no message was sent"
    assert difference.latency_ms is None
