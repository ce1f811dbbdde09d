"""Where nodes' monitoring models publish, and to whom they listen, is read, put right, and told where it cannot be."""

from dataclasses import replace

import pytest
from tests.unit.gateway.observed_mesh import GROUP, IDENTITY, MONITOR, NOTIFICATION, ObservedMesh

from meshtwin.contract.access import Opcode
from meshtwin.contract.configuration import FlowSpec, Verb
from meshtwin.gateway.memory import parse_memory

NOTIFYING = replace(IDENTITY, notification=NOTIFICATION)
RELAYED = replace(NOTIFICATION, ttl=5)
FLOW = FlowSpec(name="lights", source="0005", destination="c001", members=["0001", "0002", "0003"], deadline_ms=150)


def observe(mesh: ObservedMesh, run_s: float = 120, **more: object) -> ObservedMesh:
    mesh.command(Verb.ADOPT, "a0")
    mesh.command(Verb.MONITOR, run_s=run_s, **(MONITOR | more))
    return mesh


def written(mesh: ObservedMesh) -> list[int]:
    return mesh.questions(Opcode.MODEL_PUBLICATION_SET) + mesh.questions(Opcode.MODEL_SUBSCRIPTION_ADD)


def test_models_that_are_as_they_must_be_are_read_once_and_not_written() -> None:
    mesh = observe(ObservedMesh(identity=NOTIFYING))

    assert sorted(mesh.questions(Opcode.MODEL_PUBLICATION_GET)) == [1, 2, 3, 4, 5]
    assert sorted(mesh.questions(Opcode.VENDOR_SUBSCRIPTION_GET)) == [1, 2, 3, 4, 5]
    assert written(mesh) == []
    assert mesh.observing.warnings == []


@pytest.mark.parametrize(
    "wrong",
    [
        RELAYED,
        replace(NOTIFICATION, address=0),
        replace(NOTIFICATION, period_code=0x45),
        replace(NOTIFICATION, key_index=3),
        replace(NOTIFICATION, retransmit=replace(NOTIFICATION.retransmit, count=0)),
    ],
)
def test_another_publication_is_set_once_and_read_back(wrong: object) -> None:
    mesh = ObservedMesh(identity=NOTIFYING)
    mesh.models[3].publication = wrong  # type: ignore[assignment]

    observe(mesh)

    assert mesh.models[3].publication == NOTIFICATION
    assert mesh.questions(Opcode.MODEL_PUBLICATION_SET) == [3]
    assert mesh.questions(Opcode.MODEL_PUBLICATION_GET).count(3) == 2
    assert mesh.core.memory.models[mesh.nodes[2]].publication == NOTIFICATION
    assert mesh.observing.warnings == []


def test_a_model_that_does_not_listen_to_the_report_group_is_subscribed_and_told_to_notify() -> None:
    mesh = ObservedMesh(identity=NOTIFYING)
    mesh.models[4].groups = {0xC001}

    observe(mesh)

    assert mesh.models[4].groups == {0xC001, GROUP}
    assert mesh.questions(Opcode.MODEL_SUBSCRIPTION_ADD) == [4]
    added = next(i for i, (_, m) in enumerate(mesh.asked) if m.opcode is Opcode.MODEL_SUBSCRIPTION_ADD)
    assert any(m.opcode is Opcode.MONITOR for _, m in mesh.asked[added:])


def test_all_nodes_count_anew_once_after_publications_were_set() -> None:
    mesh = ObservedMesh(identity=NOTIFYING, size=10)
    for node in (1, 6, 10):  # of three jobs
        mesh.models[node].publication = RELAYED
    before = observe(mesh, run_s=0.5).core.memory.monitor_epoch

    mesh.run(300)

    assert written(mesh) == [1, 6, 10]
    assert mesh.core.memory.monitor_epoch == before + 1


def test_a_node_that_refuses_is_named_with_what_to_do() -> None:
    mesh = ObservedMesh(identity=NOTIFYING)
    mesh.models[2].publication, mesh.models[2].refuses = RELAYED, True

    observe(mesh)

    (warning,) = mesh.observing.warnings
    assert "monitoring models of 0002 are not as they must be" in warning
    assert "Model Publication Set is refused: CannotSet" in warning
    assert warning.endswith("Set them with the commissioning tool, then adopt again")
    assert mesh.observing.active


