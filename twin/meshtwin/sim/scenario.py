"""A scenario: everything the simulator needs to know, as one frozen value."""

from dataclasses import dataclass, replace
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import TTL_MAX, Transmit
from meshtwin.sim.profiles import StackProfile
from meshtwin.sim.profiles.zephyr import ZEPHYR

__all__ = ["Scenario", "ScenarioBackground", "ScenarioFlow", "ScenarioLink", "ScenarioNode"]

ACCESS_PDU_BYTES: Final = 20  # network PDU of a short unsegmented message, as in the published chain


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioNode:
    """One node with the settings it has in this scenario.

    ``external_pdus_per_s``: PDUs per second of other traffic that this node hears on each channel.
    """

    address: UnicastAddress
    relay: bool
    ttl: int
    network_transmit: Transmit
    relay_retransmit: Transmit
    external_pdus_per_s: float = 0.0
    is_on: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.ttl <= TTL_MAX:
            raise InvalidInput(f"ttl {self.ttl} is outside 0..{TTL_MAX}", place=format_address(self.address))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioLink:
    """One directed link: received power, or delivery of a single transmission on a quiet channel, or both.

    With both, ``delivery`` decides about the quiet channel and ``rx_power_dbm`` about interference.
    ``delivery_deviation`` not 0: each replication draws the link's delivery anew (posterior uncertainty).
    """

    source: UnicastAddress
    target: UnicastAddress
    rx_power_dbm: float | None = None
    delivery: float | None = None
    delivery_deviation: float = 0.0

    def __post_init__(self) -> None:
        place = f"link {format_address(self.source)}-{format_address(self.target)}"
        if self.rx_power_dbm is None and self.delivery is None:
            raise InvalidInput("neither received power nor delivery is given", place=place)
        if self.delivery is not None and not 0.0 <= self.delivery <= 1.0:
            raise InvalidInput(f"delivery {self.delivery} is outside 0..1", place=place)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioFlow:
    """Messages from ``source`` to ``members``: ``count`` of them, one in each period.

    ``spread_in_period``: each starts at a drawn time of its period instead of at its beginning;
    ``spread_s``: within so many seconds from its beginning.
    ``response_pdu_bytes`` not None: each member answers, and the answer's arrival ends a round trip.
    ``rate_per_s`` is what airtime is reckoned with; None: one per period.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioBackground:
    """Messages whose fate nobody asks for, but which occupy advertisers and air.

    They come at exponential times at ``rate_per_s`` in all, each from one of ``sources`` by chance, as long as
    flows are sending. ``is_reporting``: their airtime is told apart, and ``is_counted`` False: not told at all.
    """

    name: str
    sources: tuple[UnicastAddress, ...]
    rate_per_s: float
    ttl: int | None = None  # None: the default TTL of the source
    pdu_bytes: int = ACCESS_PDU_BYTES
    is_reporting: bool = False
    is_counted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One network with its settings and traffic; raises `InvalidInput` for an impossible world.

    ``capture``: collisions are judged by signal to interference; otherwise any audible overlap destroys.
    ``duration_s`` None: run until the air is quiet.
    """

    name: str
    nodes: tuple[ScenarioNode, ...]
    links: tuple[ScenarioLink, ...]
    flows: tuple[ScenarioFlow, ...]
    background: tuple[ScenarioBackground, ...] = ()
    profile: StackProfile = ZEPHYR
    capture: bool = True
    duration_s: float | None = None
    is_traced: bool = False  # keep a record of every event, for comparing engines

    def __post_init__(self) -> None:
        known = {node.address for node in self.nodes}
        if len(known) != len(self.nodes):
            raise InvalidInput("an address is used by two nodes", place=f"{self.name}.nodes")
        for flow in self.flows:
            place = f"{self.name}.flows.{flow.name}"
            if missing := {flow.source, *flow.members} - known:
                raise InvalidInput(f"unknown node {format_address(min(missing))}", place=place)
            if flow.count < 0 or flow.period_s <= 0:
                raise InvalidInput(f"count {flow.count} or period {flow.period_s} s is not positive", place=place)
            if not flow.members:
                raise InvalidInput("no member to reach", place=place)
        if len({flow.name for flow in self.flows}) != len(self.flows):
            raise InvalidInput("two flows have one name", place=f"{self.name}.flows")
        for background in self.background:
            place = f"{self.name}.background.{background.name}"
            if background.rate_per_s <= 0 or not background.sources:
                raise InvalidInput("no source, or a rate that is not positive", place=place)
            if missing := set(background.sources) - known:
                raise InvalidInput(f"unknown node {format_address(min(missing))}", place=place)
        pairs = {(link.source, link.target) for link in self.links}
        if len(pairs) != len(self.links):
            raise InvalidInput("a link is given twice", place=f"{self.name}.links")

    def without_node(self, address: UnicastAddress) -> "Scenario":
        """The scenario with one node switched off."""
        nodes = tuple(replace(n, is_on=False) if n.address == address else n for n in self.nodes)
        return replace(self, nodes=nodes)
