"""Many replications: over the threads or processes that the caller lends, until enough, or until interrupted.

Each replication with preset states is an independent scramble, so intervals are Student's over replications.
No processes are started here: an executor comes from above. Work is handed out in chunks of about a second, so that
an interruption finds finished what was simulated until then; what a chunk holds changes no result.
"""

import math
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache, partial
from statistics import stdev
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.ports import Cancelled, Progress, no_progress, progress_part
from meshtwin.sim.engine import simulate, simulate_selective
from meshtwin.sim.intervals import compute_student_quantile
from meshtwin.sim.results import RunResult
from meshtwin.sim.scenario import Scenario

__all__ = [
    "Goal",
    "Replications",
    "SideReplications",
    "replicate",
    "replicate_sides",
    "replicate_until",
    "share_on_time",
]

CHUNK_S: Final = 1.0  # what an interruption may lose per worker; long enough to amortise pickling
CHUNKS_PER_WORKER: Final = 16  # at least, for an even end
AHEAD: Final = 2  # chunks per worker that are handed out: none waits for the next one
LOOK_S: Final = 0.25  # how often progress is told, and can interrupt, while no chunk ends
FIRST_STAGE: Final = 8  # the variance is judged on these; with fewer, Student's quantile makes the rest expensive
REPLICATIONS_MOST: Final = 10_000  # all results stay in memory; the bound of --replications, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Replications:
    """Finished replications in order of their number, and what is missing; ``gap`` None: nothing."""

    results: tuple[RunResult, ...]
    asked: int
    gap: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SideReplications:
    """Likewise, of several scenarios on the same states: ``results`` has one of each scenario per replication."""

    results: tuple[tuple[RunResult, ...], ...]
    asked: int
    gap: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A figure of one replication, and the half width that its mean's interval shall have at ``level``.

    Replications for which ``figure`` gives NaN tell nothing of it.
    """

    figure: Callable[[RunResult], float]
    half_width: float
    level: float = 0.9
    name: str = "the wanted precision"  # for the gap

    def __post_init__(self) -> None:
        if not (math.isfinite(self.half_width) and self.half_width > 0.0 and 0.0 < self.level < 1.0):
            raise InvalidInput(
                f"half width {self.half_width} at level {self.level} is not above 0 and a level within 0..1",
                place="goal",
            )


_Chunk = tuple[float, list[tuple[int, tuple[RunResult, ...]]]]  # seconds that it took, numbers and results


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    scenarios: tuple[Scenario, ...]
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
    If ``progress`` raises `Cancelled`, or the user interrupts, what is finished is returned with a gap; ending what
    an executor has begun is the caller's.
    Raises `InvalidInput` outside 1..`REPLICATIONS_MOST` replications.
    """
    done = replicate_sides(
        (scenario,), seed=seed, replications=replications, first=first, engine=engine, is_selective=is_selective,
        executor=executor, workers=workers, progress=progress,
    )  # fmt: skip
    return Replications(results=tuple(result for (result,) in done.results), asked=done.asked, gap=done.gap)


def replicate_sides(
    scenarios: Sequence[Scenario],
    *,
    seed: int,
    replications: int,
    first: int = 0,
    engine: str = "auto",
    is_selective: bool = True,
    executor: Executor | None = None,
    workers: int = 1,
    progress: Progress = no_progress,
) -> SideReplications:
    """`replicate` of several scenarios that are compared: each replication runs all of them, on the same states.

    So an interruption leaves as many of one as of the other. States belong to the first one's ways.
    """
    if not 1 <= replications <= REPLICATIONS_MOST:
        raise InvalidInput(f"{replications} replications is outside 1..{REPLICATIONS_MOST}", place="replications")
    numbers = range(first, first + replications)
    task = _Task(scenarios=tuple(scenarios), seed=seed, engine=engine, is_selective=is_selective)
    finished: dict[int, tuple[RunResult, ...]] = {}
    gap = None
    try:
        for number, results in _run(task, numbers, executor, workers, finished):
            if number is not None:
                finished[number] = results  # of an executor's chunk all are there before the first is told
            progress(len(finished) / replications, f"simulated {len(finished)} of {replications} replications")
    except (Cancelled, KeyboardInterrupt) as interruption:
        if len(finished) < replications:
            why = "cancelled" if isinstance(interruption, Cancelled) else "interrupted"
            gap = f"{why} after {len(finished)} of {replications} replications"
    return SideReplications(
        results=tuple(finished[number] for number in numbers if number in finished), asked=replications, gap=gap
    )


