"""The operator against a real API server and etcd: no controllers, no kubelet, 1,000 segments.

The bench plays user and watcher; children are only API objects here. Every figure names its bound.
"""

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from meshtwin_operator.kube.api import KubeApi
from tests.benchmarks.figures import Figure
from tests.cluster import control_plane

SEGMENTS = 1000
CHANGES_PER_S = 20
CHANGES = 200
NAMESPACE = "bench"
COMMAND = "python -m tests.benchmarks operator"


def run() -> list[Figure]:
    """Figures of one run; about two minutes on two cores."""
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder)) as kubeconfig:
        os.environ["KUBECONFIG"] = str(kubeconfig)
        subprocess.run(["kubectl", "apply", "--server-side", "-k", "crds"], check=True, stdout=subprocess.DEVNULL)
        return asyncio.run(_measure(str(kubeconfig)))


class _Operator:
    """The operator as a process, watched through its own metrics."""

    def __init__(self, kubeconfig: str, port: int) -> None:
        self.port = port
        environment = os.environ | {
            "KUBECONFIG": kubeconfig,
            "MESHTWIN_IMAGE": "meshtwin:bench",
            "MESHTWIN_HEALTH_PORT": str(port),
        }
        self.log = open(os.environ.get("BENCH_LOG", os.devnull), "ab+")  # noqa: SIM115, PTH123  # lives as long as the process
        self.process = subprocess.Popen(
            [sys.executable, "-m", "meshtwin_operator.main"], env=environment, stdout=self.log, stderr=self.log
        )

    def text(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return None

    def writes(self) -> float:
        """Mutating requests so far, the Lease left out."""
        lines = (self.text("metrics") or "").splitlines()
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if line.startswith("meshtwin_kube_writes_total{") and 'kind="Lease"' not in line
        )

    def metric(self, name: str) -> float:
        lines = (self.text("metrics") or "").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    async def wait_ready(self) -> None:
        deadline = time.monotonic() + 60
        while self.text("readyz") is None:
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.log.seek(0)
                raise RuntimeError(f"operator not ready:\n{self.log.read().decode()[-3000:]}")
            await asyncio.sleep(0.05)

    def resident_mebibytes(self) -> float:
        return float(psutil.Process(self.process.pid).memory_info().rss / 2**20)


async def _measure(kubeconfig: str) -> list[Figure]:
    api = await KubeApi.connect()
    for name in (NAMESPACE, "meshtwin-system"):
        subprocess.run(["kubectl", "create", "namespace", name], check=True, stdout=subprocess.DEVNULL)
    operator = _Operator(kubeconfig, 18081)
    try:
        await operator.wait_ready()
        await api.apply(_twin())
        await _in_parallel(api, [_inventory(i) for i in range(SEGMENTS)])
        figures = await _apply_all(api, operator)
        figures += await _change_some(api, operator)
        operator.process.send_signal(signal.SIGKILL)
        operator.process.wait()
        operator = _Operator(kubeconfig, 18082)
        figures += await _after_restart(operator)
        return figures
    finally:
        operator.process.kill()
        operator.process.wait()
        await api.close()


async def _apply_all(api: KubeApi, operator: _Operator) -> list[Figure]:
    before = operator.writes()
    started_s = time.monotonic()
    await _in_parallel(api, [_segment(i) for i in range(SEGMENTS)])
    while True:
        segments, _ = await api.list("MeshSegment", NAMESPACE)
        children, _ = await api.list("StatefulSet", NAMESPACE, selector="app.kubernetes.io/part-of=meshtwin")
        done = sum(1 for s in segments if s.get("status", {}).get("observedGeneration") == 1)
        if done >= SEGMENTS and len(children) >= SEGMENTS:
            break
        await asyncio.sleep(0.2)
    taken_s = time.monotonic() - started_s
    await _settled(operator)
    writes = (operator.writes() - before) / SEGMENTS
    return [
        Figure("1,000 segments applied: all children and status written", taken_s, "s", 40.0, taken_s <= 40, COMMAND),
        Figure("writes per segment", writes, "requests", 7.0, writes <= 7, COMMAND),
    ]


