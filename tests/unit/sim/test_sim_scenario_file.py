import pytest

from meshtwin.errors import InvalidInput
from meshtwin.sim.engine import simulate
from meshtwin.sim.scenario_file import parse_scenario, read_scenario

RADIO = """
name: corridor
defaults: {relay: true, ttl: 5, networkTransmit: {count: 1, intervalSteps: 1}}
nodes:
  - {address: "0001", positionM: [0, 0]}
  - {address: "0002", positionM: [8, 0], groups: ["c001"], relay: false}
  - {address: "0003", positionM: [8, 4], groups: ["c001"]}
radio: {model: hardRange, rangeM: 8.5}
flows:
  - {name: lights, source: "0001", destination: "c001", count: 3, periodSeconds: 1}
"""


def test_file_with_positions_gives_links_within_the_range_only():
    scenario = parse_scenario(RADIO)
    assert {(link.source, link.target) for link in scenario.links} == {(1, 2), (2, 1), (2, 3), (3, 2)}
    assert [(n.relay, n.ttl, n.network_transmit.count) for n in scenario.nodes][1] == (False, 5, 1)
    assert scenario.flows[0].members == (2, 3)


def test_scenario_from_a_file_runs(tmp_path):
    path = tmp_path / "scenario.yaml"
    path.write_text(RADIO, encoding="utf-8")
    messages = simulate(read_scenario(path), seed=1).messages
    assert [len(m.arrivals) for m in messages] == [1, 1, 1]


def test_attenuation_matrix_has_transmitters_in_rows():
    text = """
nodes: [{address: "0001"}, {address: "0002"}]
attenuationDb: [[null, 80], [null, null]]
flows: [{name: f, source: "0001", destination: "0002", count: 1, periodSeconds: 1}]
"""
    links = parse_scenario(text).links
    assert [(link.source, link.target, link.rx_power_dbm) for link in links] == [(1, 2, -80.0)]


def test_shadowing_differs_by_direction_and_repeats_by_seed():
    radio = "radio: {model: logDistance, shadowingDb: 8, shadowingSeed: 4}"
    text = RADIO.replace("radio: {model: hardRange, rangeM: 8.5}", radio)
    powers = {(link.source, link.target): link.rx_power_dbm for link in parse_scenario(text).links}
    assert powers[1, 2] != powers[2, 1]
    assert parse_scenario(text) == parse_scenario(text)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("ttl: 5", "ttl: 200", "defaults.ttl"),
        ("name: corridor", "colour: red", "colour"),
        ("rangeM: 8.5", "rangeM: -1", "radio.rangeM"),
        ("[8, 4]", "[8]", "nodes.2.positionM"),
        ('destination: "c001"', 'destination: "c0ff"', "flows.lights"),
        ('source: "0001"', 'source: "0777"', "unknown node 0777"),
        ("positionM: [0, 0]", "poweredOn: true", "0001 has no positionM"),
        ("name: corridor", "name: corridor\nlinks: []", "exactly one"),
        ("name: corridor", "name: corridor\nprofile: abacus", "zephyr"),
        ("name: corridor", "name: [", "not YAML"),
    ],
)
def test_wrong_file_is_refused_with_its_place(old, new, place):
    with pytest.raises(InvalidInput) as caught:
        parse_scenario(RADIO.replace(old, new, 1))
    assert place in str(caught.value)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="can't be read"):
        read_scenario(tmp_path / "none.yaml")
