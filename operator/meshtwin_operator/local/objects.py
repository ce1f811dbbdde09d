"""Manifests as the store keeps them: identity, parts, three-way merge. Pure."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from meshtwin.errors import Inconsistent, InvalidInput
from meshtwin_operator.reconcile.world import ObjectKey

__all__ = [
    "Conflict",
    "NotFound",
    "body_of",
    "key_of",
    "merge_applied",
    "stamp",
    "to_manifest",
    "user_metadata",
]


class Conflict(Inconsistent):
    """Somebody else wrote the object since it was read."""

    reason = "Conflict"


class NotFound(InvalidInput):
    """There is no such object."""

    reason = "NotFound"


def key_of(manifest: Mapping[str, Any]) -> ObjectKey:
    """Kind, namespace and name of a manifest; raises `InvalidInput` when one is missing."""
    metadata = manifest.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        raise InvalidInput(f"metadata is a {type(metadata).__name__} where an object belongs")
    kind, namespace, name = manifest.get("kind"), metadata.get("namespace", "default"), metadata.get("name")
    if not isinstance(kind, str) or not isinstance(namespace, str) or not isinstance(name, str):
        raise InvalidInput(f"kind {kind!r} with metadata.name {name!r}: both must be said")
    return ObjectKey(kind, namespace, name)


def merge_applied(live: Any, before: Any, now: Any) -> Any:
    """Three-way merge: ``now`` over ``live``, less what only ``before`` set. Lists are whole."""
    if not isinstance(now, Mapping) or not isinstance(live, Mapping):
        return now
    before = before if isinstance(before, Mapping) else {}
    kept = {name: value for name, value in live.items() if name in now or name not in before}
    return {**kept, **{name: merge_applied(live.get(name), before.get(name), now[name]) for name in now}}


def to_manifest(row: tuple[Any, ...]) -> dict[str, Any]:
    """The manifest of one row: kind, namespace, name, uid, generation, version, created, body, status."""
    kind, namespace, name, uid, generation, version, created_at, body_text, status_text = row
    body = json.loads(body_text)
    metadata = {
        "name": name,
        "namespace": namespace,
        **body.pop("metadata"),
        "uid": uid,
        "generation": generation,
        "resourceVersion": str(version),
        "creationTimestamp": created_at,
    }
    api_version = "v1" if kind == "ConfigMap" else "meshtwin.dev/v1alpha1"
    manifest = {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}
    if status_text is not None:
        manifest["status"] = json.loads(status_text)
    return manifest


def user_metadata(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the metadata that users write."""
    metadata = manifest.get("metadata") or {}
    return {f: metadata[f] for f in ("labels", "annotations", "ownerReferences") if metadata.get(f)}


def body_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the generation counts changes of."""
    return {f: manifest[f] for f in ("spec", "data", "binaryData", "immutable") if manifest.get(f) is not None}


def stamp(now: datetime) -> str:
    """UTC, RFC 3339, whole seconds, as in an API server's metadata."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
