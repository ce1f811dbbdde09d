"""Look-ups of objects by what they refer to, so that one decision does not read a thousand objects.

`INDEXES` says by what each kind can be found. A driver keeps an `ObjectIndex`, or filters with `scan` where
there are few objects.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from meshtwin.mesh.nodes import Inventory
from meshtwin_operator.reconcile.world import ObjectKey
from meshtwin_operator.resources.base import Resource

__all__ = ["INDEXES", "MeshIndex", "ObjectIndex", "may_share_nodes", "scan"]


def _name(reference: Any) -> str | None:
    return None if reference is None else str(reference.name)


def _is_in_conflict(segment: Any) -> str | None:
    conditions = segment.status.conditions if segment.status else []
    return "yes" if any(c.reason in ("GatewayClaimed", "NodeOwnedTwice") for c in conditions) else None


def _push_step(record: Any) -> str:
    return "Pending" if record.status is None or record.status.push is None else str(record.status.push.step)


def _heal_step(record: Any) -> str | None:
    return str(record.status.heal.step) if record.status and record.status.heal else None


def _run(resource: Any) -> str | None:
    return resource.status.run_id if resource.status else None


# (kind, index) -> the value an object is found by; None: it is not in the index.
INDEXES: Final[Mapping[tuple[str, str], Callable[[Any], str | None]]] = {
    ("DigitalTwin", "parent"): lambda r: _name(r.spec.parent_ref),
    ("MeshSegment", "twin"): lambda r: _name(r.spec.twin_ref),
    ("MeshSegment", "gateway"): lambda r: r.spec.gateway_id,
    ("MeshSegment", "inventory"): lambda r: _name(r.spec.inventory.config_map_ref),
    ("MeshSegment", "conflict"): _is_in_conflict,
    ("Pipeline", "twin"): lambda r: _name(r.spec.twin_ref),
    ("ConfigurationProposal", "segment"): lambda r: _name(r.spec.segment_ref),
    ("ConfigurationProposal", "run"): _run,
    ("Approval", "proposal"): lambda r: _name(r.spec.proposal_ref),
    ("MeshConfiguration", "segment"): lambda r: _name(r.spec.segment_ref),
    ("MeshConfiguration", "step"): _push_step,
    ("MeshConfiguration", "heal"): _heal_step,
    ("WhatIf", "segment"): lambda r: _name(r.spec.segment_ref),
    ("WhatIf", "run"): _run,
}


def scan(resources: Iterable[Resource], kind: str, index: str, value: str) -> list[Resource]:
    """The objects of one kind whose ``index`` has ``value``, in the order given; an unknown index is a KeyError."""
    value_of = INDEXES[kind, index]
    return [resource for resource in resources if value_of(resource) == value]


def may_share_nodes(one: Inventory, other: Inventory) -> bool:
    """Whether two inventories are worth comparing: same mesh, and overlapping ranges of addresses.

    A device has one address within a mesh, so inventories apart by address are apart by device too.
    """
    if not one.nodes or not other.nodes or one.mesh_uuid.lower() != other.mesh_uuid.lower():
        return False
    return one.nodes[0].address <= other.nodes[-1].address and other.nodes[0].address <= one.nodes[-1].address


class MeshIndex:
    """Segments by the mesh and the range of addresses of their inventories. Not thread-safe.

    `touch` a segment whose spec or inventory came, changed or went; ``inventory`` is read again when asked.
    """

    def __init__(self, inventory: Callable[[ObjectKey], Inventory | None]) -> None:
        self._inventory = inventory
        self._dirty: set[ObjectKey] = set()
        self._ranges: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}
        self._places: dict[ObjectKey, tuple[str, str]] = {}

    def touch(self, key: ObjectKey) -> None:
        """The segment of ``key``, or its inventory, is not what it was."""
        self._dirty.add(key)

    def find(self, namespace: str, inventory: Inventory) -> list[str]:
        """Names of the segments whose inventories `may_share_nodes` with this one, in order."""
        while self._dirty:
            self._read(self._dirty.pop())
        if not inventory.nodes:
            return []
        first, last = inventory.nodes[0].address, inventory.nodes[-1].address
        ranges = self._ranges.get((namespace, inventory.mesh_uuid.lower()), {})
        return sorted(name for name, (low, high) in ranges.items() if low <= last and first <= high)

    def _read(self, key: ObjectKey) -> None:
        place = self._places.pop(key, None)
        if place is not None:
            del self._ranges[place][key.name]
            if not self._ranges[place]:
                del self._ranges[place]
        inventory = self._inventory(key)
        if inventory is not None and inventory.nodes:
            place = (key.namespace, inventory.mesh_uuid.lower())
            self._places[key] = place
            addresses = inventory.nodes[0].address, inventory.nodes[-1].address
            self._ranges.setdefault(place, {})[key.name] = addresses


class ObjectIndex:
    """An index over a cache: `touch` what changed, `find` reads it again when asked. Not thread-safe.

    ``resource`` gives the parsed object of a key, None if it is gone or cannot be parsed.
    """

    def __init__(self, resource: Callable[[ObjectKey], Resource | None]) -> None:
        self._resource = resource
        self._dirty: set[ObjectKey] = set()
        self._names: dict[tuple[str, str, str, str], set[str]] = {}
        self._places: dict[ObjectKey, list[tuple[str, str, str, str]]] = {}
        self._kinds = {kind for kind, _ in INDEXES}

    def touch(self, key: ObjectKey) -> None:
        """The object of ``key`` came, changed or went."""
        if key.kind in self._kinds:
            self._dirty.add(key)

    def find(self, kind: str, namespace: str, index: str, value: str) -> list[Resource]:
        """Objects by name."""
        while self._dirty:
            self._read(self._dirty.pop())
        names = self._names.get((kind, namespace, index, value), ())
        found = (self._resource(ObjectKey(kind, namespace, name)) for name in sorted(names))
        return [resource for resource in found if resource is not None]

    def _read(self, key: ObjectKey) -> None:
        for place in self._places.pop(key, ()):
            self._names[place].discard(key.name)
            if not self._names[place]:
                del self._names[place]
        resource = self._resource(key)
        if resource is None:
            return
        places = [
            (kind, key.namespace, index, value)
            for (kind, index), value_of in INDEXES.items()
            if kind == key.kind and (value := value_of(resource)) is not None
        ]
        for place in places:
            self._names.setdefault(place, set()).add(key.name)
        self._places[key] = places
