"""A virtual Bluetooth Mesh of real daemons: boot, hops, faults, configuration, and its end."""

import asyncio
import random
import re
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
import yaml
from tests.integration.bluez_rig import BluezRig, make_chain, make_scenario, until

from meshtwin.contract.access import Opcode, decode_access, decode_records, encode_access
from meshtwin.emulation.scenario import parse_scenario
from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.gateway.bluez.application import COMPANY_ID, MONITOR_MODEL
from meshtwin.gateway.bluez.config_client import ConfigClient
from meshtwin.gateway.bluez.config_messages import (
    Publication,
    ask_composition,
    ask_heartbeats_heard,
    bind_app_key,
    parse_composition,
    parse_heartbeats_heard,
    parse_publication,
    publish_heartbeat,
    read_publication,
    read_settings,
    subscribe_heartbeats,
)
from meshtwin.gateway.bluez.local_node import LocalNode
from meshtwin.gateway.bluez.node_application import NodeApplication
from meshtwin.mesh.configuration import NodeSettings, Transmit
from meshtwin.virtual_air.network import VirtualNetwork
from meshtwin.virtual_air.plan import plan_network
from meshtwin.virtual_air.programs import find_programs, why_not_here
from meshtwin.virtual_air.self_check import check_stack
from meshtwin.virtual_air.traffic import run_traffic

