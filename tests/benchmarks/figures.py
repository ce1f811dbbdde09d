"""One measured figure with its bound; every benchmark module offers ``run() -> list[Figure]``."""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

__all__ = ["FULL", "Figure", "at_least", "at_most", "is_full", "percentile", "to_json", "told"]


FULL: Final = "MESHTWIN_BENCH_FULL"  # set in the environment: measure for longer than 20 minutes


@dataclass(frozen=True, slots=True)
class Figure:
    """``bound`` is in ``unit``; None: only told. ``command`` measures it again."""

    name: str
    value: float
    unit: str
    bound: float | None
    ok: bool
    command: str


def is_full() -> bool:
    """Whether ``--full`` was asked for."""
    return FULL in os.environ


def at_most(name: str, value: float, limit: float, unit: str, command: str) -> Figure:
    """A figure that may not be above ``limit``."""
    return Figure(name, value, unit, limit, value <= limit, command)


def at_least(name: str, value: float, limit: float, unit: str, command: str) -> Figure:
    """A figure that may not be below ``limit``."""
    return Figure(name, value, unit, limit, value >= limit, command)


def told(name: str, value: float, unit: str, command: str) -> Figure:
    """A figure without a bound."""
    return Figure(name, value, unit, None, True, command)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` of all values do not exceed (nearest rank); NaN of nothing."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(percent / 100 * len(ranked)) - 1)] if ranked else math.nan


def to_json(figures: Iterable[Figure]) -> list[dict[str, Any]]:
    """As they stand in ``bench.json``."""
    return [asdict(figure) for figure in figures]
