"""Estimates of many configurations: incremental ones equal those from scratch."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.fast.fast_builders import background, flow, line, links

from meshtwin.errors import InvalidInput
from meshtwin.fast import Prepared, prepare
from meshtwin.fast.patching import without_relayed
from meshtwin.fast.tables import build_settings
from meshtwin.fast.traffic import find_streams
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


WIDE = 60
OFF = NodeSettings(relay=False)
FEWER = NodeSettings(relay_retransmit=Transmit(count=0, interval_steps=1))


def wide(rate_per_s: float, relay_off: int = 0) -> Prepared:
    """Ten rows of six nodes, under load: one relay is some 2 % of the airtime."""
    rows = [(a, a + 1) for a in range(1, WIDE) if a % 6] + [(a, a + 6) for a in range(1, WIDE - 5)]
    others = (background(rate_per_s, *range(1, WIDE + 1), ttl=30),) if rate_per_s else ()
    flows = (flow(1, 60, name="far", period_s=2.5), flow(33, 20, 35, name="near", start_s=2.25, period_s=2.5))
    scenario = replace(line(WIDE, *flows, ttl=30), links=links(rows, 0.8), background=others)
    nodes = tuple(replace(n, relay=n.address != relay_off) for n in scenario.nodes)
    return prepare(replace(scenario, nodes=nodes), states=256, seed=2)


@pytest.mark.parametrize("profile_load", [0.0, 3.0])
@pytest.mark.parametrize(("node", "to"), [(20, OFF), (33, OFF), (27, FEWER), (40, NodeSettings(relay=True))])
def test_near_answer_to_a_change_of_one_relay_lies_by_the_exact_one(
    profile_load: float, node: int, to: NodeSettings
) -> None:
    prepared = wide(profile_load, relay_off=40)

    near = prepared.estimate_near({UnicastAddress(node): to})
    exact = prepared.estimate({UnicastAddress(node): to})

    assert near.patched_nodes == 1
    assert near.kpis is not None
    assert exact.kpis is not None
    assert near.kpis.airtime_ratio.estimate == pytest.approx(exact.kpis.airtime_ratio.estimate, rel=0.02)
    for found, known in zip(near.kpis.flows, exact.kpis.flows, strict=True):
        assert found.on_time.estimate == pytest.approx(known.on_time.estimate, abs=0.06)
        assert found.latency_p50_ms == pytest.approx(known.latency_p50_ms, rel=0.15)


def test_near_answer_tells_the_airtime_that_a_relay_saves() -> None:
    prepared = wide(3.0)
    base, near = prepared.estimate(), prepared.estimate_near({UnicastAddress(20): OFF})

    assert base.kpis is not None
    assert near.kpis is not None
    assert 0.97 < near.kpis.airtime_ratio.estimate / base.kpis.airtime_ratio.estimate < 0.99


def test_near_answer_runs_fewer_states() -> None:
    prepared = wide(3.0)
    prepared.estimate()

    near, exact = (ask({UnicastAddress(2): OFF}) for ask in (prepared.estimate_near, prepared.estimate))

    assert exact.reused_share == 0.0
    assert near.reused_share > 0.5


@settings(max_examples=8, deadline=None)
@given(asked=st.lists(st.sampled_from(range(2, WIDE)), min_size=1, max_size=3))
def test_near_answer_depends_on_nothing_that_was_asked_before(asked: list[int]) -> None:
    prepared, change = wide(3.0), {UnicastAddress(20): OFF}
    alone, base = wide(3.0).estimate_near(change), wide(3.0).estimate()

    for node in asked:
        prepared.estimate_near({UnicastAddress(node): OFF})

    assert prepared.estimate_near(change).kpis == alone.kpis
    assert prepared.estimate().kpis == base.kpis


@pytest.mark.parametrize("profile", ["zephyr", "bluez", "emulated"])
def test_air_without_what_a_node_relayed_is_put_back_as_it_was(profile: str) -> None:
    scenario = replace(network(4.0), profile=replace(line(2, profile=profile).profile))
    prepared, table = prepare(scenario, states=16), build_settings(scenario)
    air = prepared._surround(scenario, table, find_streams(scenario)).air
    used = int(air.counts[0])
    before: list[npt.NDArray[Any]] = [
        air.slot.copy(),
        air.event_pdu_ns[:used].copy(),
        air.job_count.copy(),
        air.job_asked_ns.copy(),
    ]
    off = table._replace(relay=np.where(np.arange(NODES) == 4, 0, table.relay).astype(np.uint8))

    with without_relayed(air, off, np.asarray([4])):
        left = air.slot[:, 4][air.slot[:, 4] >= 0]
        assert air.event_is_own[left].all()
        assert not np.array_equal(air.slot, before[0])

    after: list[npt.NDArray[Any]] = [air.slot, air.event_pdu_ns[:used], air.job_count, air.job_asked_ns]
    for part, earlier in zip(after, before, strict=True):
        np.testing.assert_array_equal(part, earlier)


@pytest.mark.parametrize(
    "change",
    [
        {UnicastAddress(a): OFF for a in range(2, 12)},
        {UnicastAddress(9): NodeSettings(default_ttl=3)},
        {UnicastAddress(a): OFF for a in (14, 20, 26)},
    ],
    ids=["many nodes", "another TTL", "much airtime"],
)
def test_change_that_is_not_small_is_answered_exactly(change: dict[UnicastAddress, NodeSettings]) -> None:
    prepared = wide(3.0)

    near, exact = prepared.estimate_near(change), prepared.estimate(change)

    assert near.patched_nodes == 0
    assert near.kpis == exact.kpis
