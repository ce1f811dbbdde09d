"""Scenarios run side by side: one alone or two compared, here or over processes, so many times or until sure enough.

Each replication runs every side, so whatever ends the work early leaves as many of one as of the other.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial
from statistics import fmean
from types import MappingProxyType
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.ports import Cancelled, Progress
from meshtwin.processes import Workers, check_workers
from meshtwin.sim.arguments import check_number, check_seed, check_whole
from meshtwin.sim.cost import shorten
from meshtwin.sim.engine import resolve_engine, simulate, simulate_selective
from meshtwin.sim.limited import Limits, run_limited_shares
from meshtwin.sim.replications import (
    FIRST_STAGE,
    REPLICATIONS_MOST,
    Goal,
    SideReplications,
    replicate_sides,
    replicate_until,
    share_on_time,
)
from meshtwin.sim.results import RunResult
from meshtwin.sim.scenario import Scenario, ScenarioFlow
from meshtwin.sim.watching import watched, watched_part

__all__ = ["FIGURES", "REPLICATIONS", "Effort", "Sides", "run_sides"]

RunOnce = Callable[..., RunResult]
REPLICATIONS: Final = 8  # where neither a number nor a precision is asked for
PRECISION_MOST: Final = 256  # replications that a precision may take, where no number is given
NORMAL_90: Final = 1.645  # quantile of a 90 % interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is to be simulated, and how.

    ``replications`` None: 8, or with a ``precision`` 256 at most. ``precision``: half width of the 90 % interval that
    the figure ``precision_of`` of every flow shall have (see `FIGURES`). ``within_s``: seconds after which it ends.
    ``run``: runs one replication in place of the simulator, in this process.
    Raises `InvalidInput` for what does not go together or is out of bounds.
    """

    replications: int | None = None
    seed: int = 1
    engine: str = "auto"
    is_selective: bool = False
    within_s: float | None = None
    workers: int = 1
    precision: float | None = None
    precision_of: str = "on-time"
    run: RunOnce | None = None

    def __post_init__(self) -> None:
        if self.replications is not None and check_whole("replications", self.replications) < 1:
            raise InvalidInput(f"{self.replications} replications are fewer than 1", place="replications")
        check_seed("seed", self.seed)
        if self.within_s is not None:
            check_number("within_s", self.within_s, "number of seconds")
        check_workers(self.workers)
        if self.run is not None and (self.workers > 1 or self.precision is not None):
            raise InvalidInput("a run of your own goes with neither workers nor a precision", place="run")
        self._check_precision()
        if (self.replications or 0) > REPLICATIONS_MOST:
            raise InvalidInput(
                f"{self.replications} replications are more than {REPLICATIONS_MOST}", place="replications"
            )

    def _check_precision(self) -> None:
        if self.precision_of not in FIGURES:
            raise InvalidInput(f"{self.precision_of!r} is not one of {', '.join(FIGURES)}", place="precision_of")
        if self.precision is None:
            return
        if isinstance(self.precision, bool) or not isinstance(self.precision, int | float):
            raise InvalidInput(f"precision {self.precision!r} is no number", place="precision")
        most = 1e6 if self.precision_of == "latency" else 0.5
        if not 1e-4 <= self.precision <= most:
            raise InvalidInput(
                f"precision {self.precision} of {self.precision_of} is outside 0.0001..{most:g}", place="precision"
            )
        if self.replications is not None and self.replications < FIRST_STAGE:
            raise InvalidInput(
                f"{self.replications} replications are fewer than the {FIRST_STAGE} from which is judged how many a "
                "precision takes",
                place="replications",
            )

    @property
    def is_wide(self) -> bool:
        """Whether it takes more than one replication after the other in this process."""
        return self.workers > 1 or self.precision is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Finished replications, each with a result per side; ``share`` 0..1 of each flow's messages is in them."""

    runs: tuple[tuple[RunResult, ...], ...]
    asked: int
    engines: tuple[str, ...]
    share: float = 1.0
    gaps: tuple[str, ...] = ()


class _TimeUp(Cancelled):
    pass


def run_sides(scenarios: Sequence[Scenario], effort: Effort, progress: Progress) -> Sides:
    """All replications, as far as ``effort``, ``progress`` (by `Cancelled`) and Ctrl-C let it come.

    Equal seeds give equal results, whatever the number of workers. If nothing is finished, Ctrl-C and `Cancelled`
    are raised again, and `InvalidInput` (``TimeLimit``) where time was up.
    """
    engines = tuple(resolve_engine(effort.engine, scenario) for scenario in scenarios)
    if effort.is_wide:
        return _run_wide(scenarios, effort, engines, progress)
    wanted = effort.replications or REPLICATIONS
    done = run_limited_shares(
        scenarios[0],
        _one_after_the_other(scenarios, effort, engines),
        wanted=wanted,
        limits=Limits(now_s=time.monotonic, within_s=effort.within_s),
        progress=progress,
    )
    return Sides(runs=done.runs, asked=wanted, engines=engines, share=done.share, gaps=done.gaps)


