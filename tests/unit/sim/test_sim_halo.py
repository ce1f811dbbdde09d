from dataclasses import replace
from pathlib import Path

import pytest

import meshtwin
from meshtwin.errors import InvalidInput
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.engine import simulate
from meshtwin.sim.halo import cut_region
from meshtwin.sim.scenario import NodeChange, Scenario, ScenarioBackground, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.scenario_features import ExternalInterference, LowPower
from meshtwin.sim.scenario_file import parse_scenario, read_scenario

THRICE = Transmit(count=2, interval_steps=1)
REGION = Path(__file__).parents[3] / "manifests/samples/scenarios/region.yaml"


def make_line(length=10, **more):
    """Nodes 1..length in a line, flows at both ends and from one end to the other."""
    nodes = tuple(
        ScenarioNode(address=a, relay=True, ttl=10, network_transmit=THRICE, relay_retransmit=THRICE)
        for a in range(1, length + 1)
    )
    flow = ScenarioFlow(name="here", source=1, members=(3,), count=10, period_s=2.0)
    return Scenario(
        name="line",
        nodes=nodes,
        links=tuple(
            ScenarioLink(source=a, target=b, delivery=0.95)
            for a in range(1, length + 1)
            for b in (a - 1, a + 1)
            if 1 <= b <= length
        ),
        flows=(
            flow,
            replace(flow, name="there", source=length, members=(length - 1,), start_s=1.0),
            replace(flow, name="both", source=2, members=(3, length)),
        ),
        background=(ScenarioBackground(name="reports", sources=(1, length), rate_per_s=2.0),),
        **more,
    )


def test_region_keeps_its_nodes_and_the_border_around_them():
    cut = cut_region(make_line(), {1, 2, 3}, halo_hops=2)
    assert [n.address for n in cut.scenario.nodes] == [1, 2, 3, 4, 5]
    assert cut.halo == (4, 5)


def test_flows_that_end_outside_keep_their_members_inside_and_others_are_left_out():
    cut = cut_region(make_line(), {1, 2, 3})
    assert {f.name: f.members for f in cut.scenario.flows} == {"here": (3,), "both": (3,)}
    assert cut.left_out == ("there",)


def test_messages_from_outside_come_in_over_the_border_at_their_rates():
    background = {b.name: b for b in cut_region(make_line(), {1, 2, 3}).scenario.background}
    assert background["reports"].sources == (1,)
    assert background["reports"].rate_per_s == pytest.approx(1.0)
    assert background["incoming/flow/there"].sources == (4,)
    assert background["incoming/flow/there"].rate_per_s == pytest.approx(10 / 20)  # messages / s
    assert background["incoming/background/reports"].rate_per_s == pytest.approx(1.0)


def test_border_hears_what_relays_outside_send():
    nodes = {n.address: n for n in cut_region(make_line(), {1, 2, 3}).scenario.nodes}
    # node 5 relays the floods of three flows (10 messages in 20 s each) and of the reports (2/s)
    assert nodes[4].external_pdus_per_s == pytest.approx(3 * (3 * 0.5 + 2.0) * 0.95)
    assert nodes[3].external_pdus_per_s == 0.0


def test_region_behaves_about_as_it_does_within_the_whole():
    whole, part = make_line(), cut_region(make_line(), {1, 2, 3, 4}, halo_hops=2).scenario
    for scenario in (whole, part):
        result = simulate(replace(scenario, flows=scenario.flows[:1]), seed=2, engine="reference")
        assert sum(m.reached_all for m in result.messages) >= 9


def test_friend_of_a_low_power_node_belongs_to_the_region():
    line = make_line()
    low = LowPower(friend=9, poll_interval_s=5.0)
    nodes = tuple(replace(n, low_power=low, relay=False) if n.address == 2 else n for n in line.nodes)
    cut = cut_region(replace(line, nodes=nodes), {1, 2}, halo_hops=1)
    assert 9 in {n.address for n in cut.scenario.nodes}


def test_interference_and_changes_outside_are_dropped():
    bursts = (ExternalInterference(busy_ratio=0.1, nodes=(1, 9)), ExternalInterference(busy_ratio=0.1, nodes=(9,)))
    changes = tuple(NodeChange(at_s=1.0, node=a, is_on=False) for a in (2, 9))
    cut = cut_region(make_line(interference=bursts, changes=changes), {1, 2, 3}).scenario
    assert [i.nodes for i in cut.interference] == [(1,)]
    assert [c.node for c in cut.changes] == [2]


def test_region_of_strangers_or_without_a_flow_is_refused():
    with pytest.raises(InvalidInput, match="unknown node 0063"):
        cut_region(make_line(), {99})
    with pytest.raises(InvalidInput, match="no flow"):
        cut_region(make_line(), {6}, halo_hops=0)


def test_what_can_not_be_judged_in_the_region_is_told_and_stands_in_results():
    text = REGION.read_text().replace('{name: outside, source: "0008"', '{name: far, source: "0001"', 1)
    text = text.replace("positionM: [60, 0]}", "positionM: [60, 0], groups: [c000]}")
    for scenario, said in (
        (read_scenario(REGION), "flow outside: its source 0008 is outside the region and its halo"),
        (parse_scenario(text), "flow far: all it is for is outside the region and its halo"),
        (
            parse_scenario(text),
            "flow inside: 1 of 3 members are outside the region and its halo and not judged (0007)",
        ),
    ):
        assert said in scenario.gaps
        result = meshtwin.simulate(scenario, replications=1, engine="reference")
        assert said in result.gaps
        assert said in result.document.gaps
        assert not result.is_complete


def test_node_from_outside_that_moves_into_the_region_is_simulated():
    """In the whole line the mover stands in for the relay that is switched off; in the region it did not exist."""
    text = REGION.read_text().replace(
        "region:",
        'changes: [{atSeconds: 20, node: "0008", moveToM: [10, 2]}, {atSeconds: 20, node: "0002", poweredOn: false}]\n'
        "region:",
    )
    scenario = parse_scenario(text)
    assert 8 in {node.address for node in scenario.nodes}
    assert any("node 0008 is in reach from 20 s on" in gap for gap in scenario.gaps)
    inside = meshtwin.simulate(scenario, replications=1, engine="reference").kpis.flows[0]
    assert inside.flow == "inside"
    assert inside.delivery.estimate > 0.95  # 0.17 without the mover


def test_moves_across_the_border_that_are_not_simulated_are_told():
    text = REGION.read_text().replace("haloHops: 1", "haloHops: 0").replace("region:", "changes: []\nregion:")
    moves_in = text.replace("[]", '[{atSeconds: 20, node: "0008", moveToM: [10, 2]}]')
    assert any("node 0008 moves into reach at 20 s" in gap for gap in parse_scenario(moves_in).gaps)
    moves_off = text.replace("[]", '[{atSeconds: 20, node: "0003", moveToM: [60, 2]}]')
    assert any("node 0003 moves at 20 s" in gap for gap in parse_scenario(moves_off).gaps)


def test_short_flow_outside_is_a_load_of_its_mean_rate():
    line = make_line()
    short = replace(line.flows[1], count=20, period_s=0.05)  # 1 s of a run of 20 s
    cut = cut_region(replace(line, flows=(line.flows[0], short)), {1, 2, 3}).scenario
    rate_per_s = {b.name: b.rate_per_s for b in cut.background}["incoming/flow/there"]
    assert rate_per_s == pytest.approx(1.0, rel=0.1)
