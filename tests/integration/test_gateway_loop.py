"""Gateways, emulated mesh and a real broker as processes: the whole loop, and what happens when parts die."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest_asyncio
from tests.integration.gateway_rig import GATEWAY, TOKEN, GatewayRig, until

from meshtwin.contract.configuration import FlowSpec, Verb
from meshtwin.contract.wire import SettingsEntry
from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import parse_unicast
from meshtwin.mesh.configuration import compute_digest, expand_settings
from meshtwin_operator.southbound.views import GatewayRecord

SPEED = 40.0
NODES = [f"{a:04x}" for a in range(1, 13)]
FLOW = FlowSpec(name="lights", source="000c", destination="c001", members=["0003", "0006"], deadline_ms=150)


def make_scenario() -> dict[str, Any]:
    """Twelve nodes in two rows, 4 m apart: about three hops from end to end."""
    return {
        "seed": 5,
        "meshUuid": "6f666669-6365-4d65-9368-00000000000c",
        "radio": {"shadowingDb": 1.0, "sensitivityDbm": -78},
        "gateways": [{"id": GATEWAY, "node": "0002", "reportGroup": "d001"}],
        "initial": [
            {
                "nodes": ["0001-000c"],
                "relay": "Enabled",
                "relayRetransmit": {"count": 2, "intervalSteps": 1},
                "networkTransmit": {"count": 3, "intervalSteps": 1},
                "defaultTtl": 20,
            }
        ],
        "nodes": [
            {
                "address": name,
                "x": 4.0 * (index // 2),
                "y": 3.0 * (index % 2),
                "gateway": GATEWAY,
                "groups": ["c001"] if name in FLOW.members else [],
            }
            for index, name in enumerate(NODES)
        ],
    }


class Rig(GatewayRig):
    """On the emulated mesh, faster than time."""

    async def start(self) -> None:
        await self.start_broker()
        _, said = await self.start_mesh("emulated_mesh", speed=SPEED)
        self.mesh_port = said["port"]
        await self.follow()
        await self.start_gateway()

    def mesh_settings(self) -> dict[str, Any]:
        return {"port": self.mesh_port, "token": TOKEN}


@pytest_asyncio.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path, make_scenario())
    try:
        await rig.start()
        yield rig
    finally:
        await rig.stop()


def make_configuration(revision: int, **rest: Any) -> dict[str, Any]:
    values = {"relay": "Disabled", "default_ttl": 6, "network_transmit": {"count": 2, "interval_steps": 1}}
    entries = [
        SettingsEntry.model_validate({"nodes": ["0001-000c"], **values, **rest}),
        SettingsEntry(nodes=["0002", "0004", "0005", "0007", "0008", "000a"], relay="Enabled"),
    ]
    expanded = expand_settings([e.to_value() for e in entries], [parse_unicast(n) for n in NODES])
    return {"revision": revision, "settings": entries, "hash": compute_digest(expanded), "nodes": NODES}


def pin(configuration: dict[str, Any]) -> dict[str, Any]:
    return {"revision": configuration["revision"], "hash": configuration["hash"]}


async def true_settings(rig: Rig) -> dict[str, Any]:
    nodes = (await rig.mesh.truth())["nodes"]
    return {name: {k: v for k, v in said.items() if k != "on"} for name, said in nodes.items()}


async def test_the_network_is_adopted_measured_changed_and_confirmed(rig: Rig) -> None:
    monitor = {"notification_interval_seconds": 5, "report_interval_seconds": 10, "airtime_budget_percent": 5}
    assert (await rig.command(Verb.MONITOR, nodes=NODES, flows=[FLOW], **monitor))["status"] == "done"
    assert (await rig.command(Verb.ADOPT, nodes=NODES))["status"] == "done"
    assert rig.last("configuration/reported")["revision"] == 0

    await until(lambda: rig.last("telemetry/neighbours"))
    report = rig.last("telemetry/neighbours")["neighbours"][0]
    assert 0 <= report["received"] <= report["lastCounter"]

    probed = await rig.command(Verb.PROBE, nodes=NODES, flows=[FLOW], presses=10)
    flow = next(p["flows"][0] for leaf, p in rig.seen if leaf == "telemetry/flows" and p["flows"])
    assert (flow["attemptId"], flow["presses"], flow["sentPairs"]) == (probed["attemptId"], 10, 20)
    assert flow["deliveredPairs"] >= 15
    assert flow["howKnown"] == "receiverCounted"

    configuration = make_configuration(1)
    assert (await rig.command(Verb.STAGE, **configuration))["status"] == "done"
    committed = await rig.command(Verb.COMMIT, **pin(configuration), confirm_within_seconds=300)
    assert committed["status"] == "done", committed
    assert rig.last("configuration/reported")["phase"] == "armed"
    assert (await rig.command(Verb.CONFIRM, **pin(configuration)))["status"] == "done"

    settings = await true_settings(rig)
    assert {name for name, said in settings.items() if said["relay"] == "Enabled"} == {
        "0002",
        "0004",
        "0005",
        "0007",
        "0008",
        "000a",
    }
    assert {said["defaultTtl"] for said in settings.values()} == {6}


async def test_a_gateway_killed_after_commit_restores_when_it_comes_back_too_late(rig: Rig) -> None:
    await rig.command(Verb.ADOPT, nodes=NODES)
    before = await true_settings(rig)
    configuration = make_configuration(1)
    await rig.command(Verb.STAGE, **configuration)
    committed = await rig.command(Verb.COMMIT, **pin(configuration), confirm_within_seconds=1)
    assert committed["status"] == "done"
    rig.gateway.kill()
    await until(lambda: rig.last("state").get("online") is False)
    deadline = datetime.fromisoformat(rig.last("configuration/reported")["rollbackAt"])
    await until(lambda: datetime.now(UTC) > deadline)

    await rig.start_gateway()
    await until(lambda: rig.last("configuration/reported").get("restoreReason") == "TimedOut")
    await until(lambda: rig.last("configuration/reported").get("phase") == "idle")

    assert await true_settings(rig) == before
    assert rig.last("configuration/reported")["timedOutHashes"] == [configuration["hash"]]


async def test_a_gateway_restores_without_waiting_for_a_broker_that_is_away(rig: Rig) -> None:
    await rig.command(Verb.ADOPT, nodes=NODES)
    before = await true_settings(rig)
    configuration = make_configuration(1)
    await rig.command(Verb.STAGE, **configuration)
    committed = await rig.command(Verb.COMMIT, **pin(configuration), confirm_within_seconds=1)
    assert committed["status"] == "done"
    rig.gateway.kill()
    rig.broker.kill()
    rig.broker.wait()

    await rig.start_gateway(wait=False)
    async with asyncio.timeout(60):
        while await true_settings(rig) != before:  # noqa: ASYNC110  # nodes are asked; nobody tells us
            await asyncio.sleep(0.2)

    await rig.start_broker()
    await until(lambda: rig.last("configuration/reported").get("restoreReason") == "TimedOut")


async def test_a_node_that_is_off_is_named_and_configured_when_it_is_back(rig: Rig) -> None:
    monitor = {"notification_interval_seconds": 5, "report_interval_seconds": 10, "airtime_budget_percent": 5}
    await rig.command(Verb.MONITOR, nodes=NODES, **monitor)
    await rig.command(Verb.ADOPT, nodes=NODES)
    configuration = make_configuration(1)
    await rig.command(Verb.STAGE, **configuration)
    await rig.mesh.act(op="nodeOff", node="0009")
    committed = await rig.command(Verb.COMMIT, **pin(configuration), coverage_per_mille=900, confirm_within_seconds=300)
    assert committed["status"] == "done", committed
    assert [o["node"] for o in committed["outcomes"] if o["outcome"] == "unknown"] == ["0009"]
    await rig.command(Verb.CONFIRM, **pin(configuration))

    await rig.mesh.act(op="nodeOn", node="0009")
    await until(lambda: rig.last("configuration/reported")["exceptions"] == [])

    assert (await true_settings(rig))["0009"]["defaultTtl"] == 6


async def test_a_node_changed_by_hand_is_reported_as_drifted(rig: Rig) -> None:
    await rig.command(Verb.ADOPT, nodes=NODES)

    await rig.mesh.act(op="configure", node="0006", settings={"relay": "Disabled"})
    await until(lambda: rig.last("configuration/reported")["drifted"] == ["0006"])

    assert rig.last("configuration/reported")["revision"] == 0


async def test_late_foreign_and_repeated_messages_are_harmless_and_a_broker_restart_too(rig: Rig) -> None:
    await rig.command(Verb.ADOPT, nodes=NODES)
    before = await true_settings(rig)
    await rig.publish(b"not json")
    await rig.publish(b"x" * 700_000)
    long_ago = datetime.now(UTC) - timedelta(days=1)
    late = await rig.command(Verb.STAGE, **make_configuration(1), not_after=long_ago)
    assert (late["status"], late["reason"]) == ("refused", "Late")
    assert (await rig.command(Verb.ADOPT, nodes=NODES, epoch=3))["status"] == "done"
    fenced = await rig.command(Verb.ADOPT, nodes=NODES, epoch=2)
    assert (fenced["status"], fenced["reason"]) == ("refused", "StaleEpoch")

    reconnects = rig.link.reconnects_total
    rig.broker.kill()
    rig.broker.wait()
    rig.seen.clear()
    await rig.start_broker()
    await until(lambda: rig.link.reconnects_total > reconnects and rig.link.connected.is_set())
    await until(lambda: rig.last("state").get("online") is True)
    again = await rig.command(Verb.ADOPT, nodes=NODES, epoch=3)

    assert again["status"] == "done"
    assert await true_settings(rig) == before


async def test_two_gateways_with_one_id_are_told_apart_by_the_operator(rig: Rig) -> None:
    rival = {
        "gatewayId": GATEWAY,
        "broker": {"host": "127.0.0.1", "port": rig.broker_port},
        "mesh": rig.mesh_settings(),
        "dataFolder": str(rig.folder / "elsewhere"),
    }
    (rig.folder / "rival.json").write_text(json.dumps(rival))
    rig.popen([sys.executable, "-m", "meshtwin.app.gateway", str(rig.folder / "rival.json")], "rival.log")

    def is_contested() -> bool:
        record, now = GatewayRecord(), datetime.now(UTC)
        for leaf, payload in rig.seen:
            with contextlib.suppress(InvalidInput):
                record.take(leaf, json.dumps(payload).encode(), now)
        return record.view.contested_at is not None

    await until(is_contested, 60)


async def test_a_second_gateway_on_the_same_folder_ends_at_once_and_says_who_works_there(rig: Rig) -> None:
    command = [sys.executable, "-m", "meshtwin.app.gateway", str(rig.folder / "gateway.json")]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60)

    assert ended.returncode == 1
    assert f"FolderInUse: another gateway, process {rig.gateway.pid}, works".encode() in ended.stderr
    assert (await rig.command(Verb.ADOPT, nodes=NODES))["status"] == "done"  # the first one is undisturbed


async def push(rig: Rig, configuration: dict[str, Any]) -> None:
    for verb, said in (
        (Verb.STAGE, configuration),
        (Verb.COMMIT, pin(configuration)),
        (Verb.CONFIRM, pin(configuration)),
    ):
        assert (await rig.command(verb, **said))["status"] == "done"


async def test_an_older_copy_of_the_memory_changes_no_node_and_gets_the_revision_on_record_again(rig: Rig) -> None:
    await rig.command(Verb.ADOPT, nodes=NODES)
    await push(rig, make_configuration(1, default_ttl=9))
    latest = make_configuration(2)
    await rig.command(Verb.STAGE, **latest)
    copy, deadline = await rig.copy_armed_memory(pin(latest))
    assert (await rig.command(Verb.CONFIRM, **pin(latest)))["status"] == "done"
    pushed = await true_settings(rig)
    rig.gateway.terminate()
    await until(lambda: rig.gateway.poll() is not None and datetime.now(UTC) > deadline)

    (rig.folder / "gateway" / "gateway.json").write_bytes(copy)
    rig.seen.clear()
    await rig.start_gateway()
    await until(lambda: rig.last("configuration/reported"))
    assert (await rig.command(Verb.ADOPT, nodes=NODES))["status"] == "done"

    reported = rig.last("configuration/reported")
    assert (reported["revision"], reported["phase"]) == (1, "idle")  # so that the operator sees it
    assert reported["drifted"] == NODES
    assert await true_settings(rig) == pushed
    await push(rig, latest)  # as the operator does then
    reported = rig.last("configuration/reported")
    assert (reported["revision"], reported.get("drifted", [])) == (2, [])
    assert "a copy" in rig.log_text()


async def test_a_broken_memory_ends_the_gateway_with_a_clear_error(rig: Rig) -> None:
    rig.gateway.terminate()
    assert await asyncio.to_thread(rig.gateway.wait, 20) == 0
    (rig.folder / "gateway" / "gateway.json").write_text("{broken")

    settings = rig.folder / "gateway.json"
    command = [sys.executable, "-m", "meshtwin.app.gateway", str(settings)]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60)

    assert ended.returncode == 2
    assert b"MemoryBroken" in ended.stderr
    assert b"gateway.json" in ended.stderr
