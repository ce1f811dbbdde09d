"""Does the stack carry messages over two hops? Asked once at start, on three nodes in a row without loss.

What can go wrong is the shim: a daemon of another build relays PDUs without their NetMIC, which nobody accepts.
"""

import asyncio
from dataclasses import replace
from typing import Final

from meshtwin.emulation.radio import Reach
from meshtwin.errors import MeshTwinError, Unavailable
from meshtwin.gateway.bluez.commissioning import ALL_NODES
from meshtwin.gateway.bluez.config_client import ConfigClient
from meshtwin.gateway.bluez.config_messages import (
    ask_heartbeats_heard,
    parse_heartbeats_heard,
    publish_heartbeat,
    read_settings,
    set_settings,
    subscribe_heartbeats,
)
from meshtwin.gateway.bluez.local_node import LocalNode
from meshtwin.mesh.configuration import Transmit
from meshtwin.virtual_air.network import VirtualNetwork

__all__ = ["check_stack"]

NEAR_DBM: Final = -40.0
GET_TRIES: Final = 3
HEARTBEAT_TTL: Final = 5
HEARTBEAT_TRIES: Final = 3
HEARTBEAT_WAIT_S: Final = 0.15  # one relay, three copies 20 ms apart
RELAY_FEATURE: Final = 1
LISTEN_LOG: Final = 5  # 16 s


async def check_stack(network: VirtualNetwork) -> None:
    """A get over two hops, and a relayed heartbeat; the network is afterwards as it was.

    Raises `Unavailable` (``SelfCheckFailed``) with what did not work. A network with fewer than three nodes
    besides gateways is not checked.
    """
    own = [i for i, s in network.stations.items() if s.local is not None and s.client is not None][:3]
    if len(own) < 3:
        return
    reaches = network.air.physics.reaches[:]
    network.air.physics.reaches[:] = _chain(own, len(reaches))
    try:
        await _check(network, *own)
    except MeshTwinError as error:
        raise Unavailable(
            f"the mesh stack does not work over two hops: {error}; is this the unmodified package with its shim?",
            reason="SelfCheckFailed",
        ) from error
    finally:
        network.air.physics.reaches[:] = reaches


async def _check(network: VirtualNetwork, first: int, middle: int, last: int) -> None:
    (near, asking), (_, relaying), (_, far) = (_parts(network, i) for i in (first, middle, last))
    nodes = network.plan.nodes
    here, between, there = (nodes[i].address for i in (first, middle, last))
    sure = replace(nodes[middle].settings, relay=True, relay_retransmit=Transmit(count=2, interval_steps=1))
    await relaying.write(between, sure)
    await near.know_remote(there, nodes[last].keys.device_key)
    try:
        await asking.ask(there, read_settings()[0], tries=GET_TRIES, hops=2)
        await asking.ask(here, subscribe_heartbeats(source=there, destination=ALL_NODES, period_log=LISTEN_LOG))
        await far.ask(there, publish_heartbeat(destination=ALL_NODES, ttl=HEARTBEAT_TTL, features=RELAY_FEATURE))
        await _check_heartbeat(asking, far, here, there, is_relay=bool(nodes[last].settings.relay))
    finally:
        await far.ask(there, publish_heartbeat(destination=0, ttl=0))
        await asking.ask(here, subscribe_heartbeats(source=0, destination=0, period_log=0))
        await near.forget_remote(there)
        for client, index in ((relaying, middle), (far, last)):
            await client.write(nodes[index].address, nodes[index].settings)


async def _check_heartbeat(asking: ConfigClient, far: ConfigClient, here: int, there: int, *, is_relay: bool) -> None:
    """Switch a feature of the far node until its heartbeat was heard, two hops away."""
    switched = not is_relay
    for _ in range(HEARTBEAT_TRIES):
        settings = replace(await far.read(there), relay=switched)
        await far.ask(there, set_settings(settings)[0])
        await asyncio.sleep(HEARTBEAT_WAIT_S)
        heard = parse_heartbeats_heard(await asking.ask(here, ask_heartbeats_heard()))
        if heard.count_low > 0:
            if heard.min_hops != 2:
                raise Unavailable(f"a heartbeat over two hops says {heard.min_hops}", reason="SelfCheckFailed")
            return
        switched = not switched
    raise Unavailable("no relayed heartbeat", reason="SelfCheckFailed")


def _parts(network: VirtualNetwork, index: int) -> tuple[LocalNode, ConfigClient]:
    station = network.stations[index]
    if station.local is None or station.client is None:
        raise Unavailable("no application", reason="SelfCheckFailed", place=f"node {index}")
    return station.local, station.client


def _chain(indices: list[int], size: int) -> list[tuple[Reach, ...]]:
    """Three nodes in a row that hear their neighbours always; nobody else hears anything."""
    reaches: list[tuple[Reach, ...]] = [() for _ in range(size)]
    first, middle, last = (Reach(i, (1.0, 1.0, 1.0), (NEAR_DBM,) * 3) for i in indices)
    reaches[indices[0]] = reaches[indices[2]] = (middle,)
    reaches[indices[1]] = (first, last)
    return reaches
