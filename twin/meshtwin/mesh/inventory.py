"""Parsing of inventories: Mesh Configuration Database JSON and placements.

Reads what the twin needs and nothing secret: a document that carries key material is refused.
Source of the field names: Mesh Configuration Database Profile 1.0.1 (Bluetooth SIG), sections 2 and 3.
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import (
    GroupAddress,
    UnicastAddress,
    expand_ranges,
    is_group,
    parse_address,
    parse_unicast,
)
from meshtwin.mesh.nodes import Capabilities, Inventory, Node, Position, sort_nodes
from meshtwin.mesh.tx_power import TxPowerRange, expand_tx_powers

__all__ = ["INVENTORY_BYTES_MAX", "NODES_MAX", "parse_inventory", "parse_placement"]

INVENTORY_BYTES_MAX: Final = 16 * 1024 * 1024  # unpacked; 2000 nodes with all models take about 6 MB
NODES_MAX: Final = 2000  # per segment: what one gateway and one twin process are tested with
GZIP_MAGIC: Final = b"\x1f\x8b"
FEATURE_UNSUPPORTED: Final = 2  # MshCDB 1.0.1, features: 0 disabled, 1 enabled, 2 unsupported
FEATURE_ENABLED: Final = 1

# Key material: (collection, field). The profile has further keys during a key refresh (oldKey).
SECRET_FIELDS: Final = frozenset({"deviceKey", "oldKey"})
KEY_LISTS: Final = ("netKeys", "appKeys")

ModelT = TypeVar("ModelT", bound=BaseModel)

Hex4 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{4}$")]


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)


class _ElementModel(_Model):
    subscribe: list[Annotated[str, Field(max_length=32)]] = Field(default=[], max_length=256)


class _Element(_Model):
    models: list[_ElementModel] = Field(default=[], max_length=256)


class _Features(_Model):
    relay: int = Field(default=0, ge=0, le=2)
    low_power: int = Field(default=2, ge=0, le=2)


class _Node(_Model):
    uuid: str = Field(alias="UUID", min_length=32, max_length=36)
    unicast_address: Hex4
    name: str = Field(default="", max_length=256)
    elements: list[_Element] = Field(default=[], max_length=255)
    features: _Features | None = None
    crpl: Hex4 | None = None
    excluded: bool = False


class _Database(_Model):
    mesh_uuid: str = Field(alias="meshUUID", min_length=32, max_length=36)
    nodes: list[_Node] = Field(min_length=1)


class _Place(_Model):
    x_metres: float = Field(allow_inf_nan=False, ge=-1e6, le=1e6)
    y_metres: float = Field(allow_inf_nan=False, ge=-1e6, le=1e6)
    z_metres: float = Field(default=0.0, allow_inf_nan=False, ge=-1e6, le=1e6)


class _Placement(_Model):
    nodes: dict[str, _Place]


def parse_inventory(
    text_or_gzip: bytes,
    placement: bytes | None = None,
    frozen_ranges: Sequence[str] = (),
    place: str = "inventory",
    tx_powers: Sequence[TxPowerRange] = (),
) -> Inventory:
    """The inventory that a Mesh Configuration Database document describes, nodes ascending by address.

    ``text_or_gzip`` is JSON, or gzip of it; ``placement`` likewise (see `parse_placement`), None: no places.
    Nodes inside ``frozen_ranges`` are marked frozen; ``tx_powers`` state with which power nodes send.
    Nodes that the database excludes are left out.
    Raises `InvalidInput` with the place for key material, a broken or oversized document, an address used
    twice, more than `NODES_MAX` nodes, a placement or range that names no node of it.
    """
    document = _read_json(text_or_gzip, place)
    _refuse_keys(document, place)
    listed = document.get("nodes")
    if isinstance(listed, list) and len(listed) > NODES_MAX:
        message = f"{len(listed)} nodes are more than {NODES_MAX} per segment"
        raise InvalidInput(message, reason="TooManyNodes", place=f"{place}.nodes")
    database = _validate(_Database, document, place)
    nodes = [
        _to_node(node, f"{place}.nodes[{index}]") for index, node in enumerate(database.nodes) if not node.excluded
    ]
    if not nodes:
        raise InvalidInput("every node is excluded", reason="EmptyInventory", place=f"{place}.nodes")
    addresses = [node.address for node in nodes]
    positions = {} if placement is None else parse_placement(placement, addresses, f"{place}.placement")
    frozen = set(expand_ranges(frozen_ranges, addresses, "frozenNodes")) if frozen_ranges else set()
    powers = expand_tx_powers(tx_powers, addresses)
    stated = (
        replace(
            node,
            position=positions.get(node.address),
            frozen=node.address in frozen,
            tx_power=powers.get(node.address),
        )
        for node in nodes
    )
    try:
        return Inventory(mesh_uuid=database.mesh_uuid, nodes=sort_nodes(stated))
    except InvalidInput as error:
        raise InvalidInput(error.message, reason=error.reason, place=f"{place}.nodes") from error


def parse_placement(
    text_or_gzip: bytes, addresses: Sequence[UnicastAddress], place: str = "placement"
) -> Mapping[UnicastAddress, Position]:
    """Positions by address from ``{"nodes": {"0001": {"xMetres": 2.5, "yMetres": 1.6}}}``.

    Nodes may be missing; a node outside ``addresses`` raises `InvalidInput` with its place.
    """
    parsed = _validate(_Placement, _read_json(text_or_gzip, place), place)
    known = set(addresses)
    positions: dict[UnicastAddress, Position] = {}
    for text, spot in parsed.nodes.items():
        address = parse_unicast(text, f"{place}.nodes")
        if address not in known:
            message = f"{text!r} is not a node of the inventory"
            raise InvalidInput(message, reason="UnknownNode", place=f"{place}.nodes")
        positions[address] = Position(spot.x_metres, spot.y_metres, spot.z_metres)
    return positions


def _read_json(text_or_gzip: bytes, place: str) -> dict[str, Any]:
    text = _unpack(text_or_gzip, place)
    if len(text) > INVENTORY_BYTES_MAX:
        message = f"{len(text)} bytes are more than {INVENTORY_BYTES_MAX}"
        raise InvalidInput(message, reason="Oversized", place=place)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"not JSON: {error}", reason="NotJson", place=place) from error
    if not isinstance(document, dict):
        raise InvalidInput("not a JSON object", reason="WrongSchema", place=place)
    return document


def _unpack(text_or_gzip: bytes, place: str) -> bytes:
    if not text_or_gzip.startswith(GZIP_MAGIC):
        return text_or_gzip
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(text_or_gzip)) as packed:
            return packed.read(INVENTORY_BYTES_MAX + 1)  # one more than allowed: the caller refuses it
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"broken gzip: {error}", reason="BrokenGzip", place=place) from error


def _refuse_keys(document: Mapping[str, Any], place: str) -> None:
    for found in _iter_key_places(document):
        message = "carries key material; remove it here, keys belong in a Secret"
        raise InvalidInput(message, reason="KeysInInventory", place=f"{place}.{found}")


def _iter_key_places(document: Mapping[str, Any]) -> Iterator[str]:
    """Places of key material: keys of the key lists, device keys of nodes, old keys of a refresh."""
    for name in (*KEY_LISTS, "nodes"):
        entries = document.get(name)
        if not isinstance(entries, list):
            continue
        secret = SECRET_FIELDS | {"key"}
        for index, entry in enumerate(entries):
            if isinstance(entry, dict):
                for field in sorted(secret & entry.keys()):
                    yield f"{name}[{index}].{field}"


def _validate(model: type[ModelT], document: object, place: str) -> ModelT:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"])
        message = f"{_shorten(first['input'])}: {first['msg']}"
        raise InvalidInput(message, reason="WrongSchema", place=f"{place}{where}") from error


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _to_node(node: _Node, place: str) -> Node:
    subscriptions = {
        GroupAddress(address)
        for element in node.elements
        for model in element.models
        for text in model.subscribe
        if len(text) == 4  # 32 digits are a Label UUID: a virtual address, which no flow of ours uses
        and is_group(address := parse_address(text, f"{place}.elements"))
    }
    features = node.features or _Features()
    return Node(
        address=parse_unicast(node.unicast_address, f"{place}.unicastAddress"),
        device_uuid=node.uuid.lower(),
        name=node.name,
        element_count=max(1, len(node.elements)),
        groups=frozenset(subscriptions),
        capabilities=Capabilities(
            relay=features.relay != FEATURE_UNSUPPORTED,
            low_power=features.low_power == FEATURE_ENABLED,
            replay_list_size=None if node.crpl is None else int(node.crpl, 16),
        ),
    )
