"""What is wrong beyond the shape of a file: told with file, line, path, value and limit."""

import pytest

from meshtwin.errors import InvalidInput
from meshtwin.sim.scenario_features import ExternalInterference
from meshtwin.sim.scenario_file import parse_scenario

BASE = """\
name: three
defaults: {relay: true, ttl: 5}
nodes:
  - {address: "0001"}
  - {address: "0002"}
  - {address: "0003", groups: [c000]}
attenuationDb:
  - [null, 60, null]
  - [60, null, 60]
  - [null, 60, null]
flows:
  - {name: press, source: "0001", destination: c000, count: 3, periodSeconds: 1}
"""
LINKS = """\
links:
  - {source: "0001", target: "0002", delivery: 1}
  - {source: "0002", target: "0003", delivery: 1}
flows:"""


def with_links(text):
    return text[: text.index("attenuationDb:")] + LINKS + text[text.index("flows:") + len("flows:") :]


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ("[60, null, 60]", "[60, null]", "line 9: attenuationDb.1", "2 values in row 2 for 3 nodes"),
        ("  - [null, 60, null]\nflows", "flows", "line 9: attenuationDb.1", "2 rows for 3 nodes"),
        ("[60, null, 60]", "[60, 5, 60]", "line 9: attenuationDb.1.1", "5.0 dB from node 0002 to itself"),
        ('- {address: "0002"}', '- {address: "0001"}', "line 5: nodes.1.address", "and nodes.0"),
        ('- {address: "0002"}', '- {address: "8002"}', "line 5: nodes.1.address", "'8002' is outside the unicast"),
        ("groups: [c000]", 'groups: [c000, "0005"]', "line 6: nodes.2.groups.1", "0005 is a unicast address"),
        ("groups: [c000]", "groups: [c000, ffff]", "line 6: nodes.2.groups.1", "nobody subscribes; leave it out"),
        ('"0002"}', '"0002", ttl: 1}', "line 5: nodes.1.ttl", "ttl 1 is not sent by stack zephyr"),
        ("ttl: 5", "ttl: 1", "line 2: defaults.ttl", "ttl 1 is not sent by stack zephyr"),
        ('"0002"}', '"0002", replayListUsed: 500}', "line 5: nodes.1.replayListUsed", "give replayListEntries"),
        (
            '"0002"}', '"0002", replayListEntries: 9, replayListUsed: 9}', "line 5: nodes.1.replayListUsed",
            "9 used, at most 8",
        ),
        (
            '"0002"}', '"0002", relay: false, lowPower: {friend: "0001", pollSeconds: 0.1}}',
            "line 5: nodes.1.lowPower.pollSeconds", "poll interval 0.1 s is outside 1.820..345600",
        ),
        (
            '"0002"}', '"0002", lowPower: {friend: "0009", pollSeconds: 10}}', "line 5: nodes.1.lowPower.friend",
            "unknown node 0009; there are 3, 0001 to 0003",
        ),
        ("destination: c000", 'destination: "0044"', "line 12: flows.0.destination", "unknown node 0044"),
        ("destination: c000", 'destination: "0001"', "line 12: flows.0.destination", "would send to itself"),
        ("destination: c000", "destination: fffd", "line 12: flows.0.destination", "all-friends"),
        ("destination: c000", "destination: fffc", "line 12: flows.0.destination", "not modelled"),
        ("count: 3", 'count: 3, relays: ["0002", "0077"]', "line 12: flows.0.relays.1", "unknown node 0077"),
        (
            "name: three", 'name: three\nchanges: [{atSeconds: 4, node: "0002", poweredOn: false}]',
            "line 2: changes.0.atSeconds", "a change at 4 s comes after the end at 3 s",
        ),
        (
            "name: three",
            'name: three\nbackground: [{name: b, sources: ["0001"], destinations: ["0002", "0002"], ratePerSecond: 1}]',
            "line 2: background.0.destinations.1", "0002 is given twice; leave one out",
        ),
        ("name: three", "name: three\nregion: {nodes: [\"0009\"]}", "line 2: region.nodes.0", "unknown node 0009"),
        (
            "count: 3", 'count: 3, relays: ["0001", "0002-0009"]', "line 12: flows.0.relays.1",
            "unknown node 0004 in 0002-0009; there are 3, 0001 to 0003; name only nodes, by several ranges if need be",
        ),
        (
            "count: 3", "count: 3, retries: 2", "line 12: flows.0.retries",
            "2 retries without a response to wait for; give responsePduBytes",
        ),
        (
            '"0002"}', '"0002", lowPower: {friend: "0001", pollSeconds: 10}}', "line 5: nodes.1.relay",
            "does not relay (relay: true in defaults holds for it, too); set relay: false",
        ),
        (
            '"0002"}', '"0002", relay: true, lowPower: {friend: "0001", pollSeconds: 10}}', "line 5: nodes.1.relay",
            "a low-power node does not relay; set relay: false",
        ),
        (
            'groups: [c000]', 'groups: [c000], relay: false, lowPower: {friend: "0001", pollSeconds: 10}',
            "line 6: nodes.2.lowPower.friend", "there is no link 0003 to 0001; a low-power node and its friend hear",
        ),
        (
            'groups: [c000]}\nattenuationDb:\n  - [null, 60, null]\n  - [60, null, 60]\n',
            'groups: [c000], relay: false, lowPower: {friend: "0002", pollSeconds: 10}}\n'
            "attenuationDb:\n  - [null, 60, null]\n  - [60, null, null]\n",
            "line 6: nodes.2.lowPower.friend", "there is no link 0002 to 0003",
        ),
        ("60, null, 60]", "-60, null, 60]", "line 9: attenuationDb.1.0", "greater than or equal to 0 (got -60)"),
        ("60, null, 60]", '"many", null, 60]', "line 9: attenuationDb.1.0", "valid number (got 'many')"),
        ("60, null, 60]", "true, null, 60]", "line 9: attenuationDb.1.0", "valid number (got True)"),
        ("60, null, 60]", "1e999, null, 60]", "line 9: attenuationDb.1.0", "finite number"),
        ("count: 3", "count: 0", "line 12: flows.0.count", "greater than or equal to 1 (got 0)"),
        ("name: three", 'name: ""', "line 1: name", "at least 1 character"),
        ("name: three", 'startOfDay: "25:00"', "line 1: startOfDay", "a day ends at 24:00 (got '25:00')"),
        ("name: three", 'startOfDay: "24:01"', "line 1: startOfDay", "a day ends at 24:00 (got '24:01')"),
        (
            "name: three", 'interference: [{busyRatio: 0.5, fromTime: "08:30", untilTime: "8:30"}]',
            "line 1: interference.0.untilTime", "fromTime and untilTime are both 08:30, and there would be no bursts",
        ),
        (
            "name: three", 'interference: [{busyRatio: 0.5, fromTime: "24:00"}]',
            "line 1: interference.0", "fromTime and untilTime are both 24:00",
        ),
    ],
)  # fmt: skip
def test_fault_is_told_with_line_path_value_and_limit(old, new, place, said):
    assert old in BASE
    with pytest.raises(InvalidInput) as caught:
        parse_scenario(BASE.replace(old, new, 1), "m.yaml")
    assert f"m.yaml: {place}" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ('target: "0003"', 'target: "0030"', "line 9: links.1.target", "unknown node 0030"),
        ('source: "0002", target: "0003"', 'source: "0001", target: "0002"', "line 9: links.1", "and in links.0"),
        ('target: "0003"', 'target: "0002"', "line 9: links.1", "a link to itself"),
    ],
)
def test_fault_of_a_link_is_told_likewise(old, new, place, said):
    text = with_links(BASE)
    assert old in text
    with pytest.raises(InvalidInput) as caught:
        parse_scenario(text.replace(old, new, 1), "m.yaml")
    assert f"m.yaml: {place}" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ttl: 5", "tll: 5", "unknown key 'tll'; did you mean ttl? (m.yaml: line 2: defaults.tll)"),
        ("periodSeconds: 1", "period_seconds: 1", "unknown key 'period_seconds'; did you mean periodSeconds?"),
        ("groups: [c000]", "group: [c000]", "did you mean groups? (m.yaml: line 6: nodes.2.group)"),
        ("name: three", "name: three\nzzz: 1", "unknown key 'zzz'; there are attenuationDb, background"),
        ("name: three", "name: three\nradio: {rangem: 3}", "did you mean rangeM? (m.yaml: line 2: radio.rangem)"),
    ],
)
def test_unknown_key_is_told_with_the_nearest_known_one(old, new, said):
    with pytest.raises(InvalidInput) as caught:
        parse_scenario(BASE.replace(old, new, 1), "m.yaml")
    assert said in str(caught.value)


