"""What a burst does to a mesh of bluetooth-meshd whose relays have queues without bound and a short message cache."""

import asyncio
import tempfile
from pathlib import Path
from typing import Final

from tests.benchmarks.figures import Figure, told

from meshtwin.contract.access import Opcode, encode_access
from meshtwin.emulation.scenario import parse_scenario
from meshtwin.virtual_air.network import VirtualNetwork
from meshtwin.virtual_air.plan import plan_network
from meshtwin.virtual_air.programs import find_programs, why_not_here

COMMAND: Final = "python -m tests.benchmarks bluez_overload"
SCENARIO: Final = Path(__file__).parents[2] / "manifests" / "samples" / "bluez-building" / "mesh.yaml"
TTL_OF_SCENARIO: Final = "defaultTtl: 12"
GROUP: Final = 0xC001
LONE_S: Final = 3.0  # for one message to be through
BURST: Final = 6  # messages of each node, handed over at once
WATCHED_S: Final = 90.0
QUIET_PDUS_PER_S: Final = 10


def run() -> list[Figure]:
    """All figures; none where the daemon cannot be installed."""
    if why_not_here() is not None:
        return []
    return [figure for ttl in (7, 12, 127) for figure in asyncio.run(_burst(ttl))]


async def _burst(ttl: int) -> list[Figure]:
    """PDUs per message of a burst over those of a lone one, and when the mesh is quiet again."""
    text = SCENARIO.read_text().replace(TTL_OF_SCENARIO, f"defaultTtl: {ttl}")
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        network = await VirtualNetwork.boot(plan_network(parse_scenario(text)), find_programs(), Path(folder))
        try:
            nodes = [station.local for station in network.stations.values() if station.local is not None]
            begun = network.air.transmissions
            await nodes[0].send(GROUP, encode_access(Opcode.SWITCH, b"\0"))
            await asyncio.sleep(LONE_S)
            lone = network.air.transmissions - begun

            begun = network.air.transmissions
            for number in range(BURST):
                for node in nodes:
                    await node.send(GROUP, encode_access(Opcode.SWITCH, bytes((number + 1,))))
            quiet_s, last = 0.0, -1
            while quiet_s < WATCHED_S and network.air.transmissions - last > QUIET_PDUS_PER_S:
                last = network.air.transmissions
                await asyncio.sleep(1.0)
                quiet_s += 1
            ratio = (network.air.transmissions - begun) / (lone * BURST * len(nodes))
        finally:
            await network.stop()
    name = f"burst of {BURST * len(nodes)} messages, TTL {ttl}"
    return [
        told(f"{name}: PDUs per message over those of a lone one", ratio, "", COMMAND),
        told(f"{name}: until the mesh is quiet ({WATCHED_S:g}: not within it)", quiet_s, "s", COMMAND),
    ]
