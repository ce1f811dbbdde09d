"""The gateway on bluetooth-meshd: the same contract as on an emulated mesh, by real configuration messages."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.bluez_rig import HARD_EDGE, BluezRig, make_scenario, run_air, until

from meshtwin.app.running import RECORDS_DISAGREE
from meshtwin.contract.configuration import FlowSpec, Verb
from meshtwin.contract.wire import SettingsEntry
from meshtwin.mesh.addresses import parse_unicast
from meshtwin.mesh.configuration import compute_digest, expand_settings
from meshtwin.virtual_air.programs import why_not_here

MISSING = why_not_here()
pytestmark = [pytest.mark.bluez, pytest.mark.slow, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

# 0002 is the gateway's own node: a lamp of the group like the others.
FLOW = FlowSpec(name="lights", source="0008", destination="c001", members=["0002", "0003", "0006"], deadline_ms=150)
MONITOR = {"notification_interval_seconds": 1, "report_interval_seconds": 2, "airtime_budget_percent": 20}
INITIAL = {
    "nodes": ["0001-0008"],
    "relay": "Enabled",
    "relayRetransmit": {"count": 1, "intervalSteps": 1},
    "networkTransmit": {"count": 2, "intervalSteps": 1},
    "defaultTtl": 7,
}
RELAYS = ["0002", "0003", "0004", "0005", "0006"]


@pytest_asyncio.fixture
async def rig(tmp_path: Path) -> AsyncIterator[BluezRig]:
    async with run_air(tmp_path, make_scenario(8) | {"radio": HARD_EDGE, "initial": [INITIAL]}) as rig:
        await rig.start_gateway()
        yield rig


def make_configuration(rig: BluezRig, revision: int) -> dict[str, Any]:
    values = {"relay": "Disabled", "default_ttl": 6, "network_transmit": {"count": 1, "interval_steps": 1}}
    entries = [
        SettingsEntry.model_validate({"nodes": ["0001-0008"], **values}),
        SettingsEntry.model_validate(
            {"nodes": RELAYS, "relay": "Enabled", "relay_retransmit": {"count": 0, "interval_steps": 1}}
        ),
    ]
    expanded = expand_settings([e.to_value() for e in entries], [parse_unicast(n) for n in rig.nodes])
    return {"revision": revision, "settings": entries, "hash": compute_digest(expanded), "nodes": rig.nodes}


async def watch(rig: BluezRig) -> None:
    """Let nodes report, and wait until all did: from then on the gateway knows how far they are."""
    assert (await rig.command(Verb.MONITOR, nodes=rig.nodes, flows=[FLOW], **MONITOR))["status"] == "done"
    reporters: set[str] = set()

    def all_reported() -> bool:
        reporters.update(payload["node"] for leaf, payload in rig.seen if leaf == "telemetry/neighbours")
        return reporters == set(rig.nodes)

    await until(all_reported)


def pin(configuration: dict[str, Any]) -> dict[str, Any]:
    return {"revision": configuration["revision"], "hash": configuration["hash"]}


async def test_a_bluetooth_mesh_is_adopted_watched_changed_and_confirmed(rig: BluezRig) -> None:
    adopted = await rig.command(Verb.ADOPT, nodes=rig.nodes)
    assert adopted["status"] == "done", adopted
    assert {o["outcome"] for o in adopted["outcomes"]} == {"applied"}
    assert rig.last("state")["stackProfile"] == "bluez"
    await watch(rig)
    configuration = make_configuration(rig, 1)
    assert (await rig.command(Verb.STAGE, **configuration))["status"] == "done"
    committed = await rig.command(Verb.COMMIT, **pin(configuration), confirm_within_seconds=300)
    assert committed["status"] == "done", json.dumps(committed)
    assert (await rig.command(Verb.CONFIRM, **pin(configuration)))["status"] == "done"

    settings = await rig.true_settings()
    assert {name for name, said in settings.items() if said["relay"] == "Enabled"} == set(RELAYS) - {"0002"}
    assert {said["defaultTtl"] for said in settings.values()} == {6}


async def test_a_flow_between_nodes_is_counted_by_its_receivers_and_no_latency_is_invented(rig: BluezRig) -> None:
    probed = await rig.command(Verb.PROBE, nodes=rig.nodes, flows=[FLOW], presses=5)

    assert probed["status"] == "done", json.dumps(probed)
    flow = next(p["flows"][0] for leaf, p in rig.seen if leaf == "telemetry/flows" and p["flows"])
    assert (flow["presses"], flow["sentPairs"], flow["howKnown"]) == (5, 15, "receiverCounted")
    assert flow["deliveredPairs"] >= 13
    assert not {"latency", "spread", "deadlineMs", "clockUncertaintyMs"} & flow.keys()


async def test_a_probe_of_a_mesh_that_is_cut_names_who_is_silent_at_once_and_ends_within_its_limit(
    rig: BluezRig,
) -> None:
    await rig.mesh.act(op="partition", nodes=["0007", "0008"])  # with the source of the flow
    limit = datetime.now(UTC) + timedelta(seconds=60)

    probed = await rig.command(Verb.PROBE, nodes=rig.nodes, flows=[FLOW], presses=30, not_after=limit)

    assert datetime.now(UTC) < limit
    silent = [o["node"] for o in probed["outcomes"] if o["outcome"] == "unknown"]
    assert (probed["status"], silent) == ("done", ["0007", "0008"])
    assert probed["message"] == "silent: 0007 0008; not measured: lights, its source 0008 does not answer"
    flow = next(p["flows"][0] for leaf, p in rig.seen if leaf == "telemetry/flows" and p["flows"])
    assert (flow["presses"], flow["sentPairs"]) == (0, 0)


async def test_the_gateway_learns_distances_and_links_of_its_own_node_from_reports(rig: BluezRig) -> None:
    await rig.command(Verb.MONITOR, nodes=rig.nodes, **MONITOR)

    def own_report() -> dict[str, Any] | None:
        told = [p for leaf, p in rig.seen if leaf == "telemetry/neighbours" and p["node"] == "0002"]
        return next((p for p in told if p["neighbours"]), None)

    report = await until(own_report)

    assert all("rssiMeanDbm" not in counter for counter in report["neighbours"])  # the daemon does not tell it
    others = await until(
        lambda: next((p for leaf, p in rig.seen if leaf == "telemetry/neighbours" and p["node"] != "0002"), None)
    )
    assert all(-100 <= counter["rssiMeanDbm"] <= -30 for counter in others["neighbours"])


async def test_a_gateway_killed_between_commit_and_confirm_restores_a_configuration_that_cuts_the_mesh(
    rig: BluezRig,
) -> None:
    await watch(rig)
    await rig.command(Verb.ADOPT, nodes=rig.nodes)
    before = await rig.true_settings()
    dark = SettingsEntry.model_validate({"nodes": ["0001-0008"], "relay": "Disabled"})
    expanded = expand_settings([dark.to_value()], [parse_unicast(n) for n in rig.nodes])
    wrong = {"revision": 1, "settings": [dark], "hash": compute_digest(expanded), "nodes": rig.nodes}
    assert (await rig.command(Verb.STAGE, **wrong))["status"] == "done"
    committed = await rig.command(Verb.COMMIT, **pin(wrong), confirm_within_seconds=20)
    assert committed["status"] == "done", json.dumps(committed)
    assert {said["relay"] for said in (await rig.true_settings()).values()} == {"Disabled"}

    rig.gateway.kill()
    rig.gateway.wait()
    await rig.start_gateway()
    await until(lambda: rig.last("configuration/reported").get("restoreReason") == "TimedOut")
    await until(lambda: rig.last("configuration/reported").get("phase") == "idle")

    assert await rig.true_settings() == before


async def test_an_older_copy_of_the_gateways_memory_changes_no_node_and_the_push_is_taken_again(rig: BluezRig) -> None:
    await rig.command(Verb.ADOPT, nodes=rig.nodes)
    configuration = make_configuration(rig, 1)
    await rig.command(Verb.STAGE, **configuration)
    copy, deadline = await rig.copy_armed_memory(pin(configuration))
    assert (await rig.command(Verb.CONFIRM, **pin(configuration)))["status"] == "done"
    pushed = await rig.true_settings()
    rig.gateway.terminate()
    await until(lambda: rig.gateway.poll() is not None and datetime.now(UTC) > deadline)

    (rig.folder / "gateway" / "gateway.json").write_bytes(copy)
    rig.seen.clear()
    await rig.start_gateway()
    assert (await rig.command(Verb.ADOPT, nodes=rig.nodes))["status"] == "done"

    reported = rig.last("configuration/reported")
    assert (reported["revision"], reported["phase"], reported.get("restoreReason")) == (0, "idle", None)
    assert await rig.true_settings() == pushed
    for verb, said in (
        (Verb.STAGE, configuration),
        (Verb.COMMIT, pin(configuration)),
        (Verb.CONFIRM, pin(configuration)),
    ):
        assert (await rig.command(verb, **said))["status"] == "done"
    assert rig.last("configuration/reported")["revision"] == 1


async def test_a_daemon_that_comes_back_is_taken_over_again(rig: BluezRig) -> None:
    assert (await rig.command(Verb.ADOPT, nodes=rig.nodes))["status"] == "done"
    before = kept(rig)

    await rig.mesh.act(op="nodeRestart", node="0002")
    await until(lambda: kept(rig)["sequenceNumber"] > before["sequenceNumber"], 30)

    assert (await rig.command(Verb.ADOPT, nodes=rig.nodes))["status"] == "done"
    assert kept(rig)["token"] == before["token"]


async def test_an_older_backup_of_the_daemon_is_refused_and_a_lost_one_too(rig: BluezRig) -> None:
    rig.gateway.terminate()
    rig.gateway.wait(10)
    notes = rig.folder / "gateway" / "bluez.json"
    good = json.loads(notes.read_text())

    notes.write_text(json.dumps(good | {"sequenceNumber": 0xFFFF00}))
    await rig.start_gateway(wait=False)
    assert await asyncio.to_thread(rig.gateway.wait, 20) == RECORDS_DISAGREE
    assert "OlderBackup" in rig.log_text()

    notes.write_text(json.dumps(good | {"token": good["token"] ^ 1}))
    await rig.start_gateway(wait=False)
    assert await asyncio.to_thread(rig.gateway.wait, 20) == RECORDS_DISAGREE
    assert "StorageLost" in rig.log_text()

    notes.unlink()
    await rig.start_gateway(wait=False)
    assert await asyncio.to_thread(rig.gateway.wait, 20) == RECORDS_DISAGREE
    assert "TokenLost" in rig.log_text()

    notes.write_text(json.dumps(good))
    await rig.start_gateway()
    assert (await rig.command(Verb.ADOPT, nodes=rig.nodes))["status"] == "done"


def kept(rig: BluezRig) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((rig.folder / "gateway" / "bluez.json").read_text())
    return found
