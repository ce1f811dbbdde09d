"""`DigitalTwin` and `MeshSegment`."""

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

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
    UserName,
    checked_by,
)

__all__ = [
    "DigitalTwin",
    "DigitalTwinSpec",
    "DigitalTwinStatus",
    "MeshSegment",
    "MeshSegmentSpec",
    "MeshSegmentStatus",
]


HostName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9]([-a-zA-Z0-9.:]*[a-zA-Z0-9])?$", max_length=253)]
LabelValue = Annotated[str, Field(pattern=r"^([a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?)?$", max_length=63)]
LABEL_KEYS = CelRule(
    rule="self.all(key, key.matches("
    "'^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
    message="keys must be names of labels",
)


class EmbeddedBroker(ResourceModel):
    """A mosquitto that the operator runs for the root of a tree."""

    cel_rules: ClassVar = (
        CelRule(
            rule="!has(self.nodePort) || self.serviceType != 'ClusterIP'",
            message="nodePort needs serviceType NodePort or LoadBalancer",
            field_path=".nodePort",
        ),
    )

    service_type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    node_port: int | None = Field(default=None, ge=30000, le=32767)
    host_names: list[HostName] = Field(
        default=[], max_length=16, json_schema_extra=UNIQUE
    )  # further names in the certificate


class ExternalBroker(ResourceModel):
    """A broker somebody else runs; the secret holds ca.crt, username, password."""

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(default=8883, ge=1, le=65535)
    tls: bool = True
    credentials_secret_ref: NameRef


class BrokerSpec(ResourceModel):
    """Exactly one of embedded and external; the default is embedded."""

    cel_rules: ClassVar = (
        CelRule(
            rule="!(has(self.embedded) && has(self.external))",
            message="embedded and external exclude each other",
        ),
    )

    embedded: EmbeddedBroker | None = None
    external: ExternalBroker | None = None


class RepositorySpec(ResourceModel):
    """History kept by every twin of this tree; a volume claim can neither shrink nor change its class."""

    cel_rules: ClassVar = (
        CelRule(
            rule="self.sizeMebibytes >= oldSelf.sizeMebibytes",
            message="sizeMebibytes can grow, not shrink",
            field_path=".sizeMebibytes",
        ),
        CelRule(
            rule="has(self.storageClassName) == has(oldSelf.storageClassName) && "
            "(!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
            message="storageClassName never changes",
            field_path=".storageClassName",
        ),
    )

    size_mebibytes: int = Field(default=512, ge=16, le=1_048_576)
    retention_days: int = Field(default=30, ge=1, le=3650)
    storage_class_name: str | None = Field(default=None, max_length=253)


class ApprovalPolicy(ResourceModel):
    """Who may decide: ``Manual`` needs `Approval` objects; ``GitOps`` accepts those of a named account."""

    cel_rules: ClassVar = (
        CelRule(
            rule="self.mode != 'GitOps' || has(self.gitOpsAccount)",
            message="mode GitOps needs gitOpsAccount",
            field_path=".gitOpsAccount",
            reason="FieldValueRequired",
        ),
    )

    mode: Literal["Manual", "GitOps"] = "Manual"
    required_approvals: int = Field(default=1, ge=1, le=5)
    git_ops_account: UserName | None = None
    expire_after_hours: int = Field(default=72, ge=1, le=8760)


class ChangeWindow(ResourceModel):
    """Times at which a push may start or go on, UTC; an end below the start is past midnight."""

    cel_rules: ClassVar = (
        CelRule(rule="self.start != self.end", message="start and end are equal: the window is empty"),
    )

    days: list[Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]] = Field(
        default=["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
        min_length=1,
        max_length=7,
        json_schema_extra=UNIQUE,
    )
    start: str = Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5)
    end: str = Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5)


class PushPolicy(ResourceModel):
    """How an approved configuration is pushed and judged."""

    coverage_per_mille: int = Field(default=1000, ge=500, le=1000)
    confirm_within_seconds: int = Field(default=600, ge=10, le=86_400)
    probe_messages: int = Field(default=60, ge=10, le=10_000)  # per flow, before and after
    harm_margin_per_mille: int = Field(default=50, ge=1, le=500)  # loss of on-time share called harm
    drift: Literal["Heal", "Accept"] = "Heal"


