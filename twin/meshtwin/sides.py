"""Scenarios run side by side: one alone or two compared, here or over processes, so many times or until sure enough.

Each replication runs every side, so whatever ends the work early leaves as many of one as of the other.
"""

import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.ports import Progress, progress_part
from meshtwin.processes import Workers, check_workers
from meshtwin.sim.arguments import check_number, check_seed, check_whole
from meshtwin.sim.cost import shorten
from meshtwin.sim.engine import FAST, resolve_engine, simulate, simulate_selective
from meshtwin.sim.goals import FIGURES, least_replications, make_goals
from meshtwin.sim.keeping import check_room, count_room
from meshtwin.sim.limited import PAYS_FROM_S, Limited, Limits, run_limited_shares
from meshtwin.sim.replications import REPLICATIONS_MOST, Task, run_packed
from meshtwin.sim.results import RunResult
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.stopping import FIRST_STAGE, judge_stage
from meshtwin.sim.watching import watched_part

__all__ = ["REPLICATIONS", "Effort", "Sides", "run_sides"]

RunOnce = Callable[..., RunResult]
REPLICATIONS: Final = 8  # where neither a number nor a precision is asked for
PRECISION_MOST: Final = 256  # replications that a precision may take, where no number is given


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is to be simulated, and how.

    ``replications`` None: 8, or with a ``precision`` 256 at most. ``precision``: half width of the 90 % interval that
    the figure ``precision_of`` of every flow shall have, of two sides its difference (`meshtwin.sim.goals`).
    ``within_s``: seconds after which it ends. ``run``: runs one replication in place of the simulator, in this process.
    ``pays_from_s``: of work that is left, from which on other processes are started.
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
    pays_from_s: float = PAYS_FROM_S

    def __post_init__(self) -> None:
        if self.replications is not None:
            self._set("replications", check_whole("replications", self.replications))
            if self.replications < 1:
                raise InvalidInput(f"{self.replications} replications are fewer than 1", place="replications")
        self._set("seed", check_seed("seed", self.seed))
        if not isinstance(self.engine, str):
            raise InvalidInput(f"{self.engine!r} is no engine's name", place="engine")
        if self.within_s is not None:
            check_number("within_s", self.within_s, "number of seconds")
        check_workers(self.workers)
        if self.run is not None and (self.workers > 1 or self.precision is not None):
            raise InvalidInput("a run of your own goes with neither workers nor a precision", place="run")
        self._check_precision()
        self._check_fast()
        if (self.replications or 0) > REPLICATIONS_MOST:
            raise InvalidInput(
                f"{self.replications} replications are more than {REPLICATIONS_MOST}", place="replications"
            )

    def _set(self, name: str, value: object) -> None:
        """As it is told: numpy's numbers are none of Python's."""
        object.__setattr__(self, name, value)

    def _check_precision(self) -> None:
        if not isinstance(self.precision_of, str) or self.precision_of not in FIGURES:
            raise InvalidInput(f"{self.precision_of!r} is not one of {', '.join(FIGURES)}", place="precision_of")
        if self.precision is None:
            return
        self._set("precision", check_number("precision", self.precision))
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

    def _check_fast(self) -> None:
        """The fast model has neither replications nor messages of its own."""
        if self.engine != FAST:
            return
        asked = {
            "replications": self.replications is not None, "is_selective": self.is_selective,
            "within_s": self.within_s is not None, "workers": self.workers > 1,
            "precision": self.precision is not None, "run": self.run is not None,
        }  # fmt: skip
        for name, is_asked in asked.items():
            if is_asked:
                raise InvalidInput(
                    f"{name} does not go with engine {FAST}, which answers at once and without replications; leave it "
                    "out, or take engine auto",
                    place=name,
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Finished replications, each with a result per side; ``share`` 0..1 of each flow's messages is in them.

    ``processes``: how many have worked, which is one where more would not have paid.
    """

    runs: tuple[tuple[RunResult, ...], ...]
    asked: int
    engines: tuple[str, ...]
    share: float = 1.0
    gaps: tuple[str, ...] = ()
    processes: int = 1


def run_sides(scenarios: Sequence[Scenario], effort: Effort, progress: Progress) -> Sides:
    """All replications, as far as ``effort``, ``progress`` (by `Cancelled`) and Ctrl-C let it come.

    Equal seeds give equal results, whatever the number of workers. If nothing is finished, Ctrl-C and `Cancelled`
    are raised again, and `InvalidInput` (``TimeLimit``) where time was up. All replications are kept: more than there
    is room for are refused (``TooLarge``), or not allowed a precision.
    """
    check_room(scenarios, FIRST_STAGE if effort.precision is not None else effort.replications or REPLICATIONS)
    engines = tuple(resolve_engine(effort.engine, scenario) for scenario in scenarios)
    with _workforce(scenarios, effort, engines) as workforce:
        ask = partial(
            run_limited_shares,
            scenarios[0],
            _one_after_the_other(scenarios, effort, engines),
            limits=Limits(
                now_s=time.monotonic, within_s=effort.within_s, begun_s=time.monotonic(), pays_from_s=effort.pays_from_s
            ),
            workforce=workforce,
        )
        if effort.precision is None:
            asked = effort.replications or REPLICATIONS
            done = ask(wanted=asked, progress=progress)
        else:
            done, asked = _run_until(scenarios, effort, effort.precision, ask, progress)
    return Sides(
        runs=done.runs, asked=asked, engines=engines, share=done.share, gaps=done.gaps, processes=done.processes
    )


def _run_until(
    scenarios: Sequence[Scenario],
    effort: Effort,
    precision: float,
    ask: "Callable[..., Limited[tuple[RunResult, ...]]]",
    progress: Progress,
) -> "tuple[Limited[tuple[RunResult, ...]], int]":
    """In two stages, as `meshtwin.sim.replications.replicate_until`; and how many replications that asked for."""
    most = min(effort.replications or PRECISION_MOST, room := count_room(scenarios))
    start = ask(wanted=FIRST_STAGE, progress=progress_part(progress, 0.0))
    if len(start.runs) < FIRST_STAGE:
        return start, FIRST_STAGE
    goals = make_goals(scenarios, precision, effort.precision_of)
    least = least_replications(scenarios, precision, effort.precision_of, start.share)
    stage = judge_stage(goals, start.runs, least=least, most=most)
    done = start
    if stage.wanted > FIRST_STAGE:
        done = ask(wanted=stage.wanted, progress=progress_part(progress, 0.5), after=start)
    short = stage.shortfall
    if short is not None and most == room:
        short += ": there is no room for more in memory; send fewer messages"
    if len(done.runs) < stage.wanted:
        short = f"{stage.name} takes {stage.needed} replications"
    return (done if short is None else replace(done, gaps=(*done.gaps, short))), stage.wanted


def _one_after_the_other(
    scenarios: Sequence[Scenario], effort: Effort, engines: Sequence[str]
) -> Callable[[float, int], tuple[RunResult, ...]]:
    run = effort.run
    if run is None:  # states belong to the first side's ways, on both sides
        run = partial(simulate_selective, ranked_as=scenarios[0]) if effort.is_selective else simulate

    @lru_cache
    def part(index: int, share: float) -> Scenario:  # one value for all: engines keep what they prepared for it
        return _part(scenarios[index], share)

    def one(share: float, number: int) -> tuple[RunResult, ...]:
        results: list[RunResult] = []
        for index, engine in enumerate(engines):
            with watched_part(index / len(engines), 1.0 / len(engines)):
                result = run(part(index, share), seed=effort.seed, replication=number, engine=engine)
                results.append(result.packed())
        return tuple(results)

    return one


def _part(scenario: Scenario, share: float) -> Scenario:
    return scenario if share == 1.0 else shorten(scenario, share)


class _OtherProcesses:
    """The `meshtwin.sim.limited.Workforce` of `Workers`: all but the process that asks, which works, too."""

    def __init__(self, scenarios: Sequence[Scenario], effort: Effort, engines: Sequence[str]) -> None:
        self.count = effort.workers - 1
        self._scenarios = tuple(scenarios)
        self._task = partial(
            Task,
            seed=effort.seed,
            engine=engines[0] if len(set(engines)) == 1 else effort.engine,
            is_selective=effort.is_selective,
            ranked_as=scenarios[0],
        )
        self._packed = lru_cache(self._pack)
        self._workers: Workers | None = None

    def submit(self, share: float, numbers: Sequence[int]) -> "Future[Sequence[tuple[int, tuple[RunResult, ...]]]]":
        if self._workers is None:
            self._workers = Workers(self.count)
        return self._workers.submit(run_packed, self._packed(share), tuple(numbers))

    def give_up(self) -> None:
        if self._workers is not None:
            self._workers.shutdown()
        self._workers = None

    def _pack(self, share: float) -> bytes:
        return pickle.dumps(self._task(scenarios=tuple(_part(scenario, share) for scenario in self._scenarios)))


@contextmanager
def _workforce(
    scenarios: Sequence[Scenario], effort: Effort, engines: Sequence[str]
) -> Iterator[_OtherProcesses | None]:
    if effort.workers == 1:
        yield None
        return
    workforce = _OtherProcesses(scenarios, effort, engines)
    try:
        yield workforce
    finally:
        workforce.give_up()
