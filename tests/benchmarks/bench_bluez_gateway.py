"""The gateway on bluetooth-meshd: commits of whole networks, memory, and what it takes when idle."""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from tests.benchmarks.figures import Figure, at_most, told
from tests.integration.bluez_rig import HARD_EDGE, BluezRig, make_scenario

from meshtwin.contract.configuration import Verb
from meshtwin.contract.wire import SettingsEntry
from meshtwin.mesh.addresses import parse_unicast
from meshtwin.mesh.configuration import compute_digest, expand_settings
from meshtwin.virtual_air.programs import why_not_here

COMMAND = "python -m tests.benchmarks bluez_gateway"
IDLE_S = 30
MONITOR = {"notification_interval_seconds": 10, "report_interval_seconds": 60, "airtime_budget_percent": 1}
SETTLE_S = 15  # monitoring is told three times within 4 s, then notifications begin


def run() -> list[Figure]:
    """All figures; none where the daemon cannot be installed."""
    return [] if why_not_here() is not None else asyncio.run(_measure(20, 10.0)) + asyncio.run(_idle(60))


async def _measure(nodes: int, limit_s: float) -> list[Figure]:
    """Three settings of every node, acknowledged with the value in force, by one commit."""
    async with _Gateway(nodes) as rig:
        begin_s = time.monotonic()
        adopted = await rig.command(Verb.ADOPT, nodes=rig.nodes)
        adopt_s = time.monotonic() - begin_s
        configuration = _make_configuration(rig)
        await rig.command(Verb.STAGE, **configuration)
        begin_s = time.monotonic()
        committed = await rig.command(
            Verb.COMMIT, revision=1, hash=configuration["hash"], confirm_within_seconds=600, coverage_per_mille=1000
        )
        commit_s = time.monotonic() - begin_s
        if (adopted["status"], committed["status"]) != ("done", "done"):
            raise AssertionError(f"adopt {adopted['status']}, commit {committed['status']}: {committed.get('message')}")
    return [
        told(f"bluez gateway: first adoption of {nodes} nodes", adopt_s, "s", COMMAND),
        at_most(f"bluez gateway: commit of three settings on {nodes} nodes", commit_s, limit_s, "s", COMMAND),
    ]


async def _idle(nodes: int) -> list[Figure]:
    async with _Gateway(nodes) as rig:
        await rig.command(Verb.MONITOR, nodes=rig.nodes, **MONITOR)
        await asyncio.sleep(SETTLE_S)
        process = psutil.Process(rig.gateway.pid)
        before, begin_s = sum(process.cpu_times()[:2]), time.monotonic()
        await asyncio.sleep(IDLE_S)
        share = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - begin_s)
        rss = process.memory_info().rss / 2**20
    return [
        at_most(f"bluez gateway: memory with {nodes} nodes", rss, 80, "MiB", COMMAND),
        at_most(f"bluez gateway: processor idle with {nodes} nodes", 100 * share, 5, "% of a core", COMMAND),
    ]


class _Gateway:
    """A rig with broker and gateway, booted and stopped."""

    def __init__(self, nodes: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench")
        far = [{"nodes": [f"0001-{nodes:04x}"], "defaultTtl": 20}]
        scenario = make_scenario(nodes, columns=5, gateway_node="0003", initial=far) | {"radio": HARD_EDGE}
        self._rig = BluezRig(Path(self._folder.name), scenario)

    async def __aenter__(self) -> BluezRig:
        await self._rig.start()
        await self._rig.start_broker()
        await self._rig.start_gateway()
        return self._rig

    async def __aexit__(self, *_: object) -> None:
        await self._rig.stop()
        self._folder.cleanup()


def _make_configuration(rig: BluezRig) -> dict[str, Any]:
    values = {
        "relay": "Enabled",
        "relay_retransmit": {"count": 1, "interval_steps": 1},
        "network_transmit": {"count": 1, "interval_steps": 1},
        "default_ttl": 16,
    }
    entry = SettingsEntry.model_validate({"nodes": [f"0001-{len(rig.nodes):04x}"], **values})
    expanded = expand_settings([entry.to_value()], [parse_unicast(n) for n in rig.nodes])
    return {"revision": 1, "settings": [entry], "hash": compute_digest(expanded), "nodes": rig.nodes}
