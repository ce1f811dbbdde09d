"""Faults in local mode, with every part a real process: broker, mesh, gateways, twins, operator.

After each fault the network is on the last confirmed or on the approved configuration, the status tells the
truth, and nothing needed a human. One building for all tests: it is filled once, each test pushes a change.
"""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from tests.integration.sample_building import Building, is_alive, until

from meshtwin.errors import InvalidInput
from meshtwin_operator.cli.decisions import condition
from meshtwin_operator.local.brokers import secret_name
from meshtwin_operator.local.users import local_user

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SPEED = 30.0  # mesh seconds per second
# Fewer repeats than the sample begins with: better on purpose, so that only the fault can spoil a push.
CALM = {
    "networkTransmit": {"count": 2, "intervalSteps": 1},
    "relayRetransmit": {"count": 1, "intervalSteps": 1},
}
NODES = {
    "office-north": ["0001-000a", "0010-0019", "0028-002b"],
    "office-south": ["000b-000f", "001a-0027", "002c-0034"],
}


def propose(building: Building, segment: str, settings: dict[str, Any]) -> str:
    """An engineer's proposal for all nodes of a segment."""
    return building.propose(segment, settings, NODES[segment])


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Building]:
    made = Building(tmp_path_factory.mktemp("building"), "office", speed=SPEED)
    try:
        for name in ("mesh", "operator", *made.processes.gateways):
            made.start(name)
        until(made.state.store.is_file, lambda: (made.folder.parent / "operator.log").read_text()[-500:], limit_s=30)
        for segment in ("office-north", "office-south"):
            until(lambda s=segment: made.revision(s) == 0, lambda s=segment: made.get("MeshSegment", s).get("status"))
        yield made
    finally:
        made.close()


def assert_confirmed(building: Building, segment: str, configuration: str) -> None:
    """The approved configuration is in force, and every status says so."""
    assert building.reach(configuration) == "Confirmed"
    wanted = building.get("MeshConfiguration", configuration)["spec"]["revision"]
    until(lambda: building.revision(segment) == wanted, lambda: building.get("MeshSegment", segment).get("status"))
    confirmed = condition(building.get("MeshConfiguration", configuration), "Confirmed")
    assert confirmed is not None
    assert confirmed["status"] == "True"


def test_second_operator_on_the_same_state_is_refused(building: Building) -> None:
    second = subprocess.run(
        building.processes.operator(building.folder), capture_output=True, text=True, timeout=60, check=False
    )
    assert second.returncode == 1
    assert "AlreadyRunning" in second.stderr
    assert building.get("DigitalTwin", "office")


def test_approval_in_somebody_elses_name_is_refused(building: Building) -> None:
    with pytest.raises(InvalidInput, match="is not the requesting user"):
        building.access.create(
            {
                "apiVersion": "meshtwin.dev/v1alpha1",
                "kind": "Approval",
                "metadata": {"name": "forged"},
                "spec": {
                    "proposalRef": {"name": "x"},
                    "decision": "Approve",
                    "digest": "sha256:" + "0" * 64,
                    "approvedBy": local_user() + "-not",
                },
            }
        )


def test_operator_killed_between_commit_and_confirm_goes_on_where_it_stopped(building: Building) -> None:
    configuration = building.approve(propose(building, "office-north", {**CALM, "defaultTtl": 20}))
    assert building.reach(configuration, "Verifying") == "Verifying"
    children = building.children()
    building.kill("operator")
    until(lambda: not any(is_alive(pid) for pid in children.values()))
    building.start("operator")
    assert_confirmed(building, "office-north", configuration)


def test_operator_killed_between_writing_status_and_publishing_sends_the_command_again(building: Building) -> None:
    configuration = building.approve(propose(building, "office-south", {**CALM, "defaultTtl": 21}))
    assert building.reach(configuration, "Staging", "MeasuringBaseline") in {"Staging", "MeasuringBaseline"}
    building.kill("operator")
    building.start("operator")
    assert_confirmed(building, "office-south", configuration)


def test_gateway_killed_between_commit_and_confirm_remembers_what_is_armed(building: Building) -> None:
    configuration = building.approve(propose(building, "office-north", {**CALM, "defaultTtl": 22}))
    assert building.reach(configuration, "Verifying") == "Verifying"
    building.kill("gw-north")
    building.start("gw-north")
    verdict = building.reach(configuration)
    assert verdict in {"Confirmed", "RolledBack", "TimedOut"}
    spec = building.get("MeshConfiguration", configuration)["spec"]
    wanted = spec["revision"] if verdict == "Confirmed" else spec["baseRevision"]
    until(lambda: building.revision("office-north") == wanted)


def test_broker_restarted_during_a_push_does_not_stop_it(building: Building) -> None:
    configuration = building.approve(propose(building, "office-south", {**CALM, "defaultTtl": 23}))
    assert building.reach(configuration, "MeasuringBaseline", "Committing") in {"MeasuringBaseline", "Committing"}
    os.kill(building.children()["office-broker"], signal.SIGKILL)
    assert_confirmed(building, "office-south", configuration)


