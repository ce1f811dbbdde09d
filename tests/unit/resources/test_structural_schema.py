"""What the generator of structural schemas writes, and what it refuses to write."""

from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import AwareDatetime, Field

from meshtwin_operator.resources.base import UNIQUE_BY_NAME, CelRule, NameRef, ResourceModel
from meshtwin_operator.resources.crd import resource_schema
from meshtwin_operator.resources.kinds import KINDS
from meshtwin_operator.resources.schema import UnstructuralModel, structural_schema

# Keywords of JSON Schema that a structural schema must not have, or that have no bound to show.
FORBIDDEN = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "title", "exclusiveMinimum", "nullable"}
BOUNDS = {"string": "maxLength", "array": "maxItems", "integer": "maximum"}


class Inner(ResourceModel):
    """Something with a default. And a second sentence."""

    size: int = Field(default=3, gt=0, lt=10)
    mode: Literal["Only"] = "Only"


class Outer(ResourceModel):
    """Something ``quoted``.

    A second paragraph.
    """

    cel_rules: ClassVar = (CelRule(rule="self.inner.size < 9", message="too big", field_path=".inner"),)

    inner: Inner = Inner()
    maybe: Inner | None = None
    since: AwareDatetime | None = None
    refs: list[NameRef] = Field(default=[], max_length=4, json_schema_extra=UNIQUE_BY_NAME)
    numbers: dict[str, Annotated[int, Field(ge=0, le=9)]] = Field(default={}, max_length=2)


def every_schema(schema: Any) -> list[dict[str, Any]]:
    if not isinstance(schema, dict):
        return []
    children = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return [schema, *(found for child in children for found in every_schema(child))]


def test_object_default_spells_out_the_defaults_of_its_fields() -> None:
    assert structural_schema(Outer)["properties"]["inner"]["default"] == {"size": 3, "mode": "Only"}


def test_optional_field_is_neither_nullable_nor_required() -> None:
    schema = structural_schema(Outer)
    assert schema["properties"]["maybe"]["type"] == "object"
    assert "required" not in schema


def test_exclusive_bounds_become_inclusive() -> None:
    size = structural_schema(Inner)["properties"]["size"]
    assert (size["minimum"], size["maximum"], size["format"]) == (1, 9, "int32")


def test_single_literal_becomes_an_enum() -> None:
    assert structural_schema(Inner)["properties"]["mode"]["enum"] == ["Only"]


def test_rules_of_a_model_stand_on_its_object() -> None:
    assert structural_schema(Outer)["x-kubernetes-validations"] == [
        {"rule": "self.inner.size < 9", "message": "too big", "fieldPath": ".inner"}
    ]


def test_description_is_the_first_paragraph_without_marks() -> None:
    assert structural_schema(Outer)["description"] == "Something quoted."


def test_schema_without_defaults_has_none_anywhere() -> None:
    assert all("default" not in schema for schema in every_schema(structural_schema(Outer, with_defaults=False)))


class Listing(ResourceModel):
    inners: list[Inner] = Field(default=[], max_length=2)


def test_items_of_lists_have_no_defaults_so_that_applying_again_changes_nothing() -> None:
    items = structural_schema(Listing)["properties"]["inners"]["items"]
    assert all("default" not in schema for schema in every_schema(items))


class UnboundedString(ResourceModel):
    text: str


class UnboundedInteger(ResourceModel):
    number: int = Field(ge=0)


class UnboundedList(ResourceModel):
    refs: list[NameRef]


class UnboundedMap(ResourceModel):
    texts: dict[str, Annotated[str, Field(max_length=3)]]


class UnboundedDeepInside(ResourceModel):
    rows: list[UnboundedString] = Field(max_length=1)


class Fractions(ResourceModel):
    share: float = Field(ge=0, le=1)


class Choice(ResourceModel):
    either: NameRef | Inner


class DefaultOfRequired(ResourceModel):
    ref: NameRef = NameRef(name="x")


class OpenPattern(ResourceModel):
    text: str = Field(pattern="[a-z]+", max_length=3)


@pytest.mark.parametrize(
    "model",
    [
        UnboundedString,
        UnboundedInteger,
        UnboundedList,
        UnboundedMap,
        UnboundedDeepInside,
        Fractions,
        Choice,
        DefaultOfRequired,
        OpenPattern,
    ],
)
def test_what_a_crd_cannot_say_or_bound_is_refused_with_its_place(model: type[ResourceModel]) -> None:
    with pytest.raises(UnstructuralModel, match=model.__name__):
        structural_schema(model)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind_name)
def test_every_schema_of_every_kind_is_structural_and_bounded(kind: Any) -> None:
    for part in ("spec", "status"):
        for schema in every_schema(resource_schema(kind)["properties"][part]):
            assert not FORBIDDEN & schema.keys()
            bound = BOUNDS.get(schema["type"])
            assert bound is None or bound in schema or "enum" in schema or schema.get("format") == "date-time"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind_name)
def test_status_has_conditions_by_type_and_no_defaults(kind: Any) -> None:
    status = resource_schema(kind)["properties"]["status"]
    conditions = status["properties"]["conditions"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert all("default" not in schema for schema in every_schema(status))