def replicate_until(
    scenario: Scenario,
    goals: Sequence[Goal],
    *,
    seed: int,
    least: int = FIRST_STAGE,
    most: int = 256,
    engine: str = "auto",
    is_selective: bool = True,
    executor: Executor | None = None,
    workers: int = 1,
    progress: Progress = no_progress,
) -> Replications:
    """As many replications as the wanted precision takes, `FIRST_STAGE` and ``least`` at least, ``most`` at most.

    Two stages: the first judges the variance of each figure, and that alone decides how many follow. So there is
    one look, and the intervals of `Goal` hold their level whatever the number (exactly for normal figures).
    Falling short of a goal stands in the gap.
    Source: Stein (1945), a two-sample test whose power is independent of the variance.
    """
    ask = partial(
        replicate, scenario, seed=seed, engine=engine, is_selective=is_selective, executor=executor, workers=workers
    )
    start = ask(replications=FIRST_STAGE, progress=progress_part(progress, 0.0))
    needed, name = max(((_needed(goal, start.results), goal.name) for goal in goals), default=(FIRST_STAGE, ""))
    needed = max(needed, least, FIRST_STAGE)
    wanted = min(needed, max(most, FIRST_STAGE))
    if start.gap or wanted == FIRST_STAGE:
        return Replications(results=start.results, asked=wanted, gap=start.gap or _shortfall(needed, wanted, name))
    rest = ask(replications=wanted - FIRST_STAGE, first=FIRST_STAGE, progress=progress_part(progress, 0.5))
    short = _shortfall(needed, wanted, name)
    if rest.gap:
        short = f"{rest.gap} after the first {FIRST_STAGE}; {needed} were needed for {name}"
    return Replications(results=start.results + rest.results, asked=wanted, gap=short)


def share_on_time(flow: str, deadline_ms: float) -> Callable[[RunResult], float]:
    """The figure of a `Goal`: share of a flow's messages that reached every member in time; 0 of none."""

    def share(result: RunResult) -> float:
        messages = [m for m in result.messages if m.flow == flow]
        return sum(m.is_on_time(deadline_ms) for m in messages) / max(1, len(messages))

    return share


def _needed(goal: Goal, results: Sequence[RunResult]) -> int:
    """Replications for which the first stage's deviation gives the goal's half width."""
    values = [value for result in results if math.isfinite(value := goal.figure(result))]
    if len(values) < 2:
        return FIRST_STAGE
    quantile = compute_student_quantile(0.5 + goal.level / 2.0, len(values) - 1)
    return math.ceil((quantile * stdev(values) / goal.half_width) ** 2)


def _shortfall(needed: int, wanted: int, name: str) -> str | None:
    return f"{name} takes {needed} replications, of which {wanted} are allowed" if needed > wanted else None


def _run(
    task: _Task, numbers: range, executor: Executor | None, workers: int, finished: dict[int, tuple[RunResult, ...]]
) -> Iterator[tuple[int | None, tuple[RunResult, ...]]]:
    """Results as they come, and now and then None where none came; at an early end, what is done goes to ``finished``.

    What an executor is asked for last may be under way then.
    """
    if executor is None:
        yield from (pair for number in numbers for pair in _work(task, (number,))[1])
        return
    here = isinstance(executor, ThreadPoolExecutor)
    work = partial(_work, task) if here else partial(_work_packed, pickle.dumps(task))
    waiting, size = deque(numbers), 1
    most = max(1, len(numbers) // (max(1, workers) * CHUNKS_PER_WORKER))
    asked: set[Future[_Chunk]] = set()
    try:
        while waiting or asked:
            while waiting and len(asked) < AHEAD * max(1, workers):
                asked.add(executor.submit(work, tuple(waiting.popleft() for _ in range(min(size, len(waiting))))))
            done = wait(asked, timeout=LOOK_S, return_when=FIRST_COMPLETED).done
            if not done:
                yield None, ()
            for future in done:
                took_s, results = future.result()
                asked.remove(future)
                size = max(1, min(most, int(CHUNK_S * len(results) / max(took_s, 1e-6))))
                finished.update(results)
                yield from results
    finally:
        for future in asked:
            if not future.cancel() and future.done() and future.exception() is None:
                finished.update(future.result()[1])


def _work(task: _Task, numbers: tuple[int, ...]) -> _Chunk:
    begun_s = time.monotonic()
    results = [(number, tuple(_work_one(task, scenario, number) for scenario in task.scenarios)) for number in numbers]
    return time.monotonic() - begun_s, results


def _work_one(task: _Task, scenario: Scenario, number: int) -> RunResult:
    if not task.is_selective:
        return simulate(scenario, seed=task.seed, replication=number, engine=task.engine)
    ranked = task.scenarios[0]
    return simulate_selective(scenario, seed=task.seed, replication=number, engine=task.engine, ranked_as=ranked)


def _work_packed(packed: bytes, numbers: tuple[int, ...]) -> _Chunk:
    """In a process: the task is unpacked once, and so is what the engine prepares for its scenario."""
    return _work(_unpack(packed), numbers)


@lru_cache(maxsize=2)
def _unpack(packed: bytes) -> _Task:
    task: _Task = pickle.loads(packed)  # noqa: S301  # written by `_run` of the parent process
    return task
