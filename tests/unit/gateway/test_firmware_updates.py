"""Composition data is read again: all of it when the network is adopted again, one node at a time all the while."""

from dataclasses import replace

from tests.unit.gateway.observed_mesh import IDENTITY, MONITOR, ObservedMesh

from meshtwin.contract.access import Opcode
from meshtwin.contract.configuration import Verb
from meshtwin.contract.telemetry import NodeTelemetry
from meshtwin.gateway.turns import READ_BACKS_PER_LOOK
from meshtwin.mesh.reporting import READ_BACK_PAUSE_S


def observed() -> ObservedMesh:
    mesh = ObservedMesh()
    mesh.command(Verb.ADOPT, "a0")
    mesh.command(Verb.MONITOR, run_s=60, **MONITOR)
    mesh.asked.clear()
    return mesh


def versions(mesh: ObservedMesh) -> dict[str, int]:
    """Firmware versions as the gateway told them last."""
    reports = mesh.told(NodeTelemetry)[-1].nodes
    return {report.node: report.composition.vid for report in reports if report.composition is not None}


def test_new_firmware_shows_when_the_network_is_adopted_again() -> None:
    mesh = observed()
    mesh.run(600)
    mesh.versions[3] = 2

    mesh.command(Verb.ADOPT, "a2", run_s=60)

    assert sorted(mesh.questions(Opcode.COMPOSITION_GET)) == [1, 2, 3, 4, 5]
    assert versions(mesh) == dict.fromkeys(mesh.names, 1) | {"0003": 2}
    assert mesh.core.memory.compositions[mesh.nodes[2]].version == 2


def test_an_adoption_right_after_composition_data_was_read_does_not_ask_twice() -> None:
    mesh = observed()

    mesh.command(Verb.ADOPT, "a2", run_s=60)

    assert mesh.questions(Opcode.COMPOSITION_GET) == []


def test_new_firmware_shows_after_a_while_and_every_node_has_its_turn() -> None:
    mesh = observed()
    mesh.versions = dict.fromkeys(range(1, 6), 2)
    mesh.silent = {2}  # its turns must not be those of the others

    mesh.run(12 * READ_BACKS_PER_LOOK * READ_BACK_PAUSE_S)

    assert versions(mesh) == dict.fromkeys(mesh.names, 2) | {"0002": 1}


def test_a_replay_list_that_firmware_made_smaller_holds_notifications_back() -> None:
    mesh = observed()
    mesh.run(600)
    mesh.crpl[3] = 2

    mesh.command(Verb.ADOPT, "a2", run_s=60)

    assert not mesh.observing.active
    assert "0003 (CRPL 2, needs 4)" in mesh.observing.warnings[0]


def test_what_is_known_holds_while_a_node_does_not_answer() -> None:
    mesh = observed()
    mesh.run(600)
    mesh.silent = {3}

    mesh.command(Verb.ADOPT, "a2", run_s=120)

    assert versions(mesh) == dict.fromkeys(mesh.names, 1)
    assert mesh.observing.active
    assert not any("composition" in warning for warning in mesh.observing.warnings)


def test_a_stack_without_composition_data_is_never_asked() -> None:
    mesh = ObservedMesh(identity=replace(IDENTITY, reads_composition=False))
    mesh.command(Verb.ADOPT, "a0")
    mesh.command(Verb.MONITOR, run_s=7200, **MONITOR)

    assert mesh.questions(Opcode.COMPOSITION_GET) == []
