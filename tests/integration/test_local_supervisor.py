"""Child processes of local mode, with real processes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from meshtwin_operator.local.supervisor import ChildSpec, Supervisor

SLEEPER = (sys.executable, "-S", "-c", "import time; print('begun', flush=True); time.sleep(600)")


async def always() -> bool:
    return True


def spec(name: str = "child", command: tuple[str, ...] = SLEEPER, token: str = "") -> ChildSpec:
    return ChildSpec(name=name, command=command, token=token, probe=always)


async def until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "condition not met"
        await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    made = Supervisor(logs=tmp_path, pid_file=tmp_path / "pids.json", changed=lambda _: None)
    yield made
    await made.stop_all()


def pid_of(supervisor: Supervisor, name: str = "child") -> int:
    pid = supervisor.view(name).pid
    assert pid is not None
    return pid


async def test_child_becomes_ready_and_ends_with_its_supervisor(supervisor: Supervisor) -> None:
    await supervisor.apply(spec())
    await until(lambda: supervisor.view("child").ready)
    pid = pid_of(supervisor)
    await supervisor.stop_all()
    assert not is_alive(pid)
    assert not supervisor.view("child").exists


async def test_applying_the_same_again_leaves_the_child_alone(supervisor: Supervisor) -> None:
    await supervisor.apply(spec())
    await until(lambda: supervisor.view("child").ready)
    pid = pid_of(supervisor)
    assert not await supervisor.apply(spec())
    assert pid_of(supervisor) == pid


async def test_other_content_restarts_the_child(supervisor: Supervisor) -> None:
    await supervisor.apply(spec(token="a"))
    await until(lambda: supervisor.view("child").ready)
    pid = pid_of(supervisor)
    assert await supervisor.apply(spec(token="b"))
    await until(lambda: supervisor.view("child").ready)
    assert pid_of(supervisor) != pid
    assert not is_alive(pid)


async def test_killed_child_is_started_again(supervisor: Supervisor) -> None:
    await supervisor.apply(spec())
    await until(lambda: supervisor.view("child").ready)
    pid = pid_of(supervisor)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: supervisor.view("child").restarts == 1 and supervisor.view("child").ready)
    assert pid_of(supervisor) != pid


async def test_child_that_fails_is_shown_with_its_last_words(supervisor: Supervisor) -> None:
    failing = (sys.executable, "-S", "-c", "import sys; sys.exit('no such gateway')")
    await supervisor.apply(spec(command=failing))
    await until(lambda: supervisor.view("child").restarts >= 1)
    problem = supervisor.view("child").problem
    assert problem is not None
    assert "no such gateway" in problem


async def test_child_that_ignores_the_signal_is_killed(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshtwin_operator.local.supervisor.STOP_GRACE_S", 0.2)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    await supervisor.apply(spec(command=(sys.executable, "-S", "-c", code)))
    await until(lambda: supervisor.view("child").ready)
    pid = pid_of(supervisor)
    await supervisor.remove("child")
    assert not is_alive(pid)


async def test_workers_of_a_child_end_with_it(supervisor: Supervisor, tmp_path: Path) -> None:
    note = tmp_path / "worker.pid"
    code = (
        "import subprocess, sys, time, pathlib;"
        "p = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)']);"
        f"pathlib.Path({str(note)!r}).write_text(str(p.pid)); time.sleep(600)"
    )
    await supervisor.apply(spec(command=(sys.executable, "-S", "-c", code)))
    await until(lambda: note.exists() and note.read_text() != "")
    await supervisor.stop_all()
    assert not is_alive(int(note.read_text()))


async def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "child.pid"
    code = f"""
import asyncio, pathlib, sys
from meshtwin_operator.local.supervisor import ChildSpec, Supervisor
async def always(): return True
async def main():
    s = Supervisor(logs=pathlib.Path({str(tmp_path)!r}), pid_file=pathlib.Path({str(tmp_path / "pids.json")!r}),
                   changed=lambda _: None)
    await s.apply(ChildSpec(name="child", command={SLEEPER!r}, probe=always))
    while "begun" not in pathlib.Path({str(tmp_path / "child.log")!r}).read_text() if \
            pathlib.Path({str(tmp_path / "child.log")!r}).exists() else True:
        await asyncio.sleep(0.02)
    pathlib.Path({str(note)!r}).write_text(str(s.view("child").pid))
    await asyncio.sleep(600)
asyncio.run(main())
"""
    parent = subprocess.Popen([sys.executable, "-c", code])  # noqa: ASYNC220  # starts at once
    try:
        await until(lambda: note.exists() and note.read_text() != "")
        pid = int(note.read_text())
        assert is_alive(pid)
        parent.kill()
        parent.wait()
        await until(lambda: not is_alive(pid))
    finally:
        parent.kill()
        parent.wait()
