"""Inventories out of ConfigMaps, for both drivers: bytes of a key, and the parsed view of a segment."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.inventory import parse_inventory
from meshtwin_operator.reconcile.world import InventoryView
from meshtwin_operator.resources.twins import MeshSegment

__all__ = ["INVENTORY_LABEL", "config_map_bytes", "view_inventory"]

INVENTORY_LABEL: Final = "meshtwin.dev/inventory"  # a ConfigMap without it is not watched


def config_map_bytes(raw: Mapping[str, Any], key: str) -> bytes | None:
    """Content of one key of a ConfigMap, text or binary; None if the key is absent or not base64."""
    if key in (raw.get("data") or {}):
        return str(raw["data"][key]).encode()
    if key in (raw.get("binaryData") or {}):
        try:
            return base64.b64decode(raw["binaryData"][key], validate=True)
        except binascii.Error:
            return None
    return None


def view_inventory(segment: MeshSegment, config_map: Mapping[str, Any] | None) -> InventoryView:
    """What the ConfigMap that a segment names says, or why it says nothing."""
    spec = segment.spec.inventory
    name, key = spec.config_map_ref.name, spec.config_map_ref.key
    labels = {} if config_map is None else config_map["metadata"].get("labels") or {}
    if config_map is None or labels.get(INVENTORY_LABEL) != "true":
        message = f'no ConfigMap {name} with the label {INVENTORY_LABEL}: "true"'
        return InventoryView(inventory=None, problem=("InventoryNotFound", message))
    place = f"ConfigMap {name}/{key}"
    content = config_map_bytes(config_map, key)
    if content is None:
        return InventoryView(inventory=None, problem=("InventoryNotFound", f"{place} has no such key"))
    placement = config_map_bytes(config_map, spec.placement_key) if spec.placement_key else None
    source_hash = hashlib.sha256(content + b"\0" + (placement or b"")).hexdigest()[:16]
    try:
        powers = [entry.to_value() for entry in spec.tx_powers]
        inventory = parse_inventory(content, placement, tuple(segment.spec.frozen_nodes), place, tx_powers=powers)
    except InvalidInput as error:
        return InventoryView(inventory=None, source_hash=source_hash, problem=(error.reason, str(error)))
    return InventoryView(inventory=inventory, source_hash=source_hash)
