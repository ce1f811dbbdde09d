"""The virtual Bluetooth Mesh: boot, configuration of whole networks, round trips per hop, memory."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import yaml
from tests.benchmarks.figures import Figure, at_most, percentile, told
from tests.integration.bluez_rig import make_chain, make_scenario

from meshtwin.emulation.scenario import parse_scenario
from meshtwin.errors import Unavailable
from meshtwin.gateway.bluez.config_client import ConfigClient
from meshtwin.gateway.bluez.config_messages import read_settings
from meshtwin.mesh.configuration import NodeSettings, Transmit
from meshtwin.virtual_air.network import VirtualNetwork
from meshtwin.virtual_air.plan import plan_network
from meshtwin.virtual_air.programs import find_programs, why_not_here
from meshtwin.virtual_air.self_check import check_stack

COMMAND = "python -m tests.benchmarks bluez"
BOOTS = 20
CONCURRENT = 3  # as the gateway: more questions at once collide with each other's answers
HOPS = 8
ROUND_TRIPS = 40  # per hop
WANTED = NodeSettings(
    relay=True,
    relay_retransmit=Transmit(count=0, interval_steps=1),
    network_transmit=Transmit(count=2, interval_steps=1),
    default_ttl=20,
)


def run() -> list[Figure]:
    """All figures; none where the daemon cannot be installed."""
    if why_not_here() is not None:
        return []
    return [
        *asyncio.run(_boots()),
        *asyncio.run(_configure(20, 10.0)),
        *asyncio.run(_configure(60, 60.0)),
        *asyncio.run(_chain()),
    ]


async def _boots() -> list[Figure]:
    """Fresh boots in a row, each with the self-check; a failed one raises."""
    took = []
    for _ in range(BOOTS):
        begin_s = time.monotonic()
        await _with_network(make_scenario(20, columns=5), check_stack)
        took.append(time.monotonic() - begin_s)
    return [
        at_most("bluez: boot, self-check and end of 20 nodes, slowest of 20", max(took), 3.0, "s", COMMAND),
        told("bluez: boot, self-check and end of 20 nodes, median", statistics.median(took), "s", COMMAND),
    ]


async def _configure(nodes: int, limit_s: float) -> list[Figure]:
    """Three settings of every node written over the air from one corner, then read back."""
    took: list[float] = []
    repeated: list[int] = []
    memory: list[Figure] = []

    async def work(network: VirtualNetwork) -> None:
        asking = await _client_of(network, 1)
        gate, sent = asyncio.Semaphore(CONCURRENT), network.air.transmissions

        async def one(address: int) -> None:
            async with gate:
                await asking.write(address, WANTED)
                if await asking.read(address) != WANTED:
                    raise AssertionError(f"node {address:04x} read back otherwise")

        begin_s = time.monotonic()
        await asyncio.gather(*(one(n.address) for n in network.plan.nodes if n.gateway_id is None))
        took.append(time.monotonic() - begin_s)
        repeated.append(network.air.transmissions - sent)
        memory.extend(_memory(network, nodes))

    far = [{"nodes": [f"0001-{nodes:04x}"], "defaultTtl": 20}]  # 60 nodes are up to 11 hops apart
    await _with_network(make_scenario(nodes, columns=5, gateway_node=f"{nodes:04x}", initial=far), work)
    name = f"bluez: {nodes} nodes, three settings each written and read back"
    return [at_most(name, took[0], limit_s, "s", COMMAND), told(f"{name}: PDUs", repeated[0], "", COMMAND), *memory]


async def _chain() -> list[Figure]:
    """Round trips of Config Relay Get along a chain without loss, three transmissions everywhere."""
    figures: list[Figure] = []

    async def work(network: VirtualNetwork) -> None:
        asking = await _client_of(network, 0)
        for hops in range(1, HOPS + 1):
            took, lost = await _round_trips(asking, 1 + hops, hops)
            figures.append(told(f"bluez: round trip over {hops} hops, median", statistics.median(took), "ms", COMMAND))
            figures.append(told(f"bluez: round trip over {hops} hops, mean", statistics.mean(took), "ms", COMMAND))
            figures.append(told(f"bluez: round trip over {hops} hops, p95", percentile(took, 95), "ms", COMMAND))
            figures.append(told(f"bluez: round trip over {hops} hops, lost of {ROUND_TRIPS}", lost, "", COMMAND))

        figures.append(told("bluez: PDUs handed over late by, mean", network.air.mean_late_ms, "ms", COMMAND))

    await _with_network(make_chain(HOPS + 2), work)
    return figures


async def _round_trips(asking: ConfigClient, address: int, hops: int) -> tuple[list[float], int]:
    took, lost = list[float](), 0
    for _ in range(ROUND_TRIPS):
        await asyncio.sleep(0.15)  # the copies of the last answer are gone
        begin_s = time.monotonic()
        try:
            await asking.ask(address, read_settings()[0], tries=1, hops=hops + 4)
            took.append((time.monotonic() - begin_s) * 1e3)
        except Unavailable:
            lost += 1
    return took, lost


async def _client_of(network: VirtualNetwork, index: int) -> ConfigClient:
    """The client of one node, which may configure all others from now on."""
    station = network.stations[index]
    if station.local is None or station.client is None:
        raise AssertionError(f"node {index} has no application")
    for i, node in enumerate(network.plan.nodes):
        if i != index:
            await station.local.know_remote(node.address, node.keys.device_key)
    return station.client


def _memory(network: VirtualNetwork, nodes: int) -> list[Figure]:
    daemons = [psutil.Process(s.daemon.pid).memory_info().rss / 2**20 for s in network.stations.values()]
    own = psutil.Process().memory_info().rss / 2**20
    return [
        told(f"bluez: {nodes} nodes, resident memory of a daemon, median", statistics.median(daemons), "MiB", COMMAND),
        told(f"bluez: {nodes} nodes, resident memory of air and all applications", own, "MiB", COMMAND),
    ]


async def _with_network(scenario: object, work: Callable[[VirtualNetwork], Awaitable[None]]) -> None:
    with tempfile.TemporaryDirectory(prefix="air") as folder:
        plan = plan_network(parse_scenario(yaml.safe_dump(scenario)))
        network = await VirtualNetwork.boot(plan, find_programs(), Path(folder))
        try:
            await work(network)
        finally:
            await network.stop()
