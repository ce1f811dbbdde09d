"""The models for programs and notebooks: scenario, result, picture; no Kubernetes, MQTT or server.

What stands here is reached as ``meshtwin.simulate`` and so on; nothing is loaded before it is used.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.kpis import NetworkKpis
from meshtwin.ports import Progress, no_progress
from meshtwin.sim.cost import shorten
from meshtwin.sim.differences import FlowDifference, compute_differences
from meshtwin.sim.engine import resolve_engine
from meshtwin.sim.engine import simulate as run_once
from meshtwin.sim.engine import simulate_selective as run_selective
from meshtwin.sim.intervals import ONE_REPLICATION
from meshtwin.sim.limited import Limits, run_limited
from meshtwin.sim.result_document import IntervalDocument
from meshtwin.sim.result_file import ResultDocument, describe_result, write_result
from meshtwin.sim.results import RunResult, summarise
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.scenario_file import parse_scenario
from meshtwin.sim.scenario_file import read_scenario as read_scenario_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Comparison", "Simulation", "compare", "plot", "read_scenario", "simulate"]

RunOnce = Callable[..., RunResult]
FIRST_SHARE: Final = 0.4  # of a comparison's time; the second side shall finish as many replications as the first
DEFAULT_ENGINE: Final = "auto"  # the compiled engine where it knows the scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """A scenario and its finished replications; ``asked`` is how many were wanted, ``engine`` the one that ran.

    ``share`` 0..1 of each flow's messages was simulated; ``gaps`` tell what is missing and why.
    """

    scenario: Scenario
    runs: tuple[RunResult, ...]
    seed: int
    engine: str
    asked: int
    share: float = 1.0
    gaps: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether no replication and no message is missing."""
        return len(self.runs) == self.asked and not self.gaps

    @property
    def kpis(self) -> NetworkKpis:
        """Key figures with 90 % intervals; ratios 0..1, times in milliseconds."""
        return summarise(self.runs, self.scenario.flows)

    @property
    def document(self) -> ResultDocument:
        """All figures as a document (`meshtwin.dev/result/v1`)."""
        return describe_result(
            self.scenario, self.runs, seed=self.seed, engine=self.engine, asked=self.asked, gaps=self.gaps
        )

    def save(self, path: str | Path) -> None:
        """Writes a .json (the document) or .parquet file (a row per message and member)."""
        write_result(Path(path), self.document, self.scenario, self.runs)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        part = "" if self.is_complete else f" of {self.asked}"
        yield f"{self.scenario.name}: {len(self.runs)}{part} replications, profile {self.scenario.profile.name}"
        for flow in self.document.flows:
            yield f"  {flow.name}: {flow.sent} sent, delivery {_told(flow.delivery_ratio, '.3f')}"
            if (times := flow.latency_milliseconds) is not None:
                p50, p95 = (_told(i, ".0f") for i in (times.p50_interval, times.p95_interval) if i is not None)
                yield f"    latency p50 {p50} ms, p95 {p95} ms"
        if len(self.runs) < 2:
            yield f"  no intervals: {ONE_REPLICATION}"
        yield from (f"  missing: {gap}" for gap in self.gaps)


def _told(interval: IntervalDocument, form: str) -> str:
    low, high = ("?" if bound is None else format(bound, form) for bound in (interval.low, interval.high))
    return f"{interval.estimate:{form}} [{low}, {high}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two simulations on the same states, and the second less the first per flow."""

    first: Simulation
    second: Simulation
    differences: tuple[FlowDifference, ...] = field(repr=False)


def read_scenario(source: str | Path) -> Scenario:
    """The scenario in a file, or, if ``source`` has a line break, in the YAML text itself.

    Raises `InvalidInput` with file, line or path, value and limit.
    """
    if isinstance(source, str) and "\n" in source:
        return parse_scenario(source)
    return read_scenario_file(Path(source))


