"""Secrets that are read by name and remembered."""

import base64

import pytest
from tests.unit.kube.fake_api import FakeApi

from meshtwin.errors import InvalidInput
from meshtwin_operator.kube.secret_store import SecretStore
from meshtwin_operator.reconcile.outcome import Workload, WorkloadRole
from meshtwin_operator.reconcile.world import ObjectKey

NS = "buildings"
ROOT = ObjectKey("DigitalTwin", NS, "office")
NORTH = ObjectKey("MeshSegment", NS, "north")
WORKLOAD = Workload(
    role=WorkloadRole.SEGMENT_TWIN,
    namespace=NS,
    name="north-segment",
    owner=NORTH,
    owner_uid="uid-1",
    root_twin="office",
)


@pytest.fixture
def told() -> list[ObjectKey]:
    return []


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def store(api: FakeApi, told: list[ObjectKey]) -> SecretStore:
    return SecretStore(api, changed=told.append)  # type: ignore[arg-type]  # what is used of it


def rewrite(api: FakeApi, password: str) -> None:
    place = ("Secret", NS, "north-account")
    api.store({**api.objects[place], "data": {"password": base64.b64encode(password.encode()).decode()}})


async def test_a_secret_that_exists_is_not_made_again(store: SecretStore, api: FakeApi) -> None:
    await store.ensure(WORKLOAD, "north-account", ("password",), lambda: {"password": b"one"})
    fresh = SecretStore(api, changed=lambda _: None)  # type: ignore[arg-type]  # as after a restart
    assert await fresh.ensure(WORKLOAD, "north-account", ("password",), lambda: {"password": b"two"}) == {
        "password": b"one"
    }
    assert len(api.written) == 1


async def test_rotation_is_told_to_the_root_twin_and_to_the_owner(
    store: SecretStore, api: FakeApi, told: list[ObjectKey]
) -> None:
    await store.ensure(WORKLOAD, "north-account", ("password",), lambda: {"password": b"one"})
    rewrite(api, "two")
    await store.refresh(NS, "north-account")
    assert told == [ROOT, NORTH]
    assert await store.read(NS, "north-account", "office") == {"password": b"two"}


async def test_a_secret_that_stays_is_told_to_nobody(store: SecretStore, told: list[ObjectKey]) -> None:
    await store.ensure(WORKLOAD, "north-account", ("password",), lambda: {"password": b"one"})
    changes = store.changes_total
    await store.refresh(NS, "north-account")
    assert told == []
    assert store.changes_total == changes


async def test_a_removed_secret_is_told_and_made_again(store: SecretStore, api: FakeApi, told: list[ObjectKey]) -> None:
    await store.ensure(WORKLOAD, "north-account", ("password",), lambda: {"password": b"one"})
    api.objects.clear()
    await store.refresh(NS, "north-account")
    assert told == [ROOT, NORTH]
    assert await store.ensure(WORKLOAD, "north-account", ("password",), lambda: {"password": b"two"}) == {
        "password": b"two"
    }


async def test_changes_are_counted_so_that_unchanged_secrets_need_not_be_gone_through(
    store: SecretStore, api: FakeApi
) -> None:
    await store.ensure(WORKLOAD, "north-account", ("password",), lambda: {"password": b"one"})
    before = store.changes_total
    rewrite(api, "two")
    await store.refresh(NS, "north-account")
    assert store.changes_total == before + 1


async def test_a_secret_without_a_key_that_is_needed_is_named_with_what_to_do(store: SecretStore, api: FakeApi) -> None:
    await store.ensure(WORKLOAD, "north-account", ("password",), lambda: {"password": b"one"})
    api.store({**api.objects["Secret", NS, "north-account"], "data": {}})
    await store.refresh(NS, "north-account")
    with pytest.raises(InvalidInput, match=r"lacks password: .* delete the Secret") as caught:
        await store.ensure(WORKLOAD, "north-account", ("password",), lambda: {"password": b"two"})
    assert caught.value.reason == "SecretIncomplete"
