"""All tables at once: simulate each, judge it, and give every figure beside its bound and its noise floor."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from meshtwin.errors import InvalidInput
from meshtwin.ports import Progress, no_progress
from meshtwin.sim.validation.chain import judge_chain, run_chain
from meshtwin.sim.validation.figures import ValidationFigure, ValidationReport
from meshtwin.sim.validation.grid import judge_grid, run_grid
from meshtwin.sim.validation.office import (
    SLOPING_TTLS,
    OfficeCell,
    judge_office,
    replay_office,
    run_office,
    tell_ranking_noise,
    tell_script_stop,
)
from meshtwin.sim.validation.office_replay import SCRIPT_STOP_S
from meshtwin.sim.validation.physics import judge_hardware, judge_reception
from meshtwin.sim.validation.tables import TABLES, Table, read_table

__all__ = ["SEED", "validate"]

SEED: Final = 20_260  # far from every seed that was used to fit or to find rules (those are below 10,000)
DEFAULT_ENGINE: Final = "auto"  # the compiled engine where it knows the scenario
Judged = tuple[list[ValidationFigure], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Replications per table."""

    chain: int
    office: int
    grid: int
    hardware: int


FULL: Final = Runs(chain=200, office=60, grid=120, hardware=10)
RECEPTION_MESSAGES: Final = 4_000  # per point of the table
# Of the grid as many as in full: a run takes 0.03 s, and with 10 of them its error by hop is kept or not by chance.
QUICK: Final = Runs(chain=20, office=6, grid=120, hardware=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a table's comparison needs."""

    table: Table
    seed: int
    runs: Runs
    is_quick: bool
    engine: str
    tell: Callable[[float], None]


def validate(
    *,
    names: Sequence[str] | None = None,
    folder: Path | None = None,
    seed: int = SEED,
    runs: int | None = None,
    quick: bool = False,
    engine: str = DEFAULT_ENGINE,
    progress: Progress = no_progress,
) -> ValidationReport:
    """Compares the simulator with the published tables called ``names`` (None: all of them).

    ``folder`` holds the tables in place of the package's own. ``runs``: replications of every simulated table, in
    place of those that suit each; ``quick``: a few where they take long, and of the office only where it is not flat.
    Where fewer than in full leave a verdict to chance, there is none (`ValidationFigure.is_decided`).
    Raises `InvalidInput` for an unknown table, or fewer than two runs.
    """
    wanted = list(TABLES) if names is None else list(names)
    if unknown := sorted(set(wanted) - set(TABLES)):
        raise InvalidInput(f"published table {unknown[0]!r} is not one of {', '.join(TABLES)}", place="tables")
    if runs is not None and runs < 2:
        raise InvalidInput(f"{runs} runs are fewer than 2, of which no noise floor can be told", place="runs")
    counts = QUICK if quick else FULL
    if runs is not None:
        counts = Runs(chain=runs, office=runs, grid=runs, hardware=runs)
    figures: list[ValidationFigure] = []
    rows: list[dict[str, Any]] = []
    for place, name in enumerate(wanted):
        task = Task(
            table=read_table(name, folder),
            seed=seed,
            runs=counts,
            is_quick=quick,
            engine=engine,
            tell=_teller(progress, place, len(wanted), name),
        )
        task.tell(0.0)
        try:
            judged, points = JUDGES[name](task)
        except KeyError as error:
            raise InvalidInput(f"table {TABLES[name]} has no {error}", place=str(folder or "package")) from error
        figures += [replace(figure, full_runs=getattr(FULL, name, 0)) for figure in judged]
        rows += points
    progress(1.0, "done")
    return ValidationReport(seed=seed, engine=engine, figures=tuple(figures), rows=tuple(rows))


def _teller(progress: Progress, place: int, count: int, name: str) -> Callable[[float], None]:
    return lambda share: progress((place + share) / count, name)


def _judge_chain(task: Task) -> Judged:
    count = task.runs.chain
    return judge_chain(
        run_chain(task.table, seed=task.seed, replications=count, engine=task.engine, tell=task.tell), count
    )


def _judge_office(task: Task) -> Judged:
    count, ttls = task.runs.office, SLOPING_TTLS if task.is_quick else None

    def run(ttls: Sequence[int] | None, duration_s: float | None, done: float, share: float) -> list[OfficeCell]:
        return run_office(
            task.table, seed=task.seed, replications=count, ttls=ttls, engine=task.engine, duration_s=duration_s,
            tell=lambda part: task.tell(done + share * part),
        )  # fmt: skip

    figures, rows = judge_office(run(ttls, None, 0.0, 0.7), count)
    figures.append(tell_script_stop(run(SLOPING_TTLS, SCRIPT_STOP_S, 0.7, 0.2), count))
    replayed, cells = replay_office(task.table)
    for cell in cells:
        row = next(row for row in rows if (row["relay_set"], row["ttl"]) == (cell.relay_set, cell.ttl))
        row["replayed"] = cell.simulated
    task.tell(1.0)
    return [*figures, *replayed, *tell_ranking_noise(task.table, task.seed)], rows


def _judge_grid(task: Task) -> Judged:
    results = run_grid(task.table, seed=task.seed, replications=task.runs.grid, engine=task.engine, tell=task.tell)
    return judge_grid(task.table, results)


def _judge_hardware(task: Task) -> Judged:
    return judge_hardware(
        task.table, seed=task.seed, replications=task.runs.hardware, engine=task.engine, tell=task.tell
    )


def _judge_reception(task: Task) -> Judged:
    messages = RECEPTION_MESSAGES // 4 if task.is_quick else RECEPTION_MESSAGES
    return judge_reception(task.table, seed=task.seed, messages=messages, engine=task.engine, tell=task.tell)


JUDGES: Final[Mapping[str, Callable[[Task], Judged]]] = MappingProxyType(
    {
        "chain": _judge_chain,
        "office": _judge_office,
        "grid": _judge_grid,
        "hardware": _judge_hardware,
        "reception": _judge_reception,
    }
)
