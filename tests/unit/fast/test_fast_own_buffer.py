"""Own messages that find their node's buffer full are lost in the fast model, as in the simulator."""

from dataclasses import replace

import pytest
from tests.unit.fast.fast_builders import background, flow, line

from meshtwin.fast import estimate
from meshtwin.fast.tables import WITHOUT_BOUND, build_rules
from meshtwin.sim.profiles import get_profile


def test_a_shorter_own_buffer_loses_more_of_a_busy_nodes_messages():
    """Eight other messages a second take its set for almost half of the time."""
    scenario = line(5, flow(1, 2), background=(background(8.0, 1),))
    ratios = []
    for places in (1, None):
        profile = replace(scenario.profile, originated_buffer=places)
        answer = estimate(replace(scenario, profile=profile))
        assert answer.declined is None
        ratios.append(answer.kpis.flows[0].delivery.estimate)
    assert ratios[0] < ratios[1]


def test_many_own_messages_that_are_refused_are_declined():
    scenario = line(2, flow(1, 2), background=(background(12.0, 1),))
    profile = replace(scenario.profile, originated_buffer=1)
    assert "full queues refuse" in estimate(replace(scenario, profile=profile)).declined


def test_a_node_that_is_asked_for_more_than_it_can_send_is_declined():
    answer = estimate(line(2, flow(1, 2), background=(background(40.0, 1),)))
    assert "queues fill up" in answer.declined


@pytest.mark.parametrize(("period_s", "is_declined"), [(0.5, False), (0.1, True)])
def test_flow_that_takes_much_of_its_sources_time_is_declined(period_s, is_declined):
    declined = estimate(line(2, flow(1, 2, period_s=period_s, spread_s=0.0), transmissions=3)).declined
    assert (declined is not None and "how they wait for each other is not modelled" in declined) == is_declined


@pytest.mark.parametrize(("period_s", "is_declined"), [(20.0, False), (0.5, True)])
def test_flow_whose_messages_at_drawn_times_would_meet_each_other_is_declined(period_s, is_declined):
    declined = estimate(line(6, flow(1, 6, period_s=period_s, spread_s=0.0, spread_in_period=True))).declined
    assert (declined is not None and "would meet each other" in declined) == is_declined


@pytest.mark.parametrize(
    ("profile", "places"), [("zephyr", 5), ("nrf5-sdk", 3), ("bmsim", 6), ("bluez", None), ("mathworks", None)]
)
def test_only_sets_of_their_own_bound_own_messages(profile, places):
    """Where these share sets the model declines before a buffer as long as theirs is full."""
    rules = build_rules(get_profile(profile), True)
    assert rules.own_buffer == (WITHOUT_BOUND if places is None else places)
