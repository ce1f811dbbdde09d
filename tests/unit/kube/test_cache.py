"""The mirror of watched objects."""

from typing import Any

from meshtwin_operator.kube.cache import Cache, owners_of
from meshtwin_operator.reconcile.world import ObjectKey

KEY = ObjectKey("Recipe", "n", "r")


def recipe(version: int, uid: str = "u", uses: str = "end-to-end-latency", **meta: Any) -> dict[str, Any]:
    return {
        "apiVersion": "meshtwin.dev/v1alpha1",
        "kind": "Recipe",
        "metadata": {"name": "r", "namespace": "n", "uid": uid, "resourceVersion": str(version), **meta},
        "spec": {"uses": uses},
    }


def test_an_older_event_does_not_replace_what_was_written_later() -> None:
    cache = Cache()
    cache.put(recipe(7, uses="path-redundancy"))
    assert not cache.put(recipe(6))
    resource = cache.resource(KEY)
    assert resource is not None
    assert resource.spec.uses == "path-redundancy"  # type: ignore[attr-defined]  # a Recipe


def test_a_new_incarnation_replaces_an_old_one_whatever_its_version() -> None:
    cache = Cache()
    cache.put(recipe(7))
    assert cache.put(recipe(3, uid="other"))


def test_the_deletion_of_an_old_incarnation_leaves_the_new_one() -> None:
    cache = Cache()
    cache.put(recipe(9, uid="new"))
    cache.drop(KEY, "old")
    assert cache.raw(KEY) is not None


def test_an_object_being_deleted_is_absent_for_decisions() -> None:
    cache = Cache()
    cache.put(recipe(1, deletionTimestamp="2026-01-01T00:00:00Z"))
    assert cache.resource(KEY) is None


def test_an_object_that_does_not_parse_says_why_and_where() -> None:
    cache = Cache()
    broken = recipe(1)
    broken["spec"]["use"] = "x"
    cache.put(broken)
    assert cache.resource(KEY) is None
    assert "spec.use" in (cache.invalid(KEY) or "")


def test_managed_fields_are_not_kept() -> None:
    cache = Cache()
    cache.put(recipe(1, managedFields=[{"manager": "x"}]))
    assert "managedFields" not in (cache.raw(KEY) or {})["metadata"]


def test_keys_are_listed_by_kind_and_namespace() -> None:
    cache = Cache()
    cache.put(recipe(1))
    assert list(cache.keys("Recipe")) == [KEY]
    assert list(cache.keys("Recipe", "other")) == []
    cache.drop(KEY)
    assert list(cache.keys("Recipe")) == []


def test_owner_of_a_child_whose_owners_were_taken_off_is_known_by_its_label() -> None:
    def child(workload: str) -> dict[str, Any]:
        meta = {"name": workload, "namespace": "buildings", "labels": {"meshtwin.dev/workload": workload}}
        return {"kind": "Service", "metadata": meta}

    assert list(owners_of(child("north-segment"))) == [ObjectKey("MeshSegment", "buildings", "north")]
    assert list(owners_of(child("office-parent"))) == [ObjectKey("DigitalTwin", "buildings", "office")]
    assert list(owners_of(child("office-broker"))) == [ObjectKey("DigitalTwin", "buildings", "office")]
    assert list(owners_of(child("something-else"))) == []
    assert list(owners_of(child("-segment"))) == []
