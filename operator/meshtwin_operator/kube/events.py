"""Kubernetes Events on our objects, each posted once by a process. They are for people; nothing depends on them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import structlog

from meshtwin.errors import MeshTwinError
from meshtwin_operator.kube.api import FIELD_MANAGER, KubeApi, path_of
from meshtwin_operator.reconcile.outcome import KubeEvent
from meshtwin_operator.reconcile.world import ObjectKey

__all__ = ["EventPoster"]

log = structlog.get_logger(__name__)

EVENT_MEMORY: Final = 4096  # (object, reason, message) already posted by this process


class EventPoster:
    """Posts events and remembers which."""

    def __init__(self, api: KubeApi, *, clock: Callable[[], datetime]) -> None:
        self._api, self._clock = api, clock
        self._posted: dict[tuple[ObjectKey, str, str], None] = {}

    async def post(self, key: ObjectKey, raw: Mapping[str, Any] | None, event: KubeEvent) -> None:
        """Post unless this process did already; without success it is logged and left out."""
        memory = (key, event.reason, event.message)
        if raw is None or memory in self._posted:
            return
        self._posted[memory] = None
        while len(self._posted) > EVENT_MEMORY:
            del self._posted[next(iter(self._posted))]
        now = self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        reference = {
            "apiVersion": path_of(key.kind).api_version,
            "kind": key.kind,
            "name": key.name,
            "namespace": key.namespace,
            "uid": raw["metadata"].get("uid", ""),
        }
        try:
            await self._api.create(
                {
                    "apiVersion": "v1",
                    "kind": "Event",
                    "metadata": {"generateName": f"{key.name}-", "namespace": key.namespace},
                    "involvedObject": reference,
                    "reason": event.reason,
                    "message": event.message[:1024],
                    "type": event.type,
                    "source": {"component": FIELD_MANAGER},
                    "reportingComponent": FIELD_MANAGER,
                    "firstTimestamp": now,
                    "lastTimestamp": now,
                    "count": 1,
                }
            )
        except MeshTwinError as error:
            log.warning("Leaving an event out", key=str(key), reason=event.reason, problem=str(error))
