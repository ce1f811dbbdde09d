"""How soon a twin's pod is ready after its StatefulSet was applied, on a whole Kubernetes with the image present.

Needs ``KUBECONFIG`` of a cluster on which meshtwin is installed (``MESHTWIN_E2E_KEEP=1 make e2e`` leaves one);
says so and measures nothing otherwise. Works in a namespace of its own, which it removes.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from tests.benchmarks.figures import Figure, at_most
from tests.benchmarks.operator_process import inventory

from meshtwin_operator.kube.api import KubeApi

NAMESPACE = "meshtwin-bench"
SEGMENTS = 3
WITHIN_S = 120.0
OURS = "app.kubernetes.io/part-of=meshtwin"
COMMAND = "KUBECONFIG=… python -m tests.benchmarks twin_pod"


def run() -> list[Figure]:
    """One figure, the median of three pods; none without a cluster."""
    if not os.environ.get("KUBECONFIG"):
        return _skip("KUBECONFIG is not set")
    if _kubectl("-n", "meshtwin-system", "get", "deployment", "meshtwin-operator", check=False) != 0:
        return _skip("meshtwin is not installed on the cluster of KUBECONFIG")
    _kubectl("create", "namespace", NAMESPACE)
    try:
        return asyncio.run(_measure())
    finally:
        _kubectl("delete", "namespace", NAMESPACE, "--wait=false", check=False)


def _skip(reason: str) -> list[Figure]:
    print(f"twin_pod: not measured, {reason}", file=sys.stderr)
    return []


def _kubectl(*arguments: str, check: bool = True) -> int:
    quiet = subprocess.DEVNULL
    return subprocess.run(
        ["kubectl", *arguments], check=check, stdout=quiet, stderr=None if check else quiet
    ).returncode


async def _measure() -> list[Figure]:
    api = await KubeApi.connect()
    try:
        await api.apply(_object("DigitalTwin", "site", {"mode": "Observe"}))
        await _wait_ready(api, "site-broker")
        await _wait_ready(api, "site-parent")
        taken_s = [await _segment_ready_s(api, index) for index in range(SEGMENTS)]
    finally:
        await api.close()
    return [
        at_most("StatefulSet applied to twin pod ready, median", round(statistics.median(taken_s), 2), 5, "s", COMMAND)
    ]


async def _segment_ready_s(api: KubeApi, index: int) -> float:
    """Seconds between the watch events of the StatefulSet and of its pod's readiness."""
    name = f"seg-{index}-segment"
    made = asyncio.create_task(_seen(api, "StatefulSet", name, lambda _: True))
    is_ready = asyncio.create_task(_seen(api, "Pod", f"{name}-0", _is_ready))
    await asyncio.sleep(0.5)  # both watches stand
    await api.apply(inventory(NAMESPACE, index))
    spec = {
        "twinRef": {"name": "site"},
        "gatewayId": f"gw-{index}",
        "inventory": {"configMapRef": {"name": f"seg-{index}", "key": "network.json"}},
    }
    await api.apply(_object("MeshSegment", f"seg-{index}", spec))
    async with asyncio.timeout(WITHIN_S):
        return await is_ready - await made


async def _wait_ready(api: KubeApi, name: str) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not _is_ready(await api.get("Pod", NAMESPACE, f"{name}-0") or {}):  # noqa: ASYNC110  # in the cluster
            await asyncio.sleep(0.5)


async def _seen(api: KubeApi, kind: str, name: str, is_so: Any) -> float:
    """When a watch first told of an object of which ``is_so`` holds."""
    _, version = await api.list(kind, NAMESPACE, selector=OURS)
    async for event in api.watch(kind, NAMESPACE, selector=OURS, version=version):
        raw = event["object"]
        if event["type"] in ("ADDED", "MODIFIED") and raw["metadata"]["name"] == name and is_so(raw):
            return time.monotonic()
    raise TimeoutError(f"the watch of {kind} ended before {name} was as wanted")


def _is_ready(raw: dict[str, Any]) -> bool:
    conditions = raw.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "meshtwin.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
