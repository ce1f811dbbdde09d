"""Snapshots for those who ask a model without a twin: from a file, and from a scenario."""

import json
from pathlib import Path

import pytest

import meshtwin
from meshtwin.errors import InvalidInput
from meshtwin.foreign import find_judge, read_snapshot
from meshtwin.northbound.messages import SnapshotMessage
from meshtwin.sim.from_snapshot import scenario_from_snapshot
from meshtwin.sim.to_snapshot import to_snapshot
from meshtwin.twins.partial import PartialSnapshot

SAMPLES = Path(__file__).parents[3] / "manifests" / "samples" / "scenarios"
CORRIDOR = meshtwin.read_scenario(SAMPLES / "corridor.yaml")
SNAPSHOT = to_snapshot(CORRIDOR)
TOLD = SnapshotMessage.from_value(PartialSnapshot(snapshot=SNAPSHOT)).model_dump_json(by_alias=True)


def test_snapshot_is_read_from_a_file_and_from_text_as_a_twin_tells_it(tmp_path):
    (tmp_path / "s.json").write_text(TOLD)
    assert read_snapshot(tmp_path / "s.json") == read_snapshot(TOLD) == read_snapshot(TOLD.encode()) == SNAPSHOT


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda told: told["links"][0].update(deliveryAlpha="much"), "links.0.deliveryAlpha"),
        (lambda told: told.pop("takenAt"), "takenAt"),
        (lambda told: told["configuration"][0].update(nodes=["0777"]), "configuration"),
    ],
)
def test_wrong_field_of_a_snapshot_is_named(change, place, tmp_path):
    told = json.loads(TOLD)
    change(told)
    path = tmp_path / "s.json"
    path.write_text(json.dumps(told))
    with pytest.raises(InvalidInput) as caught:
        read_snapshot(path)
    assert str(path) in caught.value.place
    assert place in caught.value.place


@pytest.mark.parametrize("source", [5, None, "nowhere.json", b"[]", "{"])
def test_what_is_no_snapshot_is_refused(source):
    with pytest.raises(InvalidInput):
        read_snapshot(source)


def test_snapshot_of_a_scenario_gives_its_nodes_settings_links_and_flows_again():
    again = scenario_from_snapshot(SNAPSHOT)
    settings = [(n.address, n.relay, n.ttl, n.network_transmit, n.relay_retransmit) for n in CORRIDOR.nodes]
    assert [(n.address, n.relay, n.ttl, n.network_transmit, n.relay_retransmit) for n in again.nodes] == settings
    powers = {(k.source, k.target): k.rx_power_dbm for k in CORRIDOR.links}
    assert {(k.source, k.target): k.rx_power_dbm for k in again.links} == powers
    assert [(f.name, f.source, f.members) for f in again.flows] == [
        (f.name, f.source, f.members) for f in CORRIDOR.flows
    ]
    assert again.profile == CORRIDOR.profile


def test_node_that_is_off_is_in_no_snapshot():
    snapshot = to_snapshot(meshtwin.read_scenario(SAMPLES / "lamp-off.yaml"))
    assert 0x12 not in {node.address for node in snapshot.nodes}
    assert not [link for link in snapshot.links if 0x12 in (link.source, link.target)]


@pytest.mark.parametrize(
    ("name", "told"), [("wifi", "interference"), ("low-power", "low power"), ("segmented", "segments")]
)
def test_what_a_snapshot_has_no_place_for_is_refused(name, told):
    with pytest.raises(InvalidInput, match=f"a snapshot can't say: .*{told}"):
        to_snapshot(meshtwin.read_scenario(SAMPLES / f"{name}.yaml"))


def test_our_model_judges_the_snapshot_of_a_scenario():
    silent = meshtwin.Configuration.of({node.address: meshtwin.NodeSettings(relay=False) for node in SNAPSHOT.nodes})
    plan = meshtwin.JudgePlan(seed=1, replications=2, messages_per_flow=20)
    judge = find_judge("packet-simulator")
    as_it_is, without = judge.judge(SNAPSHOT, [meshtwin.Configuration(), silent], plan, meshtwin.no_progress)
    assert as_it_is.flows[0].delivery.estimate > without.flows[0].delivery.estimate


def test_judge_is_found_by_a_name_and_by_nothing_else():
    with pytest.raises(InvalidInput, match="5 is no name; models are named by a word or an address"):
        find_judge(5)
    with pytest.raises(InvalidInput, match="is a judge itself"):
        find_judge(find_judge("packet-simulator"))
