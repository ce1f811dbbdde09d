"""The emulated mesh: flooding rules, physics, firmware, faults. Mesh time only; nothing waits."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from meshtwin.contract.access import (
    Opcode,
    decode_access,
    decode_records,
    decode_status,
    encode_access,
    encode_get,
    encode_set,
)
from meshtwin.emulation.medium import Pdu
from meshtwin.emulation.scenario import MeshScenario, parse_scenario, read_scenario
from meshtwin.emulation.world import World
from meshtwin.errors import InvalidInput
from meshtwin.mesh.configuration import NodeSettings, Transmit

OFFICE = Path(__file__).parents[3] / "manifests/samples/emulated-building/mesh.yaml"
CLEAR_RADIO = {"shadowingDb": 0, "directionDb": 0, "channelDb": 0, "sensitivityDbm": -75}


def make_chain(count: int, ttl: int = 10, relay: str = "Enabled", **node: Any) -> MeshScenario:
    """Nodes 5 m apart, each hearing only its neighbours, the gateway at the first."""
    return MeshScenario.model_validate(
        {
            "meshUuid": "m",
            "radio": CLEAR_RADIO,
            "gateways": [{"id": "g", "node": "0001", "reportGroup": "d001"}],
            "initial": [
                {
                    "nodes": [f"0001-{count:04x}"],
                    "relay": relay,
                    "defaultTtl": ttl,
                    "networkTransmit": {"count": 4, "intervalSteps": 1},
                    "relayRetransmit": {"count": 4, "intervalSteps": 1},
                }
            ],
            "nodes": [
                {"address": f"{i + 1:04x}", "x": 5.0 * i, "y": 0.0, "gateway": "g", **node} for i in range(count)
            ],
        }
    )


class Gateway:
    """Hears what comes to the attached node."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.index = world.attachment("g").index
        self.heard: list[tuple[int, bytes, int]] = []
        world.listeners[self.index] = lambda source, _d, payload, ttl, _p: self.heard.append((source, payload, ttl))

    def ask(self, node: int, payload: bytes, ttl: int | None = None) -> list[tuple[int, bytes, int]]:
        self.heard.clear()
        self.world.send(self.index, node, payload, ttl)
        self.world.env.run(until=self.world.env.now + 5)
        return list(self.heard)


RELAY_GET = encode_access(Opcode.RELAY_GET)


def test_a_message_reaches_the_end_of_a_chain_and_is_answered() -> None:
    answers = Gateway(World(make_chain(5), 1)).ask(5, RELAY_GET)

    assert [(source, ttl) for source, _, ttl in answers] == [(5, 10 - 3)]


@pytest.mark.parametrize(("ttl", "reached"), [(0, 1), (2, 2), (3, 3), (4, 4)])
def test_the_ttl_bounds_how_far_a_message_goes(ttl: int, reached: int) -> None:
    world = World(make_chain(6), 1)

    world.send(0, 0xFFFF, encode_access(Opcode.SWITCH, b"\1"), ttl)
    world.env.run(until=20)

    assert len(world.tally.fates[0].latency_s) == reached


def test_a_message_with_ttl_one_is_not_relayed() -> None:
    world = World(make_chain(4), 1)

    world.send(0, 0xFFFF, encode_access(Opcode.SWITCH, b"\1"), 1)
    world.env.run(until=5)

    assert set(world.tally.fates[0].latency_s) == {1}


def test_without_relays_only_neighbours_hear() -> None:
    gateway = Gateway(World(make_chain(4, relay="Disabled"), 1))

    assert gateway.ask(2, RELAY_GET)
    assert not gateway.ask(3, RELAY_GET)


def test_a_node_is_configured_by_messages_and_says_what_it_has() -> None:
    gateway = Gateway(World(make_chain(3), 1))
    wanted = NodeSettings(
        relay=False,
        relay_retransmit=Transmit(count=1, interval_steps=3),
        network_transmit=Transmit(count=2, interval_steps=0),
        default_ttl=5,
    )

    for payload in encode_set(wanted, NodeSettings()):
        assert gateway.ask(3, payload)
    read = NodeSettings()
    for payload in encode_get():
        answer = decode_access(gateway.ask(3, payload)[0][1])
        assert answer is not None
        read = read.overlaid(decode_status(answer))

    assert read == wanted


def test_a_node_that_refuses_answers_with_what_it_keeps() -> None:
    gateway = Gateway(World(make_chain(2, refuses=True), 1))

    answer = decode_access(gateway.ask(2, encode_access(Opcode.DEFAULT_TTL_SET, b"\x05"))[0][1])

    assert answer is not None
    assert decode_status(answer).default_ttl == 10


def test_a_prohibited_value_is_ignored() -> None:
    gateway = Gateway(World(make_chain(2), 1))

    assert gateway.ask(2, encode_access(Opcode.DEFAULT_TTL_SET, b"\x01")) == []


def test_a_node_that_is_off_cuts_the_chain_and_comes_back_with_its_settings() -> None:
    world = World(make_chain(3), 1)
    gateway = Gateway(world)
    world.act({"op": "nodeOff", "node": "0002"})
    assert not gateway.ask(3, RELAY_GET)

    world.act({"op": "nodeOn", "node": "0002"})

    assert gateway.ask(3, RELAY_GET)


