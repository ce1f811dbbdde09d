"""`World` out of the driver's caches: look-ups in memory, nothing else."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from meshtwin.contract.summaries import TwinSummary
from meshtwin.mesh.nodes import Inventory
from meshtwin_operator.inventories import view_inventory
from meshtwin_operator.kube.cache import Cache
from meshtwin_operator.kube.render import rest_url
from meshtwin_operator.reconcile.indexes import MeshIndex
from meshtwin_operator.reconcile.world import (
    BrokerView,
    GatewayView,
    InventoryView,
    ObjectKey,
    RunView,
    WorkloadView,
)
from meshtwin_operator.resources.base import Resource
from meshtwin_operator.resources.twins import MeshSegment
from meshtwin_operator.southbound.fleet import Fleet
from meshtwin_operator.southbound.runs import Runs

__all__ = ["KubeWorld", "pod_problem"]


def pod_problem(raw: Mapping[str, Any]) -> tuple[str, str] | None:
    """Why a pod's container does not run: (reason, message); None while nothing is wrong."""
    for status in raw.get("status", {}).get("containerStatuses", []):
        waiting = status.get("state", {}).get("waiting", {})
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return str(waiting["reason"]), str(waiting.get("message", ""))[:500]
    for condition in raw.get("status", {}).get("conditions", []):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("reason", "Unschedulable")), str(condition.get("message", ""))[:500]
    return None


class KubeWorld:
    """See `meshtwin_operator.reconcile.world.World`."""

    def __init__(
        self,
        cache: Cache,
        fleet: Fleet,
        runs: Runs,
        *,
        epoch: Callable[[], int],
        broker: Callable[[str, str], BrokerView | None],
    ) -> None:
        self._cache, self._fleet, self._runs = cache, fleet, runs
        self._epoch, self._broker = epoch, broker
        self._inventories: dict[ObjectKey, tuple[tuple[object, ...], InventoryView]] = {}
        self._workloads: dict[tuple[str, str], WorkloadView] = {}  # dropped when StatefulSet or pod change
        self._meshes = MeshIndex(lambda key: self.inventory(key.namespace, key.name).inventory)
        cache.listeners.append(self._touched)

    @property
    def epoch(self) -> int:
        """Epoch of the operator's Lease."""
        return self._epoch()

    def get(self, key: ObjectKey) -> Resource | None:
        """One of our objects; None if absent or being deleted."""
        return self._cache.resource(key)

    def all(self, kind: str, namespace: str) -> Sequence[Resource]:
        """All objects of a kind in a namespace that parse, by name."""
        return self._cache.resources(kind, namespace)

    def find(self, kind: str, namespace: str, index: str, value: str) -> Sequence[Resource]:
        """Objects by what they refer to."""
        return self._cache.index.find(kind, namespace, index, value)

    def invalid(self, key: ObjectKey) -> str | None:
        """Why a stored object could not be parsed."""
        return self._cache.invalid(key)

    def inventory(self, namespace: str, segment: str) -> InventoryView:
        """The parsed inventory; parsed again only when the ConfigMap changed, or what the segment says of it."""
        key = ObjectKey("MeshSegment", namespace, segment)
        resource = self._cache.resource(key)
        if not isinstance(resource, MeshSegment):
            return InventoryView(inventory=None, problem=("SegmentNotFound", f"no MeshSegment {segment}"))
        reference = resource.spec.inventory.config_map_ref
        source = ObjectKey("ConfigMap", namespace, reference.name)
        version = (
            resource.metadata.uid,
            resource.spec.inventory,
            resource.spec.frozen_nodes,
            self._cache.version(source),  # grows across deletion and creation too
        )
        known = self._inventories.get(key)
        if known is None or known[0] != version:
            known = (version, view_inventory(resource, self._cache.raw(source)))
            self._inventories[key] = known
        return known[1]

    def sharing_nodes(self, namespace: str, inventory: Inventory) -> Sequence[str]:
        """Segments whose inventories are worth comparing with this one."""
        return self._meshes.find(namespace, inventory)

    def gateway(self, namespace: str, gateway_id: str) -> GatewayView:
        """What a gateway said."""
        return self._fleet.gateway(namespace, gateway_id)

    def workload(self, namespace: str, name: str) -> WorkloadView:
        """Readiness of a StatefulSet, and why its pod does not run; its address is known before it is there."""
        known = self._workloads.get((namespace, name))
        if known is None:
            known = self._workloads[namespace, name] = self._view_workload(namespace, name)
        return known

    def _view_workload(self, namespace: str, name: str) -> WorkloadView:
        raw = self._cache.raw(ObjectKey("StatefulSet", namespace, name))
        if raw is None:
            return WorkloadView(exists=False, url=rest_url(namespace, name))
        status = raw.get("status", {})
        ready = (
            status.get("observedGeneration") == raw["metadata"].get("generation")
            and status.get("readyReplicas", 0) >= 1
            and status.get("currentRevision") == status.get("updateRevision")
        )
        pod = self._cache.raw(ObjectKey("Pod", namespace, f"{name}-0"))
        problem = None if ready or pod is None else pod_problem(pod)
        return WorkloadView(exists=True, ready=ready, url=rest_url(namespace, name), problem=problem)

    def broker(self, namespace: str, root_twin: str) -> BrokerView | None:
        """Broker of a tree."""
        return self._broker(namespace, root_twin)

    def summary(self, namespace: str, name: str) -> TwinSummary | None:
        """Newest summary of a twin."""
        return self._fleet.summary(namespace, name)

    def run(self, namespace: str, run_id: str) -> RunView | None:
        """A run asked of a twin."""
        return self._runs.view(namespace, run_id)

    def _touched(self, key: ObjectKey) -> None:
        if key.kind == "MeshSegment":
            self._meshes.touch(key)
            if self._cache.version(key) is None:
                self._inventories.pop(key, None)
        elif key.kind in ("StatefulSet", "Pod"):
            name = key.name if key.kind == "StatefulSet" else key.name.removesuffix("-0")
            self._workloads.pop((key.namespace, name), None)
        elif key.kind == "ConfigMap":
            for segment in self._cache.index.find("MeshSegment", key.namespace, "inventory", key.name):
                self._meshes.touch(ObjectKey("MeshSegment", key.namespace, segment.metadata.name))