async def _change_some(api: KubeApi, operator: _Operator) -> list[Figure]:
    sent: dict[tuple[str, int], float] = {}
    seen: dict[tuple[str, int], float] = {}
    watcher = asyncio.create_task(_watch_config_maps(api, seen))
    await asyncio.sleep(0)
    start_s = time.monotonic()
    for number in range(CHANGES):
        await asyncio.sleep(max(0.0, start_s + number / CHANGES_PER_S - time.monotonic()))
        index, interval = number * 7 % SEGMENTS, 100 + number
        sent[(f"seg-{index}-segment", interval)] = time.monotonic()
        await api.apply(_segment(index, interval))
    deadline = time.monotonic() + 30
    while set(sent) - set(seen) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    watcher.cancel()
    missing = len(set(sent) - set(seen))
    delays_ms = [1000 * (seen[key] - sent[key]) for key in sent if key in seen]
    p99_ms = statistics.quantiles(delays_ms, n=100)[98]
    rss = operator.resident_mebibytes()
    return [
        Figure("change to child, median, 20 changes/s", statistics.median(delays_ms), "ms", None, True, COMMAND),
        Figure("change to child, p99, 20 changes/s", p99_ms, "ms", 50.0, p99_ms <= 50 and not missing, COMMAND),
        Figure("operator resident with 1,000 segments", rss, "MiB", 150.0, rss <= 150, COMMAND),
    ]


async def _after_restart(operator: _Operator) -> list[Figure]:
    started_s = time.monotonic()
    await operator.wait_ready()
    await _settled(operator)
    taken_s, writes = time.monotonic() - started_s, operator.writes()
    return [
        Figure("killed and restarted: everything reconciled", taken_s, "s", 30.0, taken_s <= 30, COMMAND),
        Figure("mutating requests after the restart", writes, "requests", 0.0, writes == 0, COMMAND),
    ]


async def _settled(operator: _Operator) -> None:
    """Wait until all segments were looked at and nothing waits, twice in a row."""
    calm = 0
    while calm < 2:
        looked = operator.metric('meshtwin_reconcile_total{kind="MeshSegment"')
        idle = operator.metric("meshtwin_queue_keys") == 0
        calm = calm + 1 if idle and looked >= SEGMENTS else 0
        await asyncio.sleep(0.3)


async def _watch_config_maps(api: KubeApi, seen: dict[tuple[str, int], float]) -> None:
    selector = "app.kubernetes.io/part-of=meshtwin"
    _, version = await api.list("ConfigMap", NAMESPACE, selector=selector)
    async for event in api.watch("ConfigMap", NAMESPACE, selector=selector, version=version):
        if event["type"] in ("ADDED", "MODIFIED"):
            config = json.loads(event["object"]["data"]["config.json"])
            interval = config.get("monitoring", {}).get("reportIntervalSeconds", 0)
            seen.setdefault((event["object"]["metadata"]["name"], interval), time.monotonic())


async def _in_parallel(api: KubeApi, manifests: list[dict[str, Any]]) -> None:
    gate = asyncio.Semaphore(16)

    async def apply(manifest: dict[str, Any]) -> None:
        async with gate:
            await api.apply(manifest)

    await asyncio.gather(*(apply(manifest) for manifest in manifests))


def _twin() -> dict[str, Any]:
    return {
        "apiVersion": "meshtwin.dev/v1alpha1",
        "kind": "DigitalTwin",
        "metadata": {"name": "site", "namespace": NAMESPACE},
        "spec": {"mode": "Recommend"},
    }


def _segment(index: int, report_interval_s: int = 60) -> dict[str, Any]:
    return {
        "apiVersion": "meshtwin.dev/v1alpha1",
        "kind": "MeshSegment",
        "metadata": {"name": f"seg-{index}", "namespace": NAMESPACE},
        "spec": {
            "twinRef": {"name": "site"},
            "gatewayId": f"gw-{index}",
            "inventory": {"configMapRef": {"name": f"seg-{index}", "key": "network.json"}},
            "monitoring": {"reportIntervalSeconds": report_interval_s},
        },
    }


def _inventory(index: int) -> dict[str, Any]:
    nodes = [
        {
            "UUID": f"{index:08x}-0000-4000-8000-{n:012x}",
            "unicastAddress": f"{n:04x}",
            "name": f"lamp {n}",
            "elements": [{"index": 0, "location": "0000", "models": []}],
            "features": {"relay": 1},
        }
        for n in range(1, 6)
    ]
    network = {"meshUUID": f"{index:08x}-0000-4000-8000-ffffffffffff", "netKeys": [], "appKeys": [], "nodes": nodes}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"seg-{index}", "namespace": NAMESPACE, "labels": {"meshtwin.dev/inventory": "true"}},
        "data": {"network.json": json.dumps(network)},
    }
