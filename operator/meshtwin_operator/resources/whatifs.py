"""`WhatIf`: a question to the models about a segment that would be otherwise."""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AwareDatetime, Field

from meshtwin_operator.resources.base import (
    UNIQUE,
    UNIQUE_BY_NAME,
    AddressText,
    CelRule,
    NameRef,
    PrinterColumn,
    Resource,
    ResourceModel,
    StatusBase,
    UnicastText,
)
from meshtwin_operator.resources.settings import PredictionRecord, SettingsSpec, TransmitSpec

__all__ = ["AddedNodeSpec", "FlowChangeSpec", "MovedNodeSpec", "PositionSpec", "WhatIf", "WhatIfSpec", "WhatIfStatus"]

UNIQUE_BY_NODE: Final[dict[str, Any]] = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["node"],
}
CENTIMETRES_MAX: Final = 10_000_000  # 100 km: any site
Centimetres = Annotated[int, Field(ge=-CENTIMETRES_MAX, le=CENTIMETRES_MAX)]
GroupText = Annotated[str, Field(pattern=r"^[89a-fA-F][0-9a-fA-F]{3}$", max_length=4)]  # virtual or group address


class PositionSpec(ResourceModel):
    """A place, in the coordinates of the inventory's placement."""

    x_centimetres: Centimetres
    y_centimetres: Centimetres
    z_centimetres: Centimetres = 0


class MovedNodeSpec(ResourceModel):
    """A node that would stand somewhere else."""

    node: UnicastText = Field(description="Unicast address, four hexadecimal digits.")
    position: PositionSpec


class AddedNodeSpec(ResourceModel):
    """A node that would be there; what is unsaid of its settings is the stack's default."""

    cel_rules: ClassVar = (
        CelRule(
            rule="!has(self.defaultTtl) || self.defaultTtl != 1",
            message="default TTL 1 is not allowed; use 0 (neighbours only) or 2..127",  # Mesh 1.1, 4.2.8
            field_path=".defaultTtl",
        ),
    )

    node: UnicastText = Field(description="An address that is free, four hexadecimal digits.")
    position: PositionSpec
    groups: list[GroupText] = Field(
        default=[], max_length=64, json_schema_extra=UNIQUE, description="Addresses it would be subscribed to."
    )
    relay: Literal["Enabled", "Disabled"] | None = Field(default=None, description="Whether it would relay.")
    relay_retransmit: TransmitSpec | None = Field(default=None, description="Repeats of relayed messages.")
    network_transmit: TransmitSpec | None = Field(default=None, description="Repeats of own messages.")
    default_ttl: int | None = Field(default=None, ge=0, le=127, description="0 (neighbours only) or 2 to 127.")


class FlowChangeSpec(ResourceModel):
    """A flow that would be there, be another (what is unsaid stays as it is), or not be there."""

    cel_rules: ClassVar = (
        CelRule(
            rule="!has(self.removed) || !self.removed || !(has(self.source) || has(self.destination) || "
            "has(self.ratePerMinute) || has(self.deadlineMilliseconds))",
            message="a flow that is removed says nothing else",
            field_path=".removed",
        ),
        CelRule(
            rule="(has(self.removed) && self.removed) || has(self.source) || has(self.destination) || "
            "has(self.ratePerMinute) || has(self.deadlineMilliseconds)",
            message="a flow needs something that would be otherwise, or removed",
        ),
    )

    name: str = Field(
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        max_length=40,
        description="Of a flow of the segment, or a new one; a new one needs all that follows.",
    )
    source: UnicastText | None = Field(default=None, description="Unicast address, four hexadecimal digits.")
    destination: AddressText | None = Field(default=None, description="Unicast or group address.")
    rate_per_minute: int | None = Field(default=None, ge=1, le=60_000, description="Messages per minute.")
    deadline_milliseconds: int | None = Field(default=None, ge=1, le=60_000, description="Later is too late.")
    removed: bool = Field(default=False, description="The flow would not be there.")


class WhatIfSpec(ResourceModel):
    """A question to the models: what if these settings held, nodes failed, moved or came, or traffic was another."""

    cel_rules: ClassVar = (
        CelRule(rule="self == oldSelf", message="the spec of a WhatIf never changes"),
        CelRule(
            rule="(has(self.settings) && self.settings.size() > 0) || "
            "(has(self.failedNodes) && self.failedNodes.size() > 0) || "
            "(has(self.movedNodes) && self.movedNodes.size() > 0) || "
            "(has(self.addedNodes) && self.addedNodes.size() > 0) || "
            "(has(self.traffic) && self.traffic.size() > 0)",
            message="a WhatIf needs settings, failedNodes, movedNodes, addedNodes or traffic",
        ),
        CelRule(
            rule="!has(self.failedNodes) || !has(self.movedNodes) || "
            "!self.movedNodes.exists(m, m.node in self.failedNodes)",
            message="a node that would be off cannot be moved too",
            field_path=".movedNodes",
        ),
    )

    segment_ref: NameRef
    settings: list[SettingsSpec] = Field(default=[], max_length=64, description="What would hold then.")
    failed_nodes: list[UnicastText] = Field(
        default=[], max_length=64, json_schema_extra=UNIQUE, description="Addresses of nodes that would be off."
    )
    moved_nodes: list[MovedNodeSpec] = Field(
        default=[],
        max_length=64,
        json_schema_extra=UNIQUE_BY_NODE,
        description="Nodes that would stand elsewhere; their links are expected from placement.",
    )
    added_nodes: list[AddedNodeSpec] = Field(
        default=[],
        max_length=64,
        json_schema_extra=UNIQUE_BY_NODE,
        description="Nodes that would be there; their links are expected from placement.",
    )
    traffic: list[FlowChangeSpec] = Field(
        default=[],
        max_length=64,
        json_schema_extra=UNIQUE_BY_NAME,
        description="Flows that would be there, be others, or not be there.",
    )
    replications: int = Field(default=8, ge=1, le=1000, description="Simulations of the same question.")
    seed: int | None = Field(default=None, ge=0, le=2_147_483_647, description="Absent: drawn, and reported.")


class WhatIfStatus(StatusBase):
    """The answer; while the simulation is under way the fast model's, which says that it is provisional."""

    prediction: PredictionRecord | None = None
    warnings: list[Annotated[str, Field(max_length=512)]] = Field(
        default=[], max_length=32, description="What the reader of the answer should know."
    )
    run_id: str | None = Field(default=None, max_length=64)
    answered_at: AwareDatetime | None = None


class WhatIf(Resource):
    """See `WhatIfSpec`."""

    kind_name: ClassVar = "WhatIf"
    plural: ClassVar = "whatifs"
    short_names: ClassVar = ("whatif",)
    printer_columns: ClassVar = (
        PrinterColumn(name="Segment", json_path=".spec.segmentRef.name"),
        PrinterColumn(name="Answered", json_path='.status.conditions[?(@.type=="Answered")].status'),
        PrinterColumn(
            name="Provisional",
            json_path=".status.prediction.provisional",
            type="boolean",
            description="A first answer, which the simulation under way replaces",
        ),
        PrinterColumn(name="Model", json_path=".status.prediction.model", priority=1),
        PrinterColumn(name="Age", json_path=".metadata.creationTimestamp", type="date"),
    )

    kind: Literal["WhatIf"] = "WhatIf"
    spec: WhatIfSpec
    status: WhatIfStatus | None = None
