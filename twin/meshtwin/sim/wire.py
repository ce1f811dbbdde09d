"""What the transport layers of a run ask of the engine: time, sending, and the books."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from meshtwin.sim.elements.node import NodeElements
from meshtwin.sim.elements.transmit_queue import Job
from meshtwin.sim.packets import LossCause, Packet

__all__ = ["Wire"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One engine, as seen from above the network layer."""

    nodes: Sequence[NodeElements]
    root_key: int
    now_ns: Callable[[], int]
    at: Callable[[int, NodeElements, Callable[[], None] | None], Any]  # what it gives can be waited for
    start: Callable[[Generator[Any, Any, None]], Any]
    enlist: Callable[[NodeElements, Packet], None]  # begins a message without sending anything
    originate: Callable[[NodeElements, Packet], None]  # begins and sends a message of one PDU
    send: Callable[[NodeElements, Job], None]
    respond: Callable[[NodeElements, Packet, Packet], None]  # to a message that came in a packet
    lose: Callable[[Packet, LossCause, NodeElements], None]
