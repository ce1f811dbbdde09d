"""Folders of networks that were killed go, those of living ones stay; the end of a daemon's log is told."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from meshtwin.virtual_air.folders import LOG_END_BYTES, hold_temporary_folder, read_log_end

HOLDER = """
import sys
from meshtwin.virtual_air.folders import hold_temporary_folder
with hold_temporary_folder() as folder:
    (folder / "keys.json").touch()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # it keeps what it found first
    return tmp_path


def hold_elsewhere() -> tuple[subprocess.Popen[str], Path]:
    """Another process that holds a folder until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen[str], number: int) -> None:
    process.send_signal(number)
    process.communicate()


def test_folder_of_a_process_that_was_killed_is_removed_by_the_next(root: Path) -> None:
    process, left = hold_elsewhere()
    end(process, signal.SIGKILL)
    assert (left / "keys.json").exists()

    with hold_temporary_folder() as folder:
        assert list(root.iterdir()) == [folder]

    assert list(root.iterdir()) == []


def test_folder_of_a_process_that_lives_stays(root: Path) -> None:
    process, living = hold_elsewhere()
    try:
        with hold_temporary_folder():
            assert (living / "keys.json").exists()
    finally:
        end(process, signal.SIGKILL)


def test_what_is_not_a_left_folder_is_not_touched(root: Path) -> None:
    unlocked, file, foreign = root / "meshtwin-air-unlocked", root / "meshtwin-air-file", root / "other"
    target = root / "target"
    for folder in (unlocked, foreign, target):
        folder.mkdir()
    file.touch()
    (target / "owner.lock").touch()
    link = root / "meshtwin-air-link"
    link.symlink_to(target)

    with hold_temporary_folder():
        pass

    assert sorted(root.iterdir()) == sorted([unlocked, file, foreign, target, link])


def test_end_of_a_log_is_told_in_a_line(tmp_path: Path) -> None:
    log = tmp_path / "node0.log"
    log.write_text("".join(f"line {i}\n" for i in range(500)) + "Failed to open\n\n")

    said = read_log_end(log)

    assert said.startswith(". Its log ends: ")
    assert said.endswith("line 498 | line 499 | Failed to open")
    assert len(said) < LOG_END_BYTES + 50


def test_of_a_log_that_is_missing_or_empty_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    assert read_log_end(tmp_path / "missing") == read_log_end(tmp_path / "empty") == ""
