"""Airtime that is told of a run is that of the run: event records, summed over its length, are the witness."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import meshtwin
from meshtwin.fast import estimate
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.cost import shorten
from meshtwin.sim.engine import simulate
from meshtwin.sim.goals import least_replications, make_goals
from meshtwin.sim.packets import RecordKind
from meshtwin.sim.scenario import NodeChange, Scenario, ScenarioBackground, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.traffic import find_run_s
from meshtwin.sim.unsent import tell_unsent

PDU_S = 304e-6  # 20 bytes and their headers on the air
TWICE = Transmit(count=1, interval_steps=1)
EARLY = ScenarioFlow(name="early", source=1, members=(4,), count=6, period_s=2.0)
LATE = replace(EARLY, name="late", source=2, start_s=12.0)
BURST = replace(EARLY, name="burst", source=3, members=(1,), count=4, period_s=0.5, start_s=3.2)


def make_line(*flows, **more):
    """1 - 2 - 3 - 4, all relays, each hearing its neighbours."""
    pairs = [(a, b) for a in range(1, 5) for b in (a - 1, a + 1) if 1 <= b <= 4]
    nodes = tuple(
        ScenarioNode(address=a, relay=True, ttl=5, network_transmit=TWICE, relay_retransmit=TWICE) for a in range(1, 5)
    )
    links = tuple(ScenarioLink(source=a, target=b, delivery=0.9) for a, b in pairs)
    return Scenario(name="line", nodes=nodes, links=links, flows=flows, is_traced=True, **more)


def sum_records(scenario, result):
    """Share of time: each transmission is heard by its sender and all its neighbours; none overlap where few send."""
    around = {node.address: 1 + sum(link.source == node.address for link in scenario.links) for node in scenario.nodes}
    sent = [record.node for record in result.records if record.kind is RecordKind.TRANSMITTED]
    return sum(around[node] for node in sent) * PDU_S / len(scenario.nodes) / find_run_s(scenario)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize(
    ("flows", "duration_s"),
    [((EARLY,), None), ((EARLY, LATE), None), ((EARLY, BURST), None), ((BURST, LATE), 15.0), ((EARLY, LATE), 5.0)],
    ids=["one flow", "one after the other", "a burst", "cut in the second", "second never begins"],
)
def test_airtime_of_flows_is_what_their_events_took_over_the_run(engine, flows, duration_s):
    scenario = make_line(*flows, duration_s=duration_s)
    result = simulate(scenario, seed=3, engine=engine)
    assert result.airtime_ratio == pytest.approx(sum_records(scenario, result), rel=0.02)  # overlaps count once


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from([0.7, 2.0, 5.0]), st.sampled_from([0.0, 6.0])), min_size=1,
             max_size=3),
)  # fmt: skip
def test_airtime_follows_the_events_whatever_the_flows(drawn):
    flows = [
        replace(EARLY, name=f"{place}", count=count, period_s=period_s, start_s=start_s + 0.21 * place)
        for place, (count, period_s, start_s) in enumerate(drawn)
    ]
    scenario = make_line(*flows)
    result = simulate(scenario, seed=5, engine="reference")
    assert result.airtime_ratio == pytest.approx(sum_records(scenario, result), rel=0.05)


def test_flow_with_a_lasting_rate_has_the_airtime_of_that_rate():
    scenario = make_line(replace(BURST, rate_per_s=0.01), EARLY)
    result, plain = (simulate(each, seed=3) for each in (scenario, make_line(BURST, EARLY)))
    in_run = simulate(make_line(EARLY), seed=3).airtime_ratio
    assert result.transmissions == plain.transmissions
    assert in_run < result.airtime_ratio < plain.airtime_ratio


def test_background_of_a_node_that_dies_takes_no_airtime_afterwards():
    murmur = ScenarioBackground(name="murmur", sources=(1,), rate_per_s=4.0)
    scenario = make_line(
        replace(EARLY, source=3), background=(murmur,), changes=(NodeChange(at_s=2.0, node=1, is_on=False),)
    )
    result = simulate(scenario, seed=3)
    # once it is off, node 2 has one neighbour less
    assert 0.9 * sum_records(scenario, result) < result.airtime_ratio < 1.02 * sum_records(scenario, result)


def test_node_that_is_switched_on_later_counts_among_those_that_hear():
    scenario = make_line(EARLY)
    off = tuple(replace(node, is_on=node.address != 4) for node in scenario.nodes)
    late = replace(scenario, nodes=off, changes=(NodeChange(at_s=1e-3, node=4, is_on=True),))
    results = [simulate(each, seed=3) for each in (scenario, late)]
    assert results[1].airtime_ratio == pytest.approx(results[0].airtime_ratio, rel=0.15)


@pytest.mark.parametrize(
    ("flows", "duration_s"),
    [((EARLY, LATE), None), ((EARLY, replace(BURST, start_s=3.7)), None), ((EARLY, LATE), 13.5)],
    ids=["in turn", "burst", "cut in the second"],
)
def test_fast_model_reckons_airtime_over_the_run_as_well(flows, duration_s):
    spread = (replace(flow, spread_s=0.1) for flow in flows)
    scenario = replace(make_line(*spread, duration_s=duration_s), is_traced=False)
    kpis = estimate(scenario).kpis
    simulated = [simulate(scenario, seed=1, replication=number).airtime_ratio for number in range(8)]
    assert kpis is not None
    assert kpis.airtime_ratio.estimate == pytest.approx(sum(simulated) / 8, rel=0.05)


def test_shortened_scenario_has_the_airtime_of_the_whole_one():
    scenario = make_line(replace(EARLY, count=60), replace(LATE, count=60, start_s=120.0))
    whole, part = (simulate(each, seed=3) for each in (scenario, shorten(scenario, 0.25)))
    assert len(part.messages) == 30
    assert part.airtime_ratio == pytest.approx(whole.airtime_ratio, rel=0.1)


def test_messages_that_the_duration_cuts_off_are_told():
    result = meshtwin.simulate(make_line(replace(EARLY, count=20, period_s=1.0), duration_s=5.0), replications=2)
    assert result.gaps == (
        "30 of 40 messages of early were not sent (in 2 replications): the run ends at 5 s, before they are due",
    )
    assert not result.is_complete
    assert result.document.gaps == list(result.gaps)
    assert "missing: 30 of 40 messages" in repr(result)


def test_precision_counts_on_the_messages_that_fall_due():
    flow = replace(EARLY, count=20, period_s=1.0)
    cut, few = make_line(flow, duration_s=5.0), make_line(replace(flow, count=5))
    assert least_replications([cut], 0.01, "on-time") == least_replications([few], 0.01, "on-time") > 8
    assert [goal.name for goal in make_goals([make_line(flow, LATE, duration_s=5.0)], 0.01, "on-time")] == [
        "on-time of early within ±0.01"
    ]


def test_duration_that_cuts_nothing_off_is_no_gap():
    assert meshtwin.simulate(make_line(EARLY, duration_s=11.0), replications=1).is_complete  # the last one leaves at 10


def test_source_that_dies_lacks_only_what_is_due_after_the_end():
    scenario = make_line(EARLY, duration_s=5.0, changes=(NodeChange(at_s=1.0, node=1, is_on=False),))
    (gap,) = tell_unsent(scenario, [simulate(scenario, seed=1)])
    assert gap.startswith("3 of 6 messages of early were not sent: ")  # those of 6, 8 and 10 s


def test_of_many_cut_flows_some_are_named():
    flows = [replace(EARLY, name=f"f{n}", start_s=0.1 * n) for n in range(5)]
    scenario = make_line(*flows, duration_s=5.0)
    (gap,) = tell_unsent(scenario, [simulate(scenario, seed=1)])
    assert "of f0, 3 of 6 messages of f1, 3 of 6 messages of f2 and of 2 more flows were not sent" in gap
