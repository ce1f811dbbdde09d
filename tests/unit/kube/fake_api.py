"""An API server in memory: applies by merging, counts resource versions, tells what was written."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

Place = tuple[str, str, str]


def place_of(manifest: Mapping[str, Any]) -> Place:
    return manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"]


class FakeApi:
    """Fulfils what the driver's parts ask of `KubeApi`; ``before_answer`` is called between write and answer."""

    def __init__(self) -> None:
        self.objects: dict[Place, dict[str, Any]] = {}
        self.written: list[Place] = []
        self.version = 0
        self.before_answer: Callable[[dict[str, Any]], None] = lambda _: None

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        return copy.deepcopy(self.objects.get((kind, namespace, name)))

    async def apply(self, manifest: Mapping[str, Any], *, sub: str | None = None) -> dict[str, Any]:
        self.written.append(place_of(manifest))
        stored = self.store(manifest)
        self.before_answer(copy.deepcopy(stored))
        return copy.deepcopy(stored)

    async def create(self, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
        if "name" in manifest["metadata"] and place_of(manifest) in self.objects:
            return None
        return await self.apply(manifest) if "name" in manifest["metadata"] else dict(manifest)

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        self.objects.pop((kind, namespace, name), None)

    def store(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """As somebody else would write it."""
        place = place_of(manifest)
        before = self.objects.get(place, {"metadata": {"uid": "-".join(place), "generation": 1}})
        self.version += 1
        new = {**before, **copy.deepcopy(dict(manifest))}
        new["metadata"] = {**before["metadata"], **new["metadata"], "resourceVersion": str(self.version)}
        if "spec" in before and before["spec"] != new["spec"]:
            new["metadata"]["generation"] = before["metadata"]["generation"] + 1
        self.objects[place] = new
        return copy.deepcopy(new)
