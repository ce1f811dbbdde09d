"""Defaults, nulls and whole numbers: what the API server does to an object before it judges it."""

import copy
from typing import Any

from meshtwin_operator.resources.causes import Cause, Fault
from meshtwin_operator.resources.schema import Schema

__all__ = ["defaulted", "unknown_fields"]


def defaulted(value: Any, schema: Schema) -> Any:
    """A copy of ``value`` with defaults set and nulls of fields dropped (nothing of ours is nullable).

    2.0 becomes 2 where an integer is wanted. Values of a wrong type stay as they are, for the validation.
    """
    if isinstance(value, dict):
        return _defaulted_object(value, schema)
    if isinstance(value, list) and "items" in schema:
        return [defaulted(item, schema["items"]) for item in value]
    if schema.get("type") == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    return copy.deepcopy(value)


def unknown_fields(value: Any, schema: Schema, path: str) -> list[Cause]:
    """Fields that the schema does not have, in the order of the object (strict field validation)."""
    if isinstance(value, list) and "items" in schema:
        return [
            cause
            for index, item in enumerate(value)
            for cause in unknown_fields(item, schema["items"], f"{path}[{index}]")
        ]
    if not isinstance(value, dict) or schema.get("type") != "object":
        return []
    causes: list[Cause] = []
    for name, child in value.items():
        place = f"{path}.{name}" if path else str(name)
        child_schema = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        if child_schema is None:
            causes.append(Cause(path=place, message=f'unknown field "{place}"', fault=Fault.UNKNOWN_FIELD))
        else:
            causes += unknown_fields(child, child_schema, place)
    return causes


def _defaulted_object(value: dict[Any, Any], schema: Schema) -> dict[Any, Any]:
    properties: dict[str, Schema] = schema.get("properties", {})
    filled = {name: child for name, child in value.items() if child is not None or name not in properties}
    for name, child_schema in properties.items():
        if name not in filled and "default" in child_schema:
            filled[name] = child_schema["default"]
    values: Schema = schema.get("additionalProperties", {})
    return {
        name: defaulted(child, properties.get(name, values))
        for name, child in filled.items()
        if child is not None or not values
    }
