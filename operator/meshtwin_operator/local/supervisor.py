"""Child processes of local mode: started, watched for readiness, restarted with backoff, never left behind.

A child runs in a session of its own (Ctrl-C at the terminal reaches only us) and is tethered to this process
(`tether`). Process ids are on disk, so that leftovers of a crash are found and ended at the next start.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from meshtwin_operator.local import tether
from meshtwin_operator.local.state import write_private

__all__ = ["ChildSpec", "ChildView", "Supervisor"]

log = structlog.get_logger(__name__)

STOP_GRACE_S: Final = 8.0  # SIGTERM, then SIGKILL
BACKOFF_MIN_S: Final = 0.5
BACKOFF_MAX_S: Final = 30.0
STEADY_AFTER_S: Final = 30.0  # alive so long: the next failure starts at the shortest backoff again
PROBE_STARTING_S: Final = 0.2
PROBE_READY_S: Final = 2.0
LOG_LIMIT_BYTES: Final = 5_000_000  # a larger log is set aside at the next start

Probe = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """What should run. Another ``command``, ``environment`` or ``token`` restarts the child."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    token: str = ""  # content hash of the files it reads
    probe: Probe = field(compare=False)  # whether it is ready; must not raise
    is_last: bool = False  # ended after the others: they still say goodbye to it


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildView:
    """How a child is; ``problem`` says why it is down."""

    exists: bool = False
    ready: bool = False
    pid: int | None = None
    restarts: int = 0
    problem: str | None = None
    last_end: str | None = None  # how it ended last, also when it is up again


class Supervisor:
    """Keeps the children running that were applied. ``changed`` is called with a child's name."""

    def __init__(self, *, logs: Path, pid_file: Path, changed: Callable[[str], None]) -> None:
        self._logs = logs
        self._pid_file = pid_file
        self._changed = changed
        self._children: dict[str, _Child] = {}

    async def apply(self, spec: ChildSpec) -> bool:
        """Make the child run as described; returns whether anything had to be done."""
        current = self._children.get(spec.name)
        if current is not None:
            if current.spec == spec:
                return False
            await current.stop()
        log_path = self._logs / f"{spec.name}.log"
        self._children[spec.name] = _Child(spec, log_path, self._child_changed)
        self._changed(spec.name)
        return True

    async def remove(self, name: str) -> None:
        """End a child and forget it."""
        child = self._children.pop(name, None)
        if child is not None:
            await child.stop()
            self._child_changed(name)

    async def restart(self, name: str) -> None:
        """End a child and start it again."""
        child = self._children.pop(name, None)
        if child is not None:
            await child.stop()
            await self.apply(child.spec)

    def view(self, name: str) -> ChildView:
        """How a child is now."""
        child = self._children.get(name)
        return ChildView() if child is None else child.view()

    @property
    def names(self) -> tuple[str, ...]:
        """All children, by name."""
        return tuple(sorted(self._children))

    async def stop_all(self) -> None:
        """End all children: at once, but those that are ``is_last`` after the others."""
        children, self._children = list(self._children.values()), {}
        for is_last in (False, True):
            await asyncio.gather(*(child.stop() for child in children if child.spec.is_last is is_last))
        self._write_pids()

    async def end_leftovers(self) -> None:
        """End children of an earlier operator that was killed; the tether has done it already on Linux."""
        if not self._pid_file.exists():
            return
        with contextlib.suppress(ValueError):
            for name, (pid, started) in json.loads(self._pid_file.read_text()).items():
                if _start_time(pid) == started and started is not None:
                    log.warning("Ending a child left behind", child=name, pid=pid)
                    await _end_group(pid)

    def _child_changed(self, name: str) -> None:
        self._write_pids()
        self._changed(name)

    def _write_pids(self) -> None:
        views = {name: child.view().pid for name, child in self._children.items()}
        pids = {name: (pid, _start_time(pid)) for name, pid in views.items() if pid is not None}
        write_private(self._pid_file, json.dumps(pids).encode())


class _Child:
    """One child and the task that keeps it running."""

    def __init__(self, spec: ChildSpec, log_path: Path, changed: Callable[[str], None]) -> None:
        self.spec = spec
        self._log_path = log_path
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._ready = False
        self._restarts = 0
        self._problem: str | None = None
        self._last_end: str | None = None
        self._task = asyncio.create_task(self._keep_running(), name=f"child {spec.name}")

    def view(self) -> ChildView:
        running = self._process is not None and self._process.returncode is None
        return ChildView(
            exists=True,
            ready=self._ready and running,
            pid=self._process.pid if running and self._process else None,
            restarts=self._restarts,
            problem=self._problem,
            last_end=self._last_end,
        )

    async def stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _keep_running(self) -> None:
        backoff_s = BACKOFF_MIN_S
        while True:
            started_s = time.monotonic()
            try:
                code = await self._run_once()
            except OSError as error:
                self._problem = f"cannot be started: {error}"
            else:
                self._problem = f"ended with code {code}: {_last_line(self._log_path)}"
            self._last_end = self._problem
            self._ready = False
            self._restarts += 1
            log.warning("Child ended", child=self.spec.name, problem=self._problem)
            self._changed(self.spec.name)
            if time.monotonic() - started_s > STEADY_AFTER_S:
                backoff_s = BACKOFF_MIN_S
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)

    async def _run_once(self) -> int:
        _set_aside(self._log_path)
        with self._log_path.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *self.spec.command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **self.spec.environment},
                start_new_session=True,
            )
        self._process = process
        self._changed(self.spec.name)
        probing = asyncio.create_task(self._watch_readiness())
        try:
            return await process.wait()
        finally:
            probing.cancel()
            if process.returncode is None:
                _signal_group(process.pid, signal.SIGTERM)
                try:
                    async with asyncio.timeout(STOP_GRACE_S):
                        await process.wait()
                except TimeoutError:
                    log.warning("Child did not end, killing it", child=self.spec.name)
            _signal_group(process.pid, signal.SIGKILL)  # workers that a child left in its session
            await process.wait()

    async def _watch_readiness(self) -> None:
        while True:
            ready = await self.spec.probe()
            if ready != self._ready:
                self._ready = ready
                if ready:
                    self._problem = None
                self._changed(self.spec.name)
            await asyncio.sleep(PROBE_READY_S if ready else PROBE_STARTING_S)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


async def _end_group(pid: int) -> None:
    _signal_group(pid, signal.SIGTERM)
    deadline_s = time.monotonic() + STOP_GRACE_S
    while _start_time(pid) is not None and time.monotonic() < deadline_s:  # noqa: ASYNC110  # not our child
        await asyncio.sleep(0.1)
    _signal_group(pid, signal.SIGKILL)


def _start_time(pid: int) -> str | None:
    """Clock ticks after boot at which a process started: with its id, who it is; None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _set_aside(path: Path) -> None:
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(".log.1"))


def _last_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 2000))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return "no log"
    return lines[-1][:300] if lines else "nothing in its log"
