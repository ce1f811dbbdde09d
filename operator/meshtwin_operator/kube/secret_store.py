"""Secrets read by name and remembered; looked at again in turn, so that a rotation is seen within a minute.

The operator has no right to list or watch Secrets. A tree of 1,000 gateways has 2,000 of them: reading all at
one look would stop everything else, so they are read again one after the other, evenly over `FRESH_FOR_S`.
"""

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from meshtwin.errors import InvalidInput, MeshTwinError
from meshtwin_operator.kube.api import KubeApi
from meshtwin_operator.kube.ownership import MANAGED_BY, check_secret
from meshtwin_operator.kube.render import owner_reference
from meshtwin_operator.reconcile.outcome import Workload
from meshtwin_operator.reconcile.world import ObjectKey

__all__ = ["Data", "SecretStore"]

log = structlog.get_logger(__name__)

FRESH_FOR_S: Final = 60.0  # every Secret is read again within this: rotation is seen
SHORTEST_PAUSE_S: Final = 0.02  # more than 3,000 Secrets take longer than FRESH_FOR_S

Data = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class _Known:
    data: Data
    metadata: Mapping[str, Any]
    users: tuple[ObjectKey, ...]  # who must be looked at when it changes

    @property
    def version(self) -> str:
        """resourceVersion."""
        return str(self.metadata["resourceVersion"])


class SecretStore:
    """Content of Secrets by (namespace, name). ``changed`` is told who uses one that is found changed."""

    def __init__(self, api: KubeApi, *, changed: Callable[[ObjectKey], None]) -> None:
        self._api, self._changed = api, changed
        self._known: dict[tuple[str, str], _Known] = {}
        self.changes_total = 0  # as long as it stands still, what was read is still so

    async def read(self, namespace: str, name: str, root_twin: str) -> Data | None:
        """Content as last read; read now if it was never found. None if absent."""
        known = self._known.get((namespace, name))
        if known is None:
            known = await self._fetch(namespace, name, root_twin)
        return None if known is None else known.data

    def has_label(self, namespace: str, name: str, label: str) -> bool:
        """Whether the Secret, as last read, carries ``label: "true"``."""
        known = self._known.get((namespace, name))
        return known is not None and (known.metadata.get("labels") or {}).get(label) == "true"

    async def ensure(self, workload: Workload, name: str, keys: Sequence[str], make: Callable[[], Data]) -> Data:
        """Content, with ``keys`` at least; made by ``make`` if there is no such Secret.

        Raises `InvalidInput`: ``ChildConflict`` for somebody else's, since who names a twin may not use it that way;
        ``SecretIncomplete`` where keys were taken out.
        """
        found = await self.read(workload.namespace, name, workload.root_twin)
        if found is None:
            return await self.write(workload, name, make())
        metadata = self._known[workload.namespace, name].metadata
        check_secret(metadata, name, workload.namespace, workload.root_twin)
        if missing := [key for key in keys if key not in found]:
            message = f"lacks {', '.join(missing)}: put that back, or delete the Secret for a new one"
            raise InvalidInput(message, reason="SecretIncomplete", place=f"Secret {workload.namespace}/{name}")
        return found

    async def write(self, workload: Workload, name: str, data: Data) -> Data:
        """Apply a Secret owned by the workload's owner; gives its content."""
        manifest: Mapping[str, Any] = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": workload.namespace,
                "labels": {**MANAGED_BY, "meshtwin.dev/twin": workload.root_twin},
                "ownerReferences": [owner_reference(workload.owner, workload.owner_uid)],
            },
            "type": "Opaque",
            "data": {key: base64.b64encode(value).decode() for key, value in sorted(data.items())},
        }
        applied = await self._api.apply(manifest)
        users = _users(workload.namespace, workload.root_twin, applied)
        self._take((workload.namespace, name), _Known(dict(data), _kept(applied), users))
        return dict(data)

    async def keep_fresh(self) -> None:
        """Read what is known again, in turn; never returns."""
        while True:
            turn = list(self._known)
            if not turn:
                await asyncio.sleep(1.0)
            for namespace, name in turn:
                await asyncio.sleep(max(SHORTEST_PAUSE_S, FRESH_FOR_S / len(turn)))
                try:
                    await self.refresh(namespace, name)
                except MeshTwinError as error:
                    log.warning("Reading a Secret later", secret=f"{namespace}/{name}", problem=str(error))

    async def refresh(self, namespace: str, name: str) -> None:
        """Read one Secret again; tells its users if it changed or went."""
        before = self._known.get((namespace, name))
        if before is None:
            return
        after = await self._fetch(namespace, name, before.users[0].name)
        if after is None or after.version != before.version:
            for user in before.users:
                self._changed(user)

    async def _fetch(self, namespace: str, name: str, root_twin: str) -> _Known | None:
        raw = await self._api.get("Secret", namespace, name)
        if raw is None:
            self._take((namespace, name), None)
            return None
        data = {key: base64.b64decode(value) for key, value in (raw.get("data") or {}).items()}
        known = _Known(data, _kept(raw), _users(namespace, root_twin, raw))
        self._take((namespace, name), known)
        return known

    def _take(self, place: tuple[str, str], known: _Known | None) -> None:
        before = self._known.get(place)
        if (before and before.version) != (known and known.version):
            self.changes_total += 1
        if known is None:
            self._known.pop(place, None)
        else:
            self._known[place] = known


def _kept(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of an object's metadata what is asked later."""
    return {key: raw["metadata"].get(key) for key in ("resourceVersion", "labels", "ownerReferences")}


def _users(namespace: str, root_twin: str, raw: Mapping[str, Any]) -> tuple[ObjectKey, ...]:
    """The root twin first: it keeps the accounts; then the owners, whose children mount the Secret."""
    owners = [ObjectKey(o["kind"], namespace, o["name"]) for o in raw["metadata"].get("ownerReferences", [])]
    return tuple(dict.fromkeys([ObjectKey("DigitalTwin", namespace, root_twin), *owners]))
