"""Settings of the twin processes, read from one JSON file (camelCase); secrets are paths of files."""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from meshtwin.app.settings_files import SettingsModel, read_settings, read_text
from meshtwin.connectors.mqtt import BrokerSettings
from meshtwin.contract.wire import AddressText, UnicastText
from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.nodes import Flow
from meshtwin.mesh.tx_power import (
    TX_POWER_DEVIATION_MOST_DB,
    TX_POWER_LEAST_DBM,
    TX_POWER_MOST_DBM,
    TxPower,
    TxPowerRange,
)

__all__ = [
    "BrokerConfig",
    "ChildConfig",
    "FlowConfig",
    "HttpModelConfig",
    "ListenConfig",
    "ModelConfig",
    "MonitoringConfig",
    "ParentTwinSettings",
    "SegmentTwinSettings",
    "TxPowerConfig",
    "read_settings",
]

KEY_BYTES_MIN: Final = 32  # HS256: RFC 7518, 3.2 asks for at least the hash's length

ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]


class BrokerConfig(SettingsModel):
    """Where the broker is; ``passwordFile`` holds the password alone, ``caFile`` switches TLS on."""

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(ge=1, le=65535)
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None

    def read(self) -> BrokerSettings:
        """The settings of the MQTT client; reads the password."""
        password = None if self.password_file is None else read_text(self.password_file, "broker.passwordFile")
        return BrokerSettings(
            host=self.host,
            port=self.port,
            username=self.username,
            password=password,
            password_file=None if self.password_file is None else str(self.password_file),
            ca_file=None if self.ca_file is None else str(self.ca_file),
        )


class ListenConfig(SettingsModel):
    """Where REST is served; also written ``"host:port"``. Port 0: any free one."""

    host: str = Field(default="127.0.0.1", min_length=1, max_length=253)
    port: int = Field(default=0, ge=0, le=65535)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        host, _, port = value.rpartition(":")
        return {"host": host.strip("[]"), "port": port}


class MonitoringConfig(SettingsModel):
    """As in a `MeshSegment`."""

    notification_interval_seconds: float = Field(default=10, gt=0, le=86_400)
    report_interval_seconds: float = Field(default=60, gt=0, le=86_400)
    airtime_budget_percent: float = Field(default=1, gt=0, le=100)


class FlowConfig(SettingsModel):
    """As in a `MeshSegment`."""

    name: ObjectName
    source: UnicastText
    destination: AddressText
    rate_per_minute: float = Field(default=6, gt=0, le=6000)
    deadline_milliseconds: int = Field(default=150, ge=1, le=60_000)
    acknowledged: bool = False

    def to_value(self) -> Flow:
        """The frozen value."""
        return Flow(
            name=self.name,
            source=UnicastAddress(int(self.source, 16)),
            destination=int(self.destination, 16),
            rate_per_minute=self.rate_per_minute,
            deadline_ms=self.deadline_milliseconds,
            is_acknowledged=self.acknowledged,
        )


class TxPowerConfig(SettingsModel):
    """As in a `MeshSegment`; ``nodes`` absent: all of the inventory."""

    nodes: list[str] | None = Field(default=None, min_length=1, max_length=256)
    tx_power_dbm: float = Field(ge=TX_POWER_LEAST_DBM, le=TX_POWER_MOST_DBM)
    deviation_db: float = Field(default=0.0, ge=0, le=TX_POWER_DEVIATION_MOST_DB)

    def to_value(self) -> TxPowerRange:
        """The frozen value."""
        return TxPowerRange(
            tx_power=TxPower(self.tx_power_dbm, self.deviation_db),
            nodes=None if self.nodes is None else tuple(self.nodes),
        )


class ProcessSettings(SettingsModel):
    """What every twin process needs."""

    namespace: ObjectName
    name: ObjectName
    twin: str | None = None  # name of the parent twin; None: the root of a tree
    broker: BrokerConfig
    data_folder: Path
    listen: ListenConfig = ListenConfig()
    rest_key_file: Path  # the tree's; every twin of the tree has it
    own_key_file: Path | None = None  # this twin's; None: the tree's key signs tokens of every role
    config_hash: str = ""
    retention_days: int = Field(default=30, ge=1, le=3650)
    workers: int = Field(default=2, ge=1, le=64)  # processes for simulations, started on demand
    # The worker for first answers stays so long after the start and the last question (20 MiB); what it is forked from,
    # with the models loaded (50 MiB), stays for good. 0: both only while they are asked
    keep_models_seconds: int = Field(default=600, ge=0, le=31_536_000)

    def read_rest_key(self) -> bytes:
        """The tree's key for REST tokens; raises `InvalidInput` if it is too short."""
        return _read_key(self.rest_key_file, "restKeyFile")

    def read_own_key(self) -> bytes | None:
        """This twin's key for REST tokens, if it has one; raises as `read_rest_key`."""
        return None if self.own_key_file is None else _read_key(self.own_key_file, "ownKeyFile")


class SegmentTwinSettings(ProcessSettings):
    """Of ``python -m meshtwin.app.segment_twin CONFIG.json``."""

    segment: ObjectName | None = None  # name of the MeshSegment; None: as ``name`` (of the workload)
    gateway_id: str | None = Field(default=None, pattern=r"^[a-zA-Z0-9][-a-zA-Z0-9_.]*$", max_length=64)
    inventory_path: Path
    placement_path: Path | None = None
    frozen_nodes: list[str] = Field(default=[], max_length=64)
    tx_powers: list[TxPowerConfig] = Field(default=[], max_length=64)
    flows: list[FlowConfig] = Field(default=[], max_length=64)
    stack_profile: str = "zephyr"
    monitoring: MonitoringConfig = MonitoringConfig()


class ChildConfig(SettingsModel):
    """A segment twin or a parent twin below this one; ``url`` is the root of its REST interface."""

    name: ObjectName
    namespace: ObjectName | None = None  # None: the parent's own
    url: str = Field(pattern=r"^https?://", max_length=260)


class HttpModelConfig(SettingsModel):
    """A model behind a URL; ``tokenFile`` and ``caFile`` are read at each question, so that they may change."""

    url: str = Field(pattern=r"^https?://", max_length=260)
    time_limit_seconds: int = Field(default=60, ge=1, le=3600)
    token_file: Path | None = None
    ca_file: Path | None = None  # an authority besides those of the system; one that is not there is left out
    allow_loopback: bool = False  # set by local mode: there who names the URL is who runs the twin


class ModelConfig(SettingsModel):
    """Somebody else's model, as in a `DigitalTwin`: one of ``http`` and ``plugin``."""

    http: HttpModelConfig | None = None
    plugin: str | None = Field(default=None, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)
    on_failure: Literal["Fail", "UseOwn"] = "Fail"

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.http is None) == (self.plugin is None):
            raise ValueError("exactly one of http and plugin")
        return self


class ParentTwinSettings(ProcessSettings):
    """Of ``python -m meshtwin.app.parent_twin CONFIG.json``."""

    children: list[ChildConfig] = Field(default=[], max_length=256)
    model: ModelConfig | None = None  # None: our simulator


def _read_key(path: Path, place: str) -> bytes:
    key = read_text(path, place).encode()
    if len(key) < KEY_BYTES_MIN:
        raise InvalidInput(f"key of {len(key)} bytes is shorter than {KEY_BYTES_MIN}", place=place)
    return key
