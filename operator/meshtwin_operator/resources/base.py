"""What all custom resources share: names, conditions, metadata, status conventions."""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = [
    "API_GROUP",
    "API_VERSION",
    "COUNT_MAX",
    "LARGE_MAX",
    "UNIQUE",
    "UNIQUE_BY_NAME",
    "AddressText",
    "CelRule",
    "Condition",
    "Count",
    "DigestText",
    "LargeCount",
    "LongName",
    "Metadata",
    "NameRef",
    "ObjectName",
    "PrinterColumn",
    "RangeText",
    "Resource",
    "ResourceModel",
    "StatusBase",
    "UnicastText",
    "UserName",
    "checked_by",
]

API_GROUP: Final = "meshtwin.dev"
API_VERSION: Final = "v1alpha1"

COUNT_MAX: Final = 2_147_483_647  # int32: enough for anything counted here, exact in every JSON reader
LARGE_MAX: Final = 9_007_199_254_740_991  # 2**53 - 1, the largest integer every JSON reader keeps exactly

UNIQUE: Final[dict[str, Any]] = {"x-kubernetes-list-type": "set"}
UNIQUE_BY_NAME: Final[dict[str, Any]] = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
}


class CelRule(BaseModel):
    """One ``x-kubernetes-validations`` entry; ``field_path`` is relative to the object of the rule."""

    model_config = ConfigDict(frozen=True)

    rule: str
    message: str
    field_path: str | None = None
    reason: Literal["FieldValueInvalid", "FieldValueRequired", "FieldValueForbidden"] | None = None

    def to_schema(self) -> dict[str, str]:
        """The entry as it stands in a CRD."""
        entry = {
            "rule": self.rule,
            "message": self.message,
            "fieldPath": self.field_path,
            "reason": self.reason,
        }
        return {key: value for key, value in entry.items() if value is not None}


def checked_by(*rules: CelRule) -> dict[str, Any]:
    """``json_schema_extra`` that puts CEL rules on a string, list or map (models have ``cel_rules``)."""
    return {"x-kubernetes-validations": [rule.to_schema() for rule in rules]}


ASSIGNED = CelRule(rule="self != '0000'", message="0000 is the unassigned address")
FIRST_IS_NODE = CelRule(rule="!self.startsWith('0000')", message="0000 is the unassigned address")
NOT_REVERSED = CelRule(
    rule="self.size() < 9 || self.lowerAscii().substring(0, 4) <= self.lowerAscii().substring(5, 9)",
    message="the range is reversed: its first address is above its last",
)

# DNS label of at most 40 characters: children carry a kind suffix within 63.
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=40)]
LongName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)]
UserName = Annotated[str, Field(min_length=1, max_length=512)]
DigestText = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
UnicastText = Annotated[
    str,
    Field(pattern=r"^[0-7][0-9a-fA-F]{3}$", max_length=4, json_schema_extra=checked_by(ASSIGNED)),
]
AddressText = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{4}$", max_length=4, json_schema_extra=checked_by(ASSIGNED))]
RangeText = Annotated[
    str,
    Field(
        pattern=r"^[0-7][0-9a-fA-F]{3}(-[0-7][0-9a-fA-F]{3})?$",
        max_length=9,
        json_schema_extra=checked_by(FIRST_IS_NODE, NOT_REVERSED),
    ),
]
Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]
LargeCount = Annotated[int, Field(ge=0, le=LARGE_MAX)]


class ResourceModel(BaseModel):
    """camelCase in YAML, snake_case in code, unknown fields refused, values frozen."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    # CEL rules of this object (x-kubernetes-validations), in the order they are checked.
    cel_rules: ClassVar[tuple[CelRule, ...]] = ()


class PrinterColumn(BaseModel):
    """One ``additionalPrinterColumns`` entry."""

    model_config = ConfigDict(frozen=True)

    name: str
    json_path: str
    type: Literal["string", "integer", "date", "boolean"] = "string"
    priority: int = 0
    description: str = ""


class NameRef(ResourceModel):
    """A reference to an object of the same namespace."""

    name: LongName


class Condition(ResourceModel):
    """As in ``metav1.Condition``."""

    type: str = Field(max_length=316, pattern=r"^[A-Za-z][A-Za-z0-9]*$")
    status: Literal["True", "False", "Unknown"]
    reason: str = Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    message: str = Field(default="", max_length=32768)
    last_transition_time: AwareDatetime
    observed_generation: LargeCount | None = None


class StatusBase(ResourceModel):
    """Part of every status. ``extra="ignore"``: an older operator reads a newer status."""

    model_config = ConfigDict(extra="ignore")

    observed_generation: LargeCount | None = None
    conditions: list[Condition] = Field(
        default=[],
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )


class Metadata(BaseModel):
    """The part of ObjectMeta that decisions need; the rest is kept by the driver."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    name: str
    namespace: str
    uid: str = ""
    generation: int = 1
    resource_version: str = ""
    creation_timestamp: AwareDatetime | None = None
    deletion_timestamp: AwareDatetime | None = None
    labels: dict[str, str] = Field(default={})
    annotations: dict[str, str] = Field(default={})
    owner_references: list[dict[str, Any]] = Field(default=[])


class Resource(BaseModel):
    """One object of one of our kinds, as parsed at the door."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    kind_name: ClassVar[str]
    plural: ClassVar[str]
    short_names: ClassVar[tuple[str, ...]]
    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = ()
    root_cel_rules: ClassVar[tuple[CelRule, ...]] = ()  # rules that need metadata or oldSelf at the root
    name_max_length: ClassVar[int] = 253  # of metadata.name; below 64 it must also be a DNS label

    api_version: Literal["meshtwin.dev/v1alpha1"] = "meshtwin.dev/v1alpha1"
    kind: str
    metadata: Metadata
