"""What a twin runs on: broker, volumes, pods."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from meshtwin_operator.resources.base import (
    UNIQUE,
    UNIQUE_BY_NAME,
    CelRule,
    NameRef,
    ResourceModel,
    checked_by,
)

__all__ = ["BrokerSpec", "EmbeddedBroker", "ExternalBroker", "PodSpecPart", "RepositorySpec"]

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

    service_type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        default="ClusterIP", description="How devices outside the cluster reach the broker."
    )
    node_port: int | None = Field(
        default=None, ge=30000, le=32767, description="Fixed port of the node; absent: Kubernetes chooses."
    )
    host_names: list[HostName] = Field(
        default=[],
        max_length=16,
        json_schema_extra=UNIQUE,
        description="Further names and addresses in the certificate.",
    )


class ExternalBroker(ResourceModel):
    """A broker somebody else runs; the secret holds ca.crt, username, password."""

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(default=8883, ge=1, le=65535)
    tls: bool = True
    credentials_secret_ref: NameRef = Field(
        description='Secret with ca.crt, username and password, labelled meshtwin.dev/broker-credentials: "true".'
    )


class BrokerSpec(ResourceModel):
    """Exactly one of embedded and external; the default is embedded."""

    cel_rules: ClassVar = (
        CelRule(
            rule="!(has(self.embedded) && has(self.external))",
            message="embedded and external exclude each other",
        ),
    )

    embedded: EmbeddedBroker | None = Field(default=None, description="A mosquitto that the operator runs.")
    external: ExternalBroker | None = Field(default=None, description="A broker that somebody else runs.")


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

    size_mebibytes: int = Field(
        default=512, ge=16, le=1_048_576, description="Of the volume of each twin; can grow, not shrink."
    )
    retention_days: int = Field(default=30, ge=1, le=3650, description="How long history is kept.")
    storage_class_name: str | None = Field(
        default=None, max_length=253, description="Absent: the cluster's default class. Never changes."
    )


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
    image: str | None = Field(
        default=None,
        max_length=512,
        description="Absent: the operator's own; otherwise checked against its allow-list.",
    )
    image_pull_secrets: list[NameRef] = Field(default=[], max_length=8, json_schema_extra=UNIQUE_BY_NAME)
    node_selector: dict[str, LabelValue] = Field(default={}, max_length=16, json_schema_extra=checked_by(LABEL_KEYS))
