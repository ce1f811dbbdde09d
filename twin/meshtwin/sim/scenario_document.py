"""The shape of scenario files. Format version ``meshtwin.dev/scenario/v1``.

Keys are camelCase with units, as in the resources. Addresses are four hexadecimal digits in quotes. A file gives
nodes with positions and a radio model, or an attenuation matrix (row = transmitter, dB, null = no link), or both
(the matrix where it has a number, else the model), or explicit links.
"""

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StrictBool,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.profiles import PROFILES
from meshtwin.sim.scenario_features import PublishRetransmit, Retries, Segmentation

__all__ = [
    "ChangeDocument",
    "FlowDocument",
    "InterferenceDocument",
    "LowPowerDocument",
    "NodeDocument",
    "RadioDocument",
    "RegionDocument",
    "ScenarioDocument",
    "SettingsDocument",
    "TransmitDocument",
]

MINUTES_OF_DAY = 1440
BOUNDS: Final = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]{1,3}", re.ASCII)


def _quoted(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError('addresses are four hexadecimal digits in quotes, like "0012"; YAML read a number')
    return value


def _number(value: Any) -> Any:
    """No truth values and no text for numbers; YAML 1.1 reads 1e-3 without a point as text, though."""
    if isinstance(value, bool):
        raise ValueError("a number is wanted, not a truth value")
    if isinstance(value, str):
        if EXPONENT.fullmatch(value) is None:
            raise ValueError("a number is wanted, not text; write it without quotes")
        return float(value)
    return value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("a name has no control characters; they would reach terminals and pictures")
    return value


def _minutes(value: Any) -> Any:
    """Minutes after midnight of "08:30", with quotes or without; a number is minutes already."""
    if isinstance(value, str):
        hours, colon, minutes = value.partition(":")
        if not (colon and hours.isascii() and hours.isdigit() and minutes.isascii() and len(minutes) == 2):
            raise ValueError('a time of day is written like "08:30"')
        if not minutes.isdigit() or int(minutes) > 59 or len(hours) > 2:
            raise ValueError('a time of day is written like "08:30"')
        return int(hours) * 60 + int(minutes)
    return value


Number = Annotated[float, BeforeValidator(_number)]
Whole = Annotated[int, BeforeValidator(_number)]
Name = Annotated[str, AfterValidator(_printable), Field(min_length=1, max_length=63)]
Address = Annotated[str, BeforeValidator(_quoted), Field(pattern="^[0-9a-fA-F]{4}$")]
AddressOrRange = Annotated[str, BeforeValidator(_quoted), Field(pattern="^[0-9a-fA-F]{4}(-[0-9a-fA-F]{4})?$")]
Addresses = Annotated[
    list[AddressOrRange], Field(min_length=1, max_length=10_000, json_schema_extra={"uniqueItems": True})
]
Coordinate = Annotated[Number, Field(ge=-1e6, le=1e6)]
PositionM = Annotated[list[Coordinate], Field(min_length=2, max_length=3)]
PowerDbm = Annotated[Number, Field(ge=-300.0, le=60.0)]
PduBytes = Annotated[Whole, Field(ge=10, le=29)]
Ratio = Annotated[Number, Field(ge=0.0, le=1.0)]
Seconds = Annotated[Number, Field(ge=0.0, le=1e8)]
TimeOfDay = Annotated[
    Whole,
    BeforeValidator(_minutes),
    Field(ge=0, le=MINUTES_OF_DAY),
    WithJsonSchema(
        {
            "description": 'a time of day like "08:30", or minutes after midnight',
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": MINUTES_OF_DAY},
                {"type": "string", "pattern": "^(([01]?[0-9]|2[0-3]):[0-5][0-9]|24:00)$"},
            ],
        }
    ),
]
Ttl = Annotated[Whole, Field(ge=0, le=127)]


def _rename_bounds(told: Any) -> None:
    if isinstance(told, dict):
        if told.get("type") in ("integer", "number"):
            for ours, theirs in BOUNDS.items():
                if ours in told:
                    told[theirs] = told.pop(ours)
        for part in told.values():
            _rename_bounds(part)
    elif isinstance(told, list):
        for part in told:
            _rename_bounds(part)


