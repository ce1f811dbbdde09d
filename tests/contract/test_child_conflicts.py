"""The operator on a real API server: children are made once, not taken from others, taken back after a restore."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.benchmarks.operator_process import Operator, inventory
from tests.contract.api_server import NAMESPACE, ApiServer, started_api_server

pytestmark = pytest.mark.cluster

CORE = f"/api/v1/namespaces/{NAMESPACE}"
SERVICES = f"{CORE}/services"
STATEFUL_SET = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/seg-1-segment"
POLICY = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies/office-parent"
CHILDREN = ("ConfigMap", "NetworkPolicy", "PersistentVolumeClaim", "Secret", "Service", "StatefulSet")
LIMIT_S = 60.0
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """With a twin whose broker is somebody else's and away, and a segment whose Service has a namesake."""
    with started_api_server(tmp_path_factory.mktemp("control-plane")) as found:
        make(found, "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})
        for manifest in (credentials(), their_service(), inventory(NAMESPACE, 1)):
            make(found, f"{CORE}/{manifest['kind'].lower()}s", manifest)
        external = {"host": "127.0.0.1", "port": 9, "tls": False, "credentialsSecretRef": {"name": "broker"}}
        make(found, found.place("DigitalTwin"), ours("DigitalTwin", "office", {"broker": {"external": external}}))
        spec = {"twinRef": {"name": "office"}, "stage": "Planned", "inventory": {"configMapRef": REFERENCE}}
        make(found, found.place("MeshSegment"), ours("MeshSegment", "seg-1", spec))
        yield found


SYSTEM = "meshtwin-system"
REFERENCE = {"name": "seg-1", "key": "network.json"}


def ours(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "meshtwin.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def credentials() -> dict[str, Any]:
    meta = {"name": "broker", "labels": {"meshtwin.dev/broker-credentials": "true"}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"username": "o", "password": "x"}}


def their_service() -> dict[str, Any]:
    spec = {"selector": {"app": "shop"}, "ports": [{"port": 80, "protocol": "TCP"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "seg-1-segment"}, "spec": spec}


def make(server: ApiServer, path: str, manifest: dict[str, Any]) -> None:
    answer = server.send("POST", path, manifest, dry_run=False)
    assert answer.status_code == 201, answer.text


def until(found: Callable[[], Any], explain: Callable[[], object]) -> Any:
    deadline_s = time.monotonic() + LIMIT_S
    while not (value := found()):
        assert time.monotonic() < deadline_s, explain()
        time.sleep(0.1)
    return value


def stalled(server: ApiServer, kind: str, name: str) -> dict[str, Any]:
    status = server.http.get(server.place(kind, name)).json().get("status", {})
    return next((c for c in status.get("conditions", []) if c["type"] == "Stalled"), {})


@contextmanager
def running(server: ApiServer) -> Iterator[Operator]:
    """The operator as a process; it gives its Lease back at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    operator = Operator(str(server.kubeconfig), port)
    try:
        yield operator
    finally:
        operator.stop(signal.SIGTERM)


@pytest.fixture
def operator(server: ApiServer) -> Iterator[Operator]:
    with running(server) as started:
        yield started


def test_namesake_of_a_child_is_left_alone_until_it_goes_and_what_lost_its_owner_is_owned_again(
    server: ApiServer, operator: Operator
) -> None:
    def look() -> object:
        return server.http.get(server.place("MeshSegment", "seg-1")).json().get("status")

    said = until(lambda: stalled(server, "MeshSegment", "seg-1").get("status") == "True", look)
    assert said
    assert stalled(server, "MeshSegment", "seg-1")["reason"] == "ChildConflict"
    theirs = server.http.get(f"{SERVICES}/seg-1-segment").json()
    assert theirs["spec"]["selector"] == {"app": "shop"}
    assert "ownerReferences" not in theirs["metadata"]
    assert server.http.get(STATEFUL_SET).status_code == 404

    assert server.http.delete(f"{SERVICES}/seg-1-segment").is_success
    until(lambda: server.http.get(STATEFUL_SET).is_success, look)
    until(lambda: stalled(server, "MeshSegment", "seg-1").get("status") == "False", look)

    answer = server.send("PATCH", STATEFUL_SET, {"metadata": {"ownerReferences": None}}, dry_run=False)
    assert answer.is_success, answer.text
    owners = until(lambda: server.http.get(STATEFUL_SET).json()["metadata"].get("ownerReferences"), look)
    assert [owner["name"] for owner in owners] == ["seg-1"]


def test_children_as_the_api_server_keeps_them_are_as_desired_and_written_no_more(server: ApiServer) -> None:
    server.http.delete(f"{SERVICES}/seg-1-segment")  # whoever's it is
    with running(server) as first:
        until(lambda: has_looked(first), first.writes_by_kind)
    assert server.http.get(POLICY).is_success
    with running(server) as again:
        until(lambda: has_looked(again), again.writes_by_kind)
        lines = again.writes_by_kind().splitlines()
    assert [line for line in lines if any(f'"{kind}"' in line for kind in CHILDREN)] == []


def test_policy_that_lets_twins_out_to_a_model_is_taken_as_it_is(server: ApiServer) -> None:
    policy = yaml.safe_load((ROOT / "manifests" / "model-egress" / "network-policy.yaml").read_text())
    answer = server.send("POST", POLICY.rpartition("/")[0], policy)
    assert answer.status_code == 201, answer.text


def has_looked(operator: Operator) -> bool:
    """At the twin and at its segment; what a look writes is counted before the look."""
    kinds = ("DigitalTwin", "MeshSegment")
    return all(operator.metric(f'meshtwin_reconcile_total{{kind="{kind}",result="ok"}}') >= 1 for kind in kinds)
