"""From an `Approval` to the first command at the gateway: API server, etcd, operator and mosquitto are real.

The gateways here only speak the contract: they say that revision 0 is in force, and refuse what is staged, so
that the next push may start. One tree, so pushes follow one another. No admission policies.
"""

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from tests.benchmarks.figures import Figure, at_most, percentile, told
from tests.benchmarks.operator_process import Operator, apply_all, inventory, running_api_server
from tests.integration.twin_processes import Broker, Gateway, running_broker

from meshtwin_operator.kube.api import KubeApi

APPROVALS = 50
NAMESPACE = "bench"
WITHIN_S = 30.0
COMMAND = "python -m tests.benchmarks approval"
API_VERSION = "meshtwin.dev/v1alpha1"


def run() -> list[Figure]:
    """Figures of one run; about half a minute on two cores."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_broker(Path(folder)) as broker,
        _running_gateways(broker) as gateways,
        running_api_server(NAMESPACE) as kubeconfig,
    ):
        delays_ms = asyncio.run(_measure(kubeconfig, broker, gateways))
    return [
        told("Approval to first stage at the gateway, median", round(statistics.median(delays_ms), 1), "ms", COMMAND),
        at_most("Approval to first stage at the gateway, p99", round(percentile(delays_ms, 99), 1), 300, "ms", COMMAND),
        told("processes that wanted a processor (load, 1 min)", round(os.getloadavg()[0], 1), "processes", COMMAND),
    ]


class _Gateways:
    """Many gateways that answer commands; ``staged_s`` is when the first ``stage`` came, by gateway."""

    def __init__(self, broker: Broker) -> None:
        self.staged_s: dict[str, float] = {}
        self._gateways = {f"gw-{i}": Gateway(broker, f"gw-{i}") for i in range(APPROVALS)}
        self._listener = paho.Client(CallbackAPIVersion.VERSION2, client_id="all-gateways")
        self._listener.on_message = self._take
        self._listener.connect("127.0.0.1", broker.port)
        self._listener.subscribe("meshtwin/v1/gateways/+/configuration/command", qos=1)
        self._listener.loop_start()
        for gateway in self._gateways.values():
            gateway.say_configuration(["0001-0005"])
            gateway.say_online("0001")

    def stop(self) -> None:
        self._listener.disconnect()
        self._listener.loop_stop()
        for gateway in self._gateways.values():
            gateway.stop()

    def _take(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        arrived_s = time.monotonic()
        name, command = message.topic.split("/")[3], json.loads(message.payload)
        is_stage = command["verb"] == "stage"
        if is_stage:
            self.staged_s.setdefault(name, arrived_s)
        answer = {
            "attemptId": command["attemptId"],
            "verb": command["verb"],
            "status": "refused" if is_stage else "done",
            "reason": "Benchmark" if is_stage else None,
        }
        gateway = self._gateways[name]
        gateway.send_raw("configuration/result", json.dumps({**gateway.envelope("result"), **answer}).encode())


@contextmanager
def _running_gateways(broker: Broker) -> Iterator[_Gateways]:
    gateways = _Gateways(broker)
    try:
        yield gateways
    finally:
        gateways.stop()


async def _measure(kubeconfig: str, broker: Broker, gateways: _Gateways) -> list[float]:
    api = await KubeApi.connect()
    operator = Operator(kubeconfig, 18083)
    try:
        await operator.wait_ready()
        await apply_all(api, [_secret(), _twin(broker), *(inventory(NAMESPACE, i) for i in range(APPROVALS))])
        await apply_all(api, [_segment(i) for i in range(APPROVALS)])
        await _wait_for(api, "MeshSegment", _has_condition("Adopted"), APPROVALS)
        await apply_all(api, [_proposal(i) for i in range(APPROVALS)])
        await _wait_for(api, "ConfigurationProposal", lambda p: _phase(p) == "AwaitingDecision", APPROVALS)
        return [await _approve(api, gateways, index) for index in range(APPROVALS)]
    finally:
        operator.stop()
        await api.close()


async def _approve(api: KubeApi, gateways: _Gateways, index: int) -> float:
    """Milliseconds from sending the Approval to the arrival of ``stage``; then wait until the push is over."""
    proposal = await api.get("ConfigurationProposal", NAMESPACE, f"change-{index}")
    assert proposal is not None
    started_s = time.monotonic()
    await api.create(_approval(index, proposal["status"]["digest"]))
    deadline_s = started_s + WITHIN_S
    while f"gw-{index}" not in gateways.staged_s:
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"gw-{index} was not told to stage within {WITHIN_S} s of the approval")
        await asyncio.sleep(0.002)
    await _wait_for(api, "MeshConfiguration", lambda c: _step(c) == "Rejected", index + 1)
    return 1000 * (gateways.staged_s[f"gw-{index}"] - started_s)


async def _wait_for(api: KubeApi, kind: str, is_so: Any, count: int) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while True:
        objects, _ = await api.list(kind, NAMESPACE)
        found = [one for one in objects if is_so(one)]
        if len(found) >= count:
            return
        if time.monotonic() > deadline_s:
            status = next((o.get("status") for o in objects if not is_so(o)), None)
            raise TimeoutError(f"{len(found)} of {count} {kind} after {WITHIN_S} s; another one says {status}")
        await asyncio.sleep(0.1)


def _has_condition(kind: str) -> Any:
    def is_so(raw: dict[str, Any]) -> bool:
        conditions = raw.get("status", {}).get("conditions", [])
        return any(c["type"] == kind and c["status"] == "True" for c in conditions)

    return is_so


def _phase(raw: dict[str, Any]) -> Any:
    return raw.get("status", {}).get("phase")


def _step(raw: dict[str, Any]) -> Any:
    return raw.get("status", {}).get("push", {}).get("step")


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def _secret() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "broker",
            "namespace": NAMESPACE,
            "labels": {"meshtwin.dev/broker-credentials": "true"},
        },
        "stringData": {"username": "operator", "password": "unused", "ca.crt": ""},
    }


def _twin(broker: Broker) -> dict[str, Any]:
    external = {
        "host": "127.0.0.1",
        "port": broker.port,
        "tls": False,
        "credentialsSecretRef": {"name": "broker"},
    }
    return _object("DigitalTwin", "site", {"mode": "Control", "broker": {"external": external}})


def _segment(index: int) -> dict[str, Any]:
    spec = {
        "twinRef": {"name": "site"},
        "gatewayId": f"gw-{index}",
        "inventory": {"configMapRef": {"name": f"seg-{index}", "key": "network.json"}},
    }
    return _object("MeshSegment", f"seg-{index}", spec)


def _proposal(index: int) -> dict[str, Any]:
    nothing: dict[str, Any] = {"flows": []}
    prediction = {
        "before": nothing,
        "after": nothing,
        "model": "benchmark",
        "profile": "zephyr",
        "seed": 1,
        "replications": 1,
        "snapshotFingerprint": "none",
    }
    spec = {
        "segmentRef": {"name": f"seg-{index}"},
        "origin": "Pipeline",  # another's prediction is refused
        "pipelineRef": {"name": "none"},
        "settings": [{"nodes": ["0001-0005"], "defaultTtl": 5}],
        "prediction": prediction,
    }
    return _object("ConfigurationProposal", f"change-{index}", spec)


def _approval(index: int, digest: str) -> dict[str, Any]:
    spec = {"proposalRef": {"name": f"change-{index}"}, "decision": "Approve", "digest": digest, "approvedBy": "bench"}
    return _object("Approval", f"change-{index}", spec)
