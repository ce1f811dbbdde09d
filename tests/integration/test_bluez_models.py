"""Monitoring models on real daemons: read, put right where they publish otherwise, and told where they cannot count."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.bluez_rig import BluezRig, make_chain, run_air, until

from meshtwin.contract.configuration import FlowSpec, Verb
from meshtwin.virtual_air.programs import why_not_here

MISSING = why_not_here()
pytestmark = [pytest.mark.bluez, pytest.mark.slow, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

MONITOR = {"notification_interval_seconds": 1, "report_interval_seconds": 2, "airtime_budget_percent": 20}
# 0003 is of the group by the scenario; 0004 is a member by the inventory alone.
FLOW = FlowSpec(name="lights", source="0002", destination="c001", members=["0003", "0004"], deadline_ms=150)


@pytest_asyncio.fixture
async def rig(tmp_path: Path) -> AsyncIterator[BluezRig]:
    """Six nodes in a row, each heard by its neighbours alone; the gateway's is the last."""
    async with run_air(tmp_path, make_chain(6)) as rig:
        yield rig


def read_models(rig: BluezRig) -> dict[str, Any]:
    """What nodes said of their monitoring models last, as the gateway keeps it."""
    memory = json.loads((rig.folder / "gateway" / "gateway.json").read_text())
    return {kept["node"]: kept["state"] for kept in memory["models"]}


async def test_a_publication_that_is_relayed_is_put_right_and_only_neighbours_are_reported(rig: BluezRig) -> None:
    assert (await rig.mesh.act(op="publication", node="0003", ttl=5))["ok"]
    await rig.start_gateway()
    assert (await rig.command(Verb.ADOPT, nodes=rig.nodes))["status"] == "done"
    assert (await rig.command(Verb.MONITOR, nodes=rig.nodes, flows=[FLOW], **MONITOR))["status"] == "done"

    models = await until(lambda: len(read_models(rig)) == len(rig.nodes) and read_models(rig))
    told = len(rig.seen)

    assert {(m["publication"]["address"], m["publication"]["ttl"]) for m in models.values()} == {(0xFFFF, 0)}
    assert {m["wrong"] for m in models.values()} == {None}
    others = {name: m["groups"] for name, m in models.items() if m["groups"] != [0xD001]}
    assert others == {"0003": [0xC001, 0xD001]}  # the gateway's own node is member of no flow, and so of no group
    warnings = await until(lambda: rig.observing.get("warnings"), 20)
    assert len(warnings) == 1
    assert warnings[0].startswith("flows to c001")
    assert warnings[0].endswith(": 0004")

    def reports() -> dict[str, set[str]]:
        """Who was heard by whom, since all models are as they must be."""
        heard: dict[str, set[str]] = {}
        for leaf, payload in rig.seen[told:]:
            if leaf == "telemetry/neighbours":
                heard.setdefault(payload["node"], set()).update(n["neighbour"] for n in payload["neighbours"])
        return heard

    wanted = {f"{n:04x}": {f"{m:04x}" for m in (n - 1, n + 1) if 1 <= m <= 6} for n in range(1, 7)}
    await until(lambda: reports() == wanted, 60)
