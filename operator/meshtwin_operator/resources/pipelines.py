"""`Recipe` and `Pipeline`: how a better configuration is looked for."""

from typing import ClassVar, Final, Literal

from pydantic import AwareDatetime, Field

from meshtwin.contract.summaries import ParameterValue
from meshtwin_operator.resources.base import (
    UNIQUE_BY_NAME,
    CelRule,
    Count,
    NameRef,
    PrinterColumn,
    Resource,
    ResourceModel,
    StatusBase,
    checked_by,
)
from meshtwin_operator.resources.searches import SearchRecord, Text

__all__ = ["RUN_WARNINGS_MAX", "SEGMENTS_MAX", "Pipeline", "PipelineSpec", "Recipe", "RecipeSpec"]

SEGMENTS_MAX: Final = 256  # of one pipeline: each has an entry in its status
RUN_WARNINGS_MAX: Final = 8  # of one run that ended without a proposal
READY_COLUMNS = (
    PrinterColumn(name="Ready", json_path='.status.conditions[?(@.type=="Ready")].status'),
    PrinterColumn(name="Age", json_path=".metadata.creationTimestamp", type="date"),
)


PARAMETER_NAMES = CelRule(
    rule="self.all(key, key.matches('^[a-zA-Z][a-zA-Z0-9]{0,62}$'))",
    message="names of parameters are at most 63 letters and digits, a letter first",
)


class RecipeSpec(ResourceModel):
    """A named use of a recipe, built-in or of a package in the twins' image, with its parameters."""

    uses: str = Field(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63, description="Name of a built-in or plug-in recipe."
    )
    parameters: dict[str, ParameterValue] = Field(
        default={},
        max_length=32,
        json_schema_extra=checked_by(PARAMETER_NAMES),
        description="Whole numbers, by the names the recipe documents.",
    )


class RecipeStatus(StatusBase):
    """Conditions only."""


class Recipe(Resource):
    """See `RecipeSpec`."""

    kind_name: ClassVar = "Recipe"
    plural: ClassVar = "recipes"
    short_names: ClassVar = ("rcp",)
    printer_columns: ClassVar = (PrinterColumn(name="Uses", json_path=".spec.uses"), *READY_COLUMNS)

    kind: Literal["Recipe"] = "Recipe"
    spec: RecipeSpec
    status: RecipeStatus | None = None


class GroupOnTime(ResourceModel):
    """Every member of the group within the time; lost counts as late."""

    within_milliseconds: int = Field(default=150, ge=1, le=60_000, description="After the press.")
    at_least_per_mille: int = Field(
        default=990, ge=1, le=1000, description="Share of messages that reach every member in time."
    )


class Spread(ResourceModel):
    """First to last member."""

    at_most_milliseconds: int = Field(ge=1, le=60_000)


class Airtime(ResourceModel):
    """Mean share of time in which a node hears or sends something on one channel."""

    at_most_per_mille: int = Field(ge=1, le=1000)


class Redundancy(ResourceModel):
    """Node-disjoint relay paths from the gateway to every node."""

    at_least_paths: int = Field(ge=1, le=8)


class ObjectivesSpec(ResourceModel):
    """What the pipeline wants."""

    cel_rules: ClassVar = (
        CelRule(
            rule="!has(self.groupOnTime) || !has(self.spread) || "
            "self.spread.atMostMilliseconds <= self.groupOnTime.withinMilliseconds",
            message="spread.atMostMilliseconds above groupOnTime.withinMilliseconds contradicts it",
            field_path=".spread.atMostMilliseconds",
        ),
    )

    group_on_time: GroupOnTime | None = None
    spread: Spread | None = None
    airtime: Airtime | None = None
    redundancy: Redundancy | None = None


class RunSpec(ResourceModel):
    """When to run."""

    every_minutes: int | None = Field(default=None, ge=1, le=525_600, description="Absent: not by the clock.")
    on_divergence: bool = Field(default=True, description="Also when twin and network disagree.")


class PipelineSpec(ResourceModel):
    """Recipes in order, objectives, which segments, when."""

    twin_ref: NameRef = Field(description="The twin whose segments are looked at.")
    objectives: ObjectivesSpec = ObjectivesSpec()
    recipes: list[NameRef] = Field(
        min_length=1,
        max_length=16,
        json_schema_extra=UNIQUE_BY_NAME,
        description="Names of Recipes of this namespace, or of those that the twin has, in order.",
    )
    segments: list[NameRef] = Field(
        default=[], max_length=SEGMENTS_MAX, json_schema_extra=UNIQUE_BY_NAME, description="Absent: all of the twin."
    )
    run: RunSpec = RunSpec()
    seed: int | None = Field(
        default=None, ge=0, le=2_147_483_647, description="Of the simulations; absent: drawn, and reported."
    )
    keep_proposals: int = Field(default=5, ge=1, le=100, description="Undecided or void proposals kept per segment.")


class SegmentRun(ResourceModel):
    """How the last run ended for one segment."""

    segment: str = Field(max_length=40)
    result: Literal["Proposed", "NothingBetter", "ObjectivesUnreachable", "Failed", "Running", "AwaitingDecision"]
    message: str = Field(default="", max_length=1024)
    proposal: str | None = Field(default=None, max_length=253)
    base_revision: Count | None = None
    run_id: str | None = Field(default=None, max_length=64)
    finished_at: AwareDatetime | None = None
    search: SearchRecord | None = Field(
        default=None,
        description="Of a run that ended without a proposal: the best it found and what is in force, with their "
        "figures, and why others lost; shorter than in a proposal. Kept of the newest runs.",
    )
    warnings: list[Text] = Field(
        default=[],
        max_length=RUN_WARNINGS_MAX,
        description="Likewise: what the reader should know; a proposal has its own.",
    )


class PipelineStatus(StatusBase):
    """How the last runs ended."""

    last_run_at: AwareDatetime | None = None
    next_run_at: AwareDatetime | None = None
    runs: list[SegmentRun] = Field(default=[], max_length=SEGMENTS_MAX)


class Pipeline(Resource):
    """See `PipelineSpec`."""

    kind_name: ClassVar = "Pipeline"
    plural: ClassVar = "pipelines"
    short_names: ClassVar = ("pipe",)
    printer_columns: ClassVar = (
        PrinterColumn(name="Twin", json_path=".spec.twinRef.name"),
        PrinterColumn(name="Last run", json_path=".status.lastRunAt", type="date"),
        *READY_COLUMNS,
    )

    kind: Literal["Pipeline"] = "Pipeline"
    spec: PipelineSpec
    status: PipelineStatus | None = None
