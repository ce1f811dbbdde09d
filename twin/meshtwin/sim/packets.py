"""Packets: what they are (properties), what befell them (monitoring), what is to be done (instructions).

A packet is one application message; its copies on the air share it. The three parts are those of
composite packet models: elements read properties, obey instructions and write monitoring.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Instructions", "LossCause", "Monitoring", "Packet", "Properties", "Record", "RecordKind"]


class LossCause(StrEnum):
    """Why a copy did not get further at one node."""

    BELOW_SENSITIVITY = "belowSensitivity"
    COLLISION = "collision"
    RADIO_BUSY = "radioBusy"
    NOT_LISTENING = "notListening"
    CACHE = "cache"  # the node knew the message already: a repeat, not a loss of information
    TTL = "ttl"
    BUFFER = "buffer"


class RecordKind(StrEnum):
    """What a record tells."""

    ORIGINATED = "originated"
    TRANSMITTED = "transmitted"
    RECEIVED = "received"
    RELAYED = "relayed"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Record:
    """One event of a traced run; equal records are what two engines have to agree on.

    ``node`` is an address, ``message`` the packet's key, ``detail`` copy number, hops, or loss cause.
    """

    time_ns: int
    kind: RecordKind
    node: int
    message: int
    detail: int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """Mesh fields of a message; ``key`` identifies it in draws and caches.

    ``flow_index`` below 0 is background: -1 the scenario's first.
    """

    key: int
    flow_index: int
    number: int
    source_index: int
    member_indices: frozenset[int]
    initial_ttl: int
    pdu_bytes: int
    airtime_ns: int
    started_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Instructions:
    """What elements shall do with it."""

    response_pdu_bytes: int | None = None  # members answer with a PDU of this size
    answers: "Packet | None" = None  # the request whose round trip this message ends
    is_traced: bool = False


@dataclass(slots=True)
class Monitoring:
    """What happened so far; ``reached`` maps a member's index to (time_ns, hops)."""

    reached: dict[int, tuple[int, int]] = field(default_factory=dict)
    answered: dict[int, int] = field(default_factory=dict)  # member index: time_ns of the answer's arrival
    transmissions: int = 0
    losses: Counter[LossCause] = field(default_factory=Counter)
    busy_ns: int = 0  # air occupied on one channel, summed over all nodes that hear or send it


@dataclass(slots=True)
class Packet:
    """A message with its three parts."""

    properties: Properties
    instructions: Instructions
    monitoring: Monitoring = field(default_factory=Monitoring)
