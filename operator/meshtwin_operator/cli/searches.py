"""Where a proposal comes from, as tables: what else could be chosen, and why the others lost."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["loser_rows", "point_rows", "print_runs", "print_search"]

ROLES: Final[Mapping[str, str]] = MappingProxyType(
    {"Proposed": "proposed", "Best": "the best", "InForce": "in force", "Alternative": ""}
)
STAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "fastModel": "fast model",
        "firstRound": "first round",
        "secondRound": "second round",
        "lastRound": "last round",
        "freshStates": "fresh states",
    }
)
BEATEN: Final = "*"


def point_rows(search: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Number, role, on time, spread, airtime, disjoint paths, battery energy of each Pareto point; "-": not known."""
    return [
        (
            f"{number}{BEATEN if point.get('isBeaten') else ''}",
            ROLES.get(point["role"], point["role"]),
            f"{point['onTimePerMille'] / 10:.1f} %",
            _with_unit(point.get("spreadP95Milliseconds"), " ms"),
            f"{point['airtimePerMillion'] / 10_000:.2f} %",
            _with_unit(point.get("redundancy"), ""),
            _with_unit(point.get("batteryMillijoulesPerHour"), " mJ/h"),
        )
        for number, point in enumerate(search.get("pareto") or [], start=1)
    ]


def loser_rows(search: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What each loser was, where it was last judged, and why it lost."""
    return [
        (_what(loser), STAGES.get(loser.get("stage", ""), loser.get("stage", "-")), loser["verdict"])
        for loser in search.get("losers") or []
    ]


def print_runs(console: "Console", runs: Sequence[Mapping[str, Any]]) -> None:
    """What the last run of each segment found that ended without a proposal; nothing for the others."""
    for run in runs:
        if run.get("search") or run.get("warnings"):
            console.print(f"\n{run['segment']}: {run['result']}: {run.get('message', '')}")
            for text in run.get("warnings") or []:
                console.print(f"warning: {text}")
            print_search(console, run.get("search"))


def print_search(console: "Console", search: Mapping[str, Any] | None) -> None:
    """Two tables, and what they leave out; nothing for what no search proposed."""
    if not search:
        return
    tried, fast = search["candidates"], search.get("byFastModelAlone", 0)
    console.print(f"\n{tried} candidates, {fast} of them asked of the fast model alone; seed {search['seed']}")
    points = point_rows(search)
    if points:
        messages = {point.get("messages") for point in search["pareto"]} - {None}
        rest = f", {min(messages)} messages per flow" if messages else ""
        console.print(f"Pareto set, judged on the same states{rest}; on time and spread of the worst flow:")
        console.print(_points_table(points))
        console.print(_reasons_table(search["pareto"]))
        if any(point.get("isBeaten") for point in search["pareto"]):
            console.print(f"{BEATEN} another one is better in something and worse in nothing")
    if left_out := search.get("paretoLeftOut"):
        console.print(f"and {left_out} more, left out")
    if losers := loser_rows(search):
        console.print(_losers_table(losers))
    if left_out := search.get("losersLeftOut"):
        console.print(f"and {left_out} more that lost, left out")


def _points_table(rows: Sequence[tuple[str, ...]]) -> "Table":
    from rich.table import Table

    has_battery = any(row[-1] != "-" for row in rows)
    titles = ("#", "", "On time", "Spread p95", "Airtime", "Paths", *(["Battery"] if has_battery else []))
    table = Table(*titles, box=None)
    for row in rows:
        table.add_row(*row[: len(titles)])
    return table


def _reasons_table(points: Sequence[Mapping[str, Any]]) -> "Table":
    from rich.table import Table

    table = Table("#", "What it is", "Why it is not proposed", box=None)
    for number, point in enumerate(points, start=1):
        table.add_row(str(number), _what(point), point.get("verdict", ""))
    return table


def _losers_table(rows: Sequence[tuple[str, str, str]]) -> "Table":
    from rich.table import Table

    table = Table("Lost", "Judged", "Why", box=None)
    for row in rows:
        table.add_row(*row)
    return table


def _what(one: Mapping[str, Any]) -> str:
    """The reason with its recipe."""
    return f"{one['reason']} ({one['recipe']})" if one.get("recipe") else str(one["reason"])


def _with_unit(value: int | None, unit: str) -> str:
    return "-" if value is None else f"{value}{unit}"
