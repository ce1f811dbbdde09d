"""Nodes, their capabilities and places, flows, and the inventory of one segment."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import rfc8785

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import GroupAddress, UnicastAddress, format_address
from meshtwin.mesh.tx_power import TxPower

__all__ = ["Capabilities", "Flow", "Inventory", "Node", "Position"]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in metres in the building's own coordinates."""

    x_m: float
    y_m: float
    z_m: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What may be set on a node, and its limits, from composition data.

    ``replay_list_size`` is the CRPL field; ``None`` where the composition data is not known.
    """

    relay: bool = True
    network_transmit: bool = True
    default_ttl: bool = True
    low_power: bool = False
    replay_list_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One mesh node; ``address`` is the unicast address of its primary element."""

    address: UnicastAddress
    device_uuid: str
    name: str = ""
    element_count: int = 1
    groups: frozenset[GroupAddress] = frozenset()
    capabilities: Capabilities = field(default_factory=Capabilities)
    position: Position | None = None  # None: no placement was given
    frozen: bool = False  # never to be changed, such as emergency lighting
    tx_power: TxPower | None = None  # None: nobody stated it


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Application messages from one node to a node or group; ``is_acknowledged``: each member answers the source."""

    name: str
    source: UnicastAddress
    destination: int  # unicast or group address
    rate_per_minute: float
    deadline_ms: int
    is_acknowledged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The nodes of one segment, ascending by address; raises `InvalidInput` if an address is used twice."""

    mesh_uuid: str
    nodes: tuple[Node, ...]
    gateway_address: UnicastAddress | None = None  # None: not said by the inventory
    _content_hash: str | None = field(default=None, init=False, repr=False, compare=False)  # worked out once

    def __post_init__(self) -> None:
        taken: dict[int, UnicastAddress] = {}
        for node in self.nodes:
            for element in range(node.address, node.address + node.element_count):
                if element in taken:
                    raise InvalidInput(
                        f"element address {format_address(element)} belongs to nodes "
                        f"{format_address(taken[element])} and {format_address(node.address)}",
                        reason="DuplicateAddress",
                    )
                taken[element] = node.address

    @property
    def addresses(self) -> tuple[UnicastAddress, ...]:
        """Unicast addresses of all nodes, ascending."""
        return tuple(node.address for node in self.nodes)

    def members(self, destination: int) -> tuple[UnicastAddress, ...]:
        """Nodes that ``destination`` reaches: itself, or the subscribers of a group."""
        if destination in set(self.addresses):
            return (UnicastAddress(destination),)
        return tuple(n.address for n in self.nodes if GroupAddress(destination) in n.groups)

    @property
    def content_hash(self) -> str:
        """``sha256:`` and 64 hexadecimal digits over what identifies the nodes and what they can do."""
        if self._content_hash is None:
            object.__setattr__(self, "_content_hash", self._work_out_content_hash())
        return str(self._content_hash)

    def _work_out_content_hash(self) -> str:
        plain = [
            [
                format_address(n.address),
                n.device_uuid.lower(),
                n.element_count,
                sorted(n.groups),
                n.frozen,
                n.capabilities.relay,
                n.capabilities.replay_list_size,
            ]
            for n in self.nodes
        ]
        return "sha256:" + hashlib.sha256(rfc8785.dumps([self.mesh_uuid.lower(), plain])).hexdigest()  # plain JSON


def sort_nodes(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """The nodes, ascending by address."""
    return tuple(sorted(nodes, key=lambda node: node.address))