def test_killed_twin_comes_back_with_what_it_knew(building: Building) -> None:
    until(lambda: (building.get("MeshSegment", "office-north").get("status") or {}).get("links", 0) > 100)
    pid = building.children()["office-north-segment"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: building.children().get("office-north-segment", pid) != pid)

    def is_ready() -> bool:
        found = condition(building.get("MeshSegment", "office-north"), "Ready")
        return found is not None and found["status"] == "True"

    until(is_ready)
    assert building.get("MeshSegment", "office-north")["status"]["links"] > 100


def test_harmful_configuration_is_taken_back_once_and_never_pushed_again(building: Building) -> None:
    before = building.revision("office-north")
    harmful = {"relay": "Disabled", "networkTransmit": {"count": 0, "intervalSteps": 1}, "defaultTtl": 2}
    configuration = building.approve(propose(building, "office-north", harmful))
    assert building.reach(configuration) == "RolledBack"
    until(lambda: building.revision("office-north") == before)
    generation = building.get("MeshConfiguration", configuration)["metadata"]["generation"]
    building.stop("operator")
    building.start("operator")
    until(lambda: building.access.events("MeshConfiguration", configuration) != [])
    assert building.step(configuration) == "RolledBack"
    assert building.get("MeshConfiguration", configuration)["metadata"]["generation"] == generation
    assert building.revision("office-north") == before


def test_every_verdict_is_on_its_scorecard_once_whoever_was_killed(building: Building) -> None:
    until(lambda: "office-north-segment" in building.children())  # the operator was started just before
    os.kill(building.children()["office-north-segment"], signal.SIGKILL)
    building.kill("operator")
    building.start("operator")
    for segment in NODES:
        until(lambda s=segment: is_scored(building, s), lambda s=segment: pushes(building, s))
        attempts = sorted(status["push"]["attemptId"] for status in pushes(building, segment))
        card = building.state.child(building.processes.namespace, f"{segment}-segment") / "data" / "scorecard.json"
        entered = sorted(json.loads(card.read_text())["pushes"]) if card.exists() else []
        assert entered == attempts
        count = len(attempts)
        until(lambda s=segment, n=count: shown_pushes(building, s) == n, lambda s=segment: pushes(building, s))


def pushes(building: Building, segment: str) -> list[dict[str, Any]]:
    """Status of each configuration of a segment that was predicted and measured."""
    records = building.access.list_objects("MeshConfiguration")
    mine = [r.get("status") or {} for r in records if r["spec"]["segmentRef"]["name"] == segment]
    return [status for status in mine if "predicted" in status and "measuredBefore" in status]


def is_scored(building: Building, segment: str) -> bool:
    """Whether all of them are entered."""
    return all((status.get("scored") or {}).get("result") == "Entered" for status in pushes(building, segment))


def shown_pushes(building: Building, segment: str) -> int:
    """As the segment's status has it."""
    card = (building.get("MeshSegment", segment).get("status") or {}).get("scorecard") or {}
    return int(card.get("pushes", 0))


def test_deleting_a_segment_ends_its_twin_and_leaves_the_network_alone(building: Building) -> None:
    segments = building.folder / "segments.yaml"
    kept = segments.read_text()
    building.stop("operator")
    segments.write_text(kept.partition("---\n")[0])
    building.start("operator")
    until(lambda: not building.get("MeshSegment", "office-south"))
    until(lambda: building.children() != {} and "office-south-segment" not in building.children())
    records = [m["metadata"]["name"] for m in building.access.list_objects("MeshConfiguration")]
    assert any(name.startswith("office-south-r") for name in records)

    def is_cleared() -> bool:
        try:
            return not any("south" in topic for topic in retained(building))
        except ConnectionRefusedError:  # the broker is a child of the operator that was started again
            return False

    until(is_cleared, lambda: sorted(retained(building)))
    assert {"meshtwin/v1/gateways/gw-north/state", SUMMARY.format("office-north")} <= retained(building)


SUMMARY = "meshtwin/v1/twins/buildings.{}-segment/summary"


def retained(building: Building) -> set[str]:
    """Topics at which the broker keeps something, asked as the operator."""
    password = building.state.secret(secret_name("buildings", "office", "operator")).read_text().strip()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.username_pw_set("operator", password)
    found: set[str] = set()
    is_over = threading.Event()
    client.on_connect = lambda *_: client.subscribe("meshtwin/v1/#", qos=1)
    # What is kept comes before the answer to a message of our own, which is not kept.
    client.on_subscribe = lambda *_: client.publish(SUMMARY.format("nobody"), b"end", qos=1)

    def take(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.retain:
            found.add(message.topic)
        elif message.topic == SUMMARY.format("nobody"):
            is_over.set()

    client.on_message = take
    client.connect("127.0.0.1", building.state.port("buildings.office-broker"))
    client.loop_start()
    try:
        assert is_over.wait(10)
    finally:
        client.disconnect()
        client.loop_stop()
    return found


def test_stopping_leaves_no_process_behind(building: Building) -> None:
    until(lambda: building.children() != {})
    children = building.children()
    assert building.stop("operator") == 0
    assert not any(is_alive(pid) for pid in children.values())
