"""Whose an object is: the operator writes and deletes what it made, and nothing else that has a child's name.

Pure. An object is ours by its controller reference. One without a controller, or whose controller is an earlier
object of the same kind and name, is taken over if it carries our labels: that is how children come back from a
backup, which keeps labels and loses owners.
"""

from collections.abc import Mapping
from typing import Any, Final

from meshtwin.errors import InvalidInput

__all__ = ["CHILD_CONFLICT", "MANAGED_BY", "check_child", "check_secret", "is_made_by_operator"]

CHILD_CONFLICT: Final = "ChildConflict"
MANAGED_BY: Final = {
    "app.kubernetes.io/managed-by": "meshtwin-operator",
    "app.kubernetes.io/part-of": "meshtwin",
}
MARKS: Final = ("app.kubernetes.io/managed-by", "meshtwin.dev/twin")  # labels that hand an object over to us
API_GROUP: Final = "meshtwin.dev/"


def check_child(live: Mapping[str, Any] | None, desired: Mapping[str, Any]) -> None:
    """Raises `InvalidInput` (``ChildConflict``) where ``live`` is there and is neither ours nor handed over to us.

    ``desired`` is the manifest to be applied: with our labels, and its owner as the only controller.
    """
    if live is None:
        return
    (owner,) = desired["metadata"]["ownerReferences"]
    controller = _controller(live)
    if controller is not None:
        if controller.get("uid") == owner["uid"]:
            return
        if _identity(controller) != _identity(owner):
            raise _conflict(desired, f"belongs to {controller.get('kind')} {controller.get('name')}")
    marks = {mark: desired["metadata"]["labels"][mark] for mark in MARKS}
    if not marks.items() <= _labels(live).items():
        raise _conflict(desired, "was not made by the operator")


def check_secret(metadata: Mapping[str, Any], name: str, namespace: str, root_twin: str) -> None:
    """The same for a Secret that is read and used, not written; it may come from another tree, with its gateway."""
    if is_made_by_operator({"metadata": metadata}):
        return
    labels = {"meshtwin.dev/twin": root_twin}
    named = {"kind": "Secret", "metadata": {"name": name, "namespace": namespace, "labels": labels}}
    raise _conflict(named, "was not made by the operator")


def is_made_by_operator(live: Mapping[str, Any]) -> bool:
    """Whether an object carries our label, and no controller but perhaps one of our kinds."""
    mark = MARKS[0]
    controller = _controller(live)
    is_free = controller is None or str(controller.get("apiVersion", "")).startswith(API_GROUP)
    return is_free and _labels(live).get(mark) == MANAGED_BY[mark]


def _controller(live: Mapping[str, Any]) -> Mapping[str, Any] | None:
    references = live["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def _identity(reference: Mapping[str, Any]) -> tuple[str, Any, Any]:
    group = str(reference.get("apiVersion", "")).partition("/")[0]  # versions of one kind are the same object
    return group, reference.get("kind"), reference.get("name")


def _labels(live: Mapping[str, Any]) -> Mapping[str, str]:
    return live["metadata"].get("labels") or {}


def _conflict(named: Mapping[str, Any], whose: str) -> InvalidInput:
    kind, meta = named["kind"], named["metadata"]
    twin = meta["labels"]["meshtwin.dev/twin"]
    message = (
        f"{kind} {meta['name']} is there, {whose}, and is left as it is: delete it, choose another name for the "
        f"resource that needs one of this name, or hand it over by the labels {MARKS[0]}: {MANAGED_BY[MARKS[0]]} and "
        f"{MARKS[1]}: {twin}, without another controller"
    )
    return InvalidInput(message, reason=CHILD_CONFLICT, place=f"{kind} {meta['namespace']}/{meta['name']}")
