"""Payloads under ``meshtwin/v1/twins/``: what a twin tells its parent and the operator. Technology-neutral."""

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from meshtwin.contract.wire import UnicastText, WireModel

__all__ = [
    "FlowSummary",
    "ParameterSummary",
    "ParameterValue",
    "PluginRecipes",
    "RecipeSummary",
    "ScorecardSummary",
    "SegmentSummary",
    "TwinSummary",
]


class ScorecardSummary(WireModel):
    """What the predictions of a segment were worth, as far as they were measured."""

    pushes: int = Field(ge=1)
    entries: int = Field(ge=1)  # figures that were predicted and measured
    since: AwareDatetime
    until: AwareDatetime
    model: str = Field(max_length=120)  # that of the newest entry
    on_time_width_percent: int | None = Field(default=None, ge=0)  # of its intervals, against those without a card


class FlowSummary(WireModel):
    """What was measured last of a flow, and how that is known: counted by receivers, or by answers (round trips)."""

    flow: str = Field(max_length=40)
    how_known: Literal["receiverCounted", "roundTrip", "inferred"]
    messages: int = Field(ge=0)
    sent_pairs: int = Field(ge=0)  # (message, member)
    delivered_pairs: int = Field(ge=0)


class SegmentSummary(WireModel):
    """Roll-up figures of one segment."""

    name: str
    nodes: int = Field(ge=0)
    nodes_heard: int = Field(ge=0)
    links: int = Field(ge=0)
    links_fresh: int = Field(ge=0)
    border_nodes: list[UnicastText] = Field(default=[], max_length=512)  # foreign nodes heard
    newest_report_at: AwareDatetime | None = None
    dropped: dict[str, int] = Field(default={})  # messages not folded, by reason
    flows: list[FlowSummary] = Field(default=[], max_length=64)
    scorecard: ScorecardSummary | None = None  # None: nothing was measured of a prediction yet


ParameterName = Annotated[str, Field(pattern=r"^[a-zA-Z][a-zA-Z0-9]{0,62}$")]  # as a `Recipe` may set it
Why = Annotated[str, Field(max_length=300, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]  # it reaches terminals


ParameterValue = Annotated[int, Field(ge=-1_000_000_000, le=1_000_000_000)]  # as a `Recipe` may set it


class ParameterSummary(WireModel):
    """Bounds of a recipe's parameter, and what holds where nothing is said."""

    low: ParameterValue
    high: ParameterValue
    default: ParameterValue

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if not self.low <= self.default <= self.high:
            raise ValueError(f"the default {self.default} is outside its bounds {self.low}..{self.high}")
        return self


class RecipeSummary(WireModel):
    """A recipe that an installed package brings."""

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)
    parameters: dict[ParameterName, ParameterSummary] = Field(default={}, max_length=32)


class PluginRecipes(WireModel):
    """Recipes besides the built-in ones, by name; ``broken``: packages whose recipes can't be used, and why."""

    recipes: list[RecipeSummary] = Field(default=[], max_length=64)
    broken: list[Why] = Field(default=[], max_length=16)


class TwinSummary(WireModel):
    """Retained; the last will says ``online: false``."""

    contract: int = 1
    twin: str
    kind: str = Field(pattern="^(Segment|Parent)$")
    online: bool
    session: str
    sequence: int = Field(ge=0)
    sent_at: AwareDatetime
    config_hash: str = ""
    ready: bool = False  # enough was heard to answer
    age_seconds: float | None = None  # since the newest report of the least fresh segment
    fidelity: float | None = Field(default=None, ge=0, le=1)
    segments: list[SegmentSummary] = Field(default=[], max_length=256)
    children_missing: list[str] = Field(default=[], max_length=256)
    fingerprint: str | None = None
    plugin_recipes: PluginRecipes | None = None  # None: no package brings any, or it is not known yet
