"""Judging in worker processes that start on demand and leave when nobody asks.

A twin that has been asked nothing for a while keeps no worker. Quick questions have a worker of their own: they do not
wait behind a simulation, and it stays longer.
"""

import hashlib
import os
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from meshtwin.app.answer_room import AnswerRoom
from meshtwin.app.crew import Crew
from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.kpis import FlowDifference, NetworkKpis
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.ports import JudgePlan, Progress, QuickAnswer, progress_part

if TYPE_CHECKING:
    from meshtwin.sim.tallies import RunTally
    from meshtwin.whatif.judging import ScenarioSource
    from meshtwin.whatif.quick import InProcessQuickJudge

__all__ = ["Parcel", "PoolJudge", "unpack"]

# As in `meshtwin.whatif.judging` and `.quick`, which a twin's own process does not load; a test holds them equal.
MODEL_NAME: Final = "packet-simulator"
QUICK_MODEL_NAME: Final = "fast"
ANSWER_MAX_BYTES: Final = 256 * 2**20  # as in `meshtwin.whatif.sizes`
IDLE_S: Final = 30.0  # beside a fork server a worker starts in 20 ms: longer idling buys little
# A person who goes on asking after a look at the answer does not wait for a worker again, nor for what it has worked
# out already (80 ms). It holds some 20 MiB: with it an idle twin could have more than the 150 MiB that it may.
QUICK_IDLE_S: Final = 600.0
QUICK_MOST: Final = 2  # configurations of a quick question: base and changed; searches ask for many, on all workers
MESSAGES_PER_CHUNK: Final = 4000  # some seconds: who is cancelled does not hold the workers for longer
CHUNKS_PER_WORKER: Final = 8  # small enough for progress and an even load, large enough to amortise pickling

SNAPSHOTS_KEPT: Final = 4  # in a worker: a run asks about one snapshot many times, a what-if about two

Task = tuple[int, Configuration, int]  # index of the configuration, itself, replication


@dataclass(frozen=True, slots=True)
class Parcel:
    """A snapshot as it is sent to workers, which unpack it once however often it comes."""

    digest: bytes
    content: bytes

    @classmethod
    def of(cls, snapshot: Snapshot) -> "Parcel":
        """The parcel of ``snapshot``."""
        assert snapshot.fingerprint  # noqa: S101  # worked out here, it goes along
        content = pickle.dumps(snapshot, protocol=pickle.HIGHEST_PROTOCOL)
        return cls(hashlib.blake2b(content, digest_size=16).digest(), content)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parcel) and other.digest == self.digest


