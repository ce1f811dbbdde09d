"""When replications are enough: what a first stage of them says of how many it takes. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Final, Generic, TypeVar

from meshtwin.errors import InvalidInput
from meshtwin.sim.intervals import compute_student_quantile
from meshtwin.sim.message_table import flow_columns
from meshtwin.sim.results import RunResult

__all__ = ["FIRST_STAGE", "Goal", "Stage", "judge_stage", "share_on_time"]

Run = TypeVar("Run")
FIRST_STAGE: Final = 8  # the variance is judged on these; with fewer, Student's quantile makes the rest expensive


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal(Generic[Run]):
    """A figure of one replication, and the half width that its mean's interval shall have at ``level``.

    It may be a figure of a replication's sides together. Where ``figure`` gives NaN, it tells nothing.
    """

    figure: Callable[[Run], float]
    half_width: float
    level: float = 0.9
    name: str = "the wanted precision"  # for the gap

    def __post_init__(self) -> None:
        if not (math.isfinite(self.half_width) and self.half_width > 0.0 and 0.0 < self.level < 1.0):
            raise InvalidInput(
                f"half width {self.half_width} at level {self.level} is not above 0 and a level within 0..1",
                place="goal",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How many replications it takes, of which goal that is said, and how many are allowed of them."""

    needed: int
    name: str
    wanted: int

    @property
    def shortfall(self) -> str | None:
        """None: all that are needed are allowed."""
        if self.needed <= self.wanted:
            return None
        return f"{self.name} takes {self.needed} replications, of which {self.wanted} are allowed"


def judge_stage(goals: Sequence[Goal[Run]], results: Sequence[Run], *, least: int, most: int) -> Stage:
    """What the first stage's ``results`` say, `FIRST_STAGE` and ``least`` at least."""
    needed, name = max(((_needed(goal, results), goal.name) for goal in goals), default=(FIRST_STAGE, ""))
    needed = max(needed, least, FIRST_STAGE)
    return Stage(needed=needed, name=name, wanted=min(needed, max(most, FIRST_STAGE)))


def share_on_time(flow: str, deadline_ms: float) -> Callable[[RunResult], float]:
    """The figure of a `Goal`: share of a flow's messages that reached every member in time; 0 of none."""

    def share(result: RunResult) -> float:
        on_time = flow_columns(result.messages, flow).is_on_time(deadline_ms)
        return int(on_time.sum()) / max(1, len(on_time))

    return share


def _needed(goal: Goal[Run], results: Sequence[Run]) -> int:
    """Replications for which the first stage's deviation gives the goal's half width."""
    values = [value for result in results if math.isfinite(value := goal.figure(result))]
    if len(values) < 2:
        return FIRST_STAGE
    quantile = compute_student_quantile(0.5 + goal.level / 2.0, len(values) - 1)
    return math.ceil((quantile * stdev(values) / goal.half_width) ** 2)
