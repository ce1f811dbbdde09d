"""Parts of a scenario: nodes, links, flows, background, and changes during the run. Each refuses what it can't be."""

from dataclasses import dataclass
from math import isfinite
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import TTL_MAX, Transmit
from meshtwin.mesh.nodes import Position
from meshtwin.radio.reception import NETWORK_PDU_MAX_BYTES
from meshtwin.sim.scenario_features import LowPower, PublishRetransmit, Retries, Segmentation, check_finite

__all__ = ["ACCESS_PDU_BYTES", "NodeChange", "ScenarioBackground", "ScenarioFlow", "ScenarioLink", "ScenarioNode"]

FRIEND_QUEUE_SIZE: Final = 16  # BT_MESH_FRIEND_QUEUE_SIZE, MESH_FRIEND_QUEUE_SIZE
ACCESS_PDU_BYTES: Final = 20  # network PDU of a short unsegmented message, as in the published chain


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioNode:
    """One node with the settings it has in this scenario.

    ``external_pdus_per_s``: PDUs per second of other traffic that this node hears on each channel.
    ``replay_list_size``: entries of its replay protection list, ``replay_list_used`` of them taken before the
    run; None: not modelled. ``low_power`` not None: it is a low-power node. ``friend_queue_size``: messages that
    it stores for each low-power node as its friend.
    """

    address: UnicastAddress
    relay: bool
    ttl: int
    network_transmit: Transmit
    relay_retransmit: Transmit
    external_pdus_per_s: float = 0.0
    is_on: bool = True
    replay_list_size: int | None = None
    replay_list_used: int = 0
    low_power: LowPower | None = None
    friend_queue_size: int = FRIEND_QUEUE_SIZE
    position: Position | None = None  # for pictures; links say who hears whom

    def __post_init__(self) -> None:
        place = format_address(self.address)
        if not 0 <= self.ttl <= TTL_MAX:
            raise InvalidInput(f"ttl {self.ttl} is outside 0..{TTL_MAX}", place=place)
        check_finite(place, external_pdus_per_s=self.external_pdus_per_s)
        if self.external_pdus_per_s < 0.0:
            raise InvalidInput(f"external PDUs per second {self.external_pdus_per_s} are negative", place=place)
        size = self.replay_list_size
        if size is not None and not 0 <= self.replay_list_used < size:
            raise InvalidInput(
                f"replay list of {size} entries is full before the run ({self.replay_list_used} used): "
                "the node would be deaf to every source",
                reason="FullReplayList",
                place=place,
            )
        if not 1 <= self.friend_queue_size <= 65536:
            raise InvalidInput(f"friend queue of {self.friend_queue_size} is outside 1..65536", place=place)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioLink:
    """One directed link: received power, or delivery of a single transmission on a quiet channel, or both.

    With both, ``delivery`` decides about the quiet channel and ``rx_power_dbm`` about interference.
    ``delivery`` is that of network PDUs of ``delivery_pdu_bytes``; of other sizes it is as the same signal to noise
    ratio gives (`meshtwin.radio.reception.resize_delivery`, with its doubt).
    ``delivery_deviation`` not 0: each replication draws the link's delivery anew (posterior uncertainty).
    """

    source: UnicastAddress
    target: UnicastAddress
    rx_power_dbm: float | None = None
    delivery: float | None = None
    delivery_deviation: float = 0.0
    delivery_pdu_bytes: int = ACCESS_PDU_BYTES

    def __post_init__(self) -> None:
        power, delivery = self.rx_power_dbm, self.delivery
        is_likely = delivery is not None and 0.0 <= delivery <= 1.0
        is_sized = 1 <= self.delivery_pdu_bytes <= NETWORK_PDU_MAX_BYTES
        if is_likely and is_sized and isfinite(self.delivery_deviation) and (power is None or isfinite(power)):
            return  # the usual case, and there are many links
        place = f"link {format_address(self.source)}-{format_address(self.target)}"
        if power is None and delivery is None:
            raise InvalidInput("neither received power nor delivery is given", place=place)
        check_finite(place, rx_power_dbm=power, delivery_deviation=self.delivery_deviation)
        if delivery is not None and not 0.0 <= delivery <= 1.0:
            raise InvalidInput(f"delivery {delivery} is outside 0..1", place=place)
        if not is_sized:
            raise InvalidInput(
                f"delivery of PDUs of {self.delivery_pdu_bytes} bytes is outside 1..{NETWORK_PDU_MAX_BYTES}",
                place=place,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioFlow:
    """Messages from ``source`` to ``members``: ``count`` of them, one in each period.

    ``spread_in_period``: each starts at a drawn time of its period instead of at its beginning;
    ``spread_s``: within so many seconds from its beginning.
    ``response_pdu_bytes`` not None: each member answers, and the answer's arrival ends a round trip.
    ``rate_per_s``: the lasting rate of which the run is a sample, for airtime; None: what is sent is all there is.
    ``segmentation`` not None: the message's size in place of ``pdu_bytes``; more than one segment to a single
    member is acknowledged and repeated by the transport layer, to several repeated blindly.
    ``relays``: only these relay it (and its answers), where they relay at all; None: all that relay.
    ``publish_retransmit``, ``retries``: see there; ``retries`` need ``response_pdu_bytes``.
    """

    name: str
    source: UnicastAddress
    members: tuple[UnicastAddress, ...]
    count: int
    period_s: float
    deadline_ms: int = 1000
    start_s: float = 0.0
    spread_in_period: bool = False
    spread_s: float = 0.0
    pdu_bytes: int = ACCESS_PDU_BYTES
    response_pdu_bytes: int | None = None
    ttl: int | None = None  # None: the default TTL of the source
    rate_per_s: float | None = None
    segmentation: Segmentation | None = None
    relays: frozenset[UnicastAddress] | None = None
    publish_retransmit: PublishRetransmit | None = None
    retries: Retries | None = None

    @property
    def is_acknowledged(self) -> bool:
        """Whether members answer, as in `meshtwin.mesh.nodes.Flow`."""
        return self.response_pdu_bytes is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioBackground:
    """Messages whose fate nobody asks for, but which occupy advertisers and air.

    They come at exponential times at ``rate_per_s`` in all, each from one of ``sources`` by chance, as long as
    flows are sending. ``is_reporting``: their airtime is told apart, and ``is_counted`` False: not told at all.
    ``destinations``: each message is for one of them by chance, which does not relay it; (): for a group.
    """

    name: str
    sources: tuple[UnicastAddress, ...]
    rate_per_s: float
    ttl: int | None = None  # None: the default TTL of the source
    pdu_bytes: int = ACCESS_PDU_BYTES
    is_reporting: bool = False
    is_counted: bool = True
    destinations: tuple[UnicastAddress, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChange:
    """At ``at_s`` ``node`` is switched off or on, or has other links because it was moved.

    ``links`` replace all links of the node in both directions; None: they stay. A node that is switched off
    forgets its queue and its message cache; what falls due at it meanwhile is neither sent nor counted.
    """

    at_s: float
    node: UnicastAddress
    is_on: bool | None = None  # None: stays as it is
    links: tuple[ScenarioLink, ...] | None = None

    def __post_init__(self) -> None:
        place = f"change of {format_address(self.node)}"
        check_finite(place, at_s=self.at_s)
        if self.at_s < 0.0:
            raise InvalidInput(f"time {self.at_s} s is negative", place=place)
        if self.is_on is None and self.links is None:
            raise InvalidInput("neither switched nor moved", place=place)
        if any(self.node not in (link.source, link.target) for link in self.links or ()):
            raise InvalidInput("a link that does not touch the node", place=place)
