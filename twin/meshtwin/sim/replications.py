"""Many replications: over the threads or processes that the caller lends, until enough, or until interrupted.

Each replication with preset states is an independent scramble, so intervals are Student's over replications.
No processes are started here: an executor comes from above. Work is handed out in chunks of about a second, so that
an interruption finds finished what was simulated until then; what a chunk holds changes no result.
"""

import pickle
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.ports import Cancelled, Progress, no_progress, progress_part
from meshtwin.sim.engine import simulate, simulate_selective
from meshtwin.sim.results import RunResult
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.stopping import FIRST_STAGE, Goal, judge_stage

__all__ = [
    "REPLICATIONS_MOST",
    "Replications",
    "Task",
    "replicate",
    "replicate_until",
    "run_packed",
]

CHUNK_S: Final = 1.0  # what an interruption may lose per worker; long enough to amortise pickling
CHUNKS_PER_WORKER: Final = 16  # at least, for an even end
AHEAD: Final = 2  # chunks per worker that are handed out: none waits for the next one
LOOK_S: Final = 0.25  # how often progress is told, and can interrupt, while no chunk ends
REPLICATIONS_MOST: Final = 10_000  # all results stay in memory; the bound of --replications, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Replications:
    """Finished replications in order of their number, and what is missing; ``gap`` None: nothing."""

    results: tuple[RunResult, ...]
    asked: int
    gap: str | None = None


_Chunk = tuple[float, list[tuple[int, tuple[RunResult, ...]]]]  # seconds that it took, numbers and results


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What every replication of a piece of work has in common."""

    scenarios: tuple[Scenario, ...]
    seed: int
    engine: str
    is_selective: bool
    ranked_as: Scenario | None = None  # to whose ways preset states belong; None: the first scenario's


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
    if not 1 <= replications <= REPLICATIONS_MOST:
        raise InvalidInput(f"{replications} replications is outside 1..{REPLICATIONS_MOST}", place="replications")
    numbers = range(first, first + replications)
    task = Task(scenarios=(scenario,), seed=seed, engine=engine, is_selective=is_selective)
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
    told = tuple(result for number in numbers if number in finished for result in finished[number])
    return Replications(results=told, asked=replications, gap=gap)


def replicate_until(
    scenario: Scenario,
    goals: Sequence[Goal[RunResult]],
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
    stage = judge_stage(goals, start.results, least=least, most=most)
    if start.gap or stage.wanted == FIRST_STAGE:
        return Replications(results=start.results, asked=stage.wanted, gap=start.gap or stage.shortfall)
    rest = ask(
        replications=stage.wanted - FIRST_STAGE, first=FIRST_STAGE, progress=progress_part(progress, 0.5)
    )  # fmt: skip
    short = stage.shortfall
    if rest.gap:
        short = f"{rest.gap} after the first {FIRST_STAGE}; {stage.needed} were needed for {stage.name}"
    return Replications(results=start.results + rest.results, asked=stage.wanted, gap=short)


def _run(
    task: Task, numbers: range, executor: Executor | None, workers: int, finished: dict[int, tuple[RunResult, ...]]
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


def _work(task: Task, numbers: tuple[int, ...]) -> _Chunk:
    begun_s = time.monotonic()
    results = [(number, tuple(_work_one(task, scenario, number) for scenario in task.scenarios)) for number in numbers]
    return time.monotonic() - begun_s, results


def _work_one(task: Task, scenario: Scenario, number: int) -> RunResult:
    if not task.is_selective:
        return simulate(scenario, seed=task.seed, replication=number, engine=task.engine)
    ranked = task.scenarios[0] if task.ranked_as is None else task.ranked_as
    return simulate_selective(scenario, seed=task.seed, replication=number, engine=task.engine, ranked_as=ranked)


def _work_packed(packed: bytes, numbers: tuple[int, ...]) -> _Chunk:
    """In a process: the task is unpacked once, and so is what the engine prepares for its scenario."""
    return _work(_unpack(packed), numbers)


def run_packed(packed: bytes, numbers: tuple[int, ...]) -> list[tuple[int, tuple[RunResult, ...]]]:
    """In a process: the replications of these numbers of a pickled `Task`, each with a result per scenario."""
    done = _work_packed(packed, numbers)[1]
    return [(number, tuple(result.packed() for result in results)) for number, results in done]


@lru_cache(maxsize=2)
def _unpack(packed: bytes) -> Task:
    task: Task = pickle.loads(packed)  # noqa: S301  # written by `_run` of the parent process
    return task
