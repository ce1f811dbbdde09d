"""Values that keys of scenario files take, and what all parts of such a file have in common.

How a value is written and how far it goes; what it means stands at the keys.
"""

import re
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

__all__ = [
    "MINUTES_OF_DAY",
    "Address",
    "Addresses",
    "Document",
    "LossRow",
    "Name",
    "Number",
    "PduBytes",
    "PositionM",
    "PowerDbm",
    "Ratio",
    "Seconds",
    "TimeOfDay",
    "Ttl",
    "Whole",
]

MINUTES_OF_DAY: Final = 1440
HOURS_OF_DAY: Final = 24
TIME_WORDS: Final = 'a time of day is written like "08:30"'
BOUNDS: Final = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
EXPONENT: Final = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]{1,3}", re.ASCII)
# A path gives back at most what went in: gains of both antennas, which are in it, gather power and add none.
# 20 dB of antennas at both ends are needed to come near it at one metre (free space: 40 dB).
ATTENUATION_LEAST_DB: Final = 0.0


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


def _numbers(row: Any) -> Any:
    """`_number` of a row of a matrix, of which there may be a million values: only text is looked at."""
    if not isinstance(row, list) or not any(isinstance(value, str) for value in row):
        return row
    return [float(v) if isinstance(v, str) and EXPONENT.fullmatch(v) is not None else v for v in row]


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("a name has no control characters; they would reach terminals and pictures")
    return value


def _minutes(value: Any) -> Any:
    """Minutes after midnight of "08:30", with quotes or without; a number is minutes already."""
    if not isinstance(value, str):
        return value
    hours, colon, minutes = value.partition(":")
    if not (colon and hours.isascii() and hours.isdigit() and minutes.isascii() and minutes.isdigit()):
        raise ValueError(TIME_WORDS)
    if len(hours) > 2 or len(minutes) != 2 or int(minutes) > 59:
        raise ValueError(TIME_WORDS)
    found = int(hours) * 60 + int(minutes)
    if found > MINUTES_OF_DAY:
        raise ValueError(f"a day ends at {HOURS_OF_DAY}:00")
    return found


Number = Annotated[float, BeforeValidator(_number)]
Whole = Annotated[int, BeforeValidator(_number)]
Name = Annotated[str, Field(min_length=1, max_length=63), AfterValidator(_printable)]
Address = Annotated[str, Field(pattern="^[0-9a-fA-F]{4}$"), BeforeValidator(_quoted)]
AddressOrRange = Annotated[str, Field(pattern="^[0-9a-fA-F]{4}(-[0-9a-fA-F]{4})?$"), BeforeValidator(_quoted)]
Addresses = Annotated[
    list[AddressOrRange], Field(min_length=1, max_length=10_000, json_schema_extra={"uniqueItems": True})
]
Coordinate = Annotated[Number, Field(ge=-1e6, le=1e6)]
PositionM = Annotated[list[Coordinate], Field(min_length=2, max_length=3)]
PowerDbm = Annotated[Number, Field(ge=-300.0, le=60.0)]
LossRow = Annotated[
    list[Annotated[float, Field(ge=ATTENUATION_LEAST_DB, le=1000.0, strict=True)] | None], BeforeValidator(_numbers)
]
PduBytes = Annotated[Whole, Field(ge=10, le=29)]
Ratio = Annotated[Number, Field(ge=0.0, le=1.0)]
Seconds = Annotated[Number, Field(ge=0.0, le=1e8)]
TimeOfDay = Annotated[
    Whole,
    BeforeValidator(_minutes),
    Field(ge=0, le=MINUTES_OF_DAY),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": MINUTES_OF_DAY},
                {"type": "string", "pattern": "^(([01]?[0-9]|2[0-3]):[0-5][0-9]|24:00)$"},
            ],
        }
    ),
]
Ttl = Annotated[Whole, Field(ge=0, le=127)]


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
