"""The gateway's memory in one file, replaced as a whole: kill it at any moment, and one version is there."""

import os
from pathlib import Path
from typing import Final

from meshtwin.errors import Unavailable
from meshtwin.gateway.memory import Memory, parse_memory, to_bytes

__all__ = ["MemoryStore", "replace_file"]

FILE_NAME: Final = "gateway.json"


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
