"""Runs of pipelines and what-ifs: bounded in number, idempotent by id, followed by progress, kept on disk.

A run that was under way when the twin ended is Failed with reason ``Interrupted`` after the restart, and not
unknown: the asker may ask again under another id.
"""

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial as partial_of
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
from pydantic import ValidationError

from meshtwin.app.settings import ModelConfig
from meshtwin.app.threads import in_own_thread
from meshtwin.errors import InvalidInput, MeshTwinError, Unavailable
from meshtwin.mesh.kpis import Prediction
from meshtwin.ports import Cancelled, Progress, Provisional
from meshtwin.recipes.figures import PredictionModel, ProvisionalModel
from meshtwin.recipes.messages import PipelineRequest, RunError, RunStatus, WhatIfRequest
from meshtwin.repository.atomic import write_atomically
from meshtwin.twins.partial import PartialSnapshot

if TYPE_CHECKING:
    from meshtwin.app.workers import PoolJudge

__all__ = ["RUNS_AT_ONCE", "RUNS_KEPT", "RunRegistry"]

log = structlog.get_logger(__name__)

RUNS_AT_ONCE: Final = 4  # each keeps a thread; the worker processes are shared
RUNS_KEPT: Final = 64  # finished ones; results of a pipeline take some 10 kB
RUN_LIMIT_S: Final = 3600.0  # the longest seen, a pipeline on 300 nodes on a busy machine, takes two minutes
KEEP_MODELS_S: Final = 600.0  # as in `meshtwin.app.settings`
DOOR_S: Final = 0.5  # an asker waits no longer for a snapshot to be refused by; one of 300 nodes takes some 30 ms
SEED_MAX: Final = 2**31 - 1

ABOUT_MAX: Final = 1024  # characters, as `ProvisionalModel` allows

Work = Callable[[PartialSnapshot, int, Progress, Provisional], RunStatus]


@dataclass(slots=True)
class _Run:
    status: RunStatus
    task: asyncio.Task[None] | None = None
    taking: asyncio.Future[PartialSnapshot] | None = None  # the snapshot, until it is there
    is_cancelled: bool = False
    is_at_work: bool = False  # its thread may go on for a while after the run is settled
    written: Future[None] | None = None  # who is told of a run finds it again, whatever happens to the twin
    is_told: asyncio.Event = field(default_factory=asyncio.Event)  # there is a first answer, or it is over
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        if self.status.state != "Running":
            self.end()

    def end(self) -> None:
        """Nobody waits for it any more."""
        self.is_told.set()
        self.is_over.set()


