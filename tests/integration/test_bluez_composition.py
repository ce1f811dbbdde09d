"""What real daemons say they are, and what the gateway makes of it before it switches anything on."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.bluez_rig import HARD_EDGE, BluezRig, make_scenario, run_air, until

from meshtwin.contract.configuration import FlowSpec, Verb
from meshtwin.virtual_air.programs import why_not_here

MISSING = why_not_here()
pytestmark = [pytest.mark.bluez, pytest.mark.slow, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

MONITOR = {"notification_interval_seconds": 1, "report_interval_seconds": 2, "airtime_budget_percent": 20}
FLOW = FlowSpec(name="lights", source="0008", destination="c001", members=["0003", "0006"], deadline_ms=150)


@pytest_asyncio.fixture
async def rig(tmp_path: Path) -> AsyncIterator[BluezRig]:
    """Eight nodes, of which the fifth remembers four sources and the gateway, and no more."""
    scenario = make_scenario(8) | {"radio": HARD_EDGE}
    scenario["nodes"][4]["replayListSize"] = 5
    async with run_air(tmp_path, scenario) as rig:
        yield rig


async def test_notifications_are_held_back_while_a_replay_list_cannot_hold_everybody(rig: BluezRig) -> None:
    await rig.start_gateway()

    refused = await rig.command(Verb.MONITOR, nodes=rig.nodes, flows=[FLOW], **MONITOR)

    assert (refused["status"], refused["reason"]) == ("refused", "ReplayListTooSmall")
    assert "0005 (CRPL 5, needs 7)" in refused["message"]
    warnings = await until(lambda: rig.observing.get("warnings"), 20)
    assert "0005 (CRPL 5, needs 7)" in warnings[0]
    assert not rig.observing["active"]
    assert not any(leaf == "telemetry/neighbours" for leaf, _ in rig.seen)


async def test_who_knows_that_few_nodes_hear_each_other_says_so_and_monitoring_begins(rig: BluezRig) -> None:
    rig.air["gateways"]["gw-test"]["neighboursAtMost"] = 4
    await rig.start_gateway()

    assert (await rig.command(Verb.MONITOR, nodes=rig.nodes, flows=[FLOW], **MONITOR))["status"] == "done"

    await until(lambda: any(leaf == "telemetry/neighbours" for leaf, _ in rig.seen))
    bill = await until(lambda: rig.observing.get("airtime"), 20)
    assert rig.observing["active"]
    parts = ("notificationsRatio", "reportsRatio", "upkeepRatio")
    assert 0 < sum(bill[part] for part in parts) <= 1.01 * bill["budgetRatio"]


async def test_every_node_tells_its_composition_once_and_it_is_kept_over_a_restart(rig: BluezRig) -> None:
    await rig.start_gateway()
    assert (await rig.command(Verb.ADOPT, nodes=rig.nodes))["status"] == "done"

    def told() -> dict[str, Any]:
        reports = [p for leaf, p in rig.seen if leaf == "telemetry/nodes"]
        return {n["node"]: n["composition"] for p in reports for n in p["nodes"] if "composition" in n}

    await until(lambda: told().keys() == set(rig.nodes))
    assert told()["0005"]["crpl"] == 5
    assert told()["0003"]["crpl"] == 1000
    assert all(said["relay"] and said["elements"] == 1 for said in told().values())
    assert all([0x05F1, 1] in said["vendorModels"] for said in told().values())

    rig.gateway.terminate()
    rig.gateway.wait(10)
    rig.seen.clear()
    await rig.start_gateway()
    refused = await rig.command(Verb.MONITOR, nodes=rig.nodes, **MONITOR)
    assert refused["reason"] == "ReplayListTooSmall"
    results = [p["status"] for leaf, p in rig.seen if leaf == "configuration/result" and p["verb"] == "monitor"]
    assert results == ["refused"]  # at once: nobody was asked again
