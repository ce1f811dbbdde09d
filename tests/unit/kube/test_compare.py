"""Whether a live object is as desired."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from meshtwin_operator.kube.compare import contains, is_as_desired, with_hash

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
MANIFEST: dict[str, Any] = {
    "kind": "Service",
    "metadata": {"name": "a", "namespace": "n", "labels": {"x": "1"}},
    "spec": {"ports": [{"name": "http", "port": 80}], "selector": {"app": "a"}},
}


@given(JSON)
def test_everything_contains_itself(value: Any) -> None:
    assert contains(copy.deepcopy(value), value)


def test_fields_added_by_the_server_are_not_a_change() -> None:
    desired = with_hash(MANIFEST)
    live = copy.deepcopy(desired)
    live["metadata"]["resourceVersion"] = "7"
    live["spec"]["ports"][0]["protocol"] = "TCP"
    live["spec"]["clusterIP"] = "10.0.0.1"
    assert is_as_desired(live, desired)


def test_an_edited_field_is_a_change_although_the_hash_still_matches() -> None:
    desired = with_hash(MANIFEST)
    live = copy.deepcopy(desired)
    live["spec"]["ports"][0]["port"] = 81
    assert not is_as_desired(live, desired)


def test_a_field_that_is_no_longer_desired_is_a_change() -> None:
    before = with_hash(MANIFEST)
    smaller = copy.deepcopy(MANIFEST)
    del smaller["spec"]["selector"]
    assert not is_as_desired(before, with_hash(smaller))


def test_a_removed_list_item_is_a_change() -> None:
    desired = with_hash(MANIFEST)
    live = copy.deepcopy(desired)
    live["spec"]["ports"] = []
    assert not is_as_desired(live, desired)


def test_an_absent_object_is_not_as_desired() -> None:
    assert not is_as_desired(None, with_hash(MANIFEST))


def test_an_item_that_somebody_added_to_a_named_list_is_left_alone() -> None:
    assert contains([{"name": "sidecar"}, {"name": "twin", "image": "a"}], [{"name": "twin", "image": "a"}])