class Document(BaseModel):
    """Common ground: camelCase, nothing unknown, no NaN."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """pydantic calls a bound as Python does where a validator stands before it; JSON Schema would ignore that."""
        told = handler(schema)
        for field in handler.resolve_ref_schema(told).get("properties", {}).values():
            _rename_bounds(field)
        return told


class TransmitDocument(Document):
    count: Whole = Field(2, ge=0, le=7)
    interval_steps: Whole = Field(1, ge=0, le=31)

    def to_value(self) -> Transmit:
        return Transmit(count=self.count, interval_steps=self.interval_steps)


class SettingsDocument(Document):
    """Settings that hold for all nodes, or what one node has instead; null: as for all."""

    relay: StrictBool | None = None
    ttl: Ttl | None = None
    network_transmit: TransmitDocument | None = None
    relay_retransmit: TransmitDocument | None = None
    # entries of the replay protection list; "profile": as many as the stack has; not given: not modelled
    replay_list_entries: Annotated[Whole, Field(ge=1, le=65535)] | Literal["profile"] | None = None


class LowPowerDocument(Document):
    """A low-power node; see `LowPower`."""

    friend: Address
    poll_seconds: Seconds
    receive_delay_milliseconds: Whole = Field(100, ge=10, le=255)
    receive_window_milliseconds: Whole = Field(255, ge=1, le=255)
    poll_retries: Whole = Field(3, ge=0, le=10)


class NodeDocument(SettingsDocument):
    address: Address
    position_m: PositionM | None = None
    groups: list[Address] = Field(default_factory=list, max_length=256)
    external_pdus_per_second: Number = Field(0.0, ge=0.0, le=1e5)
    powered_on: StrictBool = True  # not "on", which YAML 1.1 reads as a truth value
    replay_list_used: Whole = Field(0, ge=0, le=65535)
    low_power: LowPowerDocument | None = None
    friend_queue_entries: Whole = Field(16, ge=1, le=65536)


SHADOWED: Final = ("freeSpace", "logDistance", "ituIndoor")
# What only some radio models have; said beside another one, it would be left out in silence.
KEYS_OF_MODELS: Final = {
    "environment": ("ituIndoor",),
    "floor_height_m": ("ituIndoor",),
    "exponent": ("logDistance",),
    "reference_db": ("logDistance",),
    "shadowing_db": SHADOWED,
    "pair_shadowing_db": SHADOWED,
    "shadowing_seed": SHADOWED,
}


class RadioDocument(Document):
    """How received power follows from positions."""

    model: Literal["hardRange", "unitDisc", "freeSpace", "logDistance", "ituIndoor"] = "logDistance"
    environment: Literal[
        "officeOpen", "officeObstructed", "corridorOpen", "corridorObstructed", "industrialOpen", "industrialObstructed"
    ] = "officeObstructed"  # of ituIndoor, in place of exponent and referenceDb
    floor_height_m: Number | None = Field(None, ge=1.0, le=100.0)  # of ituIndoor; not given: floors cost nothing
    range_m: Number | None = Field(None, gt=0.0, le=1e6)  # hardRange and unitDisc need it
    tx_power_dbm: Number = Field(0.0, ge=-100.0, le=60.0)
    exponent: Number = Field(2.8, gt=0.0, le=20.0)
    reference_db: Number = Field(40.1, ge=-200.0, le=300.0)
    shadowing_db: Number = Field(0.0, ge=0.0, le=60.0)  # of each direction by itself
    # of both directions alike; ituIndoor: that of its environment, unless one of the two is said
    pair_shadowing_db: Number = Field(0.0, ge=0.0, le=60.0)
    shadowing_seed: Whole = Field(0, ge=-(2**63), lt=2**63)

    @field_validator(*KEYS_OF_MODELS)
    @classmethod
    def _belongs_to_model(cls, value: object, info: ValidationInfo) -> object:
        name, model = info.field_name or "", info.data.get("model")
        owners = KEYS_OF_MODELS[name]
        if model is not None and model not in owners:
            raise ValueError(
                f"{to_camel(name)} belongs to {' and '.join(owners)}; radio model {model} has no use for it"
            )
        return value

    @model_validator(mode="after")
    def _range_is_given(self) -> Self:
        if self.model in {"hardRange", "unitDisc"} and self.range_m is None:
            raise ValueError(f"radio model {self.model} needs rangeM")
        return self


class LinkDocument(Document):
    source: Address
    target: Address
    rx_power_dbm: PowerDbm | None = None
    delivery: Ratio | None = None
    delivery_pdu_bytes: PduBytes | None = None  # of the network PDUs; not given: 20

    @model_validator(mode="after")
    def _something_is_given(self) -> Self:
        if self.rx_power_dbm is None and self.delivery is None:
            raise ValueError("give rxPowerDbm or delivery")
        if self.delivery is None and self.delivery_pdu_bytes is not None:
            raise ValueError("deliveryPduBytes says of which size delivery is; give delivery, or leave it out")
        return self


class PublishRetransmitDocument(Document):
    """Repetitions of a publication, every (intervalSteps + 1) * 50 ms."""

    count: Whole = Field(ge=0, le=7)
    interval_steps: Whole = Field(0, ge=0, le=31)


# Of a flow; a thousandth of what one PDU takes on the air, so that nothing real is left out and times add up.
PERIOD_LEAST_S: Final = 1e-6


class FlowDocument(Document):
    name: Name
    source: Address
    destination: Address
    count: Whole = Field(ge=0, le=1_000_000)
    period_seconds: Number = Field(ge=PERIOD_LEAST_S, le=1e8)
    start_seconds: Seconds = 0.0
    deadline_milliseconds: Whole = Field(1000, ge=1, le=86_400_000)
    at_drawn_times: StrictBool = False
    pdu_bytes: PduBytes = 20
    response_pdu_bytes: PduBytes | None = None
    ttl: Ttl | None = None
    access_bytes: Whole | None = Field(None, ge=1, le=380)  # in place of pduBytes; segmented above 11
    transport_mic_bytes: Literal[4, 8] = 4
    relays: Addresses | None = None  # only these relay it
    publish_retransmit: PublishRetransmitDocument | None = None
    retries: Whole = Field(0, ge=0, le=100)  # of an acknowledged message
    retry_after_seconds: Number = Field(1.0, ge=PERIOD_LEAST_S, le=3600.0)

    @model_validator(mode="after")
    def _size_is_said_once(self) -> Self:
        if self.access_bytes is not None and "pdu_bytes" in self.model_fields_set:
            raise ValueError("give accessBytes or pduBytes, not both: the size of PDUs follows from accessBytes")
        return self

    def to_segmentation(self) -> Segmentation | None:
        if self.access_bytes is None:
            return None
        return Segmentation(access_bytes=self.access_bytes, mic_bytes=self.transport_mic_bytes)

    def to_publish_retransmit(self) -> PublishRetransmit | None:
        told = self.publish_retransmit
        return None if told is None else PublishRetransmit(count=told.count, interval_steps=told.interval_steps)

    def to_retries(self) -> Retries | None:
        return Retries(count=self.retries, after_s=self.retry_after_seconds) if self.retries else None


class BackgroundDocument(Document):
    """Messages whose fate nobody asks for, at exponential times, each from one of the sources by chance."""

    name: Name
    sources: Addresses
    rate_per_second: Number = Field(gt=0.0, le=1e5)
    ttl: Ttl | None = None
    pdu_bytes: PduBytes = 20
    destinations: Addresses | None = None  # each message is for one of them, which does not relay it; null: a group


class InterferenceDocument(Document):
    """Bursts of another technology; see `ExternalInterference`."""

    channel: Literal[37, 38, 39] | None = None  # null: all three
    busy_ratio: Number = Field(ge=0.0, lt=1.0)
    burst_microseconds: Number = Field(1000.0, gt=0.0, le=1e6)
    from_time: TimeOfDay = 0
    until_time: TimeOfDay = MINUTES_OF_DAY
    nodes: Addresses | None = None  # null: everywhere


class ChangeDocument(Document):
    """What happens to a node during the run."""

    at_seconds: Seconds
    node: Address
    powered_on: StrictBool | None = None
    move_to_m: PositionM | None = None

    @model_validator(mode="after")
    def _something_changes(self) -> Self:
        if self.powered_on is None and self.move_to_m is None:
            raise ValueError("give poweredOn or moveToM")
        return self


class RegionDocument(Document):
    """The part that is simulated node by node, with so many hops of border nodes around it."""

    nodes: Addresses
    halo_hops: Whole = Field(1, ge=0, le=10)


class ScenarioDocument(Document):
    """A scenario file; its JSON schema is `ScenarioDocument.model_json_schema()`."""

    format: Literal["meshtwin.dev/scenario/v1"] = "meshtwin.dev/scenario/v1"
    name: Annotated[str, AfterValidator(_printable)] = Field("scenario", max_length=63)
    profile: str = Field("zephyr", max_length=63, json_schema_extra={"enum": [*sorted(PROFILES)]})
    reception: Literal["packetErrorRatio", "anyOverlapDestroys"] = "packetErrorRatio"
    duration_seconds: Number | None = Field(None, gt=0.0, le=1e8)
    start_of_day: TimeOfDay = 0
    defaults: SettingsDocument = SettingsDocument()
    nodes: list[NodeDocument] = Field(min_length=1, max_length=10_000)
    radio: RadioDocument | None = None
    attenuation_db: list[list[Annotated[float, Field(ge=-100.0, le=1000.0, strict=True)] | None]] | None = None
    links: list[LinkDocument] | None = Field(None, max_length=1_000_000)
    flows: list[FlowDocument] = Field(min_length=1, max_length=1000)
    background: list[BackgroundDocument] = Field(default_factory=list, max_length=1000)
    interference: list[InterferenceDocument] = Field(default_factory=list, max_length=1000)
    changes: list[ChangeDocument] = Field(default_factory=list, max_length=10_000)
    region: RegionDocument | None = None

    @model_validator(mode="after")
    def _links_come_from_one_place(self) -> Self:
        if (self.radio is None and self.attenuation_db is None) == (self.links is None):
            raise ValueError("give exactly one of links and radio or attenuationDb (which may go together)")
        return self
