"""Structural validation: the part of the API server's verdict that needs no CEL.

Works on the generated schema, so it knows only the words that `schema` writes. A string names its first
fault only, as there; the messages are the API server's.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any, Final

from meshtwin_operator.resources.causes import Cause, Fault
from meshtwin_operator.resources.schema import Schema

__all__ = ["type_name", "validate"]

JSON_TYPES: Final[dict[type, str]] = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
}


def validate(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    """Faults of ``value`` (defaults already set), depth first."""
    wanted = schema["type"]
    found = type_name(value)
    if found != wanted:
        message = f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'
        yield Cause(path=path, message=message, fault=Fault.TYPE)
        return
    if "enum" in schema and value not in schema["enum"]:
        supported = ", ".join(f'"{choice}"' for choice in schema["enum"])
        message = f"Unsupported value: {json.dumps(value)}: supported values: {supported}"
        yield Cause(path=path, message=message, fault=Fault.NOT_SUPPORTED)
    match wanted:
        case "object":
            yield from _validate_object(value, schema, path)
        case "array":
            yield from _validate_array(value, schema, path)
        case "string":
            yield from _validate_string(value, schema, path)
        case "integer":
            yield from _validate_integer(value, schema, path)


def type_name(value: Any) -> str:
    """JSON's name of the type of a value; ``null`` for None, ``unknown`` for what JSON does not have."""
    return "null" if value is None else JSON_TYPES.get(type(value), "unknown")


def _validate_object(value: dict[str, Any], schema: Schema, path: str) -> Iterator[Cause]:
    for name in schema.get("required", ()):
        if name not in value:
            yield Cause(path=_below(path, name), message="Required value", fault=Fault.REQUIRED)
    limit = schema.get("maxProperties")
    if limit is not None and len(value) > limit:
        yield _too_many(path, len(value), limit)
    properties = schema.get("properties", {})
    for name, child in value.items():
        child_schema = properties.get(name, schema.get("additionalProperties"))
        if child_schema is not None:
            yield from validate(child, child_schema, _below(path, name))


def _validate_array(value: list[Any], schema: Schema, path: str) -> Iterator[Cause]:
    limit = schema.get("maxItems")
    if limit is not None and len(value) > limit:
        yield _too_many(path, len(value), limit)
    least = schema.get("minItems", 0)
    if len(value) < least:
        message = f"Invalid value: {len(value)}: {path} in body should have at least {least} items"
        yield Cause(path=path, message=message)
    for index, item in enumerate(value):
        yield from validate(item, schema["items"], f"{path}[{index}]")
    yield from _validate_uniqueness(value, schema, path)


def _validate_uniqueness(value: list[Any], schema: Schema, path: str) -> Iterator[Cause]:
    keys: list[str] | None = schema.get("x-kubernetes-list-map-keys")
    if schema.get("x-kubernetes-list-type", "atomic") == "atomic":
        return
    seen: dict[str, int] = {}
    for index, item in enumerate(value):
        if keys is not None and not isinstance(item, dict):
            continue  # already said: wrong type
        shown = item if keys is None else {key: item[key] for key in keys if key in item}
        text = json.dumps(shown, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:  # the second one is named, further ones are not
            message = f"Duplicate value: {text}"
            yield Cause(path=f"{path}[{index}]", message=message, fault=Fault.DUPLICATE)


def _validate_string(value: str, schema: Schema, path: str) -> Iterator[Cause]:
    longest, shortest = schema.get("maxLength"), schema.get("minLength", 0)
    pattern = schema.get("pattern")
    shown = json.dumps(value, ensure_ascii=False)
    if longest is not None and len(value) > longest:
        message = f"Too long: may not be more than {longest} bytes"
        yield Cause(path=path, message=message, fault=Fault.TOO_LONG)
    elif len(value) < shortest:
        yield Cause(
            path=path,
            message=f"Invalid value: {shown}: {path} in body should be at least {shortest} chars long",
        )
    elif pattern is not None and _compiled(pattern).search(value) is None:
        yield Cause(path=path, message=f"Invalid value: {shown}: {path} in body should match '{pattern}'")
    elif schema.get("format") == "date-time" and not _is_date_time(value):
        yield Cause(path=path, message=f"Invalid value: {shown}: {path} in body must be of type date-time")


def _validate_integer(value: int, schema: Schema, path: str) -> Iterator[Cause]:
    start = f"Invalid value: {value}: {path} in body should be"
    if value < schema.get("minimum", value):
        yield Cause(path=path, message=f"{start} greater than or equal to {schema['minimum']}")
    if value > schema.get("maximum", value):
        yield Cause(path=path, message=f"{start} less than or equal to {schema['maximum']}")


def _too_many(path: str, count: int, limit: int) -> Cause:
    message = f"Too many: {count}: must have at most {limit} items"
    return Cause(path=path, message=message, fault=Fault.TOO_MANY)


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # Every pattern is anchored (schema). Python's $ also matches before a last line feed, Go's does not.
    return re.compile(pattern.removesuffix("$") + r"\Z")


def _is_date_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
