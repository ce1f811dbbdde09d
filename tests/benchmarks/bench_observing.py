"""What observing costs and how long it takes: the bill against the air, composition data, a picture by heartbeats."""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.figures import Figure, at_most, told
from tests.integration.bluez_rig import GATEWAY, HARD_EDGE, BluezRig, make_scenario

from meshtwin.contract.configuration import Verb
from meshtwin.gateway.bill import Costs
from meshtwin.gateway.memory import Monitoring
from meshtwin.gateway.rotation import LISTEN_HEARTBEATS, Rotation, to_period_log
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import NodeSettings, Transmit
from meshtwin.mesh.reporting import stretch_notifications_s
from meshtwin.virtual_air.programs import why_not_here

COMMAND: Final = "python -m tests.benchmarks observing"
NODES: Final = 20
SETTLE_S: Final = 70  # the neighbours are known after two reports
COUNT_S: Final = 120
PDU_S: Final = 376e-6  # on one channel; the longest, most are a little shorter
MONITOR: Final[dict[str, Any]] = {
    "notification_interval_seconds": 5,
    "report_interval_seconds": 30,
    "airtime_budget_percent": 3,
}
BUILDINGS: Final = ((20, 4), (60, 6), (200, 10))  # nodes, hops
THRICE: Final = Transmit(count=2, interval_steps=1)
RELAYS: Final = NodeSettings(relay=True, relay_retransmit=THRICE, network_transmit=THRICE, default_ttl=20)


def run() -> list[Figure]:
    """All figures; those of daemons are left out where the daemon cannot be installed."""
    figures = [_picture(*b, asked_s, budget) for b in BUILDINGS for asked_s in (2.0, 10.0) for budget in (1.0, 5.0)]
    return figures if why_not_here() is not None else figures + asyncio.run(_bill())


def _picture(nodes: int, hops: int, asked_s: float, budget_percent: float) -> Figure:
    """Time of a full picture by heartbeats, 12 neighbours assumed, nodes spread evenly over the hops."""
    monitoring = Monitoring(
        notification_interval_seconds=asked_s, report_interval_seconds=60, airtime_budget_percent=budget_percent
    )
    costs = Costs.of(monitoring, [RELAYS], 12.0, repeats=True)
    wanted_s = stretch_notifications_s(
        asked_s, budget_ratio=costs.budget_ratio, heard=costs.heard, transmissions=costs.copies
    )
    beat_s = 2.0 ** (to_period_log(wanted_s) - 1)
    beats = costs.bill_heartbeats(beat_s, float("inf")).heartbeats_ratio
    rotation = Rotation(
        nodes=[UnicastAddress(a) for a in range(1, nodes + 1)],
        gateway=UnicastAddress(1),
        listen_s=LISTEN_HEARTBEATS * beat_s,
        exchange_s=2 * costs.message_s / (costs.budget_ratio - beats - costs.upkeep_ratio),
        hops={a: 1 + a * hops // nodes for a in range(2, nodes + 1)},
    )
    name = f"heartbeats: picture of {nodes} nodes, {hops} hops, {asked_s:g} s asked, {budget_percent:g} % of airtime"
    return told(name, round(rotation.compute_full_picture_s() / 60), "min", COMMAND)


async def _bill() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        scenario = make_scenario(NODES, columns=4, gateway_node="0003") | {"radio": HARD_EDGE}
        rig = BluezRig(Path(folder), scenario)
        try:
            await rig.start()
            await rig.start_broker()
            rig.air["gateways"][GATEWAY]["neighboursAtMost"] = 12
            await rig.start_gateway()
            await rig.command(Verb.ADOPT, nodes=rig.nodes)
            return await _measure(rig)
        finally:
            await rig.stop()


async def _measure(rig: BluezRig) -> list[Figure]:
    begin_s = time.monotonic()
    await rig.command(Verb.MONITOR, nodes=rig.nodes, **MONITOR)
    survey_s = time.monotonic() - begin_s
    await asyncio.sleep(SETTLE_S)
    before = await rig.mesh.truth()
    begin_s = time.monotonic()
    await asyncio.sleep(COUNT_S)
    after = await rig.mesh.truth()
    window_s = time.monotonic() - begin_s
    heard = (after["deliveries"] - before["deliveries"]) / NODES
    bill = rig.last("state")["observing"]["airtime"]
    planned = sum(bill[part] for part in ("notificationsRatio", "reportsRatio", "upkeepRatio"))
    return [
        told(f"bluez gateway: composition data of {NODES} nodes read", survey_s, "s", COMMAND),
        told("observing: share of channel time planned", 100 * planned, "%", COMMAND),
        at_most(
            "observing: share of channel time heard by a node, mean",
            100 * heard * PDU_S / window_s,
            100 * bill["budgetRatio"],
            "%",
            COMMAND,
        ),
        told("observing: share of channel time counted by the gateway", 100 * bill["countedRatio"], "%", COMMAND),
    ]