class PoolJudge:
    """A `meshtwin.ports.Judge` and `QuickJudge` over worker processes; may be asked from several threads at once.

    ``workers`` processes at most, by default one per usable processor, and one for quick questions. They leave
    ``idle_s`` after the last question, that one ``quick_idle_s`` after. Close it, or use it as a context, to end them
    at once.
    """

    def __init__(
        self, *, workers: int | None = None, idle_s: float = IDLE_S, quick_idle_s: float = QUICK_IDLE_S
    ) -> None:
        self.model = MODEL_NAME
        self.quick_model = QUICK_MODEL_NAME
        self._crew = Crew(workers or max(1, len(os.sched_getaffinity(0))), idle_s, self._forget)
        self._quick_crew = Crew(1, quick_idle_s, self._forget)
        self._room = AnswerRoom(ANSWER_MAX_BYTES)
        self._packed: tuple[tuple[Snapshot, Parcel], ...] = ()

    def judge(
        self,
        snapshot: Snapshot,
        configurations: Sequence[Configuration],
        plan: JudgePlan,
        progress: Progress,
    ) -> tuple[NetworkKpis, ...]:
        """See `meshtwin.ports.Judge.judge`. Raises `Unavailable` if a worker died, else as `InProcessJudge`."""
        from meshtwin.sim.tallies import summarise_tallies

        with self._room_for(((snapshot, configurations),), plan, progress):
            runs = self._tallies(snapshot, configurations, plan, progress)
            return tuple(summarise_tallies(each, snapshot.flows) for each in runs)

    def judge_pair(
        self, before: Snapshot, after: Snapshot, plan: JudgePlan, progress: Progress
    ) -> "tuple[NetworkKpis, NetworkKpis, tuple[FlowDifference, ...]]":
        """See `meshtwin.ports.PairingJudge.judge_pair`; raises as `judge`."""
        from meshtwin.sim.differences import compute_tally_differences
        from meshtwin.sim.tallies import summarise_tallies

        with self._room_for(((before, [before.configuration]), (after, [after.configuration])), plan, progress):
            (first,) = self._tallies(before, [before.configuration], plan, progress_part(progress, 0.0))
            (second,) = self._tallies(after, [after.configuration], plan, progress_part(progress, 0.5))
            differences = compute_tally_differences(first, second)
            return summarise_tallies(first, before.flows), summarise_tallies(second, after.flows), differences

    def _room_for(
        self, sides: Sequence[tuple[Snapshot, Sequence[Configuration]]], plan: JudgePlan, progress: Progress
    ) -> AbstractContextManager[None]:
        """Room for the answers to ``sides``; raises as `check_question` and `check_size`."""
        from meshtwin.whatif.asking import check_question
        from meshtwin.whatif.sizes import answer_bytes, check_size  # deferred: an idle twin need not load the simulator

        for snapshot, configurations in sides:
            check_question(snapshot, configurations)
            check_size(snapshot, len(configurations) * len(sides), plan)
        size = sum(answer_bytes(snapshot, len(configurations), plan) for snapshot, configurations in sides)
        return self._room.taken(size, lambda: progress(0.0, "waiting for memory that other runs hold"))

    def _tallies(
        self, snapshot: Snapshot, configurations: Sequence[Configuration], plan: JudgePlan, progress: Progress
    ) -> "list[list[RunTally]]":
        replications = range(plan.first_replication, plan.first_replication + plan.replications)
        tasks = [(i, c, r) for r in replications for i, c in enumerate(configurations)]
        results: list[dict[int, RunTally]] = [{} for _ in configurations]
        with self._crew.asking() as executor:
            for chunk in self._run(executor, snapshot, tasks, plan, progress):
                for index, replication, result in chunk:
                    results[index][replication] = result
        return [[per[replication] for replication in replications] for per in results]

    def estimate(
        self, snapshot: Snapshot, configurations: Sequence[Configuration], *, seed: int
    ) -> tuple[QuickAnswer, ...]:
        """See `meshtwin.ports.QuickJudge.estimate`. Raises `Unavailable` if a worker died."""
        parcel = self._pack(snapshot)
        crew = self._quick_crew if len(configurations) <= QUICK_MOST else self._crew
        size = max(1, -(-len(configurations) // crew.workers))
        parts = [configurations[start : start + size] for start in range(0, len(configurations), size)]
        with crew.asking() as executor:
            futures = [executor.submit(_estimate, parcel, part, seed) for part in parts]
            return tuple(answer for future in futures for answer in future.result())

    def expect_questions(self) -> None:
        """Has the worker for quick questions start and load its model, if it is not up; does not wait for it."""
        if not self._quick_crew.running:
            with self._quick_crew.asking() as executor:
                executor.submit(_load_quick)

    def load_ahead(self) -> bool:
        """Starts the worker for quick questions and waits until it has loaded the models; it stays as after a question.

        False: they are not compiled yet, which is left to the first question. Raises `Unavailable` if a worker died.
        """
        with self._quick_crew.asking() as executor:
            return executor.submit(_has_models).result()

    @property
    def running(self) -> bool:
        """Whether workers are up."""
        return self._crew.running or self._quick_crew.running

    def close(self) -> None:
        """Ends the workers at once, and for good; what is being judged is given up and raises `Cancelled`."""
        self._quick_crew.close()
        self._crew.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(
        self,
        executor: ProcessPoolExecutor,
        snapshot: Snapshot,
        tasks: Sequence[Task],
        plan: JudgePlan,
        progress: Progress,
    ) -> Iterator[list[tuple[int, int, "RunTally"]]]:
        most = max(1, MESSAGES_PER_CHUNK // max(1, plan.messages_per_flow * len(snapshot.flows)))
        size = min(most, max(1, len(tasks) // (self._crew.workers * CHUNKS_PER_WORKER)))
        parcel = self._pack(snapshot)
        futures: list[Future[list[tuple[int, int, RunTally]]]] = [
            executor.submit(_work, parcel, tasks[start : start + size], plan) for start in range(0, len(tasks), size)
        ]
        done = 0
        try:
            for future in as_completed(futures):
                chunk = future.result()
                yield chunk
                done += len(chunk)
                progress(done / len(tasks), f"simulated {done} of {len(tasks)} replications")
        finally:
            for future in futures:
                future.cancel()

    def _forget(self) -> None:
        self._packed = ()

    def _pack(self, snapshot: Snapshot) -> Parcel:
        """The parcel of a snapshot, packed once for all questions about it."""
        for known, parcel in self._packed:
            if known is snapshot:
                return parcel
        parcel = Parcel.of(snapshot)
        self._packed = ((snapshot, parcel), *self._packed[: SNAPSHOTS_KEPT - 1])
        return parcel


def _work(parcel: Parcel, tasks: Sequence[Task], plan: JudgePlan) -> list[tuple[int, int, "RunTally"]]:
    from meshtwin.sim.tallies import tally_run  # in the worker only
    from meshtwin.whatif.judging import run_replication

    source, flows = _source(parcel, plan.messages_per_flow, plan.sample_links), unpack(parcel).flows
    return [
        (index, replication, tally_run(run_replication(source, configuration, plan, replication), flows))
        for index, configuration, replication in tasks
    ]


def _has_models() -> bool:
    from meshtwin.app import preloading  # in the worker only; loaded already where a fork server is

    return preloading.IS_LOADED


def _load_quick() -> None:
    """What the first estimate would wait for: numba, and the kernel from its cache, or compiled."""
    from meshtwin.fast import compile_ahead  # in the worker only

    compile_ahead()


def _estimate(parcel: Parcel, configurations: Sequence[Configuration], seed: int) -> tuple[QuickAnswer, ...]:
    return _quick(parcel).estimate(unpack(parcel), configurations, seed=seed)


@lru_cache(maxsize=SNAPSHOTS_KEPT)
def unpack(parcel: Parcel) -> Snapshot:
    """The snapshot of a parcel, unpacked once per process."""
    snapshot = pickle.loads(parcel.content)  # noqa: S301  # packed by the twin that started this process
    if not isinstance(snapshot, Snapshot):
        raise TypeError(f"{type(snapshot).__name__} is no snapshot")
    return snapshot


@lru_cache(maxsize=SNAPSHOTS_KEPT)
def _source(parcel: Parcel, messages_per_flow: int, sample_links: bool) -> "ScenarioSource":
    from meshtwin.whatif.judging import ScenarioSource  # in the worker only

    return ScenarioSource(unpack(parcel), messages_per_flow, sample_links)


@lru_cache(maxsize=SNAPSHOTS_KEPT)
def _quick(parcel: Parcel) -> "InProcessQuickJudge":
    from meshtwin.whatif.quick import InProcessQuickJudge  # in the worker only

    return InProcessQuickJudge()