def test_a_node_that_refuses_does_not_make_others_count_anew_at_every_adoption() -> None:
    mesh = ObservedMesh(identity=NOTIFYING)
    mesh.models[2].publication, mesh.models[2].refuses = RELAYED, True
    before = observe(mesh).core.memory.monitor_epoch
    mesh.run(600)

    mesh.command(Verb.ADOPT, "a9", run_s=120)

    assert mesh.questions(Opcode.MODEL_PUBLICATION_SET) == [2, 2]
    assert mesh.core.memory.monitor_epoch == before


def test_a_node_without_the_monitoring_model_at_its_primary_element_is_named() -> None:
    mesh = ObservedMesh(identity=NOTIFYING)
    mesh.models[2].address = 77  # the model is elsewhere

    observe(mesh)

    assert "InvalidAddress" in mesh.observing.warnings[0]
    assert written(mesh) == []


def test_members_of_a_flow_that_do_not_listen_to_its_group_are_told_and_not_changed() -> None:
    mesh = ObservedMesh(identity=NOTIFYING)
    mesh.models[2].groups.add(0xC001)

    observe(mesh, flows=[FLOW])

    (warning,) = mesh.observing.warnings
    assert "flows to c001" in warning
    assert warning.endswith(": 0003")  # 0001 is the gateway's node, which subscribes itself
    assert written(mesh) == []


def test_a_silent_node_is_told_and_read_when_it_is_heard() -> None:
    mesh = ObservedMesh(identity=NOTIFYING)
    mesh.command(Verb.ADOPT, "a0")
    mesh.command(Verb.MONITOR, "a1", run_s=1, **MONITOR)
    mesh.models[5].publication = RELAYED
    mesh.silent = {5}
    mesh.run(300)
    assert any("0005" in warning for warning in mesh.observing.warnings)

    mesh.silent = set()
    mesh.receive(5, Opcode.SWITCH, b"\1")
    mesh.run(120)

    assert mesh.models[5].publication == NOTIFICATION
    assert mesh.observing.warnings == []


@pytest.mark.parametrize("killed_s", [0.5, 1.0, 2.0, 4.0, 8.0, 16.0])
def test_a_gateway_killed_in_between_goes_on_with_those_that_are_missing(killed_s: float) -> None:
    mesh = ObservedMesh(identity=NOTIFYING, size=10)
    for node in range(1, 11):
        mesh.models[node].publication, mesh.models[node].groups = RELAYED, set()
    observe(mesh, run_s=killed_s)
    done = {int(node) for node in parse_memory(mesh.disk, "disk").models}
    mesh.asked.clear()

    mesh.start()
    mesh.run(300)

    assert all(model.publication == NOTIFICATION and GROUP in model.groups for model in mesh.models.values())
    assert set(mesh.questions(Opcode.MODEL_PUBLICATION_GET)) == set(range(1, 11)) - done


def test_a_gateway_that_comes_back_with_another_report_group_subscribes_everybody_to_it() -> None:
    mesh = observe(ObservedMesh(identity=NOTIFYING))

    mesh.identity = replace(NOTIFYING, report_group=0xD002)
    mesh.start()
    mesh.run(120)

    assert all(model.groups == {GROUP, 0xD002} for model in mesh.models.values())


def test_a_lost_answer_is_asked_for_again() -> None:
    mesh = ObservedMesh(identity=NOTIFYING, lost=set(range(20, 90, 3)))
    mesh.models[3].publication = RELAYED

    observe(mesh, run_s=300)

    assert mesh.models[3].publication == NOTIFICATION
    assert mesh.core.memory.models.keys() == set(mesh.nodes)


def test_a_publication_that_somebody_changes_later_is_put_right_when_the_network_is_adopted_again() -> None:
    mesh = observe(ObservedMesh(identity=NOTIFYING))
    mesh.run(600)
    mesh.models[3].publication = RELAYED

    mesh.command(Verb.ADOPT, "a9", run_s=120)

    assert mesh.models[3].publication == NOTIFICATION


@pytest.mark.parametrize(
    "identity", [IDENTITY, replace(NOTIFYING, observability="heartbeats")], ids=["not asked for", "heartbeats"]
)
def test_models_are_left_alone_where_nodes_need_not_notify(identity: object) -> None:
    mesh = observe(ObservedMesh(identity=identity), run_s=600)  # type: ignore[arg-type]

    assert mesh.questions(Opcode.MODEL_PUBLICATION_GET) == []
