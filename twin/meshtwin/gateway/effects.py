"""What the core wants done, in this order: values that the rim carries out one after the other."""

from dataclasses import dataclass

from meshtwin.contract.wire import WireModel
from meshtwin.gateway.memory import Memory

__all__ = ["Effect", "Listen", "Publish", "Save", "SendMesh", "Sense"]


@dataclass(frozen=True, slots=True)
class Save:
    """Make the memory durable before anything after it is done."""

    memory: Memory


@dataclass(frozen=True, slots=True)
class SendMesh:
    """Originate an access message at the gateway's node; ``ttl`` None: the node's default."""

    destination: int
    payload: bytes
    ttl: int | None = None


@dataclass(frozen=True, slots=True)
class Listen:
    """Let the gateway's node receive what is sent to a group, since it is a member of a flow; may be repeated."""

    group: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish under the gateway's topic."""

    leaf: str
    payload: WireModel
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Sense:
    """Ask the mesh link how long the gateway's node heard or sent something."""


Effect = Save | SendMesh | Listen | Publish | Sense
