"""Whose an object is that has a child's name."""

from typing import Any

import pytest

from meshtwin.errors import InvalidInput
from meshtwin_operator.kube.ownership import check_child, check_secret, is_made_by_operator
from meshtwin_operator.kube.render import owner_reference
from meshtwin_operator.reconcile.world import ObjectKey

NORTH = ObjectKey("MeshSegment", "buildings", "north")
LABELS = {
    "app.kubernetes.io/managed-by": "meshtwin-operator",
    "app.kubernetes.io/part-of": "meshtwin",
    "meshtwin.dev/twin": "office",
}
OURS = owner_reference(NORTH, "uid-1")
EARLIER = owner_reference(NORTH, "uid-0")
OTHERS = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop", "uid": "uid-9", "controller": True}
ANOTHER_OF_OURS = owner_reference(ObjectKey("MeshSegment", "buildings", "south"), "uid-2")


def make(labels: dict[str, str] | None = None, *owners: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": "north-segment", "namespace": "buildings", "uid": "u", "labels": labels or {}}
    return {"kind": "Service", "metadata": {**metadata, "ownerReferences": list(owners)}}


DESIRED = make(LABELS, OURS)


@pytest.mark.parametrize(
    "live",
    [
        None,
        make(LABELS, OURS),
        make({}, OURS),
        make(LABELS),
        make(LABELS, EARLIER),
        make(LABELS, OTHERS | {"controller": False}),
        make(LABELS, EARLIER | {"apiVersion": "meshtwin.dev/v1beta1"}),
    ],
    ids=[
        "absent",
        "ours",
        "ours, labels taken off",
        "back from a backup that loses owners",
        "back from a backup that keeps them",
        "also owned by somebody, without control",
        "written under another version of the API",
    ],
)
def test_what_is_absent_or_ours_or_handed_over_is_applied(live: dict[str, Any] | None) -> None:
    check_child(live, DESIRED)


@pytest.mark.parametrize(
    ("live", "text"),
    [
        (make(), "was not made by the operator"),
        (make({"app.kubernetes.io/managed-by": "Helm"}), "was not made by the operator"),
        (make({**LABELS, "meshtwin.dev/twin": "depot"}), "was not made by the operator"),
        (make({}, EARLIER), "was not made by the operator"),
        (make(LABELS, OTHERS), "belongs to Deployment shop"),
        (make(LABELS, ANOTHER_OF_OURS), "belongs to MeshSegment south"),
    ],
    ids=["nobody's", "another tool's", "another tree's", "an earlier one's, not labelled", "controlled", "a sibling's"],
)
def test_what_somebody_else_made_is_left_alone_and_the_error_says_what_to_do(live: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text) as caught:
        check_child(live, DESIRED)
    assert caught.value.reason == "ChildConflict"
    assert caught.value.place == "Service buildings/north-segment"
    assert "delete it" in caught.value.message
    assert "meshtwin.dev/twin: office" in caught.value.message


def test_a_secret_of_another_tree_may_come_with_its_gateway_and_one_of_nobody_may_not() -> None:
    check_secret(
        make({**LABELS, "meshtwin.dev/twin": "depot"}, ANOTHER_OF_OURS)["metadata"], "s", "buildings", "office"
    )
    with pytest.raises(InvalidInput, match="Secret s"):
        check_secret(make()["metadata"], "s", "buildings", "office")


def test_only_what_carries_our_label_and_has_no_foreign_controller_is_deleted() -> None:
    assert is_made_by_operator(make(LABELS, OURS))
    assert is_made_by_operator(make(LABELS))
    assert not is_made_by_operator(make(LABELS, OTHERS))
    assert not is_made_by_operator(make({}, OURS))
