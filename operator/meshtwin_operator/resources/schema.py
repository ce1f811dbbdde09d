"""Structural schemas (``apiextensions.k8s.io/v1``) of the pydantic models.

pydantic speaks JSON Schema 2020-12; a CRD allows a subset of OpenAPI 3. What has no counterpart, and what
has no bound, is an error of the generator: the API server budgets CEL by bounds, etcd and people need them.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from meshtwin_operator.resources.base import COUNT_MAX, CelRule, ResourceModel

__all__ = ["Schema", "UnstructuralModel", "default_of_object", "first_paragraph", "structural_schema"]

Schema = dict[str, Any]

ORDER: Final = (  # of the keys in the file, for readers
    *("description", "type", "format", "enum", "pattern", "default"),
    *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"),
    *("minProperties", "maxProperties", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
    *("x-kubernetes-validations", "required", "properties", "items", "additionalProperties"),
)
COPIED: Final = frozenset(ORDER) - {"default", "properties", "items", "additionalProperties"}
TRANSLATED: Final = frozenset(
    {
        *("$ref", "$defs", "title", "const", "default", "properties", "items", "additionalProperties"),
        *("exclusiveMinimum", "exclusiveMaximum"),
    }
)


class UnstructuralModel(TypeError):
    """A model says something that a CRD cannot say, or leaves a value without a bound."""


def structural_schema(model: type[BaseModel], *, with_defaults: bool = True) -> Schema:
    """The schema of ``model`` as it stands under ``openAPIV3Schema``, nothing referenced, all bounded.

    ``with_defaults=False`` is for status: what the operator writes is what is stored.
    Absent and null mean the same to the models, so nothing is nullable (the API server prunes such nulls);
    empty lists, maps and strings are no defaults: they are stored only where the author wrote them.
    Items of lists have no defaults either: what their author left out is filled in by the models.
    Raises `UnstructuralModel` with the place.
    """
    raw = model.model_json_schema(by_alias=True, schema_generator=_Generator)
    return _Structure(raw.get("$defs", {}), with_defaults).translate(raw, model.__name__)


class _Generator(GenerateJsonSchema):
    """pydantic's schema with the CEL rules of the models, and without null."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        json_schema = super().model_schema(schema)
        cls = schema["cls"]
        rules: tuple[CelRule, ...] = cls.cel_rules if issubclass(cls, ResourceModel) else ()
        if rules:
            json_schema["x-kubernetes-validations"] = [rule.to_schema() for rule in rules]
        return json_schema

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


class _Structure:
    """One translation: definitions to inline, and whether defaults are kept."""

    def __init__(self, definitions: Mapping[str, Schema], with_defaults: bool) -> None:
        self.definitions = definitions
        self.with_defaults = with_defaults

    def translate(self, raw: Schema, place: str) -> Schema:
        source = self._inlined(raw)
        if unknown := source.keys() - COPIED - TRANSLATED:
            raise UnstructuralModel(f"{place}: a CRD has no {', '.join(sorted(unknown))}")
        out: Schema = {key: value for key, value in source.items() if key in COPIED}
        if "const" in source:
            out["enum"] = [source["const"]]
        if "description" in out:
            out["description"] = first_paragraph(out["description"])
        _close_bounds(source, out)
        self._translate_children(source, out, place)
        self._translate_default(source, out, place)
        _check_bounds(out, place)
        if out.get("type") == "integer":
            out["format"] = "int32" if out["maximum"] <= COUNT_MAX else "int64"
        return {key: out[key] for key in ORDER if key in out}

    def _inlined(self, raw: Schema) -> Schema:
        if "$ref" not in raw:
            return raw
        siblings = {key: value for key, value in raw.items() if key != "$ref"}
        return {**self._inlined(self.definitions[raw["$ref"].rpartition("/")[2]]), **siblings}

    def _translate_children(self, source: Schema, out: Schema, place: str) -> None:
        if properties := source.get("properties"):
            out["properties"] = {name: self.translate(child, f"{place}.{name}") for name, child in properties.items()}
        if "items" in source:
            # kubectl apply replaces lists as a whole: a default inside would be a difference at every apply
            items = _Structure(self.definitions, with_defaults=False)
            out["items"] = items.translate(source["items"], f"{place}[]")
            out.setdefault("x-kubernetes-list-type", "atomic")
        values = source.get("additionalProperties")
        if isinstance(values, dict):
            out["additionalProperties"] = self.translate(values, f"{place}{{}}")

    def _translate_default(self, source: Schema, out: Schema, place: str) -> None:
        default = source.get("default")
        if not self.with_defaults or default in (None, [], {}, ""):
            return
        out["default"] = default_of_object(out, place) if isinstance(default, dict) else default


def default_of_object(out: Schema, place: str) -> Schema:
    """What an absent object becomes: the defaults of its fields, spelled out.

    ``{}`` would do after defaulting, but the API server evaluates the CEL rules on the default as written.
    Raises `UnstructuralModel` if a field below is required.
    """
    if required := out.get("required"):
        raise UnstructuralModel(f"{place}: has a default, but {', '.join(required)} below it is required")
    children: Mapping[str, Schema] = out.get("properties", {})
    return {name: child["default"] for name, child in children.items() if "default" in child}


def first_paragraph(text: str) -> str:
    """The first paragraph on one line, without the marks of docstrings."""
    return " ".join(text.partition("\n\n")[0].split()).replace("``", "").replace("`", "")


def _close_bounds(source: Schema, out: Schema) -> None:
    if "exclusiveMinimum" in source:
        out["minimum"] = source["exclusiveMinimum"] + 1  # integers only, see _check_bounds
    if "exclusiveMaximum" in source:
        out["maximum"] = source["exclusiveMaximum"] - 1


def _check_bounds(out: Schema, place: str) -> None:
    match out.get("type"):
        case "string":
            is_bounded = "maxLength" in out or "enum" in out or out.get("format") == "date-time"
        case "integer":
            is_bounded = "enum" in out or {"minimum", "maximum"} <= out.keys()
        case "array":
            is_bounded = "maxItems" in out
        case "object":
            is_bounded = "additionalProperties" not in out or "maxProperties" in out
        case "boolean":
            is_bounded = True
        case other:  # numbers are left out on purpose: integers with the unit in the name
            raise UnstructuralModel(f"{place}: type {other} is not used in resources")
    if not is_bounded:
        raise UnstructuralModel(f"{place}: {out['type']} without a bound")
    pattern = out.get("pattern", "^$")
    if not (pattern.startswith("^") and pattern.endswith("$")):
        raise UnstructuralModel(f"{place}: pattern {pattern} is not anchored at both ends")
