"""One gateway works in a data folder at a time, and a gateway that was killed leaves it free."""

import subprocess
import sys
from pathlib import Path

import pytest

from meshtwin.errors import Unavailable
from meshtwin.gateway.store import hold_folder

HOLDER = """
import sys
from pathlib import Path
from meshtwin.gateway.store import hold_folder
with hold_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def spawn_holder(folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLDER, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_second_gateway_is_refused_with_the_process_that_holds_the_folder_until_that_is_killed(
    tmp_path: Path,
) -> None:
    with spawn_holder(tmp_path / "data") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Unavailable, match=f"process {holder.pid}") as caught, hold_folder(tmp_path / "data"):
            pass
        holder.kill()
        holder.wait()

    assert caught.value.reason == "FolderInUse"
    with hold_folder(tmp_path / "data"):
        pass


def test_a_folder_is_free_again_after_an_orderly_end(tmp_path: Path) -> None:
    for _ in range(2):
        with hold_folder(tmp_path):
            pass


def test_a_folder_that_cannot_be_locked_is_said_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="not usable"), hold_folder(tmp_path / "file" / "data"):
        pass
