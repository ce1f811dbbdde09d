"""Emulated nodes' monitoring model: it answers as the standard says, and does what its publication says."""

from dataclasses import replace

import pytest
from tests.unit.emulation.test_emulated_mesh import Gateway, make_chain

from meshtwin.contract.access import Opcode, decode_access, encode_access
from meshtwin.contract.model_messages import (
    MONITORING_MODEL,
    ModelAt,
    ask_publication,
    ask_subscriptions,
    parse_publication,
    parse_subscriptions,
    set_publication,
    subscribe,
)
from meshtwin.emulation.world import World

AT = ModelAt(element=3, model=MONITORING_MODEL)
GROUP = 0xC001
MONITOR = encode_access(Opcode.MONITOR, bytes((1,)) + (20).to_bytes(2, "little") + (200).to_bytes(2, "little") + b"\2")


def ask(gateway: Gateway, payload: bytes) -> bytes:
    """Parameters of the one Status that node 3 answers."""
    ((source, answer, _),) = gateway.ask(3, payload)
    message = decode_access(answer)
    assert source == 3
    assert message is not None
    return message.parameters


def test_a_publication_is_read_set_and_read_back() -> None:
    gateway = Gateway(World(make_chain(4), 1))
    before = parse_publication(ask(gateway, ask_publication(AT))[1:], AT)
    wanted = replace(before, ttl=5)

    acknowledged = ask(gateway, set_publication(AT, wanted))

    assert (before.address, before.ttl) == (0xFFFF, 0)
    assert acknowledged[0] == 0
    assert parse_publication(acknowledged[1:], AT) == wanted
    assert parse_publication(ask(gateway, ask_publication(AT))[1:], AT) == wanted


def test_a_group_that_is_added_is_listed_and_received() -> None:
    world = World(make_chain(4), 1)
    gateway = Gateway(world)
    before = parse_subscriptions(ask(gateway, ask_subscriptions(AT))[1:], AT)

    assert ask(gateway, subscribe(AT, GROUP))[0] == 0
    assert ask(gateway, subscribe(AT, GROUP))[0] == 0  # once more changes nothing

    assert before == (0xD001,)
    assert parse_subscriptions(ask(gateway, ask_subscriptions(AT))[1:], AT) == (GROUP, 0xD001)
    world.send(0, GROUP, encode_access(Opcode.SWITCH, b"\1"))
    world.env.run(until=world.env.now + 5)
    assert set(world.tally.fates[-1].latency_s) == {2}


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (ModelAt(element=4, model=MONITORING_MODEL), 1),
        (ModelAt(element=3, model=(0x05F1, 9)), 2),
        (ModelAt(element=3, model=0x1000), 2),
    ],
)
def test_questions_about_another_element_or_model_are_answered_with_an_error_status(at: ModelAt, code: int) -> None:
    gateway = Gateway(World(make_chain(4), 1))

    assert [
        ask(gateway, payload)[0] for payload in (ask_publication(at), ask_subscriptions(at), subscribe(at, GROUP))
    ] == [code] * 3


def test_a_node_that_refuses_keeps_its_publication() -> None:
    gateway = Gateway(World(make_chain(4, refuses=True), 1))
    before = parse_publication(ask(gateway, ask_publication(AT))[1:], AT)

    assert ask(gateway, set_publication(AT, replace(before, ttl=5)))[0] == 0x0F
    assert parse_publication(ask(gateway, ask_publication(AT))[1:], AT) == before


@pytest.mark.parametrize("payload", [ask_publication(AT)[:-1], b"\x03\x03", b"\x80\x1b\x03\x00"])
def test_messages_of_the_wrong_size_are_ignored(payload: bytes) -> None:
    assert Gateway(World(make_chain(4), 1)).ask(3, payload) == []


@pytest.mark.parametrize(("ttl", "heard_by"), [(1, {2, 4}), (5, {1, 2, 4, 5})])
def test_notifications_go_as_far_as_the_publication_says(ttl: int, heard_by: set[int]) -> None:
    world = World(make_chain(5), 1)
    world.act({"op": "publication", "node": "0003", "ttl": ttl})

    world.send(0, 0xD001, MONITOR)
    world.env.run(until=60)

    assert {i + 1 for i, firmware in enumerate(world.firmwares) if 3 in firmware.heard} == heard_by


def test_a_model_that_publishes_to_nobody_is_not_heard() -> None:
    world = World(make_chain(3), 1)
    models = world.firmwares[2].models
    models.publication = replace(models.publication, address=0)

    world.send(0, 0xD001, MONITOR)
    world.env.run(until=60)

    assert 3 not in world.firmwares[1].heard
