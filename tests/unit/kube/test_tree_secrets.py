"""Secrets of a tree: where a broker is found from outside, and whose Secrets may be used."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.kube.fake_api import FakeApi

from meshtwin.connectors.mqtt import BrokerSettings
from meshtwin.errors import Unavailable
from meshtwin_operator.kube.secret_store import SecretStore
from meshtwin_operator.kube.tree_secrets import CREDENTIALS_LABEL, MODEL_LABEL, TreeSecrets, outside_address
from meshtwin_operator.reconcile.outcome import Workload, WorkloadRole
from meshtwin_operator.reconcile.world import ObjectKey
from meshtwin_operator.resources.hosting import EmbeddedBroker
from meshtwin_operator.resources.twins import DigitalTwin
from meshtwin_operator.southbound.fleet import Fleet
from meshtwin_operator.southbound.security_sync import Credential

NS = "buildings"


def service(node_port: int | None = None, ingress: list[dict[str, str]] | None = None) -> dict[str, Any]:
    status = {"loadBalancer": {"ingress": ingress}} if ingress else {}
    return {"spec": {"ports": [{"port": 8883, "nodePort": node_port}]}, "status": status}


@pytest.mark.parametrize(
    ("kind", "names", "found", "address"),
    [
        ("NodePort", ["192.0.2.7"], service(30883), "mqtts://192.0.2.7:30883"),
        ("NodePort", ["2001:db8::7"], service(30883), "mqtts://[2001:db8::7]:30883"),
        ("NodePort", [], service(30883), None),
        ("NodePort", ["192.0.2.7"], service(None), None),
        ("LoadBalancer", ["mqtt.example.com"], service(30883), "mqtts://mqtt.example.com:8883"),
        ("LoadBalancer", [], service(30883, [{"ip": "192.0.2.9"}]), "mqtts://192.0.2.9:8883"),
        ("LoadBalancer", [], service(30883), None),
    ],
)
def test_address_outside_is_that_of_the_service(
    kind: str, names: list[str], found: dict[str, Any], address: str | None
) -> None:
    hosting = EmbeddedBroker.model_validate({"serviceType": kind, "hostNames": names})
    assert outside_address(hosting, found) == address


async def test_a_secret_that_nobody_offered_is_not_sent_to_a_broker_outside() -> None:
    api = FakeApi()
    api.store(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "theirs", "namespace": NS},
            "data": {"username": "b3A=", "password": "b3A="},
        }
    )
    store = SecretStore(api, changed=lambda _: None)  # type: ignore[arg-type]  # what is used of it
    fleet = Fleet(changed=lambda _: None, now=lambda: datetime.now(UTC))
    trees = TreeSecrets(store, fleet, now=lambda: datetime.now(UTC))
    external = {"host": "192.0.2.66", "tls": False, "credentialsSecretRef": {"name": "theirs"}}
    twin = DigitalTwin.model_validate(
        {
            "apiVersion": "meshtwin.dev/v1alpha1",
            "kind": "DigitalTwin",
            "metadata": {"name": "site", "namespace": NS},
            "spec": {"broker": {"external": external}},
        }
    )
    workload = Workload(
        role=WorkloadRole.PARENT_TWIN,
        namespace=NS,
        name="site-parent",
        owner=ObjectKey("DigitalTwin", NS, "site"),
        owner_uid="uid-1",
        root_twin="site",
    )
    with pytest.raises(Unavailable, match=CREDENTIALS_LABEL):
        await trees.ensure_external(twin, workload)
    assert trees.broker(NS, "site") is None


def make_secret(name: str, labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NS, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        (None, MODEL_LABEL),
        (make_secret("planner", token="b3A="), MODEL_LABEL),
        (make_secret("planner", {CREDENTIALS_LABEL: "true"}, token="b3A="), MODEL_LABEL),
        (make_secret("planner", {MODEL_LABEL: "true"}, password="b3A="), "lack token"),
    ],
    ids=["absent", "not labelled", "labelled for a broker", "without a token"],
)
async def test_a_secret_that_nobody_offered_is_not_mounted_for_a_model(secret: Any, text: str) -> None:
    with pytest.raises(Unavailable, match=text) as caught:
        await ensure_with_model(secret)
    assert "b3A=" not in str(caught.value)


async def test_a_secret_that_was_offered_for_models_is_mounted() -> None:
    assert await ensure_with_model(make_secret("planner", {MODEL_LABEL: "true"}, token="b3A="))


async def test_each_twin_gets_a_key_of_its_own_also_where_its_account_was_made_without_one() -> None:
    api = FakeApi()
    api.store(make_secret("site-tree", **{"rest-key": "b3A=", "ca.crt": "b3A="}))
    marks = {"app.kubernetes.io/managed-by": "meshtwin-operator", "meshtwin.dev/twin": "site"}
    api.store(make_secret("old-segment-account", marks, username="b3A=", password="b2xk"))
    store = SecretStore(api, changed=lambda _: None)  # type: ignore[arg-type]  # what is used of it
    fleet = Fleet(changed=lambda _: None, now=lambda: datetime.now(UTC))
    trees = TreeSecrets(store, fleet, now=lambda: datetime.now(UTC))
    with pytest.raises(Unavailable, match="no key yet of twin new-segment"):
        await trees.operator_key(NS, "site", "new-segment")
    hashes = [await trees.ensure(segment(name)) for name in ("old-segment", "new-segment")]
    keys = {await trees.operator_key(NS, "site", name) for name in ("old-segment", "new-segment")}
    assert len(keys) == 2
    assert all(len(key) >= 32 for key in keys)
    assert api.objects["Secret", NS, "old-segment-account"]["data"]["password"] == "b2xk"
    api.written.clear()
    assert [await trees.ensure(segment(name)) for name in ("old-segment", "new-segment")] == hashes
    assert api.written == []


def segment(name: str) -> Workload:
    return Workload(
        role=WorkloadRole.SEGMENT_TWIN,
        namespace=NS,
        name=name,
        owner=ObjectKey("MeshSegment", NS, name.removesuffix("-segment")),
        owner_uid="uid-1",
        root_twin="site",
        identity=f"twin.buildings.{name}",
    )


async def ensure_with_model(secret: dict[str, Any] | None) -> str:
    api = FakeApi()
    api.store(make_secret("site-tree", **{"rest-key": "b3A=", "ca.crt": "b3A="}))
    if secret is not None:
        api.store(secret)
    store = SecretStore(api, changed=lambda _: None)  # type: ignore[arg-type]  # what is used of it
    fleet = Fleet(changed=lambda _: None, now=lambda: datetime.now(UTC))
    workload = Workload(
        role=WorkloadRole.PARENT_TWIN,
        namespace=NS,
        name="site-parent",
        owner=ObjectKey("DigitalTwin", NS, "site"),
        owner_uid="uid-1",
        root_twin="site",
        identity="twin.buildings.site-parent",
        model_secret="planner",
    )
    return await TreeSecrets(store, fleet, now=lambda: datetime.now(UTC)).ensure(workload)


LEFT = frozenset({"meshtwin/v1/gateways/gw-gone/state"})


class LeavingFleet(Fleet):
    """A broker at which a gateway that nobody names any more said something; tells in which order it was asked."""

    def __init__(self, told: list[str], *, is_there: bool) -> None:
        super().__init__(changed=lambda _: None, now=lambda: datetime.now(UTC))
        self.told, self.is_there, self.cleared = told, is_there, frozenset[str]()

    def connect(self, namespace: str, root_twin: str, settings: BrokerSettings) -> asyncio.Future[None]:
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def is_connected(self, namespace: str, root_twin: str) -> bool:
        return self.is_there

    def departed(
        self, namespace: str, root_twin: str, gateways: Collection[str], twins: Collection[str]
    ) -> frozenset[str]:
        assert (gateways, twins) == (("gw-north",), ())
        return LEFT - self.cleared

    async def clear(self, namespace: str, root_twin: str, topics: Collection[str]) -> None:
        self.told.append("cleared")
        self.cleared |= frozenset(topics)


@pytest.mark.parametrize(("is_there", "expected"), [(True, ["accounts", "cleared"]), (False, [])])
async def test_what_a_departed_gateway_said_is_cleared_after_its_account_and_a_broker_that_is_away_blocks_nothing(
    is_there: bool, expected: list[str]
) -> None:
    told: list[str] = []

    async def sync(settings: BrokerSettings, wanted: Sequence[Credential], *, client_id: str) -> int:
        told.append("accounts")
        return len(wanted)

    fleet = LeavingFleet(told, is_there=is_there)
    store = SecretStore(FakeApi(), changed=lambda _: None)  # type: ignore[arg-type]  # what is used of it
    trees = TreeSecrets(store, fleet, now=lambda: datetime.now(UTC), sync=sync)
    broker = Workload(
        role=WorkloadRole.BROKER,
        namespace=NS,
        name="site-broker",
        owner=ObjectKey("DigitalTwin", NS, "site"),
        owner_uid="uid-1",
        root_twin="site",
        gateways=("gw-north",),
    )
    assert await trees.ensure(broker)
    assert told == expected
    assert await trees.ensure(broker)
    assert (fleet.cleared == LEFT) is is_there
