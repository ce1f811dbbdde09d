"""List and watch with a label selector on the server's side, for children and inventories.

kopf filters labels on the client's side: it would stream every Pod and ConfigMap of a cluster to us. So kopf
watches our own kinds, and this loop watches what carries our labels.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog

from meshtwin.errors import MeshTwinError
from meshtwin_operator.kube.api import KubeApi
from meshtwin_operator.kube.cache import Cache, key_of
from meshtwin_operator.reconcile.world import ObjectKey

__all__ = ["Watcher"]

log = structlog.get_logger(__name__)

RETRY_S: Final = 1.0


class Watcher:
    """Keeps the cache in step with one kind; ``changed`` is called for each object that came, changed or went."""

    def __init__(
        self,
        api: KubeApi,
        cache: Cache,
        *,
        kind: str,
        namespace: str | None,
        selector: str,
        changed: Callable[[ObjectKey, dict[str, Any]], None],
    ) -> None:
        self._api, self._cache = api, cache
        self._kind, self._namespace, self._selector = kind, namespace, selector
        self._changed = changed
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """List, watch, list again when the watch cannot go on; never returns."""
        while True:
            try:
                version = await self._list()
                await self._follow(version)
            except MeshTwinError as error:
                log.warning("Listing again", kind=self._kind, problem=str(error))
                await asyncio.sleep(RETRY_S)

    async def _list(self) -> str:
        items, version = await self._api.list(self._kind, self._namespace, selector=self._selector)
        here = {key_of(item) for item in items}
        for item in items:
            if self._cache.put(item):
                self._changed(key_of(item), item)
        for key in list(self._cache.keys(self._kind, self._namespace)):
            if key not in here and self._watched(key):
                self._gone(key)
        self.synced.set()
        return version

    async def _follow(self, version: str) -> None:
        async for event in self._api.watch(self._kind, self._namespace, selector=self._selector, version=version):
            raw = event["object"]
            if event["type"] == "ERROR":
                log.info("Listing again, the watch is too old", kind=self._kind)
                return
            raw["kind"] = self._kind
            key = key_of(raw)
            if event["type"] == "DELETED":
                self._gone(key)
            elif self._cache.put(raw):
                self._changed(key, raw)

    def _watched(self, key: ObjectKey) -> bool:
        """Whether this watcher's selector covers a cached object (two watchers may share a kind)."""
        raw = self._cache.raw(key)
        label, _, value = self._selector.partition("=")
        return raw is not None and raw["metadata"].get("labels", {}).get(label) == value

    def _gone(self, key: ObjectKey) -> None:
        raw = self._cache.raw(key)
        self._cache.drop(key)
        if raw is not None:
            self._changed(key, raw)
