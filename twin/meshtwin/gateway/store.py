"""The gateway's memory in one file, replaced as a whole: kill it at any moment, and one version is there.

Beside it stands which version was written last. A copy that was put back alone is another one, and what it has under
way is over: its rollback timer would take the network back to what was in force before the copy was made.

One process at a time works in a folder: two that take each other's last known good configuration for their own would
restore what neither promised.
"""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from meshtwin.errors import Unavailable
from meshtwin.gateway.memory import Memory, parse_memory, to_bytes
from meshtwin.gateway.transitions import put_back

__all__ = ["MemoryStore", "hold_folder", "replace_file"]

log = structlog.get_logger(__name__)

LATEST_NAME: Final = "gateway.latest"  # digest of the version written last; while it is written, of the one before, too
DIGEST_SIZE: Final = 64  # hexadecimal digits of SHA-256
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
        self._latest_path = folder / LATEST_NAME
        self._digest = ""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(
                f"memory folder not usable: {error.strerror}", reason="StoreUnavailable", place=str(folder)
            ) from error

    def read(self) -> Memory:
        """The memory, a fresh one if there is no file; raises `InvalidInput` if the file is broken.

        Of a file that is not the one written last only what is no work under way: see `transitions.put_back`.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return Memory()
        except OSError as error:
            raise self._unavailable("read", error) from error
        memory = parse_memory(data, str(self._path))
        self._digest = _digest(data)
        if self._is_latest():
            return memory
        log.warning(
            "Memory is not the one written last, but a copy: what it had under way is given up, nodes are read again",
            place=str(self._path),
            revision=memory.revision,
            phase=memory.phase,
        )
        self._digest = ""  # a copy, and no version to go on from
        return put_back(memory)

    def write(self, memory: Memory) -> None:
        """Replace the file: write beside it, flush, rename, flush the folder."""
        data = to_bytes(memory)
        digest = _digest(data)
        try:
            self._note(self._digest, digest)  # first, with both: killed in between, either file is the one written last
            replace_file(self._path, data)
            self._settle()
        except OSError as error:
            raise self._unavailable("written", error) from error
        self._digest = digest

    def _note(self, before: str, now: str) -> None:
        """Keep that the file is one of two versions."""
        replace_file(self._latest_path, f"{before:>{DIGEST_SIZE}}\n{now}\n".encode())

    def _settle(self) -> None:
        """Blank the first of the two. Not flushed: where that is lost, the one before is taken, too."""
        with self._latest_path.open("r+b") as file:
            file.write(b" " * DIGEST_SIZE)

    def _is_latest(self) -> bool:
        """Whether the file may be the one written last; it is where no note says which that is."""
        try:
            noted = self._latest_path.read_text(encoding="ascii", errors="replace").split()
            return self._digest in noted or not any(len(digest) == DIGEST_SIZE for digest in noted)
        except FileNotFoundError:  # as of an earlier version
            return True
        except OSError as error:
            raise self._unavailable("read", error) from error

    def _unavailable(self, what: str, error: OSError) -> Unavailable:
        message = f"gateway memory not {what}: {error.strerror}"
        return Unavailable(message, reason="StoreUnavailable", place=str(self._path))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


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
