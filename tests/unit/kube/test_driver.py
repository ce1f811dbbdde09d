"""What the driver sends, and whom it looks at again."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.benchmarks.operator_process import inventory
from tests.unit.kube.fake_api import FakeApi

from meshtwin.connectors.mqtt import BrokerSettings
from meshtwin_operator.kube.cache import Cache, key_of
from meshtwin_operator.kube.driver import Driver
from meshtwin_operator.kube.render import RenderSettings
from meshtwin_operator.kube.secret_store import SecretStore
from meshtwin_operator.kube.tree_secrets import TreeSecrets
from meshtwin_operator.kube.world import KubeWorld
from meshtwin_operator.reconcile.world import ObjectKey
from meshtwin_operator.southbound.fleet import Fleet
from meshtwin_operator.southbound.runs import Runs
from meshtwin_operator.workqueue import WorkQueue

NS = "buildings"
TWIN = ObjectKey("DigitalTwin", NS, "office")
NORTH = ObjectKey("MeshSegment", NS, "seg-1")


def now() -> datetime:
    return datetime.now(UTC)


class QuietFleet(Fleet):
    """Connects to nobody: brokers are tried in the integration tests."""

    def connect(self, namespace: str, root_twin: str, settings: BrokerSettings) -> asyncio.Future[None]:
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class Rig:
    """A driver over an API server in memory; nothing is watched unless a test says so."""

    def __init__(self, api: FakeApi) -> None:
        self.api, self.cache = api, Cache()
        self.queue: WorkQueue[ObjectKey] = WorkQueue()
        self.fleet = QuietFleet(changed=lambda _: None, now=now)
        store = SecretStore(api, changed=self.queue.add)  # type: ignore[arg-type]  # what is used of it
        self.secrets = TreeSecrets(store, self.fleet, now=now)
        self.runs = Runs(rest_key=self.secrets.rest_key, changed=self.queue.add, now=now)
        self.world = KubeWorld(self.cache, self.fleet, self.runs, epoch=lambda: 1, broker=self.secrets.broker)
        self.driver = Driver(
            api=api,  # type: ignore[arg-type]  # what is used of it
            cache=self.cache,
            queue=self.queue,
            world=self.world,
            fleet=self.fleet,
            runs=self.runs,
            secrets=self.secrets,
            settings=RenderSettings(image="meshtwin:1"),
            clock=now,
        )
        for raw in api.objects.values():
            self.cache.put(raw)

    def store(self, kind: str, name: str, spec: dict[str, Any]) -> ObjectKey:
        manifest = {"apiVersion": "meshtwin.dev/v1alpha1", "kind": kind, "spec": spec}
        raw = self.api.store({**manifest, "metadata": {"name": name, "namespace": NS}})
        self.cache.put(raw)
        return key_of(raw)

    async def look_at(self, *keys: ObjectKey) -> list[tuple[str, str, str]]:
        """What was written by one look at each."""
        self.api.written.clear()
        for key in keys:
            await self.driver._look_at(key)
        return list(self.api.written)

    async def close(self) -> None:
        self.queue.close()
        await self.fleet.close()
        await self.runs.close()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig(FakeApi())
    rig.store("DigitalTwin", "office", external())
    put_segment(rig)
    yield rig
    await rig.close()


def external(port: int = 9) -> dict[str, Any]:
    raw = {"host": "127.0.0.1", "port": port, "tls": False, "credentialsSecretRef": {"name": "broker"}}
    return {"broker": {"external": raw}}


def put_segment(rig: Rig, **more: Any) -> ObjectKey:
    rig.cache.put(rig.api.store(inventory(NS, 1)))
    reference = {"configMapRef": {"name": "seg-1", "key": "network.json"}}
    return rig.store("MeshSegment", "seg-1", {"twinRef": {"name": "office"}, "inventory": reference, **more})


def give_credentials(rig: Rig) -> None:
    data = {"username": "b3BlcmF0b3I=", "password": "eA=="}
    meta = {"name": "broker", "namespace": NS, "labels": {"meshtwin.dev/broker-credentials": "true"}}
    rig.api.store({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})


async def test_twins_of_a_root_with_an_external_broker_are_told_where_it_is(rig: Rig) -> None:
    give_credentials(rig)
    await rig.look_at(TWIN, NORTH)
    config = rig.api.objects["ConfigMap", NS, "seg-1-segment"]["data"]["config.json"]
    broker = json.loads(config)["broker"]
    assert (broker["host"], broker["port"]) == ("127.0.0.1", 9)
    assert "caFile" not in broker
    assert not [place for place in rig.api.objects if place[2] == "office-broker"]


async def test_a_segment_waits_until_the_broker_of_its_tree_is_known_instead_of_leaving_it_out(rig: Rig) -> None:
    from meshtwin.errors import Unavailable

    with pytest.raises(Unavailable):
        await rig.driver._look_at(NORTH)
    assert rig.api.written == []


async def test_missing_credentials_of_an_external_broker_are_named(rig: Rig) -> None:
    from meshtwin.errors import Unavailable

    with pytest.raises(Unavailable, match="broker-credentials"):
        await rig.driver._look_at(TWIN)


async def test_a_segment_costs_six_writes_and_none_when_looked_at_again(rig: Rig) -> None:
    give_credentials(rig)
    await rig.look_at(TWIN)
    kinds = sorted(kind for kind, _, _ in await rig.look_at(NORTH))
    # With the gateway's Secret, made at the look at an embedded broker, these are seven.
    assert kinds == ["ConfigMap", "MeshSegment", "PersistentVolumeClaim", "Secret", "Service", "StatefulSet"]
    assert await rig.look_at(NORTH) == []


async def test_after_a_restart_nothing_is_written(rig: Rig) -> None:
    give_credentials(rig)
    await rig.look_at(TWIN, NORTH, TWIN)
    again = Rig(rig.api)
    assert await again.look_at(TWIN, NORTH, TWIN) == []
    await again.close()


async def test_the_watch_telling_our_own_write_first_is_an_echo(rig: Rig) -> None:
    give_credentials(rig)
    await rig.look_at(TWIN)
    echoes: list[bool] = []
    rig.api.before_answer = lambda raw: echoes.append(rig.cache.put(raw) and rig.driver.is_echo(raw))
    await rig.driver._look_at(NORTH)
    assert sum(echoes) == 5  # all but the Secret, which is not watched


async def test_an_edit_that_comes_before_the_answer_to_our_write_is_looked_at(rig: Rig) -> None:
    give_credentials(rig)
    await rig.look_at(TWIN)

    def edit(raw: dict[str, Any]) -> None:
        if raw["kind"] == "Service":
            rig.cache.put(rig.api.store({**raw, "spec": {**raw["spec"], "type": "NodePort"}}))

    rig.api.before_answer = edit
    await rig.driver._look_at(NORTH)
    rig.api.before_answer = lambda _: None
    assert NORTH in rig.queue._waiting
    assert ("Service", NS, "seg-1-segment") in await rig.look_at(NORTH)


async def test_a_spec_change_during_the_status_write_is_looked_at(rig: Rig) -> None:
    give_credentials(rig)
    await rig.look_at(TWIN)

    def change(raw: dict[str, Any]) -> None:
        if raw["kind"] == "MeshSegment":
            rig.api.before_answer = lambda _: None
            put_segment(rig, frozenNodes=["0001"])

    rig.api.before_answer = change
    await rig.driver._look_at(NORTH)
    assert NORTH in rig.queue._waiting


async def test_a_change_of_a_segment_that_the_twin_does_not_show_leaves_the_twin_alone(rig: Rig) -> None:
    rig.driver.queue_with_related(NORTH)
    assert TWIN in rig.queue._timers
    rig.queue.close()
    put_segment(rig, monitoring={"reportIntervalSeconds": 77})
    rig.driver.queue_with_related(NORTH)
    assert TWIN not in rig.queue._timers
    put_segment(rig, gatewayId="gw-other")
    rig.driver.queue_with_related(NORTH)
    assert TWIN in rig.queue._timers