def test_a_faded_link_cuts_the_chain() -> None:
    world = World(make_chain(3), 1)
    gateway = Gateway(world)

    world.act({"op": "fade", "source": "0002", "target": "0003", "lossDb": 60})

    assert gateway.ask(2, RELAY_GET)
    assert not gateway.ask(3, RELAY_GET)


def make_pdu(world: World, source: int) -> Pdu:
    size = len(world.networks)
    return Pdu(source, source + 1, 0xFFFF, b"", 0.0, 0, bytearray(size), bytearray(size))


def test_nodes_that_send_at_the_same_time_do_not_hear_each_other() -> None:
    world = World(make_chain(2), 1)
    pdus = [make_pdu(world, source) for source in (0, 1)]

    for source, pdu in enumerate(pdus):
        world.medium.transmit(source, pdu, 0)
    world.env.run(until=1)

    assert [sum(pdu.heard) for pdu in pdus] == [0, 0]


def test_equally_strong_transmissions_that_overlap_destroy_each_other() -> None:
    world = World(make_chain(3), 1)
    alone, first, second = make_pdu(world, 0), make_pdu(world, 0), make_pdu(world, 2)

    for copy in range(10):  # one alone may be missed at a change of the scanned channel
        world.env.run(until=1 + copy * 0.05)
        world.medium.transmit(0, alone, 0)
    for copy in range(10):
        world.env.run(until=2 + copy * 0.05)
        world.medium.transmit(0, first, 0)
        world.medium.transmit(2, second, 0)
    world.env.run(until=3)

    assert alone.heard[1]
    assert not first.heard[1]
    assert not second.heard[1]
    assert world.medium.collisions > 0


def test_neighbours_are_counted_and_reported() -> None:
    world = World(make_chain(3), 1)
    gateway = Gateway(world)
    parameters = bytes((1,)) + (10).to_bytes(2, "little") + (50).to_bytes(2, "little") + b"\2"
    world.send(0, 0xD001, encode_access(Opcode.MONITOR, parameters))
    world.env.run(until=60)

    reports = [(s, m) for s, p, _ in gateway.heard if (m := decode_access(p)) and m.opcode is Opcode.REPORT]
    records = [(s, r) for s, m in reports for r in decode_records(m.parameters)]

    assert {(s, r.neighbour_low) for s, r in records} == {(1, 2), (2, 1), (2, 3), (3, 2)}
    assert all(r.received <= r.expected and r.transmissions == 5 for _, r in records)
    assert max(r.expected for _, r in records) >= 30


def test_interference_destroys_a_share_of_receptions() -> None:
    quiet, noisy = World(make_chain(2), 1), World(make_chain(2), 1)
    noisy.medium.channel_loss[:] = [1.0, 1.0, 1.0]

    assert Gateway(quiet).ask(2, RELAY_GET)
    assert not Gateway(noisy).ask(2, RELAY_GET)


def test_the_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    def run(seed: int) -> dict[str, Any]:
        scenario = read_scenario(OFFICE)
        world = World(scenario, seed)
        world.send(0, 0xC001, encode_access(Opcode.SWITCH, b"\1"))
        world.env.run(until=3)
        return world.truth()

    first, again, other = run(3), run(3), run(4)
    assert first == again
    assert first["links"] != other["links"]


def test_the_office_is_one_connected_mesh_that_reaches_its_lamps() -> None:
    scenario = read_scenario(OFFICE)
    assert len(scenario.nodes) == 52
    for seed in (1, 2, 3):
        world = World(scenario, seed)
        for flow in scenario.flows:
            index = world.index(int(flow.source, 16))
            world.send(index, int(flow.destination, 16), encode_access(Opcode.SWITCH, b"\1"))
        world.env.run(until=8)
        assert all(len(fate.latency_s) == 10 for fate in list(world.tally.fates)[:2])


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"nodes": []}, "nodes"),
        ({"speed": 3}, "speed"),
        ({"gateways": [{"id": "g", "node": "0009", "reportGroup": "d001"}]}, "0009"),
        ({"initial": [{"nodes": ["0100"], "defaultTtl": 5}]}, "initial"),
        ({"initial": [{"nodes": ["0001"], "defaultTtl": 1}]}, "ttl 1"),
        ({"flows": [{"name": "f", "source": "0009", "destination": "c001", "ratePerMinute": 1}]}, "0009"),
    ],
)
def test_impossible_scenarios_are_refused_with_the_place(change: dict[str, Any], place: str) -> None:
    plain = make_chain(3).model_dump(by_alias=True, mode="json", exclude_none=True) | change

    with pytest.raises(InvalidInput, match=place):
        parse_scenario(yaml.safe_dump(plain))


@pytest.mark.parametrize(("line", "message"), [("seed: 007", "octal"), ("seed: 1\nseed: 2", "given twice")])
def test_ambiguous_values_of_a_scenario_are_refused_with_their_line(line: str, message: str) -> None:
    plain = make_chain(3).model_dump(by_alias=True, mode="json", exclude_none=True)
    plain.pop("seed")

    with pytest.raises(InvalidInput, match=message) as caught:
        parse_scenario(f"{line}\n{yaml.safe_dump(plain)}", "mesh.yaml")

    assert caught.value.place.startswith("mesh.yaml: line ")


def test_scenario_without_end_is_refused_and_not_read_into_memory() -> None:
    with pytest.raises(InvalidInput, match="more bytes than"):
        read_scenario(Path("/dev/zero"))
