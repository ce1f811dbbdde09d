"""Snapshots and their parts as they stand in JSON, both ways: a parent reads its children's snapshots."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field

from meshtwin.contract.telemetry import UpkeepReport
from meshtwin.contract.wire import AddressText, SettingsEntry, UnicastText, WireModel
from meshtwin.mesh.addresses import GroupAddress, UnicastAddress, format_address
from meshtwin.mesh.configuration import compress_settings, expand_settings
from meshtwin.mesh.nodes import Capabilities, Flow, Node, Position
from meshtwin.mesh.snapshots import LinkEstimate, SegmentView, Snapshot
from meshtwin.mesh.tx_power import (
    TX_POWER_DEVIATION_MOST_DB,
    TX_POWER_LEAST_DBM,
    TX_POWER_MOST_DBM,
    TxPower,
)
from meshtwin.radio.attenuation import AttenuationUnknown, estimate_attenuation
from meshtwin.recipes.score_messages import StandingModel, to_standing_models, to_standings
from meshtwin.twins.partial import Gap, PartialSnapshot

__all__ = [
    "FlowMessage",
    "GapMessage",
    "LinkMessage",
    "NodeMessage",
    "SegmentMessage",
    "SegmentStandings",
    "SnapshotAnswer",
    "SnapshotMessage",
    "parse_snapshot",
    "to_link_message",
    "to_link_messages",
    "to_segment_standings",
]


class PositionMessage(WireModel):
    """Metres in the building's coordinates."""

    x_metres: float
    y_metres: float
    z_metres: float = 0.0


class NodeMessage(WireModel):
    """A node of an inventory; ``tx_power_dbm`` as it was stated for it, with the standard deviation of its error."""

    address: UnicastText
    device_uuid: str
    name: str = ""
    element_count: int = Field(default=1, ge=1, le=255)
    groups: list[AddressText] = Field(default=[])
    relay: bool = True  # whether the node can relay, not whether it does
    network_transmit: bool = True  # whether it can be set
    default_ttl: bool = True  # whether it can be set
    low_power: bool = False
    replay_list_size: int | None = None
    position: PositionMessage | None = None
    frozen: bool = False
    tx_power_dbm: Annotated[float, Field(ge=TX_POWER_LEAST_DBM, le=TX_POWER_MOST_DBM)] | None = None
    tx_power_deviation_db: Annotated[float, Field(ge=0, le=TX_POWER_DEVIATION_MOST_DB)] | None = None

    @classmethod
    def from_value(cls, node: Node) -> Self:
        """The wire form of a value."""
        can, spot, stated = node.capabilities, node.position, node.tx_power
        return cls(
            address=format_address(node.address),
            device_uuid=node.device_uuid,
            name=node.name,
            element_count=node.element_count,
            groups=[format_address(group) for group in sorted(node.groups)],
            relay=can.relay,
            network_transmit=can.network_transmit,
            default_ttl=can.default_ttl,
            low_power=can.low_power,
            replay_list_size=can.replay_list_size,
            position=spot and PositionMessage(x_metres=spot.x_m, y_metres=spot.y_m, z_metres=spot.z_m),
            frozen=node.frozen,
            tx_power_dbm=stated and stated.tx_power_dbm,
            tx_power_deviation_db=stated and stated.deviation_db,
        )

    def to_value(self) -> Node:
        """The frozen value."""
        spot = self.position
        return Node(
            address=_unicast(self.address),
            device_uuid=self.device_uuid,
            name=self.name,
            element_count=self.element_count,
            groups=frozenset(GroupAddress(int(group, 16)) for group in self.groups),
            capabilities=Capabilities(
                relay=self.relay,
                network_transmit=self.network_transmit,
                default_ttl=self.default_ttl,
                low_power=self.low_power,
                replay_list_size=self.replay_list_size,
            ),
            position=None if spot is None else Position(spot.x_metres, spot.y_metres, spot.z_metres),
            frozen=self.frozen,
            tx_power=None
            if self.tx_power_dbm is None
            else TxPower(self.tx_power_dbm, self.tx_power_deviation_db or 0.0),
        )


# A parameter of a Beta distribution: its moments take squares and products, which have to stay within floats
EvidenceCount = Annotated[float, Field(ge=1e-12, le=1e15)]


