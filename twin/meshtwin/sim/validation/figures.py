"""One figure of a comparison with a published table, beside what it must be and what a perfect model would show."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import pi, sqrt
from statistics import fmean
from typing import Any, Final

__all__ = [
    "MEAN_ABSOLUTE",
    "ValidationFigure",
    "ValidationReport",
    "at_least",
    "at_most",
    "kendall_tau",
    "leave_one_out_error",
    "told",
]

MEAN_ABSOLUTE: Final = sqrt(2.0 / pi)  # mean absolute value of a normal variable over its standard deviation


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationFigure:
    """``reached`` against ``must`` and ``aim`` (None: only told); ``noise_floor`` is what a perfect model would show.

    ``is_lower_better``: an error; otherwise a score. All in ``unit`` ("ratio" unless said). ``runs``: simulated
    replications behind it; ``full_runs``: those of a full validation (0: as many as there are).
    """

    table: str
    name: str
    reached: float
    must: float | None
    aim: float | None
    noise_floor: float | None
    runs: int
    is_lower_better: bool = True
    unit: str = "ratio"
    note: str = ""
    full_runs: int = 0

    @property
    def is_decided(self) -> bool:
        """Whether there is a verdict: not of an error from few runs whose bound is below the noise floor.

        A full validation always has one: the mean of its many runs is known well enough, whatever the table's noise.
        """
        if self.must is None or self.noise_floor is None or not self.is_lower_better:
            return True
        return self.runs >= self.full_runs or self.noise_floor <= self.must

    @property
    def is_kept(self) -> bool:
        """Whether the bound that must be kept is kept; True without one, and where nothing is decided."""
        return not self.is_decided or self._is_within(self.must)

    @property
    def is_aim_reached(self) -> bool:
        """Whether the aim is reached, too."""
        return self._is_within(self.aim)

    def _is_within(self, bound: float | None) -> bool:
        if bound is None:
            return True
        return self.reached <= bound if self.is_lower_better else self.reached >= bound


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationReport:
    """All figures of one validation with the ``seed`` they come from, and the rows behind them."""

    seed: int
    engine: str
    figures: tuple[ValidationFigure, ...]
    rows: tuple[dict[str, Any], ...]  # published beside simulated, one per point of a table; key "table" says which

    @property
    def is_kept(self) -> bool:
        """Whether every bound is kept of which there is a verdict."""
        return all(figure.is_kept for figure in self.figures)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, keys in camelCase."""
        return {
            "format": "meshtwin.dev/validation/v1",
            "seed": self.seed,
            "engine": self.engine,
            "isKept": self.is_kept,
            "figures": [
                {_camel(k): v for k, v in asdict(f).items()}
                | {
                    "isDecided": f.is_decided,
                    "isKept": f.is_kept if f.is_decided else None,
                    "isAimReached": f.is_aim_reached if f.is_decided else None,
                }
                for f in self.figures
            ],
            "rows": [{_camel(k): v for k, v in row.items()} for row in self.rows],
        }


def at_most(
    table: str,
    name: str,
    reached: float,
    must: float,
    aim: float | None,
    *,
    floor: float | None,
    runs: int,
    unit: str = "ratio",
    note: str = "",
) -> ValidationFigure:
    """An error that must not be above ``must``."""
    return ValidationFigure(
        table=table, name=name, reached=reached, must=must, aim=aim, noise_floor=floor, runs=runs, unit=unit, note=note
    )


def at_least(
    table: str,
    name: str,
    reached: float,
    must: float,
    aim: float | None,
    *,
    floor: float | None,
    runs: int,
    note: str = "",
) -> ValidationFigure:
    """A score that must not be below ``must``."""
    return ValidationFigure(
        table=table,
        name=name,
        reached=reached,
        must=must,
        aim=aim,
        noise_floor=floor,
        runs=runs,
        is_lower_better=False,
        note=note,
    )


def told(
    table: str, name: str, reached: float, *, floor: float | None = None, runs: int, unit: str = "ratio", note: str = ""
) -> ValidationFigure:
    """A figure without a bound."""
    return ValidationFigure(
        table=table, name=name, reached=reached, must=None, aim=None, noise_floor=floor, runs=runs, unit=unit, note=note
    )


def kendall_tau(left: Sequence[float], right: Sequence[float]) -> float:
    """Kendall's rank correlation tau-b, which allows for ties; NaN if one side is constant.

    >>> kendall_tau([1, 2, 3], [10, 20, 30]), kendall_tau([1, 2, 3], [3, 2, 1])
    (1.0, -1.0)
    """
    agree = left_ties = right_ties = 0
    pairs = [(i, j) for i in range(len(left)) for j in range(i)]
    for i, j in pairs:
        a, b = left[i] - left[j], right[i] - right[j]
        agree += (a * b > 0) - (a * b < 0)
        left_ties += a == 0
        right_ties += b == 0
    scale = sqrt((len(pairs) - left_ties) * (len(pairs) - right_ties))
    return agree / scale if scale else float("nan")


def leave_one_out_error(runs: Sequence[Sequence[float]]) -> float:
    """Mean absolute difference of one run from the mean of all others, over points and runs.

    ``runs`` holds one value per point for each run. This is what a perfect model would show against a table that
    is one such run. NaN for fewer than two runs.
    """
    count = len(runs)
    if count < 2:
        return float("nan")
    sums = [sum(column) for column in zip(*runs, strict=True)]
    return fmean(
        abs(value - (total - value) / (count - 1)) for run in runs for value, total in zip(run, sums, strict=True)
    )


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
