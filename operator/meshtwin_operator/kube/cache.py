"""A mirror in memory of the objects that the watches deliver: raw, parsed on demand, indexed by kind.

Only what decisions need is kept, as packed JSON text: ``managedFields`` are dropped, and a dict of dicts takes
five times the memory of its text. So 1,000 segments fit in a small pod; reading one again takes microseconds.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from pydantic import ValidationError

from meshtwin_operator.reconcile.indexes import ObjectIndex
from meshtwin_operator.reconcile.naming import owner_of_workload
from meshtwin_operator.reconcile.world import ObjectKey
from meshtwin_operator.resources.base import Resource
from meshtwin_operator.resources.kinds import KINDS_BY_NAME

__all__ = ["Cache", "is_newer", "key_of", "owners_of"]

log = structlog.get_logger(__name__)

WORKLOAD_LABEL: Final = "meshtwin.dev/workload"
PACKING: Final = 1  # zlib level: the fastest; a third of the text is left
DROPPED_METADATA: Final = ("managedFields", "selfLink")


def key_of(raw: Mapping[str, Any]) -> ObjectKey:
    """Identity of a raw object."""
    meta = raw["metadata"]
    return ObjectKey(raw["kind"], meta.get("namespace", ""), meta["name"])


def owners_of(raw: Mapping[str, Any]) -> Iterator[ObjectKey]:
    """Objects of ours that own this one, or that should by its label: somebody may have taken its owners off."""
    meta = raw["metadata"]
    owners = [
        (one["kind"], one["name"]) for one in meta.get("ownerReferences") or () if one.get("kind") in KINDS_BY_NAME
    ]
    named = owner_of_workload((meta.get("labels") or {}).get(WORKLOAD_LABEL, ""))
    for kind, name in owners or ([named] if named else []):
        yield ObjectKey(kind, meta["namespace"], name)


@dataclass(frozen=True, slots=True)
class _Stored:
    uid: str | None
    version: str
    is_ending: bool  # being deleted
    packed: bytes

    @property
    def text(self) -> bytes:
        """The object as JSON."""
        return zlib.decompress(self.packed)


def is_newer(one: tuple[str | None, str], than: tuple[str | None, str]) -> bool:
    """Whether an object of (uid, resourceVersion) is newer than another, by the etcd revision in its version.

    Kubernetes 1.35 declares resource versions comparable (KEP-5504); every etcd-backed server before it
    numbers them by etcd revision. An object of another uid is always newer.
    """
    if one[0] != than[0]:
        return True
    try:
        return int(one[1]) > int(than[1])
    except ValueError:
        return True


class Cache:
    """Objects by key. Writes by the operator are put in at once, so that it reads its own writes."""

    def __init__(self) -> None:
        self._stored: dict[ObjectKey, _Stored] = {}
        self._by_kind: dict[tuple[str, str], set[str]] = {}
        self._parsed: dict[ObjectKey, tuple[str, Resource | None, str | None]] = {}
        self.index = ObjectIndex(self.resource)
        self.listeners: list[Callable[[ObjectKey], None]] = [self.index.touch]  # told of every change
        self._lists: dict[tuple[str, str], list[Resource]] = {}  # of what parses; dropped when one changes

    def put(self, raw: Mapping[str, Any]) -> bool:
        """Take a newer object; False if what is known is as new: our own write comes back by the watch."""
        key = key_of(raw)
        meta = raw["metadata"]
        uid, version = meta.get("uid"), str(meta.get("resourceVersion", ""))
        known = self._stored.get(key)
        if known is not None and not is_newer((uid, version), (known.uid, known.version)):
            return False
        kept = {**raw, "metadata": {k: v for k, v in meta.items() if k not in DROPPED_METADATA}}
        packed = zlib.compress(json.dumps(kept, separators=(",", ":")).encode(), PACKING)
        self._stored[key] = _Stored(uid, version, bool(meta.get("deletionTimestamp")), packed)
        self._lists.pop((key.kind, key.namespace), None)
        self._by_kind.setdefault((key.kind, key.namespace), set()).add(key.name)
        self._tell(key)
        return True

    def drop(self, key: ObjectKey, uid: str | None = None) -> None:
        """Forget an object; with ``uid`` only that incarnation."""
        stored = self._stored.get(key)
        if stored is None or (uid is not None and stored.uid != uid):
            return
        del self._stored[key]
        self._lists.pop((key.kind, key.namespace), None)
        self._parsed.pop(key, None)
        self._by_kind[(key.kind, key.namespace)].discard(key.name)
        self._tell(key)

    def raw(self, key: ObjectKey) -> dict[str, Any] | None:
        """The raw object, the caller's own copy; None if absent."""
        stored = self._stored.get(key)
        return None if stored is None else json.loads(stored.text)

    def version(self, key: ObjectKey) -> str | None:
        """resourceVersion of the object; None if absent."""
        stored = self._stored.get(key)
        return None if stored is None else stored.version

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
        stored = self._stored.get(key)
        if stored is None or stored.is_ending:
            return ("", None, None)
        version = stored.version
        known = self._parsed.get(key)
        if known is not None and known[0] == version:
            return known
        parsed: tuple[str, Resource | None, str | None]
        try:
            parsed = (version, KINDS_BY_NAME[key.kind].model_validate_json(stored.text), None)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            parsed = (version, None, f"{first['msg']} ({place})")
            log.warning("Skipping an object that does not parse", key=str(key), problem=parsed[2])
        self._parsed[key] = parsed
        return parsed
