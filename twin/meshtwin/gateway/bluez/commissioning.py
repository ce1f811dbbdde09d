"""Making a daemon into a node of the network: what a commissioning tool does once, before the network is in use.

A node configures itself through its own Configuration Server, over loopback: no message of this goes on the air.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from meshtwin.contract.model_messages import MONITORING_MODEL
from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.gateway.bluez.application import Arrival
from meshtwin.gateway.bluez.config_client import ConfigClient
from meshtwin.gateway.bluez.config_messages import (
    Publication,
    bind_app_key,
    set_beacon,
    set_publication,
    set_settings,
    subscribe_group,
)
from meshtwin.gateway.bluez.local_node import APP_KEY_INDEX, LocalNode, NodeKeys
from meshtwin.gateway.bluez.node_application import NOTIFICATION_TRANSMISSIONS
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import NodeSettings, Transmit

__all__ = ["ALL_NODES", "FIRST_SETTINGS", "MODEL", "NOTIFICATION", "commission", "equip"]

ALL_NODES: Final = 0xFFFF
MODEL: Final = MONITORING_MODEL
APP_KEY_STATUS: Final = b"\x80\x03"
APP_KEY_LIMIT_S: Final = 5.0  # two segments and their answer over loopback take some 0.1 s on a busy machine
SUCCESS: Final = 0  # status code; Mesh Protocol 1.1, 4.3.5
# BlueZ 5.66 takes the retransmit count for the number of transmissions (mesh/model.c, mesh_model_publish), where
# the standard has one more; and 0 for sending without end (MESH_IO_TX_COUNT_UNLIMITED).
FIRST_SETTINGS: Final = NodeSettings(
    relay=True,
    relay_retransmit=Transmit(count=0, interval_steps=1),
    network_transmit=Transmit(count=2, interval_steps=1),
    default_ttl=7,
)  # BlueZ's imported nodes come with relay off and odd values, so that everything is said
NOTIFICATION: Final = Publication(
    address=ALL_NODES, ttl=0, retransmit=Transmit(count=NOTIFICATION_TRANSMISSIONS, interval_steps=0)
)


async def commission(
    local: LocalNode, keys: NodeKeys, *, groups: Iterable[int], settings: NodeSettings = FIRST_SETTINGS
) -> tuple[int, ConfigClient]:
    """Make, attach and configure a node; its token, and a client that can configure it."""
    token = await local.make(keys)
    await local.attach(token)
    return token, await equip(local, keys, groups=groups, settings=settings)


async def equip(
    local: LocalNode,
    keys: NodeKeys,
    *,
    groups: Iterable[int],
    settings: NodeSettings = FIRST_SETTINGS,
    limit_s: float = APP_KEY_LIMIT_S,
) -> ConfigClient:
    """Give an attached node its keys, publication, subscriptions and first settings; may be repeated.

    Raises `Unavailable` if the daemon or the node in it is silent, `InvalidInput` if it refuses something.
    """
    await _add_keys(local, keys, limit_s)
    client = ConfigClient(local)
    address = keys.address
    questions = [bind_app_key(address, APP_KEY_INDEX, MODEL), set_publication(address, NOTIFICATION, MODEL)]
    questions += [subscribe_group(address, group, MODEL) for group in groups]
    questions += [set_beacon(is_on=False), *set_settings(settings)]
    for question in questions:
        await client.ask(address, question)
    return client


async def _add_keys(local: LocalNode, keys: NodeKeys, limit_s: float) -> None:
    """Give the node its application key; returns when the node says that it has it."""
    place = format_address(UnicastAddress(keys.address))
    added: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def notice(arrival: Arrival) -> None:
        is_own = arrival.is_device_key and arrival.source == keys.address
        if is_own and arrival.payload.startswith(APP_KEY_STATUS) and not added.done():
            added.set_result(arrival.payload[len(APP_KEY_STATUS) :])

    local.on_arrival = notice
    await local.learn_keys(keys)
    try:
        async with asyncio.timeout(limit_s):
            status = await added
    except TimeoutError as error:
        message = f"the node did not take the application key within {limit_s:g} s; is the daemon overloaded?"
        raise Unavailable(message, reason="NodeSilent", place=place) from error
    if not status or status[0] != SUCCESS:
        code = f"status {status[0]}" if status else "no status"
        message = f"the node does not take the application key: {code} (Mesh Protocol 1.1, 4.3.5)"
        raise InvalidInput(message, reason="KeyRefused", place=place)
