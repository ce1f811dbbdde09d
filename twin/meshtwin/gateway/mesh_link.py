"""What a way into the mesh is, and what comes out of it; `EmulatedMeshLink` and `BluezMeshLink` are such ways."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from meshtwin.contract.model_messages import Publication
from meshtwin.gateway.exchanges import OCCUPANCY_SHARE
from meshtwin.gateway.measured import PROBE_SPACING_S

__all__ = [
    "MeshEvent",
    "MeshFault",
    "MeshLink",
    "Observability",
    "Received",
    "Sensed",
    "Unsent",
    "Welcome",
]

Observability = Literal["notifications", "heartbeats"]


@dataclass(frozen=True, slots=True)
class Received:
    """An access message to the gateway's node; ``ttl`` None: the stack does not tell it."""

    source: int
    payload: bytes
    ttl: int | None


@dataclass(frozen=True, slots=True)
class Sensed:
    """Busy time of the gateway's node on one channel, and mesh time, both in seconds since some start."""

    busy_s: float
    mesh_s: float


@dataclass(frozen=True, slots=True)
class MeshFault:
    """The way into the mesh is lost, and why; None: it is there again."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Unsent:
    """A message that the stack did not take, and why: there is no answer to wait for."""

    destination: int
    reason: str


MeshEvent = Received | Sensed | MeshFault | Unsent


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """What the mesh says of the gateway's node; ``speed``: mesh seconds per second.

    ``notification``: the publication that monitoring models must have; None: nodes are not asked for it.
    """

    address: int
    report_group: int
    mesh_uuid: str
    speed: float
    uncertainty_ms: float
    stack_profile: str = "emulated"
    occupancy_share: float = OCCUPANCY_SHARE
    repeats_notifications: bool = True
    senses_occupancy: bool = True
    probe_spacing_s: float = PROBE_SPACING_S
    reads_composition: bool = False
    observability: Observability = "notifications"
    network_nodes: int | None = None
    neighbours_at_most: int | None = None
    measures_round_trips: bool = False
    notification: Publication | None = None


class MeshLink(Protocol):
    """A way into the mesh through one node."""

    async def connect(self) -> Welcome: ...
    async def run(self, on_event: Callable[[MeshEvent], None]) -> None: ...
    def send(self, destination: int, payload: bytes, ttl: int | None) -> None: ...
    def sense(self) -> None: ...
    def listen(self, group: int) -> None: ...
    async def close(self) -> None: ...
