"""Many replications: over the threads or processes that the caller lends, until enough, or until interrupted.

Each replication with preset states is an independent scramble, so intervals are Student's over replications.
No processes are started here: an executor comes from above.
"""

import math
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from statistics import stdev
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.ports import Cancelled, Progress, no_progress
from meshtwin.sim.engine import simulate, simulate_selective
from meshtwin.sim.intervals import compute_student_quantile
from meshtwin.sim.results import RunResult
from meshtwin.sim.scenario import Scenario

__all__ = ["Goal", "Replications", "replicate", "replicate_until", "share_on_time"]

CHUNKS_PER_WORKER: Final = 16  # small enough for progress and an even end, large enough to amortise pickling
FIRST_STAGE: Final = 8  # the variance is judged on these; with fewer, Student's quantile makes the rest expensive
REPLICATIONS_MOST: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Replications:
    """Finished replications in order of their number, and what is missing; ``gap`` None: nothing."""

    results: tuple[RunResult, ...]
    asked: int
    gap: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A figure of one replication, and the half width that its mean's interval shall have at ``level``."""

    figure: Callable[[RunResult], float]
    half_width: float
    level: float = 0.9

    def __post_init__(self) -> None:
        if not (math.isfinite(self.half_width) and self.half_width > 0.0 and 0.0 < self.level < 1.0):
            raise InvalidInput(
                f"half width {self.half_width} at level {self.level} is not above 0 and a level within 0..1",
                place="goal",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    scenario: Scenario
    seed: int
    engine: str
    is_selective: bool


def replicate(
    scenario: Scenario,
    *,
    seed: int,
    replications: int,
    first: int = 0,
    engine: str = "auto",
    is_selective: bool = True,
    executor: Executor | None = None,
    workers: int = 1,
    progress: Progress = no_progress,
) -> Replications:
    """Replications ``first`` .. ``first + replications - 1``; equal arguments give equal results on any executor.

    ``executor`` None: one after the other here. Threads are of use with the compiled engine alone, which lets go of
    the interpreter; ``workers`` is how many the executor has. ``is_selective``: preset states in place of draws.
    If ``progress`` raises `Cancelled`, or the user interrupts, what is finished is returned with a gap.
    Raises `InvalidInput` outside 1..`REPLICATIONS_MOST` replications.
    """
    if not 1 <= replications <= REPLICATIONS_MOST:
        raise InvalidInput(f"{replications} replications is outside 1..{REPLICATIONS_MOST}", place="replications")
    numbers = range(first, first + replications)
    task = _Task(scenario=scenario, seed=seed, engine=engine, is_selective=is_selective)
    finished: dict[int, RunResult] = {}
    gap = None
    try:
        for number, result in _run(task, numbers, executor, workers):
            finished[number] = result
            progress(len(finished) / replications, f"simulated {len(finished)} of {replications} replications")
    except (Cancelled, KeyboardInterrupt) as interruption:
        if len(finished) < replications:
            why = "cancelled" if isinstance(interruption, Cancelled) else "interrupted"
            gap = f"{why} after {len(finished)} of {replications} replications"
    return Replications(
        results=tuple(finished[number] for number in numbers if number in finished), asked=replications, gap=gap
    )


def replicate_until(
    scenario: Scenario,
    goals: Sequence[Goal],
    *,
    seed: int,
    most: int = 256,
    engine: str = "auto",
    executor: Executor | None = None,
    workers: int = 1,
    progress: Progress = no_progress,
) -> Replications:
    """As many scrambles as the wanted precision takes, `FIRST_STAGE` at least, ``most`` at most.

    Two stages: the first judges the variance of each figure, and that alone decides how many follow. So there is
    one look, and the intervals of `Goal` hold their level whatever the number (exactly for normal figures).
    Falling short of a goal stands in the gap.
    Source: Stein (1945), a two-sample test whose power is independent of the variance.
    """
    start = replicate(
        scenario, seed=seed, replications=FIRST_STAGE, engine=engine, executor=executor, workers=workers,
        progress=lambda share, stage: progress(share / 2.0, stage),
    )  # fmt: skip
    needed = max((_needed(goal, start.results) for goal in goals), default=FIRST_STAGE)
    wanted = min(max(needed, FIRST_STAGE), max(most, FIRST_STAGE))
    if start.gap or wanted == FIRST_STAGE:
        return Replications(results=start.results, asked=wanted, gap=start.gap or _shortfall(needed, wanted))
    rest = replicate(
        scenario, seed=seed, replications=wanted - FIRST_STAGE, first=FIRST_STAGE, engine=engine, executor=executor,
        workers=workers, progress=lambda share, stage: progress(0.5 + share / 2.0, stage),
    )  # fmt: skip
    return Replications(results=start.results + rest.results, asked=wanted, gap=rest.gap or _shortfall(needed, wanted))


def share_on_time(flow: str, deadline_ms: float) -> Callable[[RunResult], float]:
    """The figure of a `Goal`: share of a flow's messages that reached every member in time; 0 of none."""

    def share(result: RunResult) -> float:
        messages = [m for m in result.messages if m.flow == flow]
        return sum(m.is_on_time(deadline_ms) for m in messages) / max(1, len(messages))

    return share


def _needed(goal: Goal, results: Sequence[RunResult]) -> int:
    """Replications for which the first stage's deviation gives the goal's half width."""
    values = [goal.figure(result) for result in results]
    if len(values) < 2:
        return FIRST_STAGE
    quantile = compute_student_quantile(0.5 + goal.level / 2.0, len(values) - 1)
    return math.ceil((quantile * stdev(values) / goal.half_width) ** 2)


def _shortfall(needed: int, wanted: int) -> str | None:
    return (
        f"the wanted precision takes {needed} replications, of which {wanted} are allowed" if needed > wanted else None
    )


def _run(task: _Task, numbers: range, executor: Executor | None, workers: int) -> Iterator[tuple[int, RunResult]]:
    """Results as they come."""
    if executor is None:
        yield from (pair for number in numbers for pair in _work(task, (number,)))
        return
    packed = pickle.dumps(task) if isinstance(executor, ProcessPoolExecutor) else None
    size = max(1, len(numbers) // (max(1, workers) * CHUNKS_PER_WORKER))
    futures: list[Future[list[tuple[int, RunResult]]]] = [
        executor.submit(_work, task, part) if packed is None else executor.submit(_work_packed, packed, part)
        for start in range(0, len(numbers), size)
        for part in (tuple(numbers[start : start + size]),)
    ]
    try:
        for future in as_completed(futures):
            yield from future.result()
    finally:
        for future in futures:
            future.cancel()


def _work(task: _Task, numbers: tuple[int, ...]) -> list[tuple[int, RunResult]]:
    run = simulate_selective if task.is_selective else simulate
    return [(n, run(task.scenario, seed=task.seed, replication=n, engine=task.engine)) for n in numbers]


def _work_packed(packed: bytes, numbers: tuple[int, ...]) -> list[tuple[int, RunResult]]:
    """In a process: the task is unpacked once, and so is what the engine prepares for its scenario."""
    return _work(_unpack(packed), numbers)


@lru_cache(maxsize=2)
def _unpack(packed: bytes) -> _Task:
    task: _Task = pickle.loads(packed)  # noqa: S301  # written by `_run` of the parent process
    return task
