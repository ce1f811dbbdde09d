"""The models for programs and notebooks: scenario, result, picture; no Kubernetes, MQTT or server.

What stands here is reached as ``meshtwin.simulate`` and so on; nothing is loaded before it is used.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.kpis import NetworkKpis
from meshtwin.ports import Progress, no_progress
from meshtwin.sim.differences import FlowDifference, compute_differences
from meshtwin.sim.engine import resolve_engine
from meshtwin.sim.engine import simulate as run_once
from meshtwin.sim.engine import simulate_selective as run_selective
from meshtwin.sim.result_file import ResultDocument, describe_result, write_result
from meshtwin.sim.results import RunResult, summarise
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.scenario_file import parse_scenario
from meshtwin.sim.scenario_file import read_scenario as read_scenario_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Comparison", "Simulation", "compare", "plot", "read_scenario", "simulate"]

RunOnce = Callable[..., RunResult]
DEFAULT_ENGINE: Final = "auto"  # the compiled engine where it knows the scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """A scenario and its finished replications; ``asked`` is how many were wanted, ``engine`` the one that ran."""

    scenario: Scenario
    runs: tuple[RunResult, ...]
    seed: int
    engine: str
    asked: int

    @property
    def is_complete(self) -> bool:
        """Whether no replication is missing."""
        return len(self.runs) == self.asked

    @property
    def kpis(self) -> NetworkKpis:
        """Key figures with 90 % intervals; ratios 0..1, times in milliseconds."""
        return summarise(self.runs, self.scenario.flows)

    @property
    def document(self) -> ResultDocument:
        """All figures as a document (`meshtwin.dev/result/v1`)."""
        return describe_result(self.scenario, self.runs, seed=self.seed, engine=self.engine, asked=self.asked)

    def save(self, path: str | Path) -> None:
        """Writes a .json (the document) or .parquet file (a row per message and member)."""
        write_result(Path(path), self.document, self.scenario, self.runs)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        part = "" if self.is_complete else f" of {self.asked}"
        yield f"{self.scenario.name}: {len(self.runs)}{part} replications, profile {self.scenario.profile.name}"
        for flow in self.kpis.flows:
            p50, p95 = (("-" if q is None else f"{q:.0f}") for q in (flow.latency_p50_ms, flow.latency_p95_ms))
            yield (
                f"  {flow.flow}: {flow.sent} sent, delivery {flow.delivery.estimate:.3f} "
                f"({flow.delivery.low:.3f}..{flow.delivery.high:.3f}), latency p50 {p50} ms, p95 {p95} ms"
            )


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
    progress: Progress = no_progress,
    run: RunOnce | None = None,
) -> Simulation:
    """Runs a scenario (or the file or YAML text that says it) ``replications`` times.

    ``is_selective``: preset states in place of draws, which need fewer replications for the same precision.
    Interrupted by Ctrl-C it keeps what is finished, as long as that is one replication; see
    `Simulation.is_complete`. ``run`` runs one replication in place of the simulator.
    Raises `InvalidInput` for fewer than one replication.
    """
    if replications < 1:
        raise InvalidInput(f"{replications} replications are fewer than 1", place="replications")
    if not isinstance(scenario, Scenario):
        scenario = read_scenario(scenario)
    engine = resolve_engine(engine, scenario)
    run = run or (run_selective if is_selective else run_once)
    runs: list[RunResult] = []
    try:
        for replication in range(replications):
            runs.append(run(scenario, seed=seed, replication=replication, engine=engine))
            progress((replication + 1) / replications, f"{replication + 1} of {replications} replications")
    except KeyboardInterrupt:
        if not runs:
            raise
    return Simulation(scenario=scenario, runs=tuple(runs), seed=seed, engine=engine, asked=replications)


def compare(
    first: Scenario | str | Path,
    second: Scenario | str | Path,
    *,
    replications: int = 8,
    seed: int = 1,
    engine: str = DEFAULT_ENGINE,
    is_selective: bool = False,
    progress: Progress = no_progress,
    run: RunOnce | None = None,
) -> Comparison:
    """Both scenarios on the same states; flows are matched by name.

    Interrupted by Ctrl-C it compares the replications that both sides have finished.
    """
    if not isinstance(first, Scenario):
        first = read_scenario(first)
    if run is None:  # states belong to the first side's ways, on both sides
        run = partial(run_selective, ranked_as=first) if is_selective else run_once
    before = simulate(
        first, replications=replications, seed=seed, engine=engine, progress=_half(progress, 0.0), run=run
    )
    after = simulate(
        second, replications=len(before.runs), seed=seed, engine=engine, progress=_half(progress, 0.5), run=run
    )
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
