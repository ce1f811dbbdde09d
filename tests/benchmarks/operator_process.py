"""The operator as a process against a real API server and etcd, for benchmarks."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from tests.cluster import control_plane

from meshtwin_operator.kube.api import KubeApi

__all__ = ["Operator", "apply_all", "inventory", "running_api_server"]


@contextmanager
def running_api_server(namespace: str) -> Iterator[str]:
    """A control plane with our CRDs and the namespaces; KUBECONFIG names it meanwhile."""
    before = os.environ.get("KUBECONFIG")
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder)) as kubeconfig:
        os.environ["KUBECONFIG"] = str(kubeconfig)
        try:
            _kubectl("apply", "--server-side", "-k", "crds")
            for name in (namespace, "meshtwin-system"):
                _kubectl("create", "namespace", name)
            yield str(kubeconfig)
        finally:
            os.environ.pop("KUBECONFIG")
            if before is not None:
                os.environ["KUBECONFIG"] = before


def _kubectl(*arguments: str) -> None:
    subprocess.run(["kubectl", *arguments], check=True, stdout=subprocess.DEVNULL)


class Operator:
    """The operator as a process, watched through its own metrics."""

    def __init__(self, kubeconfig: str, port: int) -> None:
        self.port = port
        environment = os.environ | {
            "KUBECONFIG": kubeconfig,
            "MESHTWIN_IMAGE": "meshtwin:bench",
            "MESHTWIN_HEALTH_PORT": str(port),
        }
        self.log = open(os.environ.get("BENCH_LOG", os.devnull), "ab+")  # noqa: SIM115  # lives as long as the process
        self.process = subprocess.Popen(
            [sys.executable, "-m", "meshtwin_operator.main"], env=environment, stdout=self.log, stderr=self.log
        )

    def text(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5) as answer:
                return str(answer.read().decode())
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

    def writes_by_kind(self) -> str:
        lines = (self.text("metrics") or "").splitlines()
        return "\n".join(line for line in lines if line.startswith("meshtwin_kube_writes_total{"))

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

    def processor_s(self) -> float:
        return float(sum(psutil.Process(self.process.pid).cpu_times()[:2]))

    def stop(self, number: int = signal.SIGKILL) -> None:
        """End it; by default without a word, as a machine that fails would."""
        self.process.send_signal(number)
        self.process.wait()
        self.log.close()

    def resident_mebibytes(self) -> float:
        return float(psutil.Process(self.process.pid).memory_info().rss / 2**20)


async def apply_all(api: KubeApi, manifests: list[dict[str, Any]]) -> None:
    gate = asyncio.Semaphore(16)

    async def apply(manifest: dict[str, Any]) -> None:
        async with gate:
            await api.apply(manifest)

    await asyncio.gather(*(apply(manifest) for manifest in manifests))


def inventory(namespace: str, index: int) -> dict[str, Any]:
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
        "metadata": {"name": f"seg-{index}", "namespace": namespace, "labels": {"meshtwin.dev/inventory": "true"}},
        "data": {"network.json": json.dumps(network)},
    }
