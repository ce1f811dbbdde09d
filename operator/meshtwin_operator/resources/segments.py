"""`MeshSegment`: one part of a network behind one gateway."""

from typing import ClassVar, Literal

from pydantic import AwareDatetime, Field

from meshtwin.mesh.stacks import STACKS
from meshtwin.mesh.tx_power import (
    TX_POWER_DEVIATION_MOST_DB,
    TX_POWER_LEAST_DBM,
    TX_POWER_MOST_DBM,
    TxPower,
    TxPowerRange,
)
from meshtwin_operator.resources.base import (
    UNIQUE,
    UNIQUE_BY_NAME,
    AddressText,
    CelRule,
    Count,
    NameRef,
    PrinterColumn,
    RangeText,
    Resource,
    ResourceModel,
    StatusBase,
    UnicastText,
)

__all__ = [
    "FlowSpec",
    "InventorySpec",
    "MeshSegment",
    "MeshSegmentSpec",
    "MeshSegmentStatus",
    "MonitoringSpec",
    "ScorecardStatus",
    "TxPowerSpec",
]


class ConfigMapKeyRef(ResourceModel):
    """A key of a ConfigMap labelled ``meshtwin.dev/inventory: "true"``; a name ending in .gz is gzip."""

    name: str = Field(min_length=1, max_length=253, description='A ConfigMap labelled meshtwin.dev/inventory: "true".')
    key: str = Field(
        default="network.json",
        min_length=1,
        max_length=253,
        description="A name that ends in .gz is gzip, under binaryData.",
    )


class TxPowerSpec(ResourceModel):
    """With which power nodes send, from the data sheet of a product or the setting of its stack."""

    nodes: list[RangeText] | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        json_schema_extra=UNIQUE,
        description='Addresses and ranges, four hexadecimal digits: "0007", "0011-0014"; absent: all of the inventory.',
    )
    # Whole decibels: reports round received power to 5 dB.
    tx_power_dbm: int = Field(
        ge=int(TX_POWER_LEAST_DBM), le=int(TX_POWER_MOST_DBM), description="Into the antenna, whole dBm."
    )
    deviation_db: int = Field(
        default=0,
        ge=0,
        le=int(TX_POWER_DEVIATION_MOST_DB),
        description="Standard deviation of the true power around it: tolerance of the chip, unknown antenna.",
    )

    def to_value(self) -> TxPowerRange:
        """The frozen value."""
        return TxPowerRange(
            tx_power=TxPower(self.tx_power_dbm, self.deviation_db),
            nodes=None if self.nodes is None else tuple(self.nodes),
        )


class InventorySpec(ResourceModel):
    """Mesh Configuration Database JSON, and optionally where the nodes are and with which power they send."""

    config_map_ref: ConfigMapKeyRef = Field(description="Mesh Configuration Database JSON, without keys.")
    placement_key: str | None = Field(
        default=None, max_length=253, description="Key in the same ConfigMap that says where the nodes are."
    )
    tx_powers: list[TxPowerSpec] = Field(
        default=[],
        max_length=64,
        description="Transmit powers as far as they are known, a later entry instead of an earlier one; "
        "links of these nodes then tell their attenuation.",
    )


class MonitoringSpec(ResourceModel):
    """Intervals of neighbour notifications and reports, and what they may cost."""

    cel_rules: ClassVar = (
        CelRule(
            rule="self.reportIntervalSeconds >= self.notificationIntervalSeconds",
            message="reportIntervalSeconds must not be shorter than notificationIntervalSeconds",
            field_path=".reportIntervalSeconds",
        ),
    )

    notification_interval_seconds: int = Field(
        default=10, ge=1, le=86_400, description="Between two notifications of a node to its neighbours."
    )
    report_interval_seconds: int = Field(
        default=60, ge=1, le=86_400, description="Between two reports of a node to the gateway."
    )
    airtime_budget_percent: int = Field(
        default=1,
        ge=1,
        le=100,
        description="What monitoring may take of a channel; intervals are stretched to keep it.",
    )


