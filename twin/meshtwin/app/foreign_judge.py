"""Somebody else's model in a twin: asked over HTTP, or in a process of its own, and what happens when it fails.

Loaded when a run asks, since an idle twin needs none of it.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, TypeVar

import structlog

from meshtwin.app.crew import begin_worker
from meshtwin.app.settings import HttpModelConfig, ModelConfig
from meshtwin.app.workers import Parcel, unpack
from meshtwin.errors import InvalidInput, MeshTwinError, Unavailable
from meshtwin.foreign import Destinations, HttpJudge, find_judge
from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.kpis import NetworkKpis
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.ports import Cancelled, Judge, JudgePlan, Progress, no_progress

__all__ = ["ModelAtFault", "PluginJudge", "judge_with", "open_judge"]

log = structlog.get_logger(__name__)

LOOK_S: Final = 0.2  # a cancelled question of a plug-in ends within this
PLUGIN_LIMIT_S: Final = 600.0  # for one question; it may simulate hundreds of configurations
NAME_MAX: Final = 80  # as a prediction holds it
Answer = TypeVar("Answer")


class ModelAtFault(MeshTwinError):
    """Somebody else's model failed; the reason is that of the fault."""

    reason = "ModelFailed"


class _Blaming:
    """A judge whose faults are told apart from those of the question."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    @property
    def model(self) -> str:
        """See `meshtwin.ports.Judge.model`."""
        return self._judge.model[:NAME_MAX]

    def judge(
        self, snapshot: Snapshot, configurations: Sequence[Configuration], plan: JudgePlan, progress: Progress
    ) -> tuple[NetworkKpis, ...]:
        """See `meshtwin.ports.Judge.judge`; raises `ModelAtFault` for whatever the model does wrong."""
        try:
            return self._judge.judge(snapshot, configurations, plan, progress)
        except Cancelled:
            raise
        except MeshTwinError as error:
            raise ModelAtFault(error.message, reason=error.reason, place=error.place) from error


class PluginJudge:
    """A model of an installed package, in a worker process of its own: what it loads and breaks goes with it."""

    def __init__(self, name: str, *, time_limit_s: float = PLUGIN_LIMIT_S) -> None:
        """Starts the process and asks the model for its name; raises as `meshtwin.foreign.find_judge`."""
        self._name, self._time_limit_s = name, time_limit_s
        self._executor = ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn"), initializer=begin_worker
        )
        try:
            self.model = str(self._wait(self._executor.submit(_name_of, name), no_progress))
        except BaseException:
            self.close()
            raise

    def judge(
        self, snapshot: Snapshot, configurations: Sequence[Configuration], plan: JudgePlan, progress: Progress
    ) -> tuple[NetworkKpis, ...]:
        """See `meshtwin.ports.Judge.judge`; ``progress`` is told while it waits, and may end the work."""
        asked = self._executor.submit(_judge_by, self._name, Parcel.of(snapshot), tuple(configurations), plan)
        found = self._wait(asked, lambda share, stage: progress(share, f"asked {self.model}"))
        progress(1.0, f"answered by {self.model}")
        return found

    def close(self) -> None:
        """End the process, also in the middle of a question."""
        for process in list((self._executor._processes or {}).values()):  # until 3.14's kill_workers
            process.kill()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _wait(self, asked: "Future[Answer | _Fault]", progress: Progress) -> Answer:
        deadline_s = time.monotonic() + self._time_limit_s
        while True:
            try:
                told = asked.result(timeout=LOOK_S)
            except NotYet:
                progress(0.0, "")
                if time.monotonic() > deadline_s:
                    message = f"no answer within {self._time_limit_s:g} s"
                    raise Unavailable(message, reason="ModelTimeout", place=self._name) from None
                continue
            except BrokenProcessPool as error:
                message = "its process died (out of memory?)"
                raise Unavailable(message, reason="ModelFailed", place=self._name) from error
            if isinstance(told, _Fault):
                raise InvalidInput(told.message, reason=told.reason, place=self._name)
            return told


class _Fault:
    """A fault in the worker, as it comes back: exceptions of strangers need not survive pickling."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason, self.message = reason, message


def _name_of(name: str) -> "str | _Fault":
    return _telling(lambda: _plugin(name).model)


def _judge_by(
    name: str, parcel: Parcel, configurations: Sequence[Configuration], plan: JudgePlan
) -> "tuple[NetworkKpis, ...] | _Fault":
    def judge() -> tuple[NetworkKpis, ...]:
        snapshot = unpack(parcel)
        told = tuple(_plugin(name).judge(snapshot, configurations, plan, no_progress))
        flows = [flow.name for flow in snapshot.flows]
        if len(told) != len(configurations) or any([f.flow for f in kpis.flows] != flows for kpis in told):
            message = f"{len(told)} answers to {len(configurations)} configurations, or other flows than asked"
            raise InvalidInput(message, reason="ModelAnswer")
        return told

    return _telling(judge)


def _telling(work: Callable[[], Answer]) -> "Answer | _Fault":
    try:
        return work()
    except MeshTwinError as error:
        return _Fault(error.reason, error.message)
    except Exception as error:  # a plug-in may fail in any way
        return _Fault("ModelFailed", f"{type(error).__name__}: {error}"[:500])


@lru_cache(maxsize=1)
def _plugin(name: str) -> Judge:
    return find_judge(name)


@contextmanager
def open_judge(settings: ModelConfig) -> Iterator[Judge]:
    """The model for one run; raises `ModelAtFault` if it can't be reached or loaded."""
    plugin: PluginJudge | None = None
    try:
        if settings.http is not None:
            judge: Judge = _connect(settings.http)
        else:
            judge = plugin = PluginJudge(settings.plugin or "")
    except MeshTwinError as error:
        raise ModelAtFault(error.message, reason=error.reason, place=error.place) from error
    try:
        yield _Blaming(judge)
    finally:
        if plugin is not None:
            plugin.close()


def judge_with(
    settings: ModelConfig | None, own: Judge, ask: Callable[[Judge], Answer], note: Callable[[Answer, str], Answer]
) -> Answer:
    """``ask`` with the model that the settings name; where it fails and they allow it, with ``own``.

    ``note`` puts the reason into an answer of ``own``. Raises `ModelAtFault`, and whatever ``ask`` raises.
    """
    if settings is None:
        return ask(own)
    try:
        with open_judge(settings) as judge:
            return ask(judge)
    except ModelAtFault as error:
        if settings.on_failure == "Fail":
            raise
        log.warning("Asking our own model instead", reason=error.reason, message=str(error)[:300])
        told = f"{error.reason}: {error}"[:300]
        return note(ask(own), f"the model that spec.model names failed ({told}); {own.model} answers instead")


def _connect(http: HttpModelConfig) -> HttpJudge:
    token = None
    if http.token_file is not None:
        try:
            token = http.token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            message = f"the token can't be read: {type(error).__name__}"
            raise InvalidInput(message, reason="ModelCredentials", place="spec.model.http.secretRef") from error
    is_there = http.ca_file is not None and http.ca_file.is_file()
    return HttpJudge.connect(
        http.url,
        token=token,
        time_limit_s=float(http.time_limit_seconds),
        ca_file=str(http.ca_file) if is_there else None,
        only_problems=True,
        refusal=_destinations(http).refusal,
    )


def _destinations(http: HttpModelConfig) -> Destinations:
    """On a cluster the kubelet tells every container the API server's address (as a Service, not its endpoints)."""
    servers = frozenset(filter(_is_address, [os.environ.get("KUBERNETES_SERVICE_HOST", "")]))
    return Destinations(loopback=http.allow_loopback, refused=servers)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
