"""Objects of a cluster or a folder, as commands reach them, in memory."""

from collections.abc import Mapping, Sequence
from typing import Any

from meshtwin.errors import InvalidInput

__all__ = ["Manifest", "MemoryAccess"]

Manifest = dict[str, Any]


class MemoryAccess:
    """`ObjectAccess` over a list."""

    namespace = "buildings"

    def __init__(self, *manifests: Manifest, user: str = "alice") -> None:
        self.objects = list(manifests)
        self._user = user

    def get(self, kind: str, name: str) -> Manifest | None:
        return next((m for m in self.list_objects(kind) if m["metadata"]["name"] == name), None)

    def list_objects(self, kind: str) -> Sequence[Manifest]:
        return [m for m in self.objects if m["kind"] == kind]

    def create(self, manifest: Mapping[str, Any]) -> Manifest:
        if self.get(manifest["kind"], manifest["metadata"]["name"]) is not None:
            raise InvalidInput("exists already", reason="AlreadyExists")
        self.objects.append(dict(manifest))
        return dict(manifest)

    def patch_spec(self, kind: str, name: str, changes: Mapping[str, Any]) -> Manifest:
        raise NotImplementedError

    def whoami(self) -> str:
        return self._user

    def events(self, kind: str, name: str) -> Sequence[tuple[str, str, str, str]]:
        return []