def test_low_power_node_with_segmented_messages_is_refused_with_its_line():
    text = BASE.replace("groups: [c000]", 'groups: [c000], relay: false, lowPower: {friend: "0002", pollSeconds: 10}')
    with pytest.raises(InvalidInput, match=r"press takes 3 segments.*\(m\.yaml: line 12: flows\.0\.accessBytes\)"):
        parse_scenario(text.replace("count: 3", "accessBytes: 30, count: 3"), "m.yaml")


def test_friend_may_be_out_of_reach_until_it_is_moved():
    near = """\
nodes:
  - {address: "0001", positionM: [50, 0]}
  - {address: "0002", positionM: [0, 0], lowPower: {friend: "0001", pollSeconds: 10}}
radio: {model: hardRange, rangeM: 9}
flows: [{name: f, source: "0002", destination: "0001", count: 3, periodSeconds: 1}]
"""
    with pytest.raises(InvalidInput, match="no link 0002 to 0001"):
        parse_scenario(near)
    scenario = parse_scenario(near + 'changes: [{atSeconds: 1, node: "0001", moveToM: [5, 0]}]\n')
    assert not scenario.links


def test_number_without_a_point_is_one_in_a_matrix_as_elsewhere():
    assert parse_scenario(BASE.replace("[60, null, 60]", "[6e1, null, 60]")).links == parse_scenario(BASE).links


