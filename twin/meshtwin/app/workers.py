"""Judging in worker processes that start on demand and leave when nobody asks.

A twin that is asked nothing keeps no worker. Workers are spawned, not forked: the twin has threads.
"""

import hashlib
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from meshtwin.errors import Unavailable
from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.kpis import NetworkKpis
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.ports import Cancelled, JudgePlan, Progress, QuickAnswer

if TYPE_CHECKING:
    from meshtwin.sim.tallies import RunTally
    from meshtwin.whatif.judging import ScenarioSource
    from meshtwin.whatif.quick import InProcessQuickJudge

__all__ = ["Parcel", "PoolJudge", "begin_worker", "unpack"]

# As in `meshtwin.whatif.judging` and `.quick`, which a twin's own process does not load; a test holds them equal.
MODEL_NAME: Final = "packet-simulator"
QUICK_MODEL_NAME: Final = "fast"
END_S: Final = 5.0  # for the end of a killed process
IDLE_S: Final = 30.0  # a worker starts in about a second: longer idling buys little
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
        content = pickle.dumps(snapshot, protocol=pickle.HIGHEST_PROTOCOL)
        return cls(hashlib.blake2b(content, digest_size=16).digest(), content)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parcel) and other.digest == self.digest


class PoolJudge:
    """A `meshtwin.ports.Judge` and `QuickJudge` over worker processes; may be asked from several threads at once.

    ``workers`` processes at most, by default one per usable processor. They leave ``idle_s`` after the last
    question. Close it, or use it as a context, to end them at once.
    """

    def __init__(self, *, workers: int | None = None, idle_s: float = IDLE_S) -> None:
        self.model = MODEL_NAME
        self.quick_model = QUICK_MODEL_NAME
        self._workers = workers or max(1, len(os.sched_getaffinity(0)))
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._executor: ProcessPoolExecutor | None = None
        self._askers = 0
        self._is_closed = False
        self._timer: threading.Timer | None = None
        self._packed: tuple[tuple[Snapshot, Parcel], ...] = ()

    def judge(
        self,
        snapshot: Snapshot,
        configurations: Sequence[Configuration],
        plan: JudgePlan,
        progress: Progress,
    ) -> tuple[NetworkKpis, ...]:
        """See `meshtwin.ports.Judge.judge`. Raises `Unavailable` if a worker died, `InvalidInput` for too much."""
        from meshtwin.sim.tallies import summarise_tallies
        from meshtwin.whatif.sizes import check_size  # deferred: an idle twin need not load the simulator

        check_size(snapshot, len(configurations), plan)
        replications = range(plan.first_replication, plan.first_replication + plan.replications)
        tasks = [(i, c, r) for r in replications for i, c in enumerate(configurations)]
        results: list[dict[int, RunTally]] = [{} for _ in configurations]
        with self._asking() as executor, self._noting_death(executor):
            for chunk in self._run(executor, snapshot, tasks, plan, progress):
                for index, replication, result in chunk:
                    results[index][replication] = result
        return tuple(summarise_tallies([per[r] for r in replications], snapshot.flows) for per in results)

    def estimate(
        self, snapshot: Snapshot, configurations: Sequence[Configuration], *, seed: int
    ) -> tuple[QuickAnswer, ...]:
        """See `meshtwin.ports.QuickJudge.estimate`. Raises `Unavailable` if a worker died."""
        parcel = self._pack(snapshot)
        size = max(1, -(-len(configurations) // self._workers))
        parts = [configurations[start : start + size] for start in range(0, len(configurations), size)]
        with self._asking() as executor, self._noting_death(executor):
            futures = [executor.submit(_estimate, parcel, part, seed) for part in parts]
            return tuple(answer for future in futures for answer in future.result())

    @property
    def running(self) -> bool:
        """Whether workers are up."""
        with self._lock:
            return self._executor is not None

    def close(self) -> None:
        """Ends the workers at once, and for good; what is being judged is given up and raises `Cancelled`."""
        with self._lock:
            self._is_closed = True
            executor, self._executor = self._executor, None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if executor is not None:
            workers = list((executor._processes or {}).values())  # until 3.14's kill_workers
            for worker in workers:  # what one of them simulates may take minutes
                worker.kill()
            executor.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.join(END_S)

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
        size = min(most, max(1, len(tasks) // (self._workers * CHUNKS_PER_WORKER)))
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

    @contextmanager
    def _asking(self) -> Iterator[ProcessPoolExecutor]:
        """The workers, started if need be, and kept at least as long as someone asks."""
        with self._lock:
            if self._is_closed:
                raise Cancelled("the workers have ended")
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._executor is None:
                self._executor = ProcessPoolExecutor(
                    self._workers, mp_context=multiprocessing.get_context("spawn"), initializer=begin_worker
                )
            executor = self._executor
            self._askers += 1
        try:
            yield executor
        finally:
            with self._lock:
                self._askers -= 1
                if self._askers == 0 and self._executor is not None:
                    self._timer = threading.Timer(self._idle_s, self._leave_if_idle)
                    self._timer.daemon = True
                    self._timer.start()

    @contextmanager
    def _noting_death(self, executor: ProcessPoolExecutor) -> Iterator[None]:
        """Tells a worker that died by itself from one that `close` ended."""
        try:
            yield
        except (BrokenProcessPool, CancelledError) as error:
            if self._is_closed:
                raise Cancelled("the workers have ended") from error
            self._discard(executor)
            message = "a worker died (out of memory?); ask again, or for fewer messages"
            raise Unavailable(message, reason="WorkerDied") from error

    def _pack(self, snapshot: Snapshot) -> Parcel:
        """The parcel of a snapshot, packed once for all questions about it."""
        for known, parcel in self._packed:
            if known is snapshot:
                return parcel
        parcel = Parcel.of(snapshot)
        self._packed = ((snapshot, parcel), *self._packed[: SNAPSHOTS_KEPT - 1])
        return parcel

    def _leave_if_idle(self) -> None:
        with self._lock:
            if self._askers:
                return
            self._packed = ()
            executor, self._executor = self._executor, None
            self._timer = None
        if executor is not None:
            executor.shutdown(wait=True)

    def _discard(self, executor: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._executor is executor:
                self._executor = None
        executor.shutdown(wait=False, cancel_futures=True)


def begin_worker() -> None:
    """Leaves Ctrl-C to the twin, and dies with it: a worker that waits for work would outlive a killed twin."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _work(parcel: Parcel, tasks: Sequence[Task], plan: JudgePlan) -> list[tuple[int, int, "RunTally"]]:
    from meshtwin.sim.tallies import tally_run  # in the worker only
    from meshtwin.whatif.judging import run_replication

    source, flows = _source(parcel, plan.messages_per_flow, plan.sample_links), unpack(parcel).flows
    return [
        (index, replication, tally_run(run_replication(source, configuration, plan, replication), flows))
        for index, configuration, replication in tasks
    ]


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
