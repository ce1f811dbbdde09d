"""One measured figure with its bound; every benchmark module offers ``run() -> list[Figure]``."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Figure", "at_least", "at_most", "to_json"]


@dataclass(frozen=True, slots=True)
class Figure:
    """``bound`` is in ``unit``; None: only told. ``command`` measures it again."""

    name: str
    value: float
    unit: str
    bound: float | None
    ok: bool
    command: str


def at_most(name: str, value: float, limit: float, unit: str, command: str) -> Figure:
    """A figure that may not be above ``limit``."""
    return Figure(name, value, unit, limit, value <= limit, command)


def at_least(name: str, value: float, limit: float, unit: str, command: str) -> Figure:
    """A figure that may not be below ``limit``."""
    return Figure(name, value, unit, limit, value >= limit, command)


def to_json(figures: Iterable[Figure]) -> list[dict[str, Any]]:
    """As they stand in ``bench.json``."""
    return [asdict(figure) for figure in figures]