class LinkMessage(WireModel):
    """A directed link: Beta posterior of the delivery of a single transmission, with its mean and deviation.

    ``rssi_dbm``: mean of what was received; ``rx_power_dbm``: of all that was sent, the survivors' bias taken off, with
    the standard deviation of its error. ``attenuation_db`` is the stated transmit power of the sender less it; null:
    ``attenuation_unknown`` says why (not in snapshots). What is worked out from other fields is ignored when parsed.
    """

    source: UnicastText
    target: UnicastText
    delivery_alpha: EvidenceCount
    delivery_beta: EvidenceCount
    delivery_ratio: float | None = None  # mean; worked out
    delivery_deviation: float | None = None  # worked out
    rssi_dbm: float | None = None
    rx_power_dbm: Annotated[float, Field(ge=-200, le=100)] | None = None
    rx_power_deviation_db: Annotated[float, Field(ge=0, le=100)] | None = None
    attenuation_db: float | None = None  # worked out
    attenuation_deviation_db: float | None = None  # worked out
    attenuation_unknown: AttenuationUnknown | None = None  # worked out
    last_heard: AwareDatetime | None = None

    def to_value(self) -> LinkEstimate:
        """The frozen value."""
        return LinkEstimate(
            source=_unicast(self.source),
            target=_unicast(self.target),
            delivery_alpha=self.delivery_alpha,
            delivery_beta=self.delivery_beta,
            rssi_dbm=self.rssi_dbm,
            rx_power_dbm=self.rx_power_dbm,
            rx_power_deviation_db=self.rx_power_deviation_db,
            last_heard=self.last_heard,
        )


def to_link_messages(
    links: Iterable[LinkEstimate], nodes: Iterable[Node], *, with_reasons: bool = True
) -> list[LinkMessage]:
    """The wire form of links; ``nodes``: their senders, as far as they are known.

    ``with_reasons`` False: without why attenuations are not known, a tenth of a snapshot that says nothing new.
    """
    senders = {node.address: node for node in nodes}
    return [to_link_message(link, senders.get(link.source), with_reason=with_reasons) for link in links]


def to_link_message(link: LinkEstimate, sender: Node | None, *, with_reason: bool = True) -> LinkMessage:
    """The wire form of a link; ``sender`` None: a node that nobody here holds."""
    told = estimate_attenuation(link, sender)
    attenuation, unknown = (None, told) if isinstance(told, AttenuationUnknown) else (told, None)
    return LinkMessage(
        source=format_address(link.source),
        target=format_address(link.target),
        delivery_alpha=link.delivery_alpha,
        delivery_beta=link.delivery_beta,
        delivery_ratio=round(link.delivery_mean, 4),
        delivery_deviation=round(link.delivery_deviation, 4),
        rssi_dbm=link.rssi_dbm,
        rx_power_dbm=link.rx_power_dbm,
        rx_power_deviation_db=link.rx_power_deviation_db,
        attenuation_db=attenuation and round(attenuation.mean_db, 2),
        attenuation_deviation_db=attenuation and round(attenuation.deviation_db, 2),
        attenuation_unknown=unknown if with_reason else None,
        last_heard=link.last_heard,
    )


class FlowMessage(WireModel):
    """Application messages whose fate matters."""

    name: str
    source: UnicastText
    destination: AddressText
    rate_per_minute: float = Field(ge=1e-6, le=1e6)  # two years between messages: drawn times are still nanoseconds
    deadline_milliseconds: int = Field(ge=1)
    acknowledged: Literal[True] | None = None  # each member answers; absent: nobody is to


class SegmentMessage(WireModel):
    """Facts of one segment; ``revision`` is absent before adoption, ``upkeep`` where its gateway does not tell it.

    ``notification_transmissions`` absent: as many copies as network transmit says.
    """

    name: str
    addresses: list[UnicastText]
    inventory_hash: str
    revision: int | None = None
    newest_report: AwareDatetime | None = None
    gateway_address: UnicastText | None = None
    report_interval_seconds: float = Field(default=0.0, ge=0)
    airtime_budget_ratio: float = Field(default=0.0, ge=0, le=1)
    upkeep: list[UpkeepReport] | None = Field(default=None, max_length=16)
    notification_transmissions: int | None = Field(default=None, ge=1, le=8)

    @classmethod
    def from_value(cls, view: SegmentView) -> Self:
        """The wire form of a value."""
        gateway = view.gateway_address
        return cls(
            name=view.name,
            addresses=[format_address(address) for address in view.addresses],
            inventory_hash=view.inventory_hash,
            revision=view.revision,
            newest_report=view.newest_report,
            gateway_address=None if gateway is None else format_address(gateway),
            report_interval_seconds=view.report_interval_s,
            airtime_budget_ratio=view.airtime_budget_ratio,
            upkeep=None if view.upkeep is None else [UpkeepReport.from_value(part) for part in view.upkeep],
            notification_transmissions=view.notification_transmissions,
        )

    def to_value(self) -> SegmentView:
        """The frozen value."""
        gateway = self.gateway_address
        return SegmentView(
            name=self.name,
            addresses=tuple(_unicast(address) for address in self.addresses),
            inventory_hash=self.inventory_hash,
            revision=self.revision,
            newest_report=self.newest_report,
            gateway_address=None if gateway is None else _unicast(gateway),
            report_interval_s=self.report_interval_seconds,
            airtime_budget_ratio=self.airtime_budget_ratio,
            upkeep=None if self.upkeep is None else tuple(part.to_value() for part in self.upkeep),
            notification_transmissions=self.notification_transmissions,
        )


