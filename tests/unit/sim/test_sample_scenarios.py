"""The sample scenarios: each runs and shows what its first lines say; those of published tables agree with them."""

from dataclasses import replace
from pathlib import Path

import pytest

from meshtwin.sim.engine import simulate
from meshtwin.sim.packets import LossCause
from meshtwin.sim.scenario_file import parse_scenario, read_scenario
from meshtwin.sim.validation.export import iter_published
from meshtwin.sim.validation.tables import read_table

SAMPLES = Path(__file__).parents[3] / "manifests" / "samples" / "scenarios"
LARGE = {"grid.yaml", "office.yaml"}  # run by the validation of their tables


def run(name, **changes):
    return simulate(replace(read_scenario(SAMPLES / f"{name}.yaml"), **changes), seed=1, engine="reference")


def delivery(result, flow):
    messages = [m for m in result.messages if m.flow == flow]
    return sum(len(m.arrivals) for m in messages) / sum(m.member_count for m in messages)


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.glob("*.yaml")))
def test_sample_scenario_is_read_and_runs(name):
    scenario = read_scenario(SAMPLES / name)
    if name not in LARGE:
        short = replace(scenario, flows=tuple(replace(flow, count=min(flow.count, 3)) for flow in scenario.flows))
        assert simulate(short, seed=1, engine="reference").messages


def exported(table, stem):
    """The scenario of a published point as `meshtwin validate --export` writes it."""
    return parse_scenario(dict(iter_published(table, read_table(table)))[stem])


def without_starts(scenario):
    return [replace(flow, name="", start_s=0.0, period_s=1.0) for flow in scenario.flows]


def test_chain_sample_is_the_published_chain():
    published, sample = exported("chain", "chain"), read_scenario(SAMPLES / "chain.yaml")
    assert sample.nodes == published.nodes
    assert set(sample.links) == set(published.links)
    assert set(without_starts(sample)) <= set(without_starts(published))


def test_office_sample_is_one_cell_of_the_published_office():
    published, sample = exported("office", "office-20-ttl-6"), read_scenario(SAMPLES / "office.yaml")
    assert replace(sample, name="") == replace(published, name="")


def test_grid_sample_is_the_published_grid_with_starts_to_the_millisecond():
    published, sample = exported("grid", "grid"), read_scenario(SAMPLES / "grid.yaml")
    assert (sample.nodes, sample.links) == (published.nodes, published.links)
    assert without_starts(sample) == without_starts(published)
    assert [f.start_s for f in sample.flows] == pytest.approx([f.start_s for f in published.flows], abs=0.0006)
    assert (sample.capture, sample.duration_s) == (published.capture, published.duration_s)


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


def test_yard_sample_loses_messages_to_the_beacons_of_others():
    alone = replace(read_scenario(SAMPLES / "yard.yaml"), background=())
    quiet = replace(alone, nodes=tuple(replace(node, external_pdus_per_s=0.0) for node in alone.nodes))
    lost = [simulate(s, seed=1, engine="reference").losses.get(LossCause.COLLISION, 0) for s in (alone, quiet)]
    assert lost[0] > lost[1]


def test_stairwell_sample_hears_the_next_floor_better_than_the_one_beyond():
    powers = {(x.source, x.target): x.rx_power_dbm for x in read_scenario(SAMPLES / "stairwell.yaml").links}
    assert powers[0x11, 0x21] > powers[0x11, 0x31] + 5.0
    answers = [a for m in run("stairwell").messages if m.flow == "ask" for a in m.arrivals if a.round_trip_ns]
    assert min(a.round_trip_ns - a.latency_ns for a in answers) > 20_000_000  # the answer waits


def test_measured_links_sample_has_power_or_delivery_or_both():
    links = {(x.source, x.target): x for x in read_scenario(SAMPLES / "measured-links.yaml").links}
    assert (links[1, 2].rx_power_dbm, links[1, 2].delivery) == (-88.0, None)
    assert (links[2, 3].rx_power_dbm, links[2, 3].delivery, links[2, 3].delivery_pdu_bytes) == (None, 0.8, 29)
    assert (links[1, 3].rx_power_dbm, links[1, 3].delivery) == (-97.0, 0.3)
