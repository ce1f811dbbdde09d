"""The embedded store behaves as an API server does."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.errors import InvalidInput
from meshtwin_operator.local.objects import Conflict, NotFound, merge_applied
from meshtwin_operator.local.policy import OPERATOR_USER
from meshtwin_operator.local.store import Store
from meshtwin_operator.reconcile.world import ObjectKey

Manifest = dict[str, Any]
KEY = ObjectKey("DigitalTwin", "buildings", "office")


def test_created_object_gets_identity_generation_and_defaults(store: Store, twin: Manifest) -> None:
    made = store.create(twin, user="alice")
    assert made["metadata"]["generation"] == 1
    assert made["metadata"]["uid"]
    assert made["metadata"]["creationTimestamp"] == "2026-01-02T03:04:05Z"
    assert made["spec"]["approval"]["mode"] == "Manual"


def test_object_that_exists_is_not_created_again(store: Store, twin: Manifest) -> None:
    store.create(twin, user="alice")
    with pytest.raises(Conflict) as caught:
        store.create(twin, user="alice")
    assert caught.value.reason == "AlreadyExists"


def test_applying_the_same_manifest_again_writes_nothing(store: Store, twin: Manifest) -> None:
    first, _ = store.apply(twin, user="alice", origin="folder")
    second, changed = store.apply(twin, user="alice", origin="folder")
    assert not changed
    assert second == first


def test_spec_change_moves_the_generation_and_a_label_does_not(store: Store, twin: Manifest) -> None:
    store.apply(twin, user="alice")
    labelled, _ = store.apply({**twin, "metadata": {**twin["metadata"], "labels": {"a": "b"}}}, user="alice")
    assert labelled["metadata"]["generation"] == 1
    changed, _ = store.apply({**twin, "spec": {"mode": "Observe"}}, user="alice")
    assert changed["metadata"]["generation"] == 2


def test_status_write_keeps_the_generation_and_moves_the_version(store: Store, twin: Manifest) -> None:
    made = store.create(twin, user="alice")
    assert store.write_status(KEY, {"nodes": 3}, uid=made["metadata"]["uid"])
    found = store.get(KEY)
    assert found is not None
    assert found["status"] == {"nodes": 3}
    assert found["metadata"]["generation"] == 1
    assert found["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]


def test_equal_status_is_not_written(store: Store, twin: Manifest) -> None:
    uid = store.create(twin, user="alice")["metadata"]["uid"]
    store.write_status(KEY, {"nodes": 3}, uid=uid)
    before = store.revision()
    assert not store.write_status(KEY, {"nodes": 3}, uid=uid)
    assert store.revision() == before


def test_status_write_from_an_old_reading_is_refused(store: Store, twin: Manifest) -> None:
    made = store.create(twin, user="alice")
    store.patch_spec(KEY, {"suspend": True}, user="alice")
    version, uid = made["metadata"]["resourceVersion"], made["metadata"]["uid"]
    with pytest.raises(Conflict):
        store.write_status(KEY, {"nodes": 3}, uid=uid, expected_version=version)


def test_status_of_an_earlier_object_of_that_name_is_refused(store: Store, twin: Manifest) -> None:
    uid = store.create(twin, user="alice")["metadata"]["uid"]
    store.delete(KEY)
    store.create(twin, user="alice")
    with pytest.raises(Conflict):
        store.write_status(KEY, {"nodes": 3}, uid=uid)


def test_spec_change_keeps_the_status(store: Store, twin: Manifest) -> None:
    uid = store.create(twin, user="alice")["metadata"]["uid"]
    store.write_status(KEY, {"nodes": 3}, uid=uid)
    assert store.patch_spec(KEY, {"suspend": True}, user="alice")["status"] == {"nodes": 3}


def test_patching_an_object_that_is_not_there_says_so(store: Store) -> None:
    with pytest.raises(NotFound, match="buildings/office does not exist"):
        store.patch_spec(KEY, {"suspend": True}, user="alice")


def test_emergency_stop_survives_applying_the_folder_again(store: Store, twin: Manifest) -> None:
    store.apply(twin, user="alice", origin="folder")
    store.patch_spec(KEY, {"emergencyStop": True}, user="alice")
    again, changed = store.apply(twin, user="alice", origin="folder")
    assert again["spec"]["emergencyStop"] is True
    assert not changed


def test_field_removed_from_the_folder_goes_back_to_its_default(store: Store, twin: Manifest) -> None:
    store.apply({**twin, "spec": {"mode": "Control", "suspend": True}}, user="alice", origin="folder")
    again, _ = store.apply(twin, user="alice", origin="folder")
    assert again["spec"]["suspend"] is False


def test_refused_object_is_not_stored_and_the_path_is_named(store: Store, twin: Manifest) -> None:
    with pytest.raises(InvalidInput, match=r"spec\.colour"):
        store.create({**twin, "spec": {"colour": "red"}}, user="alice")
    assert store.get(KEY) is None


def test_two_processes_see_each_others_writes_in_order(store: Store, twin: Manifest, tmp_path: Path) -> None:
    other = Store(tmp_path / "store.sqlite")
    start, version = store.revision(), store.data_version()
    other.create(twin, user="alice")
    other.delete(KEY)
    assert store.data_version() != version
    changes = store.changes_since(start)
    assert changes is not None
    assert [(change.key, change.deleted) for change in changes] == [(KEY, False), (KEY, True)]
    other.close()


def test_approval_in_the_name_of_somebody_else_is_refused(store: Store, approval: Manifest) -> None:
    with pytest.raises(InvalidInput, match="'alice' is not the requesting user 'bob'"):
        store.create(approval, user="bob")
    assert store.create(approval, user="alice")["spec"]["approvedBy"] == "alice"


def test_decision_cannot_be_changed_afterwards(store: Store, approval: Manifest) -> None:
    store.create(approval, user="alice")
    with pytest.raises(InvalidInput, match="never changes"):
        store.apply({**approval, "spec": {**approval["spec"], "decision": "Reject"}}, user="alice")


def test_only_the_operator_creates_revisions(store: Store) -> None:
    manifest = {
        "apiVersion": "meshtwin.dev/v1alpha1",
        "kind": "MeshConfiguration",
        "metadata": {"name": "s-r0001", "namespace": "buildings"},
        "spec": {
            "segmentRef": {"name": "s"},
            "revision": 1,
            "digest": "sha256:" + "0" * 64,
            "settings": [{"nodes": ["0001"], "relay": "Enabled"}],
        },
    }
    with pytest.raises(InvalidInput, match="only the operator may"):
        store.create(manifest, user="alice")
    store.create(manifest, user=OPERATOR_USER)


def test_oversized_config_map_is_refused_with_its_size(store: Store) -> None:
    manifest = {"kind": "ConfigMap", "metadata": {"name": "big"}, "data": {"a": "x" * 1_048_577}}
    with pytest.raises(InvalidInput, match="1048577 bytes is above 1048576"):
        store.create(manifest, user="alice")


def test_epoch_grows_with_every_start(store: Store, tmp_path: Path) -> None:
    first = store.next_epoch()
    other = Store(tmp_path / "store.sqlite")
    assert other.next_epoch() == first + 1
    other.close()


def test_same_event_again_only_counts(store: Store) -> None:
    for _ in range(3):
        store.post_event(KEY, "Normal", "Adopted", "52 nodes read")
    (event,) = store.events(KEY)
    assert (event.reason, event.times) == ("Adopted", 3)


def test_store_is_readable_by_its_user_alone(store: Store, tmp_path: Path) -> None:
    assert (tmp_path / "store.sqlite").stat().st_mode & 0o777 == 0o600


SPECS = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=6
)
MAPPINGS = st.dictionaries(st.sampled_from("abc"), SPECS, max_size=3)


@given(live=MAPPINGS, before=MAPPINGS, now=MAPPINGS)
def test_merging_twice_is_merging_once(live: Manifest, before: Manifest, now: Manifest) -> None:
    once = merge_applied(live, before, now)
    assert merge_applied(once, now, now) == once


@given(live=MAPPINGS, now=MAPPINGS)
def test_what_is_applied_now_always_holds(live: Manifest, now: Manifest) -> None:
    merged = merge_applied(live, {}, now)

    def holds(part: object, whole: object) -> bool:
        if isinstance(part, dict):
            return isinstance(whole, dict) and all(k in whole and holds(v, whole[k]) for k, v in part.items())
        return part == whole

    assert holds(now, merged)


def test_a_twin_that_was_stored_with_a_field_that_is_gone_is_read_and_changed(
    store: Store, twin: Manifest, tmp_path: Path
) -> None:
    store.apply(twin, user="alice", origin="folder")
    db = sqlite3.connect(tmp_path / "store.sqlite")
    db.execute("UPDATE objects SET body=json_set(body, '$.spec.privacy', json('{\"pseudonymiseExports\": false}'))")
    db.commit()
    later = Store(tmp_path / "store.sqlite")
    assert "privacy" not in later.patch_spec(KEY, {"suspend": True}, user="alice")["spec"]
    later.close()
    db.close()
