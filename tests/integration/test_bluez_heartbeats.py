"""Nodes without firmware of ours: who hears whom, by heartbeats and Configuration Servers alone."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.bluez_rig import GATEWAY, BluezRig, make_chain, run_air, until

from meshtwin.contract.configuration import Verb
from meshtwin.virtual_air.programs import why_not_here

MISSING = why_not_here()
pytestmark = [pytest.mark.bluez, pytest.mark.slow, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

MONITOR = {"notification_interval_seconds": 1, "report_interval_seconds": 2, "airtime_budget_percent": 50}
NEIGHBOURS = {("0001", "0002"), ("0002", "0003"), ("0003", "0004")}  # the gateway stands at the end, 0004


@pytest_asyncio.fixture
async def rig(tmp_path: Path) -> AsyncIterator[BluezRig]:
    async with run_air(tmp_path, make_chain(4)) as rig:
        rig.air["gateways"][GATEWAY]["observability"] = "heartbeats"
        await rig.start_gateway()
        yield rig


async def test_heartbeats_tell_who_hears_whom_and_how_far_everybody_is(rig: BluezRig) -> None:
    assert (await rig.command(Verb.ADOPT, nodes=rig.nodes))["status"] == "done"
    assert (await rig.command(Verb.MONITOR, nodes=rig.nodes, **MONITOR))["status"] == "done"

    state = await until(lambda: rig.observing if rig.observing.get("active") else None, 20)
    assert state["level"] == "heartbeats"
    assert state["fullPictureSeconds"] > 0
    assert 0 < state["airtime"]["heartbeatsRatio"] <= state["airtime"]["budgetRatio"]
    assert "notificationIntervalSeconds" not in state

    def hops() -> dict[str, int]:
        told = [p for leaf, p in rig.seen if leaf == "telemetry/nodes"]
        return {n["node"]: n["heartbeatHops"] for p in told for n in p["nodes"] if "heartbeatHops" in n}

    def pairs() -> dict[tuple[str, str], dict[str, Any]]:
        reports = [p for leaf, p in rig.seen if leaf == "telemetry/neighbours"]
        return {(p["node"], n["neighbour"]): n for p in reports for n in p["neighbours"]}

    await until(lambda: hops() == {"0001": 3, "0002": 2, "0003": 1}, 150)
    await until(lambda: len(pairs()) >= 2 * len(NEIGHBOURS), 150)

    heard = pairs()
    assert {tuple(sorted(pair)) for pair in heard} == NEIGHBOURS
    assert {n["transmissions"] for n in heard.values()} == {3}
    assert all(n["received"] + n["receivedUncertainty"] >= 0.9 * n["lastCounter"] for n in heard.values())


async def test_every_node_acknowledges_that_it_stops_when_the_gateway_is_started_at_the_other_level(
    rig: BluezRig,
) -> None:
    def publishers() -> list[str]:
        memory = json.loads((rig.folder / "gateway" / "gateway.json").read_text())
        publishers: list[str] = memory["heartbeatPublishers"]
        return publishers

    await rig.command(Verb.ADOPT, nodes=rig.nodes)
    await rig.command(Verb.MONITOR, nodes=rig.nodes, **MONITOR)
    await until(lambda: [p for leaf, p in rig.seen if leaf == "telemetry/nodes" and p["nodes"]], 100)
    assert publishers() == rig.nodes
    rig.gateway.terminate()
    assert await asyncio.to_thread(rig.gateway.wait, 20) == 0

    rig.air["gateways"][GATEWAY]["observability"] = "notifications"
    await rig.start_gateway()

    await until(lambda: publishers() == [], 60)
    assert rig.observing["level"] == "notifications"
