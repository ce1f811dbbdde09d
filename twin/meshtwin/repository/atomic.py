"""Files that are either the old or the new ones, also after a crash."""

import os
from collections.abc import Iterable
from pathlib import Path

from meshtwin.errors import Unavailable

__all__ = ["AtomicFile", "write_atomically"]


class AtomicFile:
    """A file under a temporary name that takes its name when `finish` is called; blocking."""

    def __init__(self, path: Path) -> None:
        """Raises `Unavailable` if the folder is not writable."""
        self._path = path
        self._temporary = path.with_name(path.name + ".new")
        try:
            self._file = self._temporary.open("wb")
        except OSError as error:
            raise Unavailable(f"not writable: {error}", place=str(path)) from error

    def write(self, lines: Iterable[bytes]) -> None:
        """Append lines; raises `Unavailable` when the disk is full."""
        try:
            self._file.writelines(lines)
        except OSError as error:
            raise Unavailable(f"not written: {error}", place=str(self._path)) from error

    def finish(self) -> None:
        """Wait for the disk, then rename."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._temporary.replace(self._path)
            descriptor = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Unavailable(f"not written: {error}", place=str(self._path)) from error

    def abandon(self) -> None:
        """Leave the old file as it is."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a small file."""
    file = AtomicFile(path)
    try:
        file.write([content])
        file.finish()
    except Unavailable:
        file.abandon()
        raise
