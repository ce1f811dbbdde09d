import itertools
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
    for time in (
        difference.latency_ms,
        difference.latency_p50_ms,
        difference.latency_p95_ms,
        difference.latency_p99_ms,
    ):
        assert (time.told, time.open_because) == (None, "no message reached a member on both sides")
    assert difference.pairs == 0


def test_flow_that_one_side_never_sends_differs_by_nothing_that_is_known():
    silent = make_pair()
    silent = replace(silent, flows=(replace(silent.flows[0], count=0),))
    (difference,) = compute_differences(make_pair(), run(make_pair()), silent, run(silent))
    assert (difference.on_time.low, difference.on_time.high) == (-1.0, 1.0)
    assert difference.on_time.open_because == difference.delivery.open_because == "no message was sent"
    assert difference.on_time.told is difference.delivery.told is difference.latency_ms.told is None


def test_extra_relay_moves_the_slow_messages_and_the_difference_of_p95_says_so():
    near, far = (make_line(count) for count in (2, 3))
    (difference,) = compute_differences(near, run(near, replications=8), far, run(far, replications=8))
    assert difference.latency_p50_ms.open_because is difference.latency_p95_ms.open_because is None
    assert 0.0 < difference.latency_p50_ms.low < difference.latency_p50_ms.high
    assert 0.0 < difference.latency_p95_ms.low < difference.latency_p95_ms.high
    assert difference.latency_p99_ms.high < 200.0


def make_line(hops):
    """A message from the first node to the last one, over as many hops as asked."""
    scenario = make_pair(0.9)
    addresses = [UnicastAddress(1), *(UnicastAddress(10 + i) for i in range(hops - 1)), UnicastAddress(2)]
    once = Transmit(count=2, interval_steps=1)
    return replace(
        scenario,
        nodes=tuple(
            ScenarioNode(address=a, relay=True, ttl=9, network_transmit=once, relay_retransmit=once)
            for a in sorted(addresses)
        ),
        links=tuple(
            ScenarioLink(source=one, target=other, delivery=0.8) for one, other in itertools.pairwise(addresses)
        ),
    )