class PodSpecPart(ResourceModel):
    """What may be said of twin pods: no free template, it would lend the operator's rights."""

    cel_rules: ClassVar = (
        CelRule(
            rule="self.memoryRequestMebibytes <= self.memoryLimitMebibytes",
            message="memoryRequestMebibytes is above memoryLimitMebibytes",
            field_path=".memoryRequestMebibytes",
        ),
        CelRule(
            rule="!has(self.cpuLimitMillicores) || self.cpuRequestMillicores <= self.cpuLimitMillicores",
            message="cpuRequestMillicores is above cpuLimitMillicores",
            field_path=".cpuRequestMillicores",
        ),
    )

    cpu_request_millicores: int = Field(default=50, ge=1, le=64_000)
    cpu_limit_millicores: int | None = Field(default=None, ge=10, le=64_000)
    memory_request_mebibytes: int = Field(default=160, ge=32, le=1_048_576)
    memory_limit_mebibytes: int = Field(default=1024, ge=64, le=1_048_576)
    image: str | None = Field(default=None, max_length=512)  # checked against the operator's allow-list
    image_pull_secrets: list[NameRef] = Field(default=[], max_length=8, json_schema_extra=UNIQUE_BY_NAME)
    node_selector: dict[str, LabelValue] = Field(default={}, max_length=16, json_schema_extra=checked_by(LABEL_KEYS))


class PrivacySpec(ResourceModel):
    """Pseudonymised addresses in exports, and how long history is kept."""

    pseudonymise_exports: bool = False


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

    mode: Literal["Observe", "Recommend", "Control"] = "Recommend"
    parent_ref: NameRef | None = None
    broker: BrokerSpec | None = None
    repository: RepositorySpec = RepositorySpec()
    approval: ApprovalPolicy = ApprovalPolicy()
    push: PushPolicy = PushPolicy()
    change_windows: list[ChangeWindow] = Field(default=[], max_length=32)
    suspend: bool = False
    emergency_stop: bool = False
    security_level: Literal["small", "basic", "important", "essential"] = "basic"
    privacy: PrivacySpec = PrivacySpec()
    pod: PodSpecPart = PodSpecPart()


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


class ConfigMapKeyRef(ResourceModel):
    """A key of a ConfigMap labelled ``meshtwin.dev/inventory: "true"``; a name ending in .gz is gzip."""

    name: str = Field(min_length=1, max_length=253)
    key: str = Field(default="network.json", min_length=1, max_length=253)


class InventorySpec(ResourceModel):
    """Mesh Configuration Database JSON, and optionally where the nodes are."""

    config_map_ref: ConfigMapKeyRef
    placement_key: str | None = Field(default=None, max_length=253)  # of the same ConfigMap


class MonitoringSpec(ResourceModel):
    """Intervals of neighbour notifications and reports, and what they may cost."""

    cel_rules: ClassVar = (
        CelRule(
            rule="self.reportIntervalSeconds >= self.notificationIntervalSeconds",
            message="reportIntervalSeconds must not be shorter than notificationIntervalSeconds",
            field_path=".reportIntervalSeconds",
        ),
    )

    notification_interval_seconds: int = Field(default=10, ge=1, le=86_400)
    report_interval_seconds: int = Field(default=60, ge=1, le=86_400)
    airtime_budget_percent: int = Field(default=1, ge=1, le=100)


class FlowSpec(ResourceModel):
    """Application messages whose fate matters."""

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=40)
    source: UnicastText
    destination: AddressText
    rate_per_minute: int = Field(default=6, ge=1, le=6000)
    deadline_milliseconds: int = Field(default=150, ge=1, le=60_000)


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

    twin_ref: NameRef
    stage: Literal["Planned", "Operating"] = "Operating"
    gateway_id: str | None = Field(default=None, pattern=r"^[a-zA-Z0-9][-a-zA-Z0-9_.]*$", max_length=64)
    stack_profile: str = Field(default="zephyr", pattern=r"^[a-z0-9-]+$", max_length=40)
    inventory: InventorySpec
    monitoring: MonitoringSpec = MonitoringSpec()
    flows: list[FlowSpec] = Field(default=[], max_length=64, json_schema_extra=UNIQUE_BY_NAME)
    frozen_nodes: list[RangeText] = Field(default=[], max_length=64, json_schema_extra=UNIQUE)


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
