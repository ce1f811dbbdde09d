"""Packets: what they are (properties), what befell them (monitoring), what is to be done (instructions).

A packet is one application message; its copies on the air share it. The three parts are those of
composite packet models: elements read properties, obey instructions and write monitoring.
Where one message takes several network PDUs (segments, acknowledgments, repetitions, a friend's delivery), each has
properties of its own, says in its instructions what `Part` of which message it is, and shares that one's monitoring.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

__all__ = [
    "Instructions",
    "LossCause",
    "Monitoring",
    "Packet",
    "Part",
    "PartKind",
    "Properties",
    "Record",
    "RecordKind",
]


class LossCause(StrEnum):
    """Why a copy did not get further at one node."""

    BELOW_SENSITIVITY = "belowSensitivity"
    COLLISION = "collision"
    RADIO_BUSY = "radioBusy"
    NOT_LISTENING = "notListening"
    CACHE = "cache"  # the node knew the message already: a repeat, not a loss of information
    TTL = "ttl"
    BUFFER = "buffer"
    INTERFERENCE = "interference"  # a burst of another technology
    REPLAY_LIST = "replayList"  # replayed, or from a new source while the list is full
    FRIEND_QUEUE = "friendQueue"  # a friend had no room for it, or its TTL was too low to be stored
    SWITCHED_OFF = "switchedOff"  # the node lost power meanwhile


class RecordKind(StrEnum):
    """What a record tells."""

    ORIGINATED = "originated"
    TRANSMITTED = "transmitted"
    RECEIVED = "received"
    RELAYED = "relayed"
    LOST = "lost"


class PartKind(Enum):
    """What one network PDU is to its message."""

    SEGMENT = auto()  # one of several
    ACKNOWLEDGMENT = auto()
    REPETITION = auto()  # publish retransmission of an unsegmented message
    RETRY = auto()  # of an unsegmented message by the application
    POLL = auto()  # of a low-power node
    DELIVERY = auto()  # of a friend to its low-power node: a stored message, or that there is none


@dataclass(frozen=True, slots=True)
class Record:
    """One event of a traced run; equal records are what two engines have to agree on.

    ``node`` is an address, ``message`` the packet's key. ``detail``: number of the message (originated) or of the copy
    (transmitted), hops (received), TTL that it goes on with (relayed), cause (lost).
    ``flow``: place among the scenario's flows; below 0 as in `Properties`. ``number``: of the message in its flow.
    ``part``: a `PartKind` in lower case, or ``message`` or ``answer``.
    ``sender``, ``copy``: address and copy number of the transmission that was received or lost; None: it is about
    none. Who does not listen is not told one by one: ``notListening`` stands once at the sender.
    """

    time_ns: int
    kind: RecordKind
    node: int
    message: int
    detail: int | str
    flow: int
    number: int
    part: str
    sender: int | None = None
    copy: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """Mesh fields of a message; ``key`` identifies it in draws and caches.

    ``flow_index`` below 0 is background: -1 the scenario's first; after the backgrounds come low-power nodes'
    polls. ``sequence`` counts what the source originated; segments of one message share it (SeqAuth).
    ``state_index``: row of the message's preset state; -1: none, its draws are keyed. ``destination_index``: the one
    node that a background message is for, which does not relay it; -1: none.
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
    sequence: int = 0
    state_index: int = -1
    destination_index: int = -1

    @property
    def cached_as(self) -> tuple[int, int]:
        """What message caches know it by: a second answer to one request has the key of the first, yet is another."""
        return self.key, self.sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Instructions:
    """What elements shall do with it."""

    response_pdu_bytes: int | None = None  # members answer with a PDU of this size
    answers: "Packet | None" = None  # the request whose round trip this message ends
    is_traced: bool = False
    part: "Part | None" = None  # None: a whole message in one PDU
    relays: frozenset[int] | None = None  # only these relay it; None: all that relay
    only_to: int | None = None  # the one node that can decrypt it; None: all


@dataclass(slots=True)
class Monitoring:
    """What happened so far; ``reached`` maps a member's index to (time_ns, hops)."""

    reached: dict[int, tuple[int, int]] = field(default_factory=dict)
    answered: dict[int, int] = field(default_factory=dict)  # member index: time_ns of the answer's arrival
    transmissions: int = 0
    losses: Counter[LossCause] = field(default_factory=Counter)
    busy_ns: int = 0  # air occupied on one channel, summed over all nodes that hear or send it
    watched_ns: Counter[int] = field(default_factory=Counter)  # the same at watched nodes, by index of the node


@dataclass(slots=True)
class Packet:
    """A message with its three parts."""

    properties: Properties
    instructions: Instructions
    monitoring: Monitoring = field(default_factory=Monitoring)

    @property
    def part_name(self) -> str:
        """What it is, as in records."""
        if self.instructions.part is not None:
            return self.instructions.part.kind.name.lower()
        return "message" if self.instructions.answers is None else "answer"


@dataclass(frozen=True, slots=True)
class Part:
    """One network PDU of ``message``; ``index``: segment number, acknowledged segments as bits, or a poll's FSN.

    ``attempt``: 0 for the first time that the whole message is sent, then repetitions and retries; ``turn`` counts
    PDUs that are equal otherwise.
    ``stored``: what a friend delivers, with the hops it took to the friend; None: nothing, or not a delivery.
    """

    kind: PartKind
    message: Packet
    index: int = 0
    attempt: int = 0
    turn: int = 0
    stored: "tuple[Packet, int] | None" = None