class GapMessage(WireModel):
    """Something the answer lacks."""

    place: str
    reason: str


class SnapshotMessage(WireModel):
    """A snapshot and what it lacks. ``fingerprint`` is of everything a model reads."""

    contract: Literal[1] = 1
    taken_at: AwareDatetime
    fingerprint: str
    nodes: list[NodeMessage]
    links: list[LinkMessage]
    configuration: list[SettingsEntry]
    flows: list[FlowMessage]
    segments: list[SegmentMessage]
    profile: str
    notification_interval_seconds: float = Field(ge=0)
    load_source: Literal["measured", "monitoring", "mixed"] = "monitoring"
    gaps: list[GapMessage] = Field(default=[])

    @classmethod
    def from_value(cls, partial: PartialSnapshot) -> Self:
        """The wire form of a value."""
        snapshot = partial.snapshot
        addresses = [node.address for node in snapshot.nodes]
        return cls(
            taken_at=snapshot.taken_at,
            fingerprint=snapshot.fingerprint,
            nodes=[NodeMessage.from_value(node) for node in snapshot.nodes],
            links=to_link_messages(snapshot.links, snapshot.nodes, with_reasons=False),
            configuration=[
                SettingsEntry.from_value(entry) for entry in compress_settings(snapshot.configuration, addresses)
            ],
            flows=_to_flows(snapshot.flows),
            segments=[SegmentMessage.from_value(view) for view in snapshot.segments],
            profile=snapshot.profile,
            notification_interval_seconds=snapshot.notification_interval_s,
            load_source=partial.load_source,
            gaps=[GapMessage(place=gap.place, reason=gap.reason) for gap in partial.gaps],
        )

    def to_value(self) -> PartialSnapshot:
        """The frozen value; raises `InvalidInput` for settings of nodes it does not hold."""
        nodes = tuple(node.to_value() for node in self.nodes)
        ranges = [entry.to_value() for entry in self.configuration]
        snapshot = Snapshot(
            taken_at=self.taken_at,
            nodes=nodes,
            links=tuple(link.to_value() for link in self.links),
            configuration=expand_settings(ranges, [node.address for node in nodes], "configuration"),
            flows=tuple(
                Flow(
                    name=flow.name,
                    source=_unicast(flow.source),
                    destination=int(flow.destination, 16),
                    rate_per_minute=flow.rate_per_minute,
                    deadline_ms=flow.deadline_milliseconds,
                    is_acknowledged=flow.acknowledged is True,
                )
                for flow in self.flows
            ),
            segments=tuple(view.to_value() for view in self.segments),
            profile=self.profile,
            notification_interval_s=self.notification_interval_seconds,
        )
        gaps = tuple(Gap(gap.place, gap.reason) for gap in self.gaps)
        return PartialSnapshot(snapshot=snapshot, gaps=gaps, load_source=self.load_source)


class SegmentStandings(WireModel):
    """What models are worth in one segment."""

    segment: str
    standings: list[StandingModel] = Field(max_length=64)


class SnapshotAnswer(SnapshotMessage):
    """Answer to ``GET /api/v1/snapshot``: the snapshot, and what goes with it without being read by a model."""

    scorecards: list[SegmentStandings] = Field(default=[], max_length=256)

    @classmethod
    def from_value(cls, partial: PartialSnapshot) -> Self:
        """The wire form of a value."""
        return super().from_value(partial).model_copy(update={"scorecards": to_segment_standings(partial)})

    def to_value(self) -> PartialSnapshot:
        """The frozen value; raises `InvalidInput` as `SnapshotMessage.to_value`."""
        standings = {one.segment: to_standings(one.standings) for one in self.scorecards}
        return replace(super().to_value(), standings=standings)


def to_segment_standings(partial: PartialSnapshot) -> list[SegmentStandings]:
    """What models are worth, by segment; those of no entry are left out."""
    return [
        SegmentStandings(segment=segment, standings=told[:64])
        for segment, standings in sorted(partial.standings.items())
        if (told := to_standing_models(standings))
    ][:256]


def parse_snapshot(payload: bytes) -> PartialSnapshot:
    """The snapshot in the JSON of ``GET /api/v1/snapshot``; raises ``ValueError`` if it is none."""
    return SnapshotAnswer.model_validate_json(payload).to_value()


def _to_flows(flows: Sequence[Flow]) -> list[FlowMessage]:
    return [
        FlowMessage(
            name=flow.name,
            source=format_address(flow.source),
            destination=format_address(flow.destination),
            rate_per_minute=flow.rate_per_minute,
            deadline_milliseconds=flow.deadline_ms,
            acknowledged=True if flow.is_acknowledged else None,
        )
        for flow in flows
    ]


def _unicast(text: str) -> UnicastAddress:
    return UnicastAddress(int(text, 16))
