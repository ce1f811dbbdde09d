"""The sample scenarios: each runs and shows what its first lines say; those of published tables agree with them."""

from dataclasses import replace
from pathlib import Path

import pytest

from meshtwin.sim.engine import simulate
from meshtwin.sim.packets import LossCause
from meshtwin.sim.scenario_file import read_scenario
from meshtwin.sim.validation.chain import build_chain_scenario
from meshtwin.sim.validation.grid import build_grid_scenario
from meshtwin.sim.validation.office import build_office_scenario
from meshtwin.sim.validation.tables import read_table

SAMPLES = Path(__file__).parents[3] / "manifests" / "samples" / "scenarios"
LARGE = {"grid.yaml", "office.yaml"}  # run by the validation of their tables


def run(name, **changes):
    return simulate(replace(read_scenario(SAMPLES / f"{name}.yaml"), **changes), seed=1, engine="reference")


def without_places(scenario):
    return [replace(node, position=None) for node in scenario.nodes]


def delivery(result, flow):
    messages = [m for m in result.messages if m.flow == flow]
    return sum(len(m.arrivals) for m in messages) / sum(m.member_count for m in messages)


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.glob("*.yaml")))
def test_sample_scenario_is_read_and_runs(name):
    scenario = read_scenario(SAMPLES / name)
    if name not in LARGE:
        short = replace(scenario, flows=tuple(replace(flow, count=min(flow.count, 3)) for flow in scenario.flows))
        assert simulate(short, seed=1, engine="reference").messages


def test_chain_sample_is_the_published_chain():
    published, sample = build_chain_scenario(read_table("chain")), read_scenario(SAMPLES / "chain.yaml")
    assert {(x.source, x.target) for x in sample.links} == {(x.source, x.target) for x in published.links}
    assert sample.links[0].rx_power_dbm == pytest.approx(published.links[0].rx_power_dbm, abs=0.1)
    assert without_places(sample) == without_places(published)


def test_office_sample_is_one_cell_of_the_published_office():
    published = build_office_scenario(read_table("office"), "20", 6)
    sample = read_scenario(SAMPLES / "office.yaml")
    assert without_places(sample) == without_places(published)
    assert set(sample.links) == set(published.links)
    assert sample.duration_s == published.duration_s
    assert [(f.source, f.members) for f in sample.flows] == [(f.source, f.members) for f in published.flows]


def test_grid_sample_has_the_published_grid_and_its_ttls():
    published, sample = build_grid_scenario(read_table("grid"), 1), read_scenario(SAMPLES / "grid.yaml")
    assert without_places(sample) == without_places(published)
    assert {(x.source, x.target) for x in sample.links} == {(x.source, x.target) for x in published.links}
    assert [(f.source, f.members, f.ttl, f.count) for f in sample.flows] == [
        (f.source, f.members, f.ttl, f.count) for f in published.flows
    ]


def test_segmented_sample_shows_what_segments_cost():
    by_flow = {m.flow: m.transmissions for m in run("segmented").messages}
    assert by_flow["long"] > 5 * by_flow["short"]


def test_retries_sample_shows_what_each_way_gains():
    result = run("retries")
    assert delivery(result, "once") < delivery(result, "retried")
    assert delivery(result, "once") < delivery(result, "published")


def test_flow_relays_sample_shows_a_flow_that_few_relay():
    result = run("flow-relays")
    sent = {m.flow: m.transmissions for m in result.messages}
    assert sent["sensor"] < sent["lights"]
    assert delivery(result, "sensor") > 0.9


def test_wifi_sample_loses_messages_in_working_hours_only():
    result = run("wifi")
    assert delivery(result, "early") == 1.0
    assert delivery(result, "late") < 0.7
    assert result.losses[LossCause.INTERFERENCE] > 0


def test_failures_sample_loses_what_falls_into_the_minute_without_power():
    result = run("failures")
    assert [m.number for m in result.messages if m.flow == "over-the-relay" and not m.arrivals] == list(range(30, 60))
    assert [m.number for m in result.messages if m.flow == "beside-it" and not m.arrivals] == list(range(90, 120))


def test_low_power_sample_makes_settings_wait_and_readings_not():
    latencies = {"setting": [], "reading": [], "group": []}
    for message in run("low-power").messages:
        latencies[message.flow] += [arrival.latency_ns / 1e9 for arrival in message.arrivals]
    assert max(latencies["reading"]) < 0.3
    assert max(latencies["setting"]) > 2.0
    assert len(latencies["setting"]) >= 28


def test_replay_list_sample_obeys_two_switches_of_four():
    result = run("replay-list")
    assert [delivery(result, flow) for flow in ("first", "second", "third", "fourth")] == [1.0, 1.0, 0.5, 0.5]


def test_region_sample_leaves_out_what_is_beyond_the_border():
    scenario = read_scenario(SAMPLES / "region.yaml")
    assert [n.address for n in scenario.nodes] == [1, 2, 3, 4]
    assert [f.name for f in scenario.flows] == ["inside"]
    assert "incoming/flow/outside" in {b.name for b in scenario.background}


def test_matrix_and_positions_sample_takes_the_model_where_nothing_was_measured():
    powers = {(x.source, x.target): x.rx_power_dbm for x in read_scenario(SAMPLES / "matrix-and-positions.yaml").links}
    assert (powers[1, 2], powers[2, 1]) == (4.0 - 88.0, 4.0 - 91.0)
    assert powers[2, 3] == powers[3, 2]