class FlowSpec(ResourceModel):
    """Application messages whose fate matters."""

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=40, description="Unique in the segment.")
    source: UnicastText = Field(description="Unicast address, four hexadecimal digits.")
    destination: AddressText = Field(description="Unicast or group address, four hexadecimal digits.")
    rate_per_minute: int = Field(
        default=6, ge=1, le=6000, description="Messages of the application per minute; absent: 6."
    )
    deadline_milliseconds: int = Field(
        default=150, ge=1, le=60_000, description="Later is too late, lost counts as late; absent: 150."
    )
    acknowledged: bool = Field(
        default=False,
        description="Every member answers the source: answers are simulated, too, and predictions tell their share.",
    )


class MeshSegmentSpec(ResourceModel):
    """One part of a network behind one gateway."""

    cel_rules: ClassVar = (
        CelRule(
            rule="self.stage == 'Planned' || has(self.gatewayId)",
            message="an Operating segment needs a gatewayId",
            field_path=".gatewayId",
            reason="FieldValueRequired",
        ),
    )

    twin_ref: NameRef = Field(description="The twin this segment belongs to.")
    stage: Literal["Planned", "Operating"] = Field(
        default="Operating", description="Planned: a design without a gateway yet."
    )
    gateway_id: str | None = Field(
        default=None,
        pattern=r"^[a-zA-Z0-9][-a-zA-Z0-9_.]*$",
        max_length=64,
        description="As the gateway names itself on the broker; one segment per gateway.",
    )
    stack_profile: str = Field(
        default="zephyr",
        pattern=r"^[a-z0-9-]+$",
        max_length=40,
        # not a Literal: objects that were stored before the names were, are still read
        json_schema_extra={"enum": list(STACKS)},
        description="Timing rules of the implementation on the nodes.",
    )
    inventory: InventorySpec
    monitoring: MonitoringSpec = MonitoringSpec()
    flows: list[FlowSpec] = Field(
        default=[],
        max_length=64,
        json_schema_extra=UNIQUE_BY_NAME,
        description="Application messages whose fate matters.",
    )
    frozen_nodes: list[RangeText] = Field(
        default=[],
        max_length=64,
        json_schema_extra=UNIQUE,
        description="Nodes never to be changed, such as emergency lighting: addresses and ranges of them.",
    )


class ScorecardStatus(ResourceModel):
    """What the models' predictions were worth here, as far as pushes measured them; the card itself is in the twin."""

    pushes: Count = Field(description="That were entered.")
    entries: Count = Field(description="Figures that were predicted and measured.")
    since: AwareDatetime
    until: AwareDatetime
    model: str = Field(max_length=120, description="That of the newest entry.")
    on_time_width_percent: Count | None = Field(
        default=None,
        description="Width of its on-time intervals against those of a segment without a scorecard: "
        "below 100, the model does better here than elsewhere.",
    )


class MeshSegmentStatus(StatusBase):
    """Counts and conditions; the lists live in the twin."""

    nodes: Count | None = None
    nodes_heard: Count | None = None
    links: Count | None = None
    inventory_hash: str | None = Field(default=None, max_length=71)
    revision: Count | None = None  # in force at the gateway, as it reports
    revision_hash: str | None = Field(default=None, max_length=71)
    desired_revision: Count | None = None
    drifted_nodes: Count | None = None
    last_report_at: AwareDatetime | None = None
    scorecard: ScorecardStatus | None = None
    url: str | None = Field(default=None, max_length=260)


class MeshSegment(Resource):
    """See `MeshSegmentSpec`."""

    kind_name: ClassVar = "MeshSegment"
    name_max_length: ClassVar = 40
    plural: ClassVar = "meshsegments"
    short_names: ClassVar = ("mseg",)
    printer_columns: ClassVar = (
        PrinterColumn(name="Twin", json_path=".spec.twinRef.name"),
        PrinterColumn(name="Gateway", json_path=".spec.gatewayId"),
        PrinterColumn(name="Nodes", json_path=".status.nodes", type="integer"),
        PrinterColumn(name="Revision", json_path=".status.revision", type="integer"),
        PrinterColumn(name="Ready", json_path='.status.conditions[?(@.type=="Ready")].status'),
        PrinterColumn(name="Synced", json_path='.status.conditions[?(@.type=="Synced")].status'),
        PrinterColumn(name="Age", json_path=".metadata.creationTimestamp", type="date"),
    )

    kind: Literal["MeshSegment"] = "MeshSegment"
    spec: MeshSegmentSpec
    status: MeshSegmentStatus | None = None
