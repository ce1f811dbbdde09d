"""Keys of a network, from a Mesh Configuration Database document that carries them (MshCDB 1.0.1).

It is the one file of a gateway that is secret: a Kubernetes Secret, or a file that root alone may read.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from meshtwin.contract.json_names import check_names_unique
from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.gateway.bluez.local_node import APP_KEY_INDEX, NET_KEY_INDEX, NodeKeys

__all__ = ["Credentials", "parse_credentials", "read_credentials", "to_document"]

Hex16 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{32}$")]
Hex4 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{4}$")]


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True, hide_input_in_errors=True)


class _Key(_Model):
    index: int = Field(ge=0, le=4095)
    key: Hex16


class _Node(_Model):
    uuid: str = Field(alias="UUID", min_length=32, max_length=36)
    unicast_address: Hex4
    device_key: Hex16


class _Database(_Model):
    mesh_uuid: str = Field(alias="meshUUID", min_length=32, max_length=36)
    iv_index: int = Field(default=0, ge=0, lt=2**32)  # not part of the profile: the network's at export
    net_keys: list[_Key] = Field(min_length=1)
    app_keys: list[_Key] = Field(min_length=1)
    nodes: list[_Node] = Field(min_length=1, max_length=2000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """All keys of one network, the nodes' by unicast address; never logged."""

    mesh_uuid: str
    nodes: Mapping[int, NodeKeys] = field(repr=False)

    def of(self, address: int, place: str = "bluez.address") -> NodeKeys:
        """Keys of one node; raises `InvalidInput` for a node that the document lacks."""
        if address not in self.nodes:
            message = f"node {address:04x} has no device key; add it to the nodes of the keys file"
            raise InvalidInput(message, reason="KeysMissing", place=place)
        return self.nodes[address]


def parse_credentials(text: bytes, place: str = "keys") -> Credentials:
    """The keys in a document; raises `InvalidInput` with the field's place, never with a value."""
    check_names_unique(text.decode(errors="replace"), place)
    try:
        database = _Database.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(first["msg"], reason="KeysUnusable", place=f"{place}: {where}") from None
    net_key = _find(database.net_keys, NET_KEY_INDEX, f"{place}: netKeys")
    app_key = _find(database.app_keys, APP_KEY_INDEX, f"{place}: appKeys")
    nodes = {}
    for index, node in enumerate(database.nodes):
        address = int(node.unicast_address, 16)
        if address in nodes:
            message = f"address {node.unicast_address} is given twice"
            raise InvalidInput(message, reason="KeysUnusable", place=f"{place}: nodes.{index}")
        nodes[address] = NodeKeys(
            address=address,
            uuid=_parse_uuid(node.uuid, f"{place}: nodes.{index}.UUID"),
            device_key=bytes.fromhex(node.device_key),
            net_key=net_key,
            app_key=app_key,
            iv_index=database.iv_index,
        )
    return Credentials(mesh_uuid=database.mesh_uuid, nodes=nodes)


def read_credentials(path: Path) -> Credentials:
    """The keys in a file; raises `Unavailable` (``KeysMissing``) if it cannot be read."""
    try:
        text = path.read_bytes()
    except OSError as error:
        message = f"keys not readable: {error.strerror}; export the network with its keys from the commissioning tool"
        raise Unavailable(message, reason="KeysMissing", place=str(path)) from error
    return parse_credentials(text, str(path))


def to_document(credentials: Credentials) -> bytes:
    """The document that `parse_credentials` reads; all nodes share one network key and one application key."""
    any_node = next(iter(credentials.nodes.values()))
    document: dict[str, Any] = {
        "meshUUID": credentials.mesh_uuid,
        "ivIndex": any_node.iv_index,
        "netKeys": [{"index": NET_KEY_INDEX, "key": any_node.net_key.hex()}],
        "appKeys": [{"index": APP_KEY_INDEX, "boundNetKey": NET_KEY_INDEX, "key": any_node.app_key.hex()}],
        "nodes": [
            {"UUID": str(uuid.UUID(bytes=n.uuid)), "unicastAddress": f"{a:04x}", "deviceKey": n.device_key.hex()}
            for a, n in sorted(credentials.nodes.items())
        ],
    }
    return json.dumps(document, indent=1).encode()


def _find(keys: list[_Key], index: int, place: str) -> bytes:
    for key in keys:
        if key.index == index:
            return bytes.fromhex(key.key)
    raise InvalidInput(f"no key with index {index}", reason="KeysMissing", place=place)


def _parse_uuid(text: str, place: str) -> bytes:
    """bluetooth-meshd takes UUIDs of RFC 4122 alone."""
    try:
        parsed = uuid.UUID(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is not a UUID", reason="KeysUnusable", place=place) from error
    if parsed.variant != uuid.RFC_4122:
        raise InvalidInput(f"{text!r} is not a UUID of RFC 4122", reason="KeysUnusable", place=place)
    return parsed.bytes
