"""The folder of a network, and what daemons leave in it.

A temporary folder is locked by the process it belongs to, and the kernel ends that lock however the process ends. So
the next network clears the folders of those that were killed: nobody else does, and keys are in them.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

__all__ = ["hold_temporary_folder", "read_log_end"]

log = structlog.get_logger(__name__)

PREFIX: Final = "meshtwin-air-"
LOCK_NAME: Final = "owner.lock"
LOG_END_LINES: Final = 4
LOG_END_BYTES: Final = 400  # a condition or a terminal shows as much without hiding the rest


@contextmanager
def hold_temporary_folder() -> Iterator[Path]:
    """A folder for this process alone, removed at the end; those of killed processes are removed first."""
    root = Path(tempfile.gettempdir())
    _clear(root)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
    unnamed = folder / f"{LOCK_NAME}.new"
    handle = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        unnamed.rename(folder / LOCK_NAME)  # seen by others only now, when it is locked
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def read_log_end(path: Path) -> str:
    """The last lines of a log, behind `` Its log ends: ``; empty where there is none."""
    with suppress(OSError):
        lines = path.read_bytes()[-LOG_END_BYTES:].decode(errors="replace").split("\n")
        said = " | ".join(line.strip() for line in lines[-LOG_END_LINES - 1 :] if line.strip())
        if said:
            return f". Its log ends: {said}"
    return ""


def _clear(root: Path) -> None:
    """Remove what nobody holds any more; a folder without a lock is not known to be ours, and stays."""
    for folder in sorted(root.glob(f"{PREFIX}*")):
        with suppress(OSError):  # no folder of ours; somebody else clears it; or it lives
            about = folder.lstat()
            if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
                continue
            handle = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
                log.info("Removed the folder of a virtual air that was killed", folder=str(folder))
            finally:
                os.close(handle)
