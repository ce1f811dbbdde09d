"""`DigitalTwin`: the parent of segments and of other twins."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from meshtwin_operator.resources.base import (
    CelRule,
    Count,
    NameRef,
    PrinterColumn,
    Resource,
    ResourceModel,
    StatusBase,
)
from meshtwin_operator.resources.foreign_models import ModelSpec
from meshtwin_operator.resources.hosting import BrokerSpec, EmbeddedBroker, PodSpecPart, RepositorySpec
from meshtwin_operator.resources.policies import ApprovalPolicy, ChangeWindow, PushPolicy
from meshtwin_operator.resources.segments import MeshSegment, MeshSegmentSpec, MeshSegmentStatus

__all__ = [
    "ChangeWindow",
    "DigitalTwin",
    "DigitalTwinSpec",
    "DigitalTwinStatus",
    "EmbeddedBroker",
    "MeshSegment",
    "MeshSegmentSpec",
    "MeshSegmentStatus",
    "PodSpecPart",
    "PushPolicy",
]


class DigitalTwinSpec(ResourceModel):
    """One twin: the parent of segments and of other twins."""

    cel_rules: ClassVar = (
        CelRule(
            rule="!(has(self.parentRef) && has(self.broker))",
            message="a twin with a parent uses the broker of the root of its tree",
            field_path=".broker",
            reason="FieldValueForbidden",
        ),
    )

    mode: Literal["Observe", "Recommend", "Control"] = Field(
        default="Recommend",
        description="Observe: nothing is ever sent. Recommend: proposals, no push. "
        "Control: approved configurations are pushed.",
    )
    parent_ref: NameRef | None = Field(default=None, description="The twin above this one; absent: the root of a tree.")
    broker: BrokerSpec | None = Field(default=None, description="Absent: embedded. Only at the root of a tree.")
    repository: RepositorySpec = RepositorySpec()
    approval: ApprovalPolicy = ApprovalPolicy()
    push: PushPolicy = PushPolicy()
    change_windows: list[ChangeWindow] = Field(
        default=[], max_length=32, description="When a push may start or go on; absent: always."
    )
    suspend: bool = Field(
        default=False,
        description="No push starts; one that is not confirmed is taken back, and starts over when this is lifted.",
    )
    emergency_stop: bool = Field(default=False, description="Does what suspend does; another reason is on record.")
    security_level: Literal["small", "basic", "important", "essential"] = Field(
        default="basic",
        description="important and essential: a proposal that no pipeline made needs another approver than its author.",
    )
    model: ModelSpec | None = Field(
        default=None, description="Somebody else's model for this twin's pipelines and what-ifs; absent: our simulator."
    )
    pod: PodSpecPart = Field(
        default=PodSpecPart(), description="Resources and placement of the pods of this twin and its segments."
    )

    @model_validator(mode="before")
    @classmethod
    def _without_retired(cls, spec: Any) -> Any:
        """``privacy`` had no effect and is gone; objects that were stored with it, by default, are still read."""
        return {name: value for name, value in spec.items() if name != "privacy"} if isinstance(spec, dict) else spec


class DigitalTwinStatus(StatusBase):
    """Counts and conditions; node and link lists live in the twin."""

    segments: Count | None = None
    nodes: Count | None = None
    nodes_heard: Count | None = None
    links: Count | None = None
    age_seconds: Count | None = None
    broker_address: str | None = Field(default=None, max_length=260)
    url: str | None = Field(default=None, max_length=260)
    push_in_flight: str | None = Field(default=None, max_length=253)  # MeshConfiguration
    plugin_recipes: list[Annotated[str, Field(max_length=63)]] | None = Field(
        default=None, max_length=64, description="Recipes that packages in the twin's image bring. Absent: none."
    )


class DigitalTwin(Resource):
    """See `DigitalTwinSpec`."""

    kind_name: ClassVar = "DigitalTwin"
    name_max_length: ClassVar = 40
    plural: ClassVar = "digitaltwins"
    short_names: ClassVar = ("dt",)
    printer_columns: ClassVar = (
        PrinterColumn(name="Mode", json_path=".spec.mode"),
        PrinterColumn(name="Segments", json_path=".status.segments", type="integer"),
        PrinterColumn(name="Nodes", json_path=".status.nodes", type="integer"),
        PrinterColumn(name="Ready", json_path='.status.conditions[?(@.type=="Ready")].status'),
        PrinterColumn(name="Synced", json_path='.status.conditions[?(@.type=="Synced")].status'),
        PrinterColumn(name="Age", json_path=".metadata.creationTimestamp", type="date"),
    )

    kind: Literal["DigitalTwin"] = "DigitalTwin"
    spec: DigitalTwinSpec = DigitalTwinSpec()
    status: DigitalTwinStatus | None = None
