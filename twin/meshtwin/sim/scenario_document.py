"""The shape of scenario files. Format version ``meshtwin.dev/scenario/v1``.

Keys are camelCase with units, as in the resources. Addresses are four hexadecimal digits. A file gives nodes with
positions and a radio model, or an attenuation matrix (row = transmitter, dB, null = no link), or explicit links.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from meshtwin.mesh.configuration import Transmit

__all__ = ["FlowDocument", "NodeDocument", "RadioDocument", "ScenarioDocument", "SettingsDocument", "TransmitDocument"]

Address = Annotated[str, Field(pattern="^[0-9a-fA-F]{4}$")]
Ratio = Annotated[float, Field(ge=0.0, le=1.0)]


class Document(BaseModel):
    """Common ground: camelCase, nothing unknown, no NaN."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, allow_inf_nan=False)


class TransmitDocument(Document):
    count: int = Field(2, ge=0, le=7)
    interval_steps: int = Field(1, ge=0, le=31)

    def to_value(self) -> Transmit:
        return Transmit(count=self.count, interval_steps=self.interval_steps)


class SettingsDocument(Document):
    """Settings that hold for all nodes, or what one node has instead; null: as for all."""

    relay: bool | None = None
    ttl: int | None = Field(None, ge=0, le=127)
    network_transmit: TransmitDocument | None = None
    relay_retransmit: TransmitDocument | None = None


class NodeDocument(SettingsDocument):
    address: Address
    position_m: Annotated[list[float], Field(min_length=2, max_length=3)] | None = None
    groups: list[Address] = Field(default_factory=list, max_length=256)
    external_pdus_per_second: float = Field(0.0, ge=0.0)
    powered_on: bool = True  # not "on", which YAML 1.1 reads as a truth value


class RadioDocument(Document):
    """How received power follows from positions."""

    model: Literal["hardRange", "unitDisc", "freeSpace", "logDistance"] = "logDistance"
    range_m: float | None = Field(None, gt=0.0)  # hardRange and unitDisc need it
    tx_power_dbm: float = 0.0
    exponent: float = Field(2.8, gt=0.0)
    reference_db: float = 40.1
    shadowing_db: float = Field(0.0, ge=0.0)
    shadowing_seed: int = 0

    @model_validator(mode="after")
    def _range_is_given(self) -> Self:
        if self.model in {"hardRange", "unitDisc"} and self.range_m is None:
            raise ValueError(f"radio model {self.model} needs rangeM")
        return self


class LinkDocument(Document):
    source: Address
    target: Address
    rx_power_dbm: float | None = None
    delivery: Ratio | None = None


class FlowDocument(Document):
    name: str = Field(max_length=63)
    source: Address
    destination: Address
    count: int = Field(ge=0, le=1_000_000)
    period_seconds: float = Field(gt=0.0)
    start_seconds: float = Field(0.0, ge=0.0)
    deadline_milliseconds: int = Field(1000, ge=1)
    at_drawn_times: bool = False
    pdu_bytes: int = Field(20, ge=10, le=29)
    response_pdu_bytes: int | None = Field(None, ge=10, le=29)
    ttl: int | None = Field(None, ge=0, le=127)


class ScenarioDocument(Document):
    """A scenario file; its JSON schema is `ScenarioDocument.model_json_schema()`."""

    format: Literal["meshtwin.dev/scenario/v1"] = "meshtwin.dev/scenario/v1"
    name: str = Field("scenario", max_length=63)
    profile: str = "zephyr"
    reception: Literal["packetErrorRatio", "anyOverlapDestroys"] = "packetErrorRatio"
    duration_seconds: float | None = Field(None, gt=0.0)
    defaults: SettingsDocument = SettingsDocument()
    nodes: list[NodeDocument] = Field(min_length=1, max_length=10_000)
    radio: RadioDocument | None = None
    attenuation_db: list[list[float | None]] | None = None
    links: list[LinkDocument] | None = None
    flows: list[FlowDocument] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _links_come_from_one_place(self) -> Self:
        if sum(x is not None for x in (self.radio, self.attenuation_db, self.links)) != 1:
            raise ValueError("give exactly one of radio, attenuationDb, links")
        if self.attenuation_db is not None:
            sizes = {len(self.attenuation_db), *(len(row) for row in self.attenuation_db)}
            if sizes != {len(self.nodes)}:
                raise ValueError(f"attenuationDb is not {len(self.nodes)} x {len(self.nodes)}")
        if self.radio is not None and (bare := [n.address for n in self.nodes if n.position_m is None]):
            raise ValueError(f"node {bare[0]} has no positionM, which the radio model needs")
        return self