def simulate(
    scenario: Scenario | str | Path,
    *,
    replications: int = 8,
    seed: int = 1,
    engine: str = DEFAULT_ENGINE,
    is_selective: bool = False,
    within_s: float | None = None,
    progress: Progress = no_progress,
    run: RunOnce | None = None,
) -> Simulation:
    """Runs a scenario (or the file or YAML text that says it) ``replications`` times.

    ``is_selective``: preset states in place of draws, which need fewer replications for the same precision.
    Interrupted by Ctrl-C, or by a ``progress`` that raises `meshtwin.ports.Cancelled`, it keeps what is finished, as
    long as that is one replication. ``within_s``: ends after so many seconds with what is done; replications that
    would not fit are shortened. See `Simulation.gaps`. ``run`` runs one replication in place of the simulator.
    Raises `InvalidInput` for fewer than one replication, or if none is finished in time.
    """
    limits = Limits(now_s=time.monotonic, within_s=within_s)
    run = run or (run_selective if is_selective else run_once)
    return _simulate(
        scenario, replications, seed=seed, engine=engine, run=run, limits=limits, progress=progress
    )  # fmt: skip


def _simulate(
    scenario: Scenario | str | Path,
    replications: int,
    *,
    seed: int,
    engine: str,
    run: RunOnce,
    limits: Limits,
    progress: Progress,
) -> Simulation:
    if replications < 1:
        raise InvalidInput(f"{replications} replications are fewer than 1", place="replications")
    if not isinstance(scenario, Scenario):
        scenario = read_scenario(scenario)
    engine = resolve_engine(engine, scenario)
    done = run_limited(
        scenario,
        lambda each, replication: run(each, seed=seed, replication=replication, engine=engine),
        wanted=replications,
        limits=limits,
        progress=progress,
    )
    return Simulation(
        scenario=scenario, runs=done.runs, seed=seed, engine=engine, asked=replications, share=done.share,
        gaps=done.gaps,
    )  # fmt: skip


def compare(
    first: Scenario | str | Path,
    second: Scenario | str | Path,
    *,
    replications: int = 8,
    seed: int = 1,
    engine: str = DEFAULT_ENGINE,
    is_selective: bool = False,
    within_s: float | None = None,
    progress: Progress = no_progress,
    run: RunOnce | None = None,
) -> Comparison:
    """Both scenarios on the same states; flows are matched by name.

    Interrupted by Ctrl-C, or when ``within_s`` are over, it compares the replications that both sides have finished.
    """
    first, second = (side if isinstance(side, Scenario) else read_scenario(side) for side in (first, second))
    if run is None:  # states belong to the first side's ways, on both sides
        run = partial(run_selective, ranked_as=first) if is_selective else run_once
    first_s, second_s = (None if within_s is None else share * within_s for share in (FIRST_SHARE, 1.0 - FIRST_SHARE))
    ask = partial(_simulate, seed=seed, engine=engine, run=run)
    limits = Limits(now_s=time.monotonic, within_s=first_s)
    before = ask(first, replications, limits=limits, progress=_half(progress, 0.0))
    same = second if before.share == 1.0 else shorten(second, before.share)  # as many messages on both sides
    limits = Limits(now_s=time.monotonic, within_s=second_s, may_shorten=False)
    after = ask(same, len(before.runs), limits=limits, progress=_half(progress, 0.5))
    after = replace(after, scenario=second, share=before.share)
    count = len(after.runs)
    differences = compute_differences(before.scenario, before.runs[:count], after.scenario, after.runs)
    return Comparison(first=before, second=after, differences=differences)


def plot(what: Scenario | Simulation | Comparison | str | Path, **options: object) -> "Figure":
    """A picture: of the network for a scenario (or the file that says it), of figures for a simulation or comparison.

    Needs matplotlib (``pip install meshtwin[plot]``). ``options`` are those of `meshtwin.plotting`.
    Raises `InvalidInput` for anything else.
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


def _half(progress: Progress, begin: float) -> Progress:
    return lambda share, stage: progress(begin + share / 2.0, stage)