def _one_after_the_other(
    scenarios: Sequence[Scenario], effort: Effort, engines: Sequence[str]
) -> Callable[[float, int], tuple[RunResult, ...]]:
    run = effort.run
    if run is None:  # states belong to the first side's ways, on both sides
        run = partial(simulate_selective, ranked_as=scenarios[0]) if effort.is_selective else simulate

    @lru_cache
    def part(index: int, share: float) -> Scenario:  # one value for all: engines keep what they prepared for it
        return scenarios[index] if share == 1.0 else shorten(scenarios[index], share)

    def one(share: float, number: int) -> tuple[RunResult, ...]:
        results: list[RunResult] = []
        for index, engine in enumerate(engines):
            with watched_part(index / len(engines), 1.0 / len(engines)):
                results.append(run(part(index, share), seed=effort.seed, replication=number, engine=engine))
        return tuple(results)

    return one


def _run_wide(scenarios: Sequence[Scenario], effort: Effort, engines: tuple[str, ...], progress: Progress) -> Sides:
    """Over processes, or for a precision; replications are whole ones."""
    limits = Limits(now_s=time.monotonic, within_s=effort.within_s, may_shorten=False)
    begun_s, ended = limits.now_s(), list[BaseException]()

    def look(share: float = 0.0) -> None:
        if limits.within_s is not None and limits.now_s() - begun_s >= limits.within_s:
            ended.append(_TimeUp("time is up"))
            raise ended[0]

    def tell(share: float, stage: str) -> None:
        look()
        try:
            progress(share, stage)
        except Cancelled as end:
            ended.append(end)
            raise

    place = Workers(effort.workers) if effort.workers > 1 else nullcontext()
    with place as executor, watched(look):  # that is, also inside a replication that runs here
        done = _replicate(scenarios, effort, engines, executor, tell)
    if not done.results:
        if ended and isinstance(ended[0], _TimeUp):
            text = f"not one replication was finished within {effort.within_s:g} s; allow more"
            raise InvalidInput(text, reason="TimeLimit", place=scenarios[0].name)
        raise ended[0] if ended else KeyboardInterrupt
    gap = done.gap
    if gap is not None and ended and isinstance(ended[0], _TimeUp):
        gap = gap.replace("cancelled", f"ended, since {effort.within_s:g} s are over,", 1)
    return Sides(runs=done.results, asked=done.asked, engines=engines, gaps=() if gap is None else (gap,))


def _replicate(
    scenarios: Sequence[Scenario], effort: Effort, engines: Sequence[str], executor: Executor | None, tell: Progress
) -> SideReplications:
    engine = engines[0] if len(set(engines)) == 1 else effort.engine
    if effort.precision is None:
        return replicate_sides(
            scenarios, seed=effort.seed, replications=effort.replications or REPLICATIONS, engine=engine,
            is_selective=effort.is_selective, executor=executor, workers=effort.workers, progress=tell,
        )  # fmt: skip
    (scenario,) = scenarios
    done = replicate_until(
        scenario, _goals(scenario, effort.precision, effort.precision_of), seed=effort.seed,
        least=_least(scenario, effort.precision, effort.precision_of), most=effort.replications or PRECISION_MOST,
        engine=engine, is_selective=effort.is_selective, executor=executor, workers=effort.workers, progress=tell,
    )  # fmt: skip
    return SideReplications(results=tuple((result,) for result in done.results), asked=done.asked, gap=done.gap)


def _goals(scenario: Scenario, precision: float, figure: str) -> list[Goal]:
    """One for each flow that sends."""
    unit = " ms" if figure == "latency" else ""
    return [
        Goal(
            figure=FIGURES[figure](flow),
            half_width=precision,
            name=f"{figure} of {flow.name} within ±{precision:g}{unit}",
        )
        for flow in scenario.flows
        if flow.count > 0
    ]


def _least(scenario: Scenario, precision: float, figure: str) -> int:
    """Replications without which a share of 1 is not known so well, however alike they are (Wilson's interval)."""
    counts = [flow.count for flow in scenario.flows if flow.count > 0]
    if figure == "latency" or not counts:
        return FIRST_STAGE
    messages = NORMAL_90**2 * (0.5 / precision - 1.0)
    return math.ceil(messages / min(counts))


def _on_time(flow: ScenarioFlow) -> Callable[[RunResult], float]:
    return share_on_time(flow.name, flow.deadline_ms)


def _delivery(flow: ScenarioFlow) -> Callable[[RunResult], float]:
    def delivered(result: RunResult) -> float:
        shares = [len(m.arrivals) / m.member_count for m in result.messages if m.flow == flow.name]
        return fmean(shares) if shares else math.nan

    return delivered


def _latency(flow: ScenarioFlow) -> Callable[[RunResult], float]:
    def latency_ms(result: RunResult) -> float:
        times = [a.latency_ns / 1e6 for m in result.messages if m.flow == flow.name for a in m.arrivals]
        return fmean(times) if times else math.nan

    return latency_ms


FIGURES: Final[Mapping[str, Callable[[ScenarioFlow], Callable[[RunResult], float]]]] = MappingProxyType(
    {"on-time": _on_time, "delivery": _delivery, "latency": _latency}  # shares 0..1; mean latency in ms
)
