"""The gateway's memory in one file, replaced as a whole: kill it at any moment, and one version is there.

One process at a time works in a folder: two that take each other's last known good configuration for their own would
restore what neither promised.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from meshtwin.errors import Unavailable
from meshtwin.gateway.memory import Memory, parse_memory, to_bytes

__all__ = ["MemoryStore", "hold_folder", "replace_file"]

FILE_NAME: Final = "gateway.json"
LOCK_NAME: Final = "gateway.lock"  # stays behind, unlocked: removing it would let two processes lock two files
HELD: Final = (errno.EAGAIN, errno.EACCES)  # by somebody else; flock(2)


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Keep ``folder`` for this process; the kernel gives it up when the process ends, however it ends.

    Raises `Unavailable`: ``FolderInUse`` with the process id of who holds it, ``StoreUnavailable`` if it cannot be
    locked at all. The folder is made if it is not there.
    """
    path = folder / LOCK_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = f"data folder not usable: {error.strerror}"
        raise Unavailable(message, reason="StoreUnavailable", place=str(folder)) from error
    try:
        _lock(handle, folder)
        with suppress(OSError):  # a full disk shows at the first `write`, and says more there
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in HELD:
            message = f"data folder cannot be locked: {error.strerror}; it must be on a file system with flock"
            raise Unavailable(message, reason="StoreUnavailable", place=str(folder)) from error
        holder = os.pread(handle, 20, 0).decode("ascii", "replace") or "unknown"
        message = (
            f"another gateway, process {holder}, works in this data folder: stop it, or give each a folder of its own"
        )
        raise Unavailable(message, reason="FolderInUse", place=str(folder)) from error


class MemoryStore:
    """A folder with the memory file; raises `Unavailable` where the folder cannot be written."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(
                f"memory folder not usable: {error.strerror}", reason="StoreUnavailable", place=str(folder)
            ) from error

    def read(self) -> Memory:
        """The memory, a fresh one if there is no file; raises `InvalidInput` if the file is broken."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return Memory()
        except OSError as error:
            raise self._unavailable("read", error) from error
        return parse_memory(data, str(self._path))

    def write(self, memory: Memory) -> None:
        """Replace the file: write beside it, flush, rename, flush the folder."""
        try:
            replace_file(self._path, to_bytes(memory))
        except OSError as error:
            raise self._unavailable("written", error) from error

    def _unavailable(self, what: str, error: OSError) -> Unavailable:
        message = f"gateway memory not {what}: {error.strerror}"
        return Unavailable(message, reason="StoreUnavailable", place=str(self._path))


def replace_file(path: Path, data: bytes) -> None:
    """Write beside the file, flush, rename, flush the folder; raises `OSError` with the old file in place."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        os.chmod(temporary, 0o600)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
