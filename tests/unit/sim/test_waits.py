"""Results say where messages wait ever longer: their figures tell how long the run was, not how the network does."""

from dataclasses import replace

import pytest
from tests.unit.sim.test_originated_buffer import build_pair

from meshtwin.sim.compiled import run_compiled
from meshtwin.sim.scenario import ScenarioBackground
from meshtwin.sim.waits import compute_own_load, tell_waits


def run(scenario, replications=2):
    return [run_compiled(scenario, 7, number) for number in range(replications)]


def test_source_with_an_endless_queue_is_named_with_its_load_and_its_waits():
    """Three copies, one every 20 ms, take 60 ms of a message every 30 ms."""
    scenario = build_pair("bluez", count=80, period_s=0.03)
    (told,) = tell_waits(scenario, run(scenario))
    assert told.startswith(
        "a steady state of f: node 0001 was asked for more than it can send, its messages taking its"
    )
    assert "its time 2.0 times; messages are" in told


def test_queue_that_outlives_its_flow_is_told_where_copies_take_turns():
    scenario = build_pair("bluez", count=80, period_s=0.002)
    assert len(tell_waits(scenario, run(scenario))) == 1


@pytest.mark.parametrize("profile", ["zephyr", "nrf5-sdk", "bmsim", "emulated"])
@pytest.mark.parametrize("period_s", [0.005, 0.03, 1.0])
def test_bounded_queues_lose_instead(profile, period_s):
    scenario = build_pair(profile, count=120, period_s=period_s)
    assert tell_waits(scenario, run(scenario)) == ()


def test_light_load_is_not_told_whatever_the_profile():
    for profile in ("bluez", "mathworks"):
        scenario = build_pair(profile, count=80, period_s=0.5)
        assert tell_waits(scenario, run(scenario)) == ()


def test_few_messages_tell_nothing():
    scenario = build_pair("bluez", count=12, period_s=0.001)
    assert tell_waits(scenario, run(scenario, 1)) == ()


def test_load_counts_flows_and_the_share_of_backgrounds():
    scenario = build_pair("bluez", period_s=0.1)
    sources = tuple(node.address for node in scenario.nodes)
    murmur = ScenarioBackground(name="b", sources=sources, rate_per_s=20.0, pdu_bytes=20)
    loads = [compute_own_load(replace(scenario, background=(murmur,)), node) for node in scenario.nodes]
    assert loads == pytest.approx([0.6 + 0.6, 0.6])