MISSING = why_not_here()
pytestmark = [pytest.mark.bluez, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

MODEL = (COMPANY_ID, MONITOR_MODEL)


async def boot(scenario: dict[str, Any], folder: str) -> VirtualNetwork:
    plan = plan_network(parse_scenario(yaml.safe_dump(scenario)))
    return await VirtualNetwork.boot(plan, find_programs(), Path(folder))


@pytest_asyncio.fixture
async def chain() -> AsyncIterator[VirtualNetwork]:
    """Nodes 1 to 5 in a row; a gateway's daemon, not commissioned, is the sixth."""
    with tempfile.TemporaryDirectory(prefix="air") as folder:
        network = await boot(make_chain(6), folder)
        try:
            await knows_all(network, 0)
            yield network
        finally:
            await network.stop()


async def knows_all(network: VirtualNetwork, index: int) -> None:
    """Let one node configure all others."""
    for i, node in enumerate(network.plan.nodes):
        if i != index:
            await local(network, index).know_remote(node.address, node.keys.device_key)


def local(network: VirtualNetwork, index: int) -> LocalNode:
    found = network.stations[index].local
    assert found is not None
    return found


def client(network: VirtualNetwork, index: int) -> ConfigClient:
    found = network.stations[index].client
    assert found is not None
    return found


def application(network: VirtualNetwork, index: int) -> NodeApplication:
    found = network.stations[index].application
    assert found is not None
    return found


async def test_the_stack_carries_a_get_and_a_heartbeat_over_two_hops(chain: VirtualNetwork) -> None:
    await check_stack(chain)

    assert (await client(chain, 1).read(2)) == chain.plan.nodes[1].settings


async def test_a_stack_that_does_not_relay_fails_the_check_at_start(chain: VirtualNetwork) -> None:
    chain.air._transmit = lambda *_: None  # type: ignore[method-assign]  # a broken bearer

    with pytest.raises(Unavailable, match="does not work over two hops") as failed:
        await check_stack(chain)

    assert failed.value.reason == "SelfCheckFailed"


async def test_settings_written_over_four_hops_are_read_back(chain: VirtualNetwork) -> None:
    wanted = NodeSettings(
        relay=False,
        relay_retransmit=Transmit(count=1, interval_steps=2),
        network_transmit=Transmit(count=3, interval_steps=1),
        default_ttl=9,
    )

    assert await client(chain, 0).write(5, wanted) == wanted
    assert await client(chain, 0).read(5) == wanted


async def test_a_node_beyond_a_relay_that_is_off_is_given_up_with_its_address(chain: VirtualNetwork) -> None:
    await client(chain, 0).write(2, NodeSettings(relay=False, relay_retransmit=Transmit(count=0, interval_steps=0)))

    with pytest.raises(Unavailable, match="0003") as silent:
        await client(chain, 0).ask(3, read_settings()[0], tries=2)

    assert silent.value.reason == "NoAnswer"


async def test_an_error_status_is_told_by_its_name(chain: VirtualNetwork) -> None:
    with pytest.raises(InvalidInput, match="InvalidAppKeyIndex") as refused:
        await client(chain, 0).ask(2, bind_app_key(2, 99, MODEL))

    assert refused.value.reason == "InvalidAppKeyIndex"


async def test_a_node_without_a_known_key_is_not_asked(chain: VirtualNetwork) -> None:
    with pytest.raises(InvalidInput, match="NotFound"):
        await client(chain, 0).ask(0x77, read_settings()[0])


async def test_composition_publication_and_heartbeats_are_read(chain: VirtualNetwork) -> None:
    asking = client(chain, 0)

    composition = parse_composition(await asking.ask(3, ask_composition()))
    publication = parse_publication(await asking.ask(3, read_publication(3, MODEL)))
    await asking.ask(1, subscribe_heartbeats(source=3, destination=0xFFFF, period_log=6))
    await asking.ask(3, publish_heartbeat(destination=0xFFFF, ttl=5, period_log=1, count_log=2))
    async with asyncio.timeout(20):
        while (heard := parse_heartbeats_heard(await asking.ask(1, ask_heartbeats_heard()))).count_low == 0:  # noqa: ASYNC110  # no signal for it
            await asyncio.sleep(0.2)

    assert composition.relay
    assert composition.replay_list_size >= 1000
    assert MODEL in composition.vendor_models
    assert publication == Publication(address=0xFFFF, ttl=0, retransmit=Transmit(count=1, interval_steps=0))
    assert (heard.source, heard.min_hops) == (3, 2)


async def test_a_notification_with_ttl_zero_reaches_neighbours_alone(chain: VirtualNetwork) -> None:
    for index in range(5):
        application(chain, index).received = []

    for counter in range(5):  # a single PDU may be missed while a scanner changes its channel
        await local(chain, 2).publish(encode_access(Opcode.NOTIFICATION, bytes((counter, 0, 1))))
        await asyncio.sleep(0.05)
    heard = [i for i in (0, 1, 3, 4) if any(source == 3 for _, source, _ in application(chain, i).received or [])]

    assert heard == [1, 3]
    assert chain.air.rssi_dbm(2, 1) == pytest.approx(-67.9, abs=8)
    assert chain.air.rssi_dbm(2, 0) is None


async def test_nodes_count_their_neighbours_and_report_to_the_gateway(chain: VirtualNetwork) -> None:
    reports: dict[int, set[int]] = {}
    for index in range(5):
        application(chain, index)._report_to = 1
    listener = application(chain, 0)
    listener.received = []

    # epoch 1, every 0.3 s, reports every 0.6 s, two messages each
    await local(chain, 0).send(0xD001, encode_access(Opcode.MONITOR, bytes((1, 3, 0, 6, 0, 2))))

    def all_reported() -> bool:
        for _, source, payload in listener.received or []:
            message = decode_access(payload)
            if message is not None and message.opcode is Opcode.REPORT:
                reports.setdefault(source, set()).update(r.neighbour_low for r in decode_records(message.parameters))
        return reports.keys() >= {2, 3, 4, 5}

    await until(all_reported, 30)

    assert all(neighbours <= {node - 1, node + 1} for node, neighbours in reports.items())


async def test_a_node_that_was_off_comes_back_with_its_settings_and_higher_sequence_numbers(
    chain: VirtualNetwork,
) -> None:
    wanted = NodeSettings(default_ttl=11)
    await client(chain, 0).write(2, wanted)
    before = await local(chain, 1).read_sequence_number()

    await chain.act({"op": "nodeOff", "node": "0002"})
    with pytest.raises(Unavailable):
        await client(chain, 0).ask(3, read_settings()[0], tries=1)
    await chain.act({"op": "nodeOn", "node": "0002"})

    assert (await client(chain, 0).read(2)).default_ttl == 11
    assert (await client(chain, 0).read(3)).relay is True
    assert await local(chain, 1).read_sequence_number() > before


async def test_a_link_down_and_a_partition_cut_the_mesh_until_it_is_healed(chain: VirtualNetwork) -> None:
    asking = client(chain, 0)

    for cut in ({"op": "linkDown", "source": "0002", "target": "0003"}, {"op": "partition", "nodes": ["0001", "0002"]}):
        await chain.act(cut)
        assert (await asking.read(2)).relay is True
        with pytest.raises(Unavailable):
            await asking.ask(3, read_settings()[0], tries=1)
        await chain.act({"op": "heal"})
        assert (await asking.read(3)).relay is True


async def test_unknown_faults_are_refused_with_their_place(chain: VirtualNetwork) -> None:
    with pytest.raises(InvalidInput, match="0099"):
        await chain.act({"op": "nodeOff", "node": "0099"})
    with pytest.raises(InvalidInput, match="earthquake"):
        await chain.act({"op": "earthquake"})
    with pytest.raises(InvalidInput, match="no number"):
        await chain.act({"op": "fade", "source": "0001", "target": "0002", "lossDb": float("nan")})


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_no_daemon_outlives_the_process_of_the_air(tmp_path: Path, number: signal.Signals) -> None:
    rig = BluezRig(tmp_path, make_scenario(4))
    try:
        await rig.start()
        children = psutil.Process(rig.air_process.pid).children(recursive=True)
        assert len(children) == 4 + 2  # a daemon per node, a bus for the nodes, one for the gateway

        rig.air_process.send_signal(number)

        await until(lambda: not any(c.is_running() and c.status() != psutil.STATUS_ZOMBIE for c in children), 10)
    finally:
        await rig.stop()


async def test_the_folder_of_an_air_that_was_killed_is_removed_by_the_next(tmp_path: Path) -> None:
    rig = BluezRig(tmp_path, make_scenario(2))
    try:
        await rig.start()
        left = Path(rig.mesh_settings()["keysFile"]).parent
        rig.air_process.kill()
        rig.air_process.wait()
        assert left.exists()

        await rig.start()

        assert not left.exists()
    finally:
        await rig.stop()


async def test_a_daemon_that_dies_by_itself_is_told(chain: VirtualNetwork) -> None:
    psutil.Process(chain.stations[random.Random(1).randrange(5)].daemon.pid).kill()

    async with asyncio.timeout(5):
        said = await chain.ended
    assert re.search(r"daemon of node 000\d ended with code -9\. Its log ends: .+", said)


async def test_buttons_are_pressed_and_faults_come_by_themselves() -> None:
    flows = [{"name": "lights", "source": "0001", "destination": "c001", "ratePerMinute": 600}]
    faults = [{"atSeconds": 0.3, "action": {"op": "nodeOff", "node": "0004"}}]
    with tempfile.TemporaryDirectory(prefix="air") as folder:
        network = await boot(make_scenario(6) | {"flows": flows, "faults": faults}, folder)
        try:
            lamp = application(network, 2)
            lamp.received = []
            traffic = asyncio.ensure_future(run_traffic(network))

            await until(lambda: not network.stations[3].daemon.is_running, 10)
            await until(lambda: any(source == 1 for _, source, _ in lamp.received or []), 10)

            traffic.cancel()
            await asyncio.gather(traffic, return_exceptions=True)
        finally:
            await network.stop()
