"""The operator against a real API server and etcd: no controllers, no kubelet, 1,000 segments.

The bench plays user and watcher; children are only API objects here. Every figure names its bound.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from tests.benchmarks.figures import Figure, at_most, percentile, told
from tests.benchmarks.operator_process import Operator, apply_all, inventory, running_api_server

from meshtwin_operator.kube.api import KubeApi

SEGMENTS = 1000
CHANGES_PER_S = 20
CHANGES = 200
NAMESPACE = "bench"
OURS = "app.kubernetes.io/part-of=meshtwin"
TREE_WRITES = 100  # for parent twin, broker and the roll-up of all, while 1,000 segments come
COMMAND = "python -m tests.benchmarks operator"


def run() -> list[Figure]:
    """Figures of one run; about two minutes on two cores."""
    with running_api_server(NAMESPACE) as kubeconfig:
        return asyncio.run(_measure(kubeconfig))


async def _measure(kubeconfig: str) -> list[Figure]:
    api = await KubeApi.connect()
    operator = Operator(kubeconfig, 18081)
    try:
        await operator.wait_ready()
        await api.apply(_twin())
        await apply_all(api, [inventory(NAMESPACE, i) for i in range(SEGMENTS)])
        figures = await _apply_all(api, operator)
        figures += await _change_some(api, operator)
        await _settled(operator, SEGMENTS)  # what is left undone at a kill is rightly written after it
        operator.stop()
        operator = Operator(kubeconfig, 18082)
        figures += await _after_restart(operator)
        return figures
    finally:
        operator.stop()
        await api.close()


async def _apply_all(api: KubeApi, operator: Operator) -> list[Figure]:
    before, used_s, others_s = operator.writes(), operator.processor_s(), _others_s()
    started_s = time.monotonic()
    watcher = asyncio.create_task(_watch_status(api))
    await asyncio.sleep(0)
    await apply_all(api, [_segment(i) for i in range(SEGMENTS)])
    await watcher
    await _wait_for_children(api)
    taken_s = time.monotonic() - started_s
    used_s, others_s = operator.processor_s() - used_s, _others_s() - others_s
    await _settled(operator, SEGMENTS)
    # The writes for the tree itself (its parent twin follows the list of its segments) are counted in.
    writes = (operator.writes() - before) / SEGMENTS
    return [
        at_most("1,000 segments applied: all children and status written", round(taken_s, 1), 40, "s", COMMAND),
        told("processor used by the operator meanwhile", round(used_s, 1), "s", COMMAND),
        told("processor used by API server and etcd meanwhile", round(others_s, 1), "s", COMMAND),
        told("processes that wanted a processor (load, 1 min)", round(os.getloadavg()[0], 1), "processes", COMMAND),
        at_most("writes per segment", writes, 7 + TREE_WRITES / SEGMENTS, "requests", COMMAND),
    ]


async def _change_some(api: KubeApi, operator: Operator) -> list[Figure]:
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
    while set(sent) - set(seen) and time.monotonic() < deadline:  # noqa: ASYNC110  # the event is in the API server
        await asyncio.sleep(0.05)
    watcher.cancel()
    delays_ms = [1000 * (seen[key] - sent[key]) for key in sent if key in seen]
    return [
        at_most("changes without a child", len(set(sent) - set(seen)), 0, "changes", COMMAND),
        told("change to child, median, 20 changes/s", round(statistics.median(delays_ms), 1), "ms", COMMAND),
        at_most("change to child, p99, 20 changes/s", round(percentile(delays_ms, 99), 1), 50, "ms", COMMAND),
        at_most("operator resident with 1,000 segments", round(operator.resident_mebibytes()), 150, "MiB", COMMAND),
    ]


async def _after_restart(operator: Operator) -> list[Figure]:
    started_s = time.monotonic()
    await operator.wait_ready()
    await _settled(operator, SEGMENTS)
    taken_s = time.monotonic() - started_s
    await asyncio.sleep(3)  # nothing may follow either
    await _settled(operator, SEGMENTS)
    if operator.writes():
        print(operator.writes_by_kind(), file=sys.stderr)
    return [
        at_most("killed and restarted: everything reconciled", round(taken_s, 1), 30, "s", COMMAND),
        at_most("mutating requests after the restart", operator.writes(), 0, "requests", COMMAND),
    ]


async def _settled(operator: Operator, looks: int) -> None:
    """Wait until ``looks`` looks at segments and one at the twin succeeded, no key waits, and nothing is written."""
    calm, before = 0, -1.0
    while calm < 4:
        seen = operator.metric('meshtwin_reconcile_total{kind="MeshSegment",result="ok"}')
        roots = operator.metric('meshtwin_reconcile_total{kind="DigitalTwin",result="ok"}')
        written = operator.writes()
        idle = operator.metric("meshtwin_queue_keys") == 0 and written == before
        before = written
        calm = calm + 1 if idle and seen >= looks and roots >= 1 else 0
        await asyncio.sleep(0.2)


async def _watch_status(api: KubeApi) -> None:
    """Return when every segment has a status."""
    segments, version = await api.list("MeshSegment", NAMESPACE)
    done = {s["metadata"]["name"] for s in segments if s.get("status", {}).get("observedGeneration") == 1}
    async for event in api.watch("MeshSegment", NAMESPACE, selector="", version=version):
        if event["object"].get("status", {}).get("observedGeneration") == 1:
            done.add(event["object"]["metadata"]["name"])
        if len(done) >= SEGMENTS:
            return


async def _wait_for_children(api: KubeApi) -> None:
    """Status is written after the children: look that it is so, and wait for the gateways' credentials."""
    for kind in ("ConfigMap", "PersistentVolumeClaim", "Service", "StatefulSet"):
        children, _ = await api.list(kind, NAMESPACE, selector=OURS)
        missing = SEGMENTS - sum(1 for c in children if c["metadata"]["name"].startswith("seg-"))
        if missing:
            raise RuntimeError(f"{missing} segments have a status and no {kind}")
    while True:
        secrets, _ = await api.list("Secret", NAMESPACE, selector=OURS)
        if len(secrets) >= 2 * SEGMENTS:
            return
        await asyncio.sleep(0.2)


def _others_s() -> float:
    """Processor seconds of the API server and etcd of this benchmark."""
    folder = str(Path(os.environ["KUBECONFIG"]).parent)
    used_s = 0.0
    for process in psutil.process_iter(["name", "cmdline"]):
        is_ours = any(folder in part for part in process.info["cmdline"] or ())
        if is_ours and process.info["name"] in ("etcd", "kube-apiserver"):
            used_s += sum(process.cpu_times()[:2])
    return used_s


async def _watch_config_maps(api: KubeApi, seen: dict[tuple[str, int], float]) -> None:
    _, version = await api.list("ConfigMap", NAMESPACE, selector=OURS)
    async for event in api.watch("ConfigMap", NAMESPACE, selector=OURS, version=version):
        if event["type"] in ("ADDED", "MODIFIED"):
            config = json.loads(event["object"]["data"]["config.json"])
            interval = config.get("monitoring", {}).get("reportIntervalSeconds", 0)
            seen.setdefault((event["object"]["metadata"]["name"], interval), time.monotonic())


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
