"""What an earlier run of the gateway switched on is switched off when it is started at another level."""

from dataclasses import replace
from typing import Any

from tests.unit.gateway.observed_mesh import IDENTITY, MONITOR, ObservedMesh

from meshtwin.contract.access import Opcode
from meshtwin.contract.configuration import Verb

BY_HEARTBEATS = replace(IDENTITY, observability="heartbeats")
FAST: dict[str, Any] = MONITOR | {"notification_interval_seconds": 1, "airtime_budget_percent": 50}


def observed(level: str, **of_mesh: Any) -> ObservedMesh:
    """A mesh that was observed at a level for a while."""
    mesh = ObservedMesh(identity=BY_HEARTBEATS if level == "heartbeats" else IDENTITY, **of_mesh)
    mesh.command(Verb.ADOPT, "a0")
    mesh.command(Verb.MONITOR, run_s=300, **FAST)
    return mesh


def restart(mesh: ObservedMesh, level: str, run_s: float = 120.0) -> None:
    mesh.identity = BY_HEARTBEATS if level == "heartbeats" else IDENTITY
    mesh.asked.clear()
    mesh.start()
    mesh.run(run_s)


def publishers(mesh: ObservedMesh) -> set[int]:
    return {node for node, state in mesh.heartbeats.items() if state.ttl is not None}


def monitor_intervals(mesh: ObservedMesh) -> set[bytes]:
    """Notification intervals that nodes were told since the restart, as on the air."""
    return {message.parameters[1:3] for _, message in mesh.asked if message.opcode is Opcode.MONITOR}


def test_nodes_publish_no_heartbeats_once_the_gateway_observes_by_notifications() -> None:
    mesh = observed("heartbeats")
    assert publishers(mesh) == {1, 2, 3, 4, 5}

    restart(mesh, "notifications")

    assert publishers(mesh) == set()
    assert mesh.observing.active
    assert mesh.core.memory.heartbeat_publishers == ()


def test_a_node_that_was_off_is_told_when_it_is_heard_even_by_a_later_run() -> None:
    mesh = observed("heartbeats")
    mesh.silent = {4}
    restart(mesh, "notifications")
    assert publishers(mesh) == {4}

    mesh.run(60)
    mesh.silent = set()
    mesh.receive(4, Opcode.RELAY_STATUS, b"\x01\x00")
    mesh.run(60)
    assert publishers(mesh) == set()

    asked = len(mesh.questions(Opcode.HEARTBEAT_PUBLICATION_SET))
    mesh.run(3600)
    assert len(mesh.questions(Opcode.HEARTBEAT_PUBLICATION_SET)) == asked


def test_notifications_end_once_the_gateway_observes_by_heartbeats() -> None:
    mesh = observed("notifications")
    assert monitor_intervals(mesh) == {b"\x0a\x00"}

    restart(mesh, "heartbeats")

    assert monitor_intervals(mesh) == {b"\x00\x00"}
    assert publishers(mesh) == {1, 2, 3, 4, 5}


def test_nodes_that_were_never_told_to_notify_are_not_told_to_stop() -> None:
    assert monitor_intervals(observed("heartbeats")) == set()


def test_notifications_of_an_earlier_run_end_when_a_replay_list_turns_out_too_small() -> None:
    mesh = observed("notifications")
    mesh.identity = replace(IDENTITY, network_nodes=2000)

    mesh.asked.clear()
    mesh.start()
    mesh.run(60)

    assert not mesh.observing.active
    assert monitor_intervals(mesh) == {b"\x00\x00"}


def test_the_level_may_go_back_and_forth() -> None:
    mesh = observed("heartbeats")
    for level, publishing in (("notifications", 0), ("heartbeats", 5), ("notifications", 0)):
        restart(mesh, level)
        assert len(publishers(mesh)) == publishing
        assert monitor_intervals(mesh) == ({b"\x00\x00"} if publishing else {b"\x0a\x00"})
