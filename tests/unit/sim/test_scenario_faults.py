"""What is wrong beyond the shape of a file: told with file, line, path, value and limit."""

import pytest

from meshtwin.errors import InvalidInput
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
            '"0002"}', '"0002", lowPower: {friend: "0001", pollSeconds: 0.1}}', "line 5: nodes.1.lowPower.pollSeconds",
            "poll interval 0.1 s is outside 1.820..345600",
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
