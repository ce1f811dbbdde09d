"""Estimates of many configurations: incremental ones equal those from scratch."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.fast.fast_builders import background, flow, line, links

from meshtwin.errors import InvalidInput
from meshtwin.fast import prepare
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import NodeSettings, Transmit
from meshtwin.sim.scenario import Scenario

NODES = 12
GRID = [(a, a + 1) for a in range(1, NODES)] + [(a, a + 3) for a in range(1, NODES - 2)]
CHANGES = st.dictionaries(
    st.integers(1, NODES).map(UnicastAddress),
    st.builds(
        NodeSettings,
        relay=st.sampled_from([None, True, False]),
        default_ttl=st.sampled_from([None, 2, 5]),
        relay_retransmit=st.sampled_from([None, Transmit(count=0, interval_steps=1)]),
        network_transmit=st.sampled_from([None, Transmit(count=1, interval_steps=2)]),
    ),
    max_size=3,
)


def network(rate_per_s: float = 0.0) -> Scenario:
    flows = (flow(1, 12, name="far", period_s=2.5), flow(6, 5, 7, 8, name="near", start_s=2.25, period_s=2.5))
    others = (background(rate_per_s, *range(1, NODES + 1)),) if rate_per_s else ()
    return replace(line(NODES, *flows), links=links(GRID, 0.7), background=others)


@pytest.mark.parametrize("rate_per_s", [0.0, 4.0])
@settings(max_examples=12, deadline=None)
@given(changes=st.lists(CHANGES, min_size=1, max_size=4))
def test_incremental_estimate_equals_one_from_scratch(
    rate_per_s: float, changes: list[dict[UnicastAddress, NodeSettings]]
) -> None:
    scenario = network(rate_per_s)
    prepared = prepare(scenario, states=16, seed=1)
    prepared.estimate()

    for change in changes:
        found = prepared.estimate(change)
        scratch = prepare(scenario, states=16, seed=1).estimate(change)
        assert found.kpis == scratch.kpis


def test_change_of_a_node_that_no_message_meets_is_not_worked_out_again() -> None:
    prepared = prepare(replace(network(), flows=(flow(1, 2),)), states=64)
    prepared.estimate()

    found = prepared.estimate({UnicastAddress(12): NodeSettings(relay=False)})

    assert found.reused_share > 0.5


def test_change_of_settings_that_nothing_reads_reuses_every_state() -> None:
    prepared = prepare(network(), states=16)
    base = prepared.estimate()

    found = prepared.estimate({UnicastAddress(9): NodeSettings(default_ttl=3)})

    assert found.reused_share == 1.0
    assert found.kpis == base.kpis


def test_scenario_with_other_settings_answers_like_the_change() -> None:
    scenario = network()
    nodes = tuple(replace(n, relay=n.relay and n.address != 4) for n in scenario.nodes)

    by_change = prepare(scenario, states=16).estimate({UnicastAddress(4): NodeSettings(relay=False)})
    by_scenario = prepare(scenario, states=16).estimate(replace(scenario, nodes=nodes))

    assert by_change.kpis == by_scenario.kpis


def test_other_links_need_preparing_anew() -> None:
    scenario = network()

    with pytest.raises(InvalidInput, match="prepare anew"):
        prepare(scenario).estimate(replace(scenario, links=links(GRID, 0.6)))


def test_change_of_a_stranger_is_refused() -> None:
    with pytest.raises(InvalidInput, match="unknown node 0063"):
        prepare(network()).estimate({UnicastAddress(0x63): NodeSettings(relay=True)})


def test_both_configurations_meet_the_same_luck() -> None:
    """A relay that no message meets in time changes nothing, another seed does."""
    scenario = line(NODES, flow(1, 2, 3), delivery=0.7)
    base, other = (prepare(scenario, states=64, seed=seed).estimate().kpis for seed in (0, 1))
    changed = prepare(scenario, states=64, seed=0).estimate({UnicastAddress(12): NodeSettings(relay=False)}).kpis

    assert base is not None
    assert other is not None
    assert changed is not None
    assert changed.flows == base.flows
    assert other.flows != base.flows


def test_surroundings_that_a_change_leaves_as_they_are_serve_again() -> None:
    prepared = prepare(network(rate_per_s=4.0), states=16)
    base = prepared.estimate()
    background_only = replace(network(rate_per_s=4.0), flows=(flow(6, 5, 7, 8, name="other"),))

    same = prepared.estimate({UnicastAddress(9): NodeSettings(relay=True)})
    other_flow = prepared.estimate(background_only)

    assert same.reused_share == 1.0
    assert same.kpis == base.kpis
    assert other_flow.reused_share == 0.0
    assert other_flow.kpis == prepare(background_only, states=16).estimate().kpis


def test_change_of_what_is_on_the_air_reuses_nothing() -> None:
    prepared = prepare(network(rate_per_s=4.0), states=16)
    prepared.estimate()

    assert prepared.estimate({UnicastAddress(9): NodeSettings(relay=False)}).reused_share == 0.0
