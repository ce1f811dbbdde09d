"""A mirror in memory of the objects that the watches deliver: raw, parsed on demand, indexed by kind.

Only what decisions need is kept: ``managedFields`` are dropped, so that 1,000 segments fit in a small pod.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import structlog
from pydantic import ValidationError

from meshtwin_operator.reconcile.indexes import ObjectIndex
from meshtwin_operator.reconcile.world import ObjectKey
from meshtwin_operator.resources.base import Resource
from meshtwin_operator.resources.kinds import KINDS_BY_NAME

__all__ = ["Cache", "key_of", "newer"]

log = structlog.get_logger(__name__)

DROPPED_METADATA: Final = ("managedFields", "selfLink")


def key_of(raw: Mapping[str, Any]) -> ObjectKey:
    """Identity of a raw object."""
    meta = raw["metadata"]
    return ObjectKey(raw["kind"], meta.get("namespace", ""), meta["name"])


def newer(raw: Mapping[str, Any], than: Mapping[str, Any] | None) -> bool:
    """Whether a raw object is newer than another, by the etcd revision in its resourceVersion.

    Kubernetes 1.35 declares resource versions comparable (KEP-5504); every etcd-backed server before it
    numbers them by etcd revision. An object of another uid is always newer.
    """
    if than is None or raw["metadata"].get("uid") != than["metadata"].get("uid"):
        return True
    try:
        return int(raw["metadata"]["resourceVersion"]) > int(than["metadata"]["resourceVersion"])
    except (KeyError, ValueError):
        return True


class Cache:
    """Objects by key. Writes by the operator are put in at once, so that it reads its own writes."""

    def __init__(self) -> None:
        self._raw: dict[ObjectKey, dict[str, Any]] = {}
        self._by_kind: dict[tuple[str, str], set[str]] = {}
        self._parsed: dict[ObjectKey, tuple[str, Resource | None, str | None]] = {}
        self.index = ObjectIndex(self.resource)
        self.listeners: list[Callable[[ObjectKey], None]] = [self.index.touch]  # told of every change
        self._lists: dict[tuple[str, str], list[Resource]] = {}  # of what parses; dropped when one changes

    def put(self, raw: Mapping[str, Any]) -> bool:
        """Take a newer object; False if what is known is as new: our own write comes back by the watch."""
        key = key_of(raw)
        if not newer(raw, self._raw.get(key)):
            return False
        kept = dict(raw)
        kept["metadata"] = {k: v for k, v in raw["metadata"].items() if k not in DROPPED_METADATA}
        self._raw[key] = kept
        self._lists.pop((key.kind, key.namespace), None)
        self._by_kind.setdefault((key.kind, key.namespace), set()).add(key.name)
        self._tell(key)
        return True

    def drop(self, key: ObjectKey, uid: str | None = None) -> None:
        """Forget an object; with ``uid`` only that incarnation."""
        raw = self._raw.get(key)
        if raw is None or (uid is not None and raw["metadata"].get("uid") != uid):
            return
        del self._raw[key]
        self._lists.pop((key.kind, key.namespace), None)
        self._parsed.pop(key, None)
        self._by_kind[(key.kind, key.namespace)].discard(key.name)
        self._tell(key)

    def raw(self, key: ObjectKey) -> dict[str, Any] | None:
        """The raw object; None if absent."""
        return self._raw.get(key)

    def keys(self, kind: str, namespace: str | None = None) -> Iterator[ObjectKey]:
        """Keys of a kind, by namespace and name."""
        for known_kind, known_namespace in sorted(self._by_kind):
            if known_kind == kind and namespace in (None, known_namespace):
                for name in sorted(self._by_kind[(known_kind, known_namespace)]):
                    yield ObjectKey(kind, known_namespace, name)

    def resource(self, key: ObjectKey) -> Resource | None:
        """The parsed object of one of our kinds; None if absent, being deleted, or invalid."""
        return self._parse(key)[1]

    def resources(self, kind: str, namespace: str) -> Sequence[Resource]:
        """All objects of a kind in a namespace that parse, by name."""
        known = self._lists.get((kind, namespace))
        if known is None:
            found = (self.resource(key) for key in self.keys(kind, namespace))
            known = [resource for resource in found if resource is not None]
            self._lists[kind, namespace] = known
        return known

    def invalid(self, key: ObjectKey) -> str | None:
        """Why the stored object could not be parsed; None if it is fine or absent."""
        return self._parse(key)[2]

    def _tell(self, key: ObjectKey) -> None:
        for listener in self.listeners:
            listener(key)

    def _parse(self, key: ObjectKey) -> tuple[str, Resource | None, str | None]:
        raw = self._raw.get(key)
        if raw is None or raw["metadata"].get("deletionTimestamp"):
            return ("", None, None)
        version = raw["metadata"].get("resourceVersion", "")
        known = self._parsed.get(key)
        if known is not None and known[0] == version:
            return known
        parsed: tuple[str, Resource | None, str | None]
        try:
            parsed = (version, KINDS_BY_NAME[key.kind].model_validate(raw), None)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            parsed = (version, None, f"{first['msg']} ({place})")
            log.warning("Skipping an object that does not parse", key=str(key), problem=parsed[2])
        self._parsed[key] = parsed
        return parsed
