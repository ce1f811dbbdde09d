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
        ('destination: "c001"', 'destination: "c0ff"', "line 10: flows.0.destination"),
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


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            'destination: "c001", count: 3',
            'destination: "c001", relays: ["0002", "0050"], count: 3',
            "unknown node 0050",
        ),
        (
            'destination: "c001", count: 3',
            'destination: "c001", relays: ["0050-0060"], count: 3',
            "unknown node 0050 in 0050-0060",
        ),
        ('destination: "c001", count: 3', 'destination: "c001", retries: 2, count: 3', "retries without a response"),
        ('destination: "c001", count: 3', 'destination: "c001", accessBytes: 900, count: 3', "accessBytes"),
        ("ttl: 5", "ttl: 1", "initial ttl 1 is not sent by stack zephyr"),
        ('address: "0003"', 'address: "0002"', "used by two nodes"),
        ('address: "0003"', "address: 0003", "in quotes"),
        (
            'groups: ["c001"], relay',
            'replayListEntries: 2, replayListUsed: 2, groups: ["c001"], relay',
            "full before the run",
        ),
        ("name: corridor", 'changes: [{atSeconds: 1, node: "0099", poweredOn: false}]', "unknown node 0099"),
        ("name: corridor", 'changes: [{atSeconds: 1, node: "0002"}]', "poweredOn or moveToM"),
        ("name: corridor", "interference: [{busyRatio: 1.5}]", "interference.0.busyRatio"),
        ("name: corridor", "interference: [{busyRatio: 0.5, channel: 11}]", "interference.0.channel"),
        ("name: corridor", 'interference: [{busyRatio: 0.5, fromTime: "25:00"}]', "fromTime"),
        ("name: corridor", "background: [{name: b, sources: [], ratePerSecond: 1}]", "background.0.sources"),
        ("name: corridor", 'region: {nodes: ["0777"]}', "unknown node 0777"),
        ("name: corridor", "name: corridor\nname: again", "'name' is given twice"),
        ("periodSeconds: 1", "periodSeconds: .nan", "finite number"),
        ("rangeM: 8.5", "rangeM: 1.0e+300", "rangeM"),
    ],
)
def test_impossible_scenario_file_is_refused_with_reason(old, new, told):
    text = RADIO.replace(old, new, 1)
    assert text != RADIO
    with pytest.raises(InvalidInput, match=r"corridor\.yaml") as caught:
        parse_scenario(text, "corridor.yaml")
    assert told in str(caught.value)


def test_complaint_names_line_and_value():
    with pytest.raises(InvalidInput) as caught:
        parse_scenario(RADIO.replace("rangeM: 8.5", "rangeM: -1"), "corridor.yaml")
    assert "corridor.yaml: line 8: radio.rangeM" in str(caught.value)
    assert "-1" in str(caught.value)


def test_scenario_that_does_not_fit_in_memory_is_refused_with_an_estimate():
    many = RADIO.replace("count: 3", "count: 900000")
    with pytest.raises(InvalidInput, match="MiB") as caught:
        parse_scenario(many)
    assert caught.value.reason == "TooLarge"
    with pytest.raises(InvalidInput, match="more than 0 MiB"):
        parse_scenario(RADIO, memory_max_bytes=1000)


def test_ten_thousand_nodes_in_one_room_are_refused_before_their_links_are_built():
    nodes = "\n".join(f'  - {{address: "{a:04x}", positionM: [{a % 100}, {a // 100}]}}' for a in range(1, 4001))
    flow = 'flows: [{name: f, source: "0001", destination: "0002", count: 1, periodSeconds: 1}]'
    with pytest.raises(InvalidInput, match="4000 nodes"):
        parse_scenario(f"nodes:\n{nodes}\nradio: {{model: unitDisc, rangeM: 200}}\n{flow}\n")


def test_all_that_a_file_can_say_arrives_in_the_scenario():
    text = (
        RADIO.replace(
            "name: corridor",
            """name: corridor
profile: nrf5-sdk
startOfDay: "07:30"
durationSeconds: 60
background: [{name: b, sources: ["0001-0002"], ratePerSecond: 0.5, ttl: 0}]
interference:
  - {channel: 38, busyRatio: 0.25, burstMicroseconds: 400, fromTime: 8:00, untilTime: "18:00", nodes: ["0003"]}
changes:
  - {atSeconds: 2.5, node: "0003", moveToM: [0, 4]}
  - {atSeconds: 2, node: "0002", poweredOn: false}""",
        )
        .replace(
            'destination: "c001", count: 3',
            'destination: "c001", accessBytes: 30, transportMicBytes: 8, relays: ["0001", "0003"], ttl: 3, '
            "responsePduBytes: 21, retries: 2, retryAfterSeconds: 0.5, "
            "publishRetransmit: {count: 1, intervalSteps: 1}, count: 3",
        )
        .replace("relay: true, ttl: 5", "relay: true, ttl: 5, replayListEntries: profile")
    )
    scenario = parse_scenario(text)
    flow, hours = scenario.flows[0], scenario.interference[0]
    assert (scenario.start_of_day_s, scenario.background[0].sources) == (27_000.0, (1, 2))
    assert (hours.channel, hours.busy_ratio, hours.from_s, hours.until_s, hours.nodes) == (
        1,
        0.25,
        28_800.0,
        64_800.0,
        (3,),
    )
    assert [(c.at_s, c.node, c.is_on) for c in scenario.changes] == [(2.0, 2, False), (2.5, 3, None)]
    moved = scenario.changes[1].links
    assert moved is not None
    assert {(x.source, x.target) for x in moved} == {(1, 3), (3, 1), (2, 3), (3, 2)} - {(2, 3), (3, 2)}
    assert flow.segmentation is not None
    assert flow.segmentation.segment_pdu_bytes == (29, 29, 29, 19)
    assert (flow.relays, flow.ttl, flow.retries.count, flow.publish_retransmit.interval_s) == ({1, 3}, 3, 2, 0.1)
    assert [n.replay_list_size for n in scenario.nodes] == [40, 40, 40]
