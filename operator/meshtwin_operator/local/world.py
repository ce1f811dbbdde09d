"""`World` of local mode: the store's objects in memory, children, brokers, news of MQTT and REST."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from meshtwin.contract.summaries import TwinSummary
from meshtwin.mesh.nodes import Inventory
from meshtwin_operator.inventories import view_inventory
from meshtwin_operator.local.objects import key_of
from meshtwin_operator.local.store import Change, Store
from meshtwin_operator.reconcile.indexes import may_share_nodes, scan
from meshtwin_operator.reconcile.world import (
    BrokerView,
    GatewayView,
    InventoryView,
    ObjectKey,
    RunView,
    WorkloadView,
)
from meshtwin_operator.resources.base import Resource
from meshtwin_operator.resources.kinds import KINDS_BY_NAME
from meshtwin_operator.resources.twins import MeshSegment
from meshtwin_operator.southbound.fleet import Fleet
from meshtwin_operator.southbound.runs import Runs

__all__ = ["LocalWorld", "ObjectCache"]


class ObjectCache:
    """All objects of a store in memory, parsed; kept current by `update`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._raw: dict[ObjectKey, dict[str, Any]] = {}
        self._parsed: dict[ObjectKey, Resource] = {}
        self._invalid: dict[ObjectKey, str] = {}
        self._revision = store.revision()
        for manifest in store.list_objects():
            self._put(manifest)

    def update(self) -> set[ObjectKey]:
        """Take over what changed in the store since the last call; returns the keys concerned."""
        changes: list[Change] | None = self._store.changes_since(self._revision)
        if changes is None:  # the log was cut: compare with everything there is
            revision = self._store.revision()
            keys = {key_of(manifest) for manifest in self._store.list_objects()} | set(self._raw)
        elif changes:
            revision = changes[-1].revision
            keys = {change.key for change in changes}
        else:
            return set()
        for key in keys:
            manifest = self._store.get(key)
            if manifest is None:
                self._forget(key)
            else:
                self._put(manifest)
        self._revision = revision
        return keys

    def raw(self, key: ObjectKey) -> Mapping[str, Any] | None:
        """An object as its manifest."""
        return self._raw.get(key)

    def resource(self, key: ObjectKey) -> Resource | None:
        """An object of ours, parsed; None if absent or not parseable."""
        return self._parsed.get(key)

    def invalid(self, key: ObjectKey) -> str | None:
        """Why an object could not be parsed."""
        return self._invalid.get(key)

    def list_keys(self, kind: str | None = None, namespace: str | None = None) -> list[ObjectKey]:
        """Keys in order, of one kind and namespace or of all."""
        return sorted(
            key
            for key in self._raw
            if (kind is None or key.kind == kind) and (namespace is None or key.namespace == namespace)
        )

    def _put(self, manifest: dict[str, Any]) -> None:
        key = key_of(manifest)
        self._forget(key)
        self._raw[key] = manifest
        model = KINDS_BY_NAME.get(key.kind)
        if model is None:
            return
        try:
            self._parsed[key] = model.model_validate(manifest)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            self._invalid[key] = f"{place}: {first['msg']}"

    def _forget(self, key: ObjectKey) -> None:
        for table in (self._raw, self._parsed, self._invalid):
            table.pop(key, None)


class LocalWorld:
    """See `meshtwin_operator.reconcile.world.World`."""

    def __init__(
        self,
        *,
        cache: ObjectCache,
        fleet: Fleet,
        runs: Runs,
        epoch: int,
        workload: Callable[[str, str], WorkloadView],
        broker: Callable[[str, str], BrokerView | None],
    ) -> None:
        self._cache, self._fleet, self._runs = cache, fleet, runs
        self._epoch, self._workload, self._broker = epoch, workload, broker
        self._inventories: dict[ObjectKey, tuple[tuple[object, ...], InventoryView]] = {}

    @property
    def epoch(self) -> int:
        """Grows with each start of the operator."""
        return self._epoch

    def get(self, key: ObjectKey) -> Resource | None:
        """One of our objects."""
        return self._cache.resource(key)

    def all(self, kind: str, namespace: str) -> Sequence[Resource]:
        """All objects of a kind in a namespace, by name."""
        return list(self._resources(kind, namespace))

    def find(self, kind: str, namespace: str, index: str, value: str) -> Sequence[Resource]:
        """Objects by what they refer to; local mode holds few, so they are filtered."""
        return scan(self._resources(kind, namespace), kind, index, value)

    def invalid(self, key: ObjectKey) -> str | None:
        """Why a stored object could not be parsed."""
        return self._cache.invalid(key)

    def inventory(self, namespace: str, segment: str) -> InventoryView:
        """Inventory of a segment, parsed again only when segment or ConfigMap changed."""
        key = ObjectKey("MeshSegment", namespace, segment)
        resource = self._cache.resource(key)
        if not isinstance(resource, MeshSegment):
            return InventoryView(inventory=None, problem=("SegmentNotFound", f"no MeshSegment {segment}"))
        raw = self._cache.raw(ObjectKey("ConfigMap", namespace, resource.spec.inventory.config_map_ref.name))
        version = (resource.metadata.uid, resource.metadata.generation, _version(raw))
        known = self._inventories.get(key)
        if known is None or known[0] != version:
            known = (version, view_inventory(resource, raw))
            self._inventories[key] = known
        return known[1]

    def sharing_nodes(self, namespace: str, inventory: Inventory) -> Sequence[str]:
        """Segments whose inventories are worth comparing with this one."""
        names = [resource.metadata.name for resource in self._resources("MeshSegment", namespace)]
        found = [(name, self.inventory(namespace, name).inventory) for name in names]
        return [name for name, other in found if other is not None and may_share_nodes(inventory, other)]

    def gateway(self, namespace: str, gateway_id: str) -> GatewayView:
        """What a gateway said."""
        return self._fleet.gateway(namespace, gateway_id)

    def workload(self, namespace: str, name: str) -> WorkloadView:
        """A child process."""
        return self._workload(namespace, name)

    def broker(self, namespace: str, root_twin: str) -> BrokerView | None:
        """Broker of a tree."""
        return self._broker(namespace, root_twin)

    def summary(self, namespace: str, name: str) -> TwinSummary | None:
        """Newest summary of a twin."""
        return self._fleet.summary(namespace, name)

    def run(self, namespace: str, run_id: str) -> RunView | None:
        """A run asked of a twin."""
        return self._runs.view(namespace, run_id)

    def _resources(self, kind: str, namespace: str) -> Iterable[Resource]:
        for key in self._cache.list_keys(kind, namespace):
            resource = self._cache.resource(key)
            if resource is not None:
                yield resource


def _version(raw: Mapping[str, Any] | None) -> tuple[str, str]:
    metadata = {} if raw is None else raw["metadata"]
    return str(metadata.get("uid")), str(metadata.get("resourceVersion"))
