"""Long-running programs: start one in the background, know it again later, end it and nobody else.

A process id alone may name a stranger after a crash, so its start time and the machine's boot are kept too.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.state import State

__all__ = ["end", "end_all", "is_running", "read_pid", "read_start", "start", "wait_for"]

GRACE_S = 2.0  # between asking and ending; nothing here has state worth a longer one
POLL_S = 0.05


def start(state: State, name: str, command: Sequence[str | Path], *, folder: Path | None = None) -> None:
    """Start ``command`` in a session of its own, in ``folder`` (None: the state folder).

    Its output goes to ``logs/NAME.log``.
    """
    log = state.logs / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder or state.folder,
            start_new_session=True,
        )
    identity = {"pid": process.pid, "start": read_start(process.pid)}
    (state.processes / name).write_text(json.dumps(identity))
    process.returncode = 0  # it outlives us on purpose: no warning that it still runs


def wait_for(
    state: State, what: str, is_there: Callable[[], bool], *, within_s: float, needs: Iterable[str] = ()
) -> None:
    """Wait until ``is_there()``. Raises `ClusterError` after that time, or once a program it needs has ended."""
    deadline_s = time.monotonic() + within_s
    while not is_there():
        for name in needs:
            if not is_running(state, name):
                raise ClusterError(f"{name} ended while waiting for {what}\n{_tail(state, name)}")
        if time.monotonic() > deadline_s:
            said = "\n".join(f"{name}:\n{_tail(state, name)}" for name in needs)
            raise ClusterError(f"no {what} after {within_s:g} s; logs are in {state.logs}\n{said}")
        time.sleep(POLL_S)


def is_running(state: State, name: str) -> bool:
    return read_pid(state, name) is not None


def read_pid(state: State, name: str) -> int | None:
    """The process id of ``name`` while that very process runs, else None."""
    try:
        identity = json.loads((state.processes / name).read_text())
    except (FileNotFoundError, ValueError):
        return None
    pid = int(identity["pid"])
    _reap(pid)
    start_now = read_start(pid)
    return pid if start_now is not None and start_now == identity["start"] else None


def read_start(pid: int) -> str | None:
    """What tells this process from a later one of the same id; None once it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] == "Z":
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{fields[19]}"  # field 22 of proc(5), starttime, counted after the name


def end(state: State, names: Sequence[str]) -> None:
    """End these programs together: ask, wait a little, then insist."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        deadline_s = time.monotonic() + GRACE_S
        for name in names:
            pid = read_pid(state, name)
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sign)
        while any(is_running(state, name) for name in names) and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
    for name in names:
        if is_running(state, name):
            raise ClusterError(f"{name} (process {read_pid(state, name)}) does not end")
        (state.processes / name).unlink(missing_ok=True)


def end_all(state: State, *, last: str | None = None) -> None:
    """End everything started in ``state``; ``last`` after all others."""
    names = [path.name for path in state.processes.glob("*")] if state.processes.exists() else []
    end(state, [name for name in names if name != last])
    end(state, [name for name in names if name == last])


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _tail(state: State, name: str, lines: int = 12) -> str:
    log = state.logs / f"{name}.log"
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
