"""The models for programs and notebooks: scenario, result, picture; no Kubernetes, MQTT or server.

What stands here is reached as ``meshtwin.simulate`` and so on; nothing is loaded before it is used.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.kpis import NetworkKpis
from meshtwin.ports import Progress, no_progress
from meshtwin.sides import Effort, Sides, run_sides
from meshtwin.sim.arguments import read_any_scenario, take_scenario
from meshtwin.sim.comparison_document import ComparisonDocument, FlowDifferenceDocument
from meshtwin.sim.differences import FlowDifference, compute_differences, find_shared_flows
from meshtwin.sim.engine import FAST
from meshtwin.sim.files import check_target
from meshtwin.sim.intervals import ONE_REPLICATION
from meshtwin.sim.progress_line import ProgressLine
from meshtwin.sim.result_file import ResultDocument, describe_result, write_comparison, write_result
from meshtwin.sim.results import RunResult, summarise
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.summaries import tell_apart, tell_comparison, tell_model, tell_result
from meshtwin.sim.unsent import tell_unsent
from meshtwin.sim.waits import tell_waits
from meshtwin.wording import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from meshtwin.fast.asking import Estimated

__all__ = ["Comparison", "Simulation", "compare", "plot", "read_scenario", "simulate"]

RunOnce = Callable[..., RunResult]
DEFAULT_ENGINE: Final = "auto"  # the compiled engine where it knows the scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """A scenario and its finished replications; ``asked`` is how many were wanted, ``engine`` the one that ran.

    ``share`` 0..1 of each flow's messages was simulated; ``gaps`` tell what is missing and why. ``processes`` have
    worked, one where more would not have paid. ``estimated``: the answer of the fast model, in place of ``runs``,
    of which there are none then; None: a simulation.
    """

    scenario: Scenario
    runs: tuple[RunResult, ...]
    seed: int
    engine: str
    asked: int
    share: float = 1.0
    gaps: tuple[str, ...] = ()
    processes: int = 1
    estimated: "Estimated | None" = None

    @property
    def is_complete(self) -> bool:
        """Whether no replication and no message is missing."""
        return len(self.runs) == self.asked and not self.gaps

    @property
    def kpis(self) -> NetworkKpis:
        """Key figures with 90 % intervals; ratios 0..1, times in milliseconds."""
        return summarise(self.runs, self.scenario.flows) if self.estimated is None else self.estimated.kpis

    @property
    def document(self) -> ResultDocument:
        """All figures as a document (`meshtwin.dev/result/v1`)."""
        if self.estimated is not None:
            from meshtwin.fast.describing import describe_estimated

            return describe_estimated(self.scenario, self.estimated, gaps=self.gaps)
        return describe_result(
            self.scenario, self.runs, seed=self.seed, engine=self.engine, asked=self.asked, gaps=self.gaps
        )

    def save(self, path: str | Path) -> None:
        """Writes a .json (the document) or .parquet file (a row per message and member, of which fast has none)."""
        if self.estimated is not None:
            check_target(Path(path), (".json",))
        write_result(Path(path), self.document, self.scenario, self.runs)

    def __repr__(self) -> str:
        """A few lines: what ran, and the figures that matter with their intervals."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if self.estimated is not None:
            yield f"{self.scenario.name}: {tell_model(self.document)}, seed {self.seed}"
            yield from tell_result(self.document)
            yield from (f"  left out: {gap}" for gap in self.document.gaps)
            return
        done = len(self.runs)
        told = counted(done, "replication") if done == self.asked else f"{done} of {self.asked} replications"
        yield (
            f"{self.scenario.name}: {told}, profile {self.scenario.profile.name}, "
            f"engine {self.engine}, seed {self.seed}{'' if len(self.runs) < 2 else '; 90 % intervals over them'}"
        )
        yield from tell_result(self.document)
        if len(self.runs) < 2:
            yield f"  no intervals: {ONE_REPLICATION}"
        yield from (f"  missing: {gap}" for gap in self.gaps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two simulations on the same states, and the second less the first per flow."""

    first: Simulation
    second: Simulation
    differences: tuple[FlowDifference, ...]

    @property
    def names(self) -> tuple[str, str]:
        """What texts call the sides: the scenarios' names, with "first" and "second" where these are equal."""
        return tell_apart(self.first.scenario.name, self.second.scenario.name)

    @property
    def document(self) -> ComparisonDocument:
        """All figures as a document (`meshtwin.dev/comparison/v1`)."""
        told = [FlowDifferenceDocument.from_value(difference) for difference in self.differences]
        return ComparisonDocument(first=self.first.document, second=self.second.document, differences=told)

    def save(self, path: str | Path) -> None:
        """Writes a .json file: the document."""
        write_comparison(Path(path), self.document)

    def __repr__(self) -> str:
        """A few lines: the second less the first, per flow, with intervals."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        one, other = self.names
        if self.second.estimated is not None:
            yield f"{other} less {one}: {tell_model(self.second.document)}, on the same states"
            yield from tell_comparison(self.document)
            for name, side in zip(self.names, (self.first, self.second), strict=True):
                yield from (f"  left out of {name}: {gap}" for gap in side.document.gaps)
            return
        count = len(self.second.runs)
        intervals = "" if count < 2 else "; 90 % intervals"
        yield f"{other} less {one}: {counted(count, 'replication')} on the same states{intervals}"
        yield from tell_comparison(self.document)
        if count < 2:
            yield f"  no intervals: {ONE_REPLICATION}"
        yield from (
            f"  missing of {name}: {gap}"
            for name, side in zip(self.names, (self.first, self.second), strict=True)
            for gap in side.gaps
        )


def read_scenario(source: str | Path) -> Scenario:
    """The scenario in a file, or in YAML text: a string that has a line break, or ": " and is no file's name.

    Raises `InvalidInput` with file, line or path, value and limit.
    """
    return read_any_scenario(source)


def simulate(
    scenario: Scenario | str | Path,
    *,
    replications: int | None = None,
    seed: int = 1,
    engine: str = DEFAULT_ENGINE,
    is_selective: bool = False,
    within_s: float | None = None,
    workers: int = 1,
    precision: float | None = None,
    precision_of: str = "on-time",
    progress: Progress | bool = False,
    run: RunOnce | None = None,
) -> Simulation:
    """Runs a scenario (or the file or YAML text that says it, see `read_scenario`) ``replications`` times (8).

    ``is_selective``: preset states in place of draws, which need fewer replications for the same precision.
    Interrupted by Ctrl-C, or by a ``progress`` that raises `meshtwin.ports.Cancelled`, it keeps what is finished, as
    long as that is one replication. ``within_s``: ends after so many seconds with what is done; replications that
    would not fit are shortened. See `Simulation.gaps`. ``workers``: processes that share the work, this one among
    them, as soon as it is seen that more than one pay; the result does not depend on them. ``precision``: as many
    replications as the 90 % interval of each flow's ``precision_of`` takes to be so wide to either side,
    ``replications`` (256) at most: ``"on-time"`` and ``"delivery"`` are shares 0..1, ``"latency"`` is the mean in ms.
    ``progress``: told the share and what is being done; True: a line on standard error. ``run`` runs one replication
    in place of the simulator.
    ``engine``: "auto", "compiled", "reference", or "fast": the fast model's answer at once (`Simulation.estimated`),
    without ``runs``; of the rest, ``seed`` and ``progress`` alone go with it.
    Raises `InvalidInput` for fewer than one replication, if none is finished in time, or with the reason (``Declined``)
    where the fast model has no answer.
    """
    effort = Effort(
        replications=replications, seed=seed, engine=engine, is_selective=is_selective, within_s=within_s,
        workers=workers, precision=precision, precision_of=precision_of, run=run,
    )  # fmt: skip
    side = take_scenario(scenario)
    if engine == FAST:
        return _estimate(side, seed)
    with _telling(progress) as tell:
        (result,) = _simulations((side,), run_sides((side,), effort, tell), seed)
    return result


def _estimate(scenario: Scenario, seed: int) -> Simulation:
    from meshtwin.fast.asking import ask

    told = ask(scenario, seed=seed)
    return Simulation(
        scenario=scenario, runs=(), seed=seed, engine=FAST, asked=0, gaps=scenario.gaps, estimated=told
    )  # fmt: skip


def _simulations(scenarios: Sequence[Scenario], done: Sides, seed: int) -> tuple[Simulation, ...]:
    return tuple(
        Simulation(
            scenario=scenario, runs=tuple(results[index] for results in done.runs), seed=seed,
            engine=done.engines[index], asked=done.asked, share=done.share,
            gaps=(*scenario.gaps, *_unsent(scenario, done, index), *_waits(scenario, done, index), *done.gaps),
            processes=done.processes,
        )
        for index, scenario in enumerate(scenarios)
    )  # fmt: skip


def _unsent(scenario: Scenario, done: Sides, index: int) -> tuple[str, ...]:
    """Of a shortened replication another gap tells how many of all messages it has."""
    return tell_unsent(scenario, [results[index] for results in done.runs]) if done.share == 1.0 else ()


def _waits(scenario: Scenario, done: Sides, index: int) -> tuple[str, ...]:
    return tell_waits(scenario, [results[index] for results in done.runs])


@contextmanager
def _telling(progress: Progress | bool) -> Iterator[Progress]:
    if progress is True:
        line = ProgressLine(lambda text: sys.stderr.write(text) and sys.stderr.flush(), time.monotonic)
        try:
            yield line
        finally:
            line.end()
    elif progress is False:
        yield no_progress
    elif callable(progress):
        yield progress
    else:
        raise InvalidInput(f"{progress!r} is no progress: give True, or a function of share and text", place="progress")


def compare(
    first: Scenario | str | Path,
    second: Scenario | str | Path,
    *,
    replications: int | None = None,
    seed: int = 1,
    engine: str = DEFAULT_ENGINE,
    is_selective: bool = False,
    within_s: float | None = None,
    workers: int = 1,
    precision: float | None = None,
    precision_of: str = "on-time",
    progress: Progress | bool = False,
    run: RunOnce | None = None,
) -> Comparison:
    """Both scenarios on the same states, replication by replication; flows are matched by name.

    Interrupted by Ctrl-C, or when ``within_s`` are over, it compares the replications that are finished, which are as
    many on both sides. ``precision`` is of the difference, for every flow that both have; latency is that of what both
    delivered. The rest is as for `simulate`. Raises `InvalidInput`, too, if no flow is in both.
    """
    effort = Effort(
        replications=replications, seed=seed, engine=engine, is_selective=is_selective, within_s=within_s,
        workers=workers, precision=precision, precision_of=precision_of, run=run,
    )  # fmt: skip
    sides = tuple(take_scenario(side) for side in (first, second))
    find_shared_flows(*sides)  # before the work, not after it
    if engine == FAST:
        return _compare_estimates(*(_estimate(side, seed) for side in sides))
    with _telling(progress) as tell:
        before, after = _simulations(sides, run_sides(sides, effort, tell), seed)
    differences = compute_differences(before.scenario, before.runs, after.scenario, after.runs)
    return Comparison(first=before, second=after, differences=differences)


def _compare_estimates(first: Simulation, second: Simulation) -> Comparison:
    from meshtwin.fast.comparing import compare_estimated

    assert first.estimated is not None and second.estimated is not None  # noqa: S101, PT018 (for the type checker)
    differences = compare_estimated(first.scenario, first.estimated, second.scenario, second.estimated)
    return Comparison(first=first, second=second, differences=differences)


def plot(what: Scenario | Simulation | Comparison | str | Path, **options: object) -> "Figure":
    """A picture: of the network for a scenario (or the file that says it), of figures for a simulation or comparison.

    Seen in a notebook as a cell's last value. ``options`` are those of `draw_network` and `draw_results`.
    Raises `InvalidInput` for anything else, and where matplotlib is not installed (``pip install '.[plot]'``).
    """
    from meshtwin import plotting

    if isinstance(what, str | Path):
        what = read_scenario(what)
    if isinstance(what, Scenario):
        return plotting.draw_network(what, **options)  # type: ignore[arg-type]
    if isinstance(what, Comparison):
        return plotting.draw_results((what.first.document, what.second.document), **options)  # type: ignore[arg-type]
    if not isinstance(what, Simulation):
        raise InvalidInput(f"{type(what).__name__} is no scenario, simulation or comparison", place="plot")
    return plotting.draw_results((what.document,), **options)  # type: ignore[arg-type]