def test_interference_of_a_whole_day_is_from_midnight_to_midnight():
    whole = 'interference: [{busyRatio: 0.5, fromTime: "00:00", untilTime: "24:00"}]'
    assert parse_scenario(BASE.replace("name: three", whole)).interference[0].until_s == 86_400.0


def test_interference_without_time_is_refused_in_a_program_too():
    with pytest.raises(InvalidInput, match=r"is no time \(interference\)"):
        ExternalInterference(busy_ratio=0.5, from_s=60.0, until_s=60.0)


def test_zero_on_the_diagonal_is_as_good_as_null():
    assert parse_scenario(BASE.replace("[60, null, 60]", "[60, 0, 60]")).links == parse_scenario(BASE).links


def test_message_to_all_nodes_is_for_everybody_but_its_source():
    (flow,) = parse_scenario(BASE.replace("destination: c000", "destination: ffff")).flows
    assert flow.members == (2, 3)


def test_message_to_all_relays_is_for_the_nodes_that_relay():
    text = BASE.replace("destination: c000", "destination: fffe").replace('"0002"}', '"0002", relay: false}')
    (flow,) = parse_scenario(text).flows
    assert flow.members == (3,)


def test_deadline_below_zero_is_refused_in_a_program_too():
    from dataclasses import replace

    scenario = parse_scenario(BASE)
    with pytest.raises(InvalidInput, match=r"deadline -5 ms is not above 0 \(three.flows.press\)"):
        replace(scenario, flows=(replace(scenario.flows[0], deadline_ms=-5),))
