"""`World` out of the driver's caches: look-ups in memory, nothing else."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from meshtwin.contract.summaries import TwinSummary
from meshtwin.errors import InvalidInput
from meshtwin.mesh.inventory import parse_inventory
from meshtwin_operator.kube.cache import Cache
from meshtwin_operator.kube.render import rest_url
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

__all__ = ["INVENTORY_LABEL", "KubeWorld", "config_map_bytes", "pod_problem"]

INVENTORY_LABEL = "meshtwin.dev/inventory"


def config_map_bytes(raw: Mapping[str, Any], key: str) -> bytes | None:
    """Content of one key of a ConfigMap, text or binary; None if the key is absent."""
    if key in raw.get("data", {}):
        return str(raw["data"][key]).encode()
    if key in raw.get("binaryData", {}):
        return base64.b64decode(raw["binaryData"][key])
    return None


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
        self._inventories: dict[ObjectKey, tuple[tuple[str, ...], InventoryView]] = {}

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
        """The parsed inventory; parsed again only when segment or ConfigMap changed."""
        key = ObjectKey("MeshSegment", namespace, segment)
        resource = self._cache.resource(key)
        if not isinstance(resource, MeshSegment):
            return InventoryView(inventory=None, problem=("SegmentNotFound", f"no MeshSegment {segment}"))
        reference = resource.spec.inventory.config_map_ref
        raw = self._cache.raw(ObjectKey("ConfigMap", namespace, reference.name))
        if raw is None or raw["metadata"].get("labels", {}).get(INVENTORY_LABEL) != "true":
            message = f'no ConfigMap {reference.name} with the label {INVENTORY_LABEL}: "true"'
            return InventoryView(inventory=None, problem=("InventoryNotFound", message))
        version = (
            str(resource.metadata.generation),
            resource.metadata.uid,
            str(raw["metadata"].get("uid")),
            str(raw["metadata"].get("resourceVersion")),
        )
        known = self._inventories.get(key)
        if known is None or known[0] != version:
            known = (version, _parse(resource, raw))
            self._inventories[key] = known
        return known[1]

    def gateway(self, namespace: str, gateway_id: str) -> GatewayView:
        """What a gateway said."""
        return self._fleet.gateway(namespace, gateway_id)

    def workload(self, namespace: str, name: str) -> WorkloadView:
        """Readiness of a StatefulSet, and why its pod does not run."""
        raw = self._cache.raw(ObjectKey("StatefulSet", namespace, name))
        if raw is None:
            return WorkloadView(exists=False)
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


def _parse(segment: MeshSegment, raw: Mapping[str, Any]) -> InventoryView:
    spec = segment.spec.inventory
    place = f"ConfigMap {spec.config_map_ref.name}/{spec.config_map_ref.key}"
    content = config_map_bytes(raw, spec.config_map_ref.key)
    if content is None:
        return InventoryView(inventory=None, problem=("InventoryNotFound", f"{place} has no such key"))
    placement = config_map_bytes(raw, spec.placement_key) if spec.placement_key else None
    source_hash = hashlib.sha256(content + b"\0" + (placement or b"")).hexdigest()[:16]
    try:
        inventory = parse_inventory(content, placement, tuple(segment.spec.frozen_nodes), place)
    except InvalidInput as error:
        return InventoryView(inventory=None, source_hash=source_hash, problem=(error.reason, str(error)))
    return InventoryView(inventory=inventory, source_hash=source_hash)
