"""What a search found besides what it proposes: the Pareto set, and why the others lost. For the one who approves."""

from typing import Annotated, Final, Literal

from pydantic import Field

from meshtwin_operator.resources.base import Count, LargeCount, ResourceModel

__all__ = [
    "LOSERS_MAX",
    "POINTS_MAX",
    "TEXT_MAX",
    "WARNINGS_MAX",
    "LoserRecord",
    "ParetoPointRecord",
    "SearchRecord",
    "Text",
]

# Of one proposal; what is left out is counted. The whole is in the parent twin's answer, while it keeps that.
POINTS_MAX: Final = 8
LOSERS_MAX: Final = 12
TEXT_MAX: Final = 512
WARNINGS_MAX: Final = 32  # as of a `WhatIf`

Stage = Literal["fastModel", "firstRound", "secondRound", "lastRound", "freshStates"]
Text = Annotated[str, Field(max_length=TEXT_MAX)]


class ParetoPointRecord(ResourceModel):
    """A configuration that no other beats in every respect, or that is proposed or in force; all on the same states.

    Those are the states of the prediction, which no round of the search has met.
    """

    role: Literal["Proposed", "Best", "InForce", "Alternative"] = Field(
        description="Best: of a run that proposed nothing, the closest to what was asked."
    )
    recipe: str = Field(default="", max_length=63)
    reason: Text = Field(description="What it is.")
    verdict: Text = Field(default="", description="Why it is not what is proposed.")
    on_time_per_mille: int = Field(ge=0, le=1000, description="Of the worst flow that touches the segment.")
    spread_p95_milliseconds: Count | None = Field(
        default=None, description="Likewise. Absent: no message reached all members, or there is one alone."
    )
    airtime_per_million: Count = Field(
        description="As airtimePerMille of the prediction, reports included, in steps that tell points apart."
    )
    redundancy: Count | None = Field(default=None, description="Disjoint relay paths from the gateway.")
    battery_millijoules_per_hour: Count | None = Field(
        default=None, description="Spent on sending by the low-power node that sends most. Absent: there is none."
    )
    messages: Count | None = Field(default=None, description="Of each flow, that the figures rest on.")
    is_beaten: bool = Field(
        default=False,
        description="Another point is better in something and worse in nothing; it is shown all the same.",
    )


class LoserRecord(ResourceModel):
    """A candidate that is not in the Pareto set, and why it lost."""

    recipe: str = Field(default="", max_length=63)
    reason: Text = Field(description="What it was.")
    verdict: Text = Field(description="What it misses, or in what it is worse.")
    stage: Stage | None = Field(default=None, description="The last states it was judged on.")


class SearchRecord(ResourceModel):
    """What a pipeline's run found: what could be chosen, or else is proposed, and why the others lost."""

    candidates: Count = Field(description="That some model was asked about.")
    by_fast_model_alone: Count = Field(default=0, description="Of them, that were not simulated.")
    seed: LargeCount
    pareto: list[ParetoPointRecord] = Field(default=[], max_length=POINTS_MAX, description="The most on time first.")
    pareto_left_out: Count = 0
    losers: list[LoserRecord] = Field(default=[], max_length=LOSERS_MAX, description="The closest first.")
    losers_left_out: Count = 0
