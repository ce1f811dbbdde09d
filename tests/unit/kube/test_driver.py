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
from meshtwin.errors import InvalidInput, Unavailable
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
        self.runs = Runs(operator_key=self.secrets.operator_key, changed=self.queue.add, now=now)
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
    with pytest.raises(Unavailable):
        await rig.driver._look_at(NORTH)
    assert rig.api.written == []


async def test_missing_credentials_of_an_external_broker_are_named(rig: Rig) -> None:
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


async def test_changes_of_segments_call_a_pipeline_once_in_a_while(rig: Rig) -> None:
    spec = {"twinRef": {"name": "office"}, "recipes": [{"name": "fewest-sufficient-relays"}]}
    pipeline = rig.store("Pipeline", "lighting", spec)
    rig.driver.queue_with_related(NORTH)
    assert pipeline in rig.queue._timers
    assert pipeline not in rig.queue._waiting


def shown(rig: Rig, key: ObjectKey) -> dict[str, tuple[str, str, str]]:
    status = (rig.cache.raw(key) or {}).get("status", {})
    return {c["type"]: (c["status"], c["reason"], c.get("message", "")) for c in status.get("conditions", [])}


def their_service(name: str = "seg-1-segment") -> dict[str, Any]:
    meta = {"name": name, "namespace": NS, "labels": {"app": "shop"}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": {"app": "shop"}}}


async def test_an_object_that_somebody_else_made_is_not_taken_over_and_the_segment_names_it(rig: Rig) -> None:
    give_credentials(rig)
    await rig.look_at(TWIN)
    theirs = rig.api.store(their_service())
    with pytest.raises(InvalidInput, match="seg-1-segment"):
        await rig.driver._look_at(NORTH)
    assert rig.api.objects["Service", NS, "seg-1-segment"] == theirs
    status, reason, message = shown(rig, NORTH)["Stalled"]
    assert (status, reason) == ("True", "ChildConflict")
    assert "Service seg-1-segment" in message
    assert shown(rig, NORTH)["Ready"][0] == "False"
    assert "Synced" in shown(rig, NORTH)


async def test_the_conflict_is_said_once_and_ends_when_the_object_is_gone(rig: Rig) -> None:
    give_credentials(rig)
    await rig.look_at(TWIN)
    rig.api.store(their_service())
    for _ in range(2):
        rig.api.written.clear()
        with pytest.raises(InvalidInput):
            await rig.driver._look_at(NORTH)
    assert ("MeshSegment", NS, "seg-1") not in rig.api.written
    del rig.api.objects["Service", NS, "seg-1-segment"]
    assert ("Service", NS, "seg-1-segment") in await rig.look_at(NORTH)
    assert shown(rig, NORTH)["Stalled"][0] == "False"


async def test_a_secret_that_somebody_else_made_is_not_used_as_an_account(rig: Rig) -> None:
    give_credentials(rig)
    await rig.look_at(TWIN)
    meta = {"name": "seg-1-segment-account", "namespace": NS}
    rig.api.store({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"password": "eA=="}})
    with pytest.raises(InvalidInput, match="Secret seg-1-segment-account"):
        await rig.driver._look_at(NORTH)
    assert shown(rig, NORTH)["Stalled"][:2] == ("True", "ChildConflict")
    assert ("StatefulSet", NS, "seg-1-segment") not in rig.api.objects


async def test_a_conflict_of_the_parent_twin_is_said_at_the_twin(rig: Rig) -> None:
    give_credentials(rig)
    rig.api.store(their_service("office-parent"))
    with pytest.raises(InvalidInput):
        await rig.driver._look_at(TWIN)
    assert shown(rig, TWIN)["Stalled"][:2] == ("True", "ChildConflict")


async def test_children_that_come_back_from_a_backup_without_owners_are_owned_again(rig: Rig) -> None:
    give_credentials(rig)
    await rig.look_at(TWIN, NORTH)
    for place, raw in rig.api.objects.items():
        if place[2].startswith("seg-1-segment"):
            raw["metadata"]["ownerReferences"] = []
    again = Rig(rig.api)
    await again.look_at(TWIN, NORTH)
    owners = rig.api.objects["StatefulSet", NS, "seg-1-segment"]["metadata"]["ownerReferences"]
    assert [owner["name"] for owner in owners] == ["seg-1"]
    await again.close()


@pytest.mark.parametrize("is_theirs", [True, False])
async def test_a_broker_that_is_not_wanted_any_more_is_deleted_unless_it_is_somebody_elses(
    rig: Rig, is_theirs: bool
) -> None:
    give_credentials(rig)
    labels = {"app.kubernetes.io/managed-by": "meshtwin-operator", "meshtwin.dev/twin": "office"}
    theirs = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop", "uid": "u", "controller": True}
    meta = {"name": "office-broker", "namespace": NS, "labels": labels, "ownerReferences": [theirs] * is_theirs}
    rig.cache.put(rig.api.store({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta, "spec": {}}))
    await rig.look_at(TWIN)
    assert (("StatefulSet", NS, "office-broker") in rig.api.objects) is is_theirs


async def test_a_twin_that_is_gone_takes_its_broker_along(rig: Rig) -> None:
    give_credentials(rig)
    await rig.look_at(TWIN)
    assert rig.world.broker(NS, "office") is not None
    rig.cache.drop(TWIN)
    await rig.driver._look_at(TWIN)
    assert rig.world.broker(NS, "office") is None


async def test_missing_credentials_stall_a_twin_that_runs_with_what_it_had(rig: Rig) -> None:
    give_credentials(rig)
    await rig.look_at(TWIN)
    model = {"http": {"url": "https://models.example", "secretRef": {"name": "planner"}}}
    rig.store("DigitalTwin", "office", {**external(), "model": model})
    with pytest.raises(Unavailable, match="model-credentials"):
        await rig.driver._look_at(TWIN)
    assert shown(rig, TWIN)["Stalled"][:2] == ("True", "ModelCredentials")


async def test_a_claim_that_may_not_grow_is_left_and_its_owner_gets_an_event(rig: Rig) -> None:
    give_credentials(rig)
    await rig.look_at(TWIN, NORTH)
    rig.store("DigitalTwin", "office", {**external(), "repository": {"sizeMebibytes": 4096}})
    posted: list[dict[str, Any]] = []
    apply, create = rig.api.apply, rig.api.create

    async def refuse(manifest: dict[str, Any], *, sub: str | None = None) -> dict[str, Any]:
        if manifest["kind"] == "PersistentVolumeClaim":
            raise InvalidInput("only dynamically provisioned pvc can be resized", reason="Refused403")
        return await apply(manifest, sub=sub)

    async def note(manifest: dict[str, Any]) -> dict[str, Any] | None:
        posted.append(manifest)
        return await create(manifest)

    rig.api.apply, rig.api.create = refuse, note  # type: ignore[method-assign, assignment]  # an API that refuses
    await rig.driver._look_at(NORTH)
    assert [(e["reason"], e["involvedObject"]["name"]) for e in posted] == [("ClaimUnchanged", "seg-1")]
