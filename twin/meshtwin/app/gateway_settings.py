"""Settings of the gateway's process, and the link into the mesh that they ask for."""

import random
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from meshtwin.app.settings_files import SettingsModel, read_secret
from meshtwin.connectors.mqtt import BrokerSettings
from meshtwin.contract.wire import GroupText, SettingsEntry, UnicastText
from meshtwin.gateway.bluez.bus import MESH_SERVICE
from meshtwin.gateway.bluez.commissioning import FIRST_SETTINGS
from meshtwin.gateway.bluez.credentials import read_credentials
from meshtwin.gateway.bluez.link import BluezMeshLink
from meshtwin.gateway.mesh_client import EmulatedMeshLink
from meshtwin.gateway.mesh_link import MeshLink, Observability
from meshtwin.mesh.configuration import NodeSettings

__all__ = ["BrokerModel", "GatewaySettings", "make_link"]


class BrokerModel(SettingsModel):
    """The broker; the password comes from a file."""

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(ge=1, le=65_535)
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None

    def read(self) -> BrokerSettings:
        """The settings of the MQTT client; reads the password."""
        return BrokerSettings(
            host=self.host,
            port=self.port,
            username=self.username,
            password=None if self.password_file is None else read_secret(self.password_file, "password"),
            password_file=None if self.password_file is None else str(self.password_file),
            ca_file=None if self.ca_file is None else str(self.ca_file),
        )


class EmulatedMeshModel(SettingsModel):
    """An emulated mesh."""

    kind: Literal["emulated"] = "emulated"
    host: str = "127.0.0.1"
    port: int = Field(ge=1, le=65_535)
    token: str = Field(default="", repr=False)
    token_file: Path | None = None


class BluezMeshModel(SettingsModel):
    """A Bluetooth Mesh by bluetooth-meshd; ``busAddress`` null: the system bus."""

    kind: Literal["bluez"]
    keys_file: Path  # Mesh Configuration Database with keys
    address: UnicastText
    report_group: GroupText
    bus_address: str | None = None
    service: str = MESH_SERVICE
    first_settings: SettingsEntry | None = None  # of our node when it is made; unsaid ones as usual
    observability: Observability = "notifications"  # "heartbeats": nodes have no firmware of ours
    neighbours_at_most: int | None = Field(default=None, ge=1, le=0x7FFF)  # heard by one node; null: by everybody


def _kind_of_mesh(value: object) -> str:
    return str(value.get("kind", "emulated") if isinstance(value, dict) else getattr(value, "kind", "emulated"))


MeshModel = Annotated[
    Annotated[EmulatedMeshModel, Tag("emulated")] | Annotated[BluezMeshModel, Tag("bluez")],
    Discriminator(
        _kind_of_mesh, custom_error_type="meshKind", custom_error_message="kind is neither 'emulated' nor 'bluez'"
    ),
]


class GatewaySettings(SettingsModel):
    """What the process needs."""

    gateway_id: str = Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9._-]+$")
    broker: BrokerModel
    mesh: MeshModel
    data_folder: Path


def make_link(settings: GatewaySettings) -> MeshLink:
    """The way into the mesh, not yet connected; reads keys and token."""
    mesh = settings.mesh
    if isinstance(mesh, EmulatedMeshModel):
        return EmulatedMeshLink(
            host=mesh.host,
            port=mesh.port,
            token=mesh.token if mesh.token_file is None else read_secret(mesh.token_file, "token"),
            gateway_id=settings.gateway_id,
        )
    return BluezMeshLink(
        credentials=read_credentials(mesh.keys_file),
        address=int(mesh.address, 16),
        report_group=int(mesh.report_group, 16),
        folder=settings.data_folder,
        bus_address=mesh.bus_address,
        service=mesh.service,
        rng=random.Random(),  # noqa: S311  # phases, not secrets
        first_settings=FIRST_SETTINGS.overlaid(
            NodeSettings() if mesh.first_settings is None else mesh.first_settings.to_settings()
        ),
        observability=mesh.observability,
        neighbours_at_most=mesh.neighbours_at_most,
    )