@dataclass(slots=True)
class RunRegistry:
    """All runs of one twin; a `meshtwin.northbound.views.RunDesk`.

    ``snapshot`` gives what the models start from; ``workers`` is the number of simulation processes, which keep the
    models loaded for ``keep_models_s`` after the last question; ``model`` is somebody else's in the simulator's place;
    ``on_answer`` is told of each first and each last answer. ``check_names`` refuses a request before any recipe of
    a package is loaded for it.
    """

    folder: Path
    snapshot: Callable[[], Awaitable[PartialSnapshot]]
    workers: int = 2
    keep_models_s: float = KEEP_MODELS_S
    limit_s: float = RUN_LIMIT_S  # a run that takes longer fails
    model: ModelConfig | None = None
    door_s: float = DOOR_S
    on_answer: Callable[[], None] = lambda: None
    check_names: Callable[[PipelineRequest], None] = lambda _: None
    _runs: dict[str, _Run] = field(default_factory=dict)
    _judge: "PoolJudge | None" = None
    # Waiting for the disk takes 5 ms and more, which no first answer shall wait for; one thread keeps the order
    _writer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "runs are written"))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        paths = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in paths:
            status = _read(path)
            if status is None:
                path.unlink(missing_ok=True)
                continue
            if status.state == "Running":
                status = _failed(status, "Interrupted", "the twin ended while the run was under way")
                write_atomically(path, status.to_payload())
            self._runs[status.run_id] = _Run(status)
        self._forget_old()

    async def start_pipeline(self, request: PipelineRequest) -> RunStatus:
        """Start the run, or find the one with this id.

        Raises `InvalidInput` for a recipe or a parameter that is not known, or a question too large, before anything
        starts; `Unavailable` while it is not known which recipes there are.
        """
        if self.get(request.run_id) is None:
            self.check_names(request)
            await in_own_thread("recipes are looked at", lambda: _check_recipes(request))
        return await self._admit(request, self._pipeline_work(request))

    async def start_what_if(self, request: WhatIfRequest) -> RunStatus:
        """Start the run, or find the one with this id. Raises `InvalidInput` for a question too large."""
        return await self._admit(request, self._what_if_work(request))

    def get(self, run_id: str) -> RunStatus | None:
        """Where a run stands."""
        run = self._runs.get(run_id)
        return None if run is None else run.status

    async def wait(self, run_id: str, seconds: float, *, until_over: bool) -> RunStatus | None:
        """Where a run stands when it has a first answer, or is over, or ``seconds`` have passed."""
        run = self._runs.get(run_id)
        if run is None:
            return None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await (run.is_over if until_over else run.is_told).wait()
        return run.status

    async def cancel(self, run_id: str) -> RunStatus | None:
        """End a run at its next report of progress; a finished one stays as it is."""
        run = self._runs.get(run_id)
        if run is None:
            return None
        if run.status.state == "Running":
            run.is_cancelled = True
            self._settle(run, _failed(run.status, "Cancelled", "ended on request"))
        return run.status

    async def load_models(self) -> bool:
        """Loads what the first answer would wait for, in a worker and here; False: nothing is compiled yet.

        Raises `Unavailable` if the worker died.
        """
        loaded, _ = await asyncio.gather(
            in_own_thread("load models", self._pool().load_ahead), asyncio.to_thread(_load_answering)
        )
        return loaded

    async def rehearse(self) -> bool:
        """Loads the models, and has them estimate what is in force, which the first question then finds done before.

        It takes 0.1 s, and 40 ms off the first answer. Raises and tells as `load_models`.
        """
        if not await self.load_models():
            return False
        snapshot = (await self.snapshot()).snapshot
        with contextlib.suppress(InvalidInput):  # such as flows from nowhere: the question that asks of it is told
            ask = partial_of(self._pool().estimate, snapshot, (snapshot.configuration,), seed=0)
            await in_own_thread("rehearse", ask)
        return True

    def close(self) -> None:
        """Give up what runs, and end the workers."""
        for run in self._runs.values():
            if run.status.state == "Running":
                run.is_cancelled = True
                self._settle(run, _failed(run.status, "Interrupted", "the twin ended"))
        if self._judge is not None:
            self._judge.close()
        self._writer.shutdown()

    async def _admit(self, request: PipelineRequest | WhatIfRequest, work: Work) -> RunStatus:
        """Starts what fits. A snapshot that is slow or fails is left to the run."""
        known = self._find_or_make_room(request.run_id)
        if known is not None:
            return known
        if isinstance(request, WhatIfRequest):  # a person waits for its first answer: the worker starts meanwhile
            await asyncio.to_thread(self._pool().expect_questions)
        taking = asyncio.ensure_future(self.snapshot())
        try:
            await asyncio.wait({taking}, timeout=self.door_s)
            if taking.done() and taking.exception() is None:
                await asyncio.to_thread(_check_request, request, taking.result())
            status = self._start(request.run_id, request.seed, work, taking)
            if (written := self._runs[request.run_id].written) is not None:
                await asyncio.wrap_future(written)
            return status
        finally:
            if not any(run.taking is taking for run in self._runs.values()):  # refused, or another was quicker
                taking.cancel()

    def _find_or_make_room(self, run_id: str) -> RunStatus | None:
        """Where the run with this id stands; raises `Unavailable` if there is none and no place for another one."""
        known = self._runs.get(run_id)
        if known is not None:
            return known.status
        running = sum(1 for run in self._runs.values() if run.status.state == "Running" or run.is_at_work)
        if running >= RUNS_AT_ONCE:
            message = f"{running} runs are under way, {RUNS_AT_ONCE} are allowed at once; wait for one, or end it"
            raise Unavailable(message, reason="TooManyRuns", place="runs")
        return None

    def _start(
        self, run_id: str, seed: int | None, work: Work, taking: "asyncio.Future[PartialSnapshot] | None" = None
    ) -> RunStatus:
        known = self._find_or_make_room(run_id)
        if known is not None:
            return known
        run = _Run(RunStatus(run_id=run_id, state="Running", stage="taking a snapshot"), taking=taking)
        self._runs[run_id] = run
        run.written = self._write(run.status)
        chosen = secrets.randbelow(SEED_MAX) if seed is None else seed
        run.task = asyncio.create_task(self._run(run, chosen, work), name=f"run {run_id}")
        self._forget_old()
        return run.status

    async def _run(self, run: _Run, seed: int, work: Work) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = time.monotonic() + self.limit_s
        late = f"not done within {self.limit_s:g} s; ask for fewer messages or replications"

        def progress(share: float, stage: str) -> None:
            if run.is_cancelled:
                raise Cancelled("the run was ended")
            if time.monotonic() > deadline_s:
                raise Unavailable(late, reason="TimeLimit", place="run")
            loop.call_soon_threadsafe(self._progressed, run, share, stage)

        def provisional(prediction: Prediction, about: str) -> None:
            loop.call_soon_threadsafe(self._expected, run, prediction, about)

        try:
            partial = await (self.snapshot() if run.taking is None else run.taking)
            run.taking = None
            if run.is_cancelled:
                return
            self._progressed(run, 0.0, "asking the models, which takes longer the first time")
            run.is_at_work = True
            ask = partial_of(work, partial, seed, progress, provisional)
            status = await in_own_thread(f"run {run.status.run_id}", ask)
            self.on_answer()
        except MeshTwinError as error:
            status = _failed(run.status, error.reason, str(error))
        except Exception as error:  # a bug of a model: the run fails, the twin goes on
            log.exception("Run failed", run=run.status.run_id)
            status = _failed(run.status, "InternalError", f"{type(error).__name__}: {error}"[:500])
        finally:
            run.is_at_work = False
        if run.status.state == "Running":
            self._settle(run, status.model_copy(update={"provisional": run.status.provisional}))

    def _expected(self, run: _Run, prediction: Prediction, about: str) -> None:
        """Shows the fast model's answer while the simulation goes on."""
        if run.status.state == "Running":
            told = ProvisionalModel(prediction=PredictionModel.from_value(prediction), message=about[:ABOUT_MAX])
            run.status = run.status.model_copy(update={"provisional": told})
            run.is_told.set()
            self.on_answer()

    def _progressed(self, run: _Run, share: float, stage: str) -> None:
        if run.status.state == "Running":
            per_mille = min(max(round(share * 1000), 0), 1000)
            run.status = run.status.model_copy(update={"progress_per_mille": per_mille, "stage": stage})

    def _settle(self, run: _Run, status: RunStatus) -> None:
        run.status = status
        self._write(status).result()  # what is told as over is kept
        run.end()
        log.info("Run ended", run=status.run_id, state=status.state, stage=status.stage)

    def _write(self, status: RunStatus) -> Future[None]:
        return self._writer.submit(self._write_now, status)

    def _write_now(self, status: RunStatus) -> None:
        try:
            write_atomically(self._path(status.run_id), status.to_payload())
        except Unavailable as error:
            log.warning("Run not kept", run=status.run_id, reason=error.message)

    def _path(self, run_id: str) -> Path:
        return self.folder / f"{hashlib.sha256(run_id.encode()).hexdigest()[:32]}.json"

    def _forget_old(self) -> None:
        finished = [run_id for run_id, run in self._runs.items() if run.status.state != "Running"]
        for run_id in finished[: max(0, len(finished) - RUNS_KEPT)]:
            del self._runs[run_id]
            self._writer.submit(self._path(run_id).unlink, missing_ok=True)

    def _pool(self) -> "PoolJudge":
        if self._judge is None:
            from meshtwin.app.workers import IDLE_S, PoolJudge  # deferred: an idle twin needs none of it

            self._judge = PoolJudge(workers=self.workers, quick_idle_s=max(IDLE_S, self.keep_models_s))
        return self._judge

    def _pipeline_work(self, request: PipelineRequest) -> Work:
        judge = self._pool()

        def work(partial: PartialSnapshot, seed: int, progress: Progress, provisional: Provisional) -> RunStatus:
            from meshtwin.app.modelling import run_pipeline_request

            return run_pipeline_request(
                request, partial, judge, seed, progress, quick=judge, provisional=provisional, model=self.model
            )

        return work

    def _what_if_work(self, request: WhatIfRequest) -> Work:
        judge = self._pool()

        def work(partial: PartialSnapshot, seed: int, progress: Progress, provisional: Provisional) -> RunStatus:
            from meshtwin.app.modelling import run_what_if_request

            return run_what_if_request(
                request, partial, judge, seed, progress, quick=judge, provisional=provisional, model=self.model
            )

        return work


def _check_recipes(request: PipelineRequest) -> None:
    from meshtwin.recipes.pipeline import find_uses  # deferred: an idle twin needs none of it

    find_uses(request)


def _check_request(request: PipelineRequest | WhatIfRequest, partial: PartialSnapshot) -> None:
    from meshtwin.app.modelling import check_request  # deferred: an idle twin needs none of it

    check_request(request, partial.snapshot)


def _load_answering() -> None:
    import meshtwin.app.modelling  # noqa: F401  # 0.1 s


def _failed(status: RunStatus, reason: str, message: str) -> RunStatus:
    return status.model_copy(update={"state": "Failed", "error": RunError(reason=reason, message=message)})


def _read(path: Path) -> RunStatus | None:
    try:
        return RunStatus.model_validate_json(path.read_bytes())
    except (OSError, ValidationError, InvalidInput) as error:
        log.warning("Run not read", path=str(path), error=str(error)[:200])
        return None
