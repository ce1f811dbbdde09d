"""Base of all wire models, and the settings of nodes as they are written in JSON."""

from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from meshtwin.mesh.configuration import NodeSettings, SettingsRange, Transmit

__all__ = [
    "CONTRACT_VERSION",
    "AddressText",
    "CommandedModel",
    "Envelope",
    "GroupText",
    "SettingsEntry",
    "TransmitModel",
    "UnicastText",
    "WireModel",
]

CONTRACT_VERSION: Final = 1

AddressText = Annotated[str, Field(pattern=r"^[0-9a-f]{4}$")]
GroupText = Annotated[str, Field(pattern=r"^[c-f][0-9a-f]{3}$")]
UnicastText = Annotated[str, Field(pattern=r"^[0-7][0-9a-f]{3}$")]
RangeText = Annotated[str, Field(pattern=r"^[0-7][0-9a-fA-F]{3}(-[0-7][0-9a-fA-F]{3})?$", max_length=9)]


class WireModel(BaseModel):
    """camelCase on the wire, snake_case in code, unknown fields refused, values frozen."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        ser_json_timedelta="float",
    )

    def to_payload(self) -> bytes:
        """JSON bytes with the names of the wire; fields that are None are left out."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


class Envelope(WireModel):
    """What every message of a gateway carries: contract version, session, sequence per topic, sender's time."""

    contract: Literal[1] = 1
    session: str = Field(min_length=1, max_length=64)
    sequence: int = Field(ge=0)
    sent_at: AwareDatetime


class CommandedModel(WireModel):
    """A part of a command: what is told to do something is taken as it stands, never made to fit (true is no 1)."""

    model_config = ConfigDict(strict=True)


class TransmitModel(CommandedModel):
    """Repeats after the first transmission, and the interval in steps of 10 ms."""

    count: int = Field(ge=0, le=7)
    interval_steps: int = Field(ge=0, le=31)

    def to_value(self) -> Transmit:
        """The frozen value."""
        return Transmit(count=self.count, interval_steps=self.interval_steps)

    @classmethod
    def from_value(cls, value: Transmit) -> Self:
        """The wire form of a value."""
        return cls(count=value.count, interval_steps=value.interval_steps)


class SettingsEntry(CommandedModel):
    """Node ranges and what holds for them."""

    nodes: list[RangeText] = Field(min_length=1, max_length=256)
    relay: Literal["Enabled", "Disabled"] | None = None
    relay_retransmit: TransmitModel | None = None
    network_transmit: TransmitModel | None = None
    default_ttl: int | None = Field(default=None, ge=0, le=127)

    def to_settings(self) -> NodeSettings:
        """The frozen settings without the ranges; raises `InvalidInput` for a TTL of 1."""
        return NodeSettings(
            relay=None if self.relay is None else self.relay == "Enabled",
            relay_retransmit=None if self.relay_retransmit is None else self.relay_retransmit.to_value(),
            network_transmit=None if self.network_transmit is None else self.network_transmit.to_value(),
            default_ttl=self.default_ttl,
        )

    def to_value(self) -> SettingsRange:
        """The frozen value."""
        return SettingsRange(nodes=tuple(self.nodes), settings=self.to_settings())

    @classmethod
    def from_value(cls, value: SettingsRange) -> Self:
        """The wire form of a value."""
        s = value.settings
        return cls(
            nodes=list(value.nodes),
            relay=None if s.relay is None else ("Enabled" if s.relay else "Disabled"),
            relay_retransmit=None if s.relay_retransmit is None else TransmitModel.from_value(s.relay_retransmit),
            network_transmit=None if s.network_transmit is None else TransmitModel.from_value(s.network_transmit),
            default_ttl=s.default_ttl,
        )


def is_from_future(sent_at: datetime, now: datetime, tolerance_s: float) -> bool:
    """Whether a message claims to be sent more than ``tolerance_s`` after ``now``."""
    return (sent_at - now).total_seconds() > tolerance_s
