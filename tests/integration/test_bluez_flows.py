"""Flows on real daemons: the way of knowing is said, and each of the two tells no more than it can."""

from pathlib import Path
from typing import Any

import pytest
from tests.integration.bluez_rig import HARD_EDGE, BluezRig, make_scenario, until

from meshtwin.contract.configuration import FlowSpec, Verb
from meshtwin.virtual_air.programs import why_not_here

MISSING = why_not_here()
pytestmark = [pytest.mark.bluez, pytest.mark.slow, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

PRESSES = 6
HERE = FlowSpec(name="scene", source="0002", destination="c001", members=["0003", "0006"], deadline_ms=150)
THERE = FlowSpec(name="lights", source="0008", destination="c001", members=["0003", "0006"], deadline_ms=150)


async def test_flows_from_the_gateway_are_round_trips_and_others_are_counted(tmp_path: Path) -> None:
    rig = BluezRig(tmp_path, make_scenario(8) | {"radio": HARD_EDGE})
    try:
        await rig.start()
        await rig.start_broker()
        await rig.start_gateway()
        assert (await rig.command(Verb.ADOPT, nodes=rig.nodes))["status"] == "done"
        probed = await rig.command(Verb.PROBE, nodes=rig.nodes, flows=[HERE, THERE], presses=PRESSES)
        assert probed["status"] == "done"

        def reports() -> dict[str, dict[str, Any]]:
            told = [p for leaf, p in rig.seen if leaf == "telemetry/flows"]
            return {flow["flow"]: flow for p in told for flow in p["flows"]}

        await until(lambda: reports().keys() == {"scene", "lights"}, 20)
    finally:
        await rig.stop()

    here, there = reports()["scene"], reports()["lights"]
    assert (here["howKnown"], there["howKnown"]) == ("roundTrip", "receiverCounted")
    assert here["sentPairs"] == there["sentPairs"] == 2 * PRESSES
    assert min(here["deliveredPairs"], there["deliveredPairs"]) >= 2 * PRESSES - 4
    assert sum(here["latency"]["counts"]) == here["deliveredPairs"]
    assert not {"deadlineMs", "spread", "clockUncertaintyMs"} & (here.keys() | there.keys())
    assert "latency" not in there
