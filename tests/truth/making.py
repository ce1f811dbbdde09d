"""Drawing a network: radio, places, flows, configuration and troubles, all from one seed."""

import math
import random
from collections.abc import Sequence
from typing import Final

from meshtwin.contract.wire import SettingsEntry
from meshtwin.emulation.radio import reception_probability
from meshtwin.emulation.scenario import FlowModel, GatewayModel, MeshScenario, NodeModel, RadioModel
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit, compress_settings
from meshtwin.mesh.nodes import Flow
from tests.truth.places import Place

__all__ = [
    "LIGHTS",
    "SENSOR",
    "choose_dead",
    "draw_configuration",
    "draw_flows",
    "find_usable",
    "is_connected",
    "to_scenario",
]

MESH_UUID: Final = "74727574-6800-4d65-9368-000000000001"
GATEWAY_ID: Final = "gw"
REPORT_GROUP: Final = "d001"
LIGHTS: Final = (0xC001, 0xC002)  # groups of lamps, each with a button
SENSOR: Final = "sensor"  # name of the flow to the gateway
LIGHTS_DEADLINE_MS: Final = 150
SENSOR_DEADLINE_MS: Final = 500
USABLE: Final = 0.5  # delivery of a link that counts for being connected


def spacing_for(kind: str, radio: RadioModel, degree: float) -> float:
    """Metres between neighbours that give about ``degree`` neighbours within the median range of the radio."""
    margin_db = radio.tx_power_dbm - radio.reference_loss_db - radio.sensitivity_dbm
    range_m = 10 ** (margin_db / (10 * radio.exponent))
    if kind == "corridor":
        return 4 * range_m / degree
    return range_m * math.sqrt(math.pi / degree)


def draw_configuration(addresses: Sequence[UnicastAddress], rng: random.Random) -> Configuration:
    """What a building has before somebody cares: all relay, high TTL, many repeats; equal on all nodes."""
    settings = NodeSettings(
        relay=True,
        relay_retransmit=Transmit(count=rng.choice((0, 1, 2, 2, 4)), interval_steps=rng.choice((1, 1, 2))),
        network_transmit=Transmit(count=rng.choice((1, 2, 2, 5)), interval_steps=rng.choice((1, 1, 2))),
        default_ttl=rng.choice((10, 32, 127)),
    )
    return Configuration.of(dict.fromkeys(addresses, settings))


def draw_flows(
    places: Sequence[Place], gateway: int, rng: random.Random
) -> tuple[list[Flow], dict[int, frozenset[int]]]:
    """Two buttons for the lamps around two points, and a sensor far from the gateway; members by group."""
    size = len(places)
    groups: dict[int, frozenset[int]] = {}
    flows = []
    for number, group in enumerate(LIGHTS):
        centre = places[rng.randrange(size)]
        nearest = sorted(range(size), key=lambda i: (math.dist(places[i], centre), i))
        members = frozenset(rng.sample(nearest[: max(4, size // 2)], max(3, size // 4)))
        source = rng.choice([i for i in range(size) if i != gateway])
        groups[group] = members
        flows.append(_flow(f"lights-{number + 1}", source, group, 6.0, LIGHTS_DEADLINE_MS))
    far = sorted(range(size), key=lambda i: (-math.dist(places[i], places[gateway]), i))
    flows.append(_flow(SENSOR, rng.choice(far[: max(1, size // 3)]), gateway + 1, 2.0, SENSOR_DEADLINE_MS))
    return flows, groups


def _flow(name: str, source: int, destination: int, rate_per_minute: float, deadline_ms: int) -> Flow:
    return Flow(
        name=name,
        source=UnicastAddress(source + 1),
        destination=destination,
        rate_per_minute=rate_per_minute,
        deadline_ms=deadline_ms,
    )


def to_scenario(
    places: Sequence[Place],
    radio: RadioModel,
    gateway: int,
    flows: Sequence[Flow],
    groups: dict[int, frozenset[int]],
    configuration: Configuration,
) -> MeshScenario:
    """The emulated mesh of a drawn network; node i has address i + 1."""
    addresses = [UnicastAddress(i + 1) for i in range(len(places))]
    return MeshScenario(
        mesh_uuid=MESH_UUID,
        radio=radio,
        gateways=[GatewayModel(id=GATEWAY_ID, node=format_address(addresses[gateway]), report_group=REPORT_GROUP)],
        nodes=[
            NodeModel(
                address=format_address(address),
                x=x,
                y=y,
                gateway=GATEWAY_ID,
                groups=[format_address(group) for group, members in groups.items() if i in members],
            )
            for i, (address, (x, y)) in enumerate(zip(addresses, places, strict=True))
        ],
        flows=[
            FlowModel(
                name=flow.name,
                source=format_address(flow.source),
                destination=format_address(flow.destination),
                rate_per_minute=flow.rate_per_minute,
            )
            for flow in flows
        ],
        initial=to_entries(configuration),
    )


def to_entries(configuration: Configuration) -> list[SettingsEntry]:
    """The configuration as the emulated mesh reads it."""
    return [SettingsEntry.from_value(e) for e in compress_settings(configuration, list(configuration.addresses))]


def find_usable(power_dbm: Sequence[Sequence[Sequence[float]]], radio: RadioModel) -> list[list[int]]:
    """Receivers of every node that get at least `USABLE` of what it sends, from powers per channel."""
    return [
        [j for j, powers in enumerate(row) if sum(reception_probability(p, radio) for p in powers) / 3 >= USABLE]
        for row in power_dbm
    ]


def is_connected(usable: list[list[int]], silent: frozenset[int] = frozenset()) -> bool:
    """Whether every node reaches every other over usable links, ``silent`` nodes not forwarding."""
    return all(len(_flooded(usable, source, silent)) == len(usable) for source in range(len(usable)))


def _flooded(usable: list[list[int]], source: int, silent: frozenset[int]) -> set[int]:
    reached, border = {source}, [source]
    while border:
        node = border.pop()
        if node in silent and node != source:
            continue
        fresh = [j for j in usable[node] if j not in reached]
        reached.update(fresh)
        border += fresh
    return reached


def choose_dead(usable: list[list[int]], count: int, rng: random.Random) -> frozenset[int]:
    """``count`` nodes whose relays are dead, so that the others still connect all; fewer where that is not found."""
    for fewer in range(min(count, len(usable) - 2), 0, -1):
        for _ in range(5):
            dead = frozenset(rng.sample(range(len(usable)), fewer))
            if is_connected(usable, dead):
                return dead
    return frozenset()
