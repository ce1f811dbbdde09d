"""An append-only journal of accepted messages: what is acknowledged to the broker is on disk first.

One line per message, ``<received ms since 1970> <topic leaf> <payload without line feeds>``, in numbered files.
A line that a crash cut off has no line feed; it was never acknowledged, and is removed at the next start.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from meshtwin.errors import Unavailable

__all__ = ["FILE_BYTES_MAX", "Entry", "Journal", "Position", "read_entries"]

log = structlog.get_logger(__name__)

FILE_BYTES_MAX: Final = 16 * 1024 * 1024  # about 25,000 reports: some seconds of folding at a restart
PREFIX: Final = "journal-"
SUFFIX: Final = ".log"


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted message."""

    received_s: float  # receiver's clock, seconds since 1970, whole milliseconds
    leaf: str
    payload: bytes


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place between two entries: number of the file, and bytes into it."""

    file: int
    offset: int


class Journal:
    """The journal in one folder; one process at a time, blocking calls (use a thread)."""

    def __init__(self, folder: Path, *, file_bytes_max: int = FILE_BYTES_MAX) -> None:
        """Open, and remove a line that a crash cut off; raises `Unavailable` if the folder is not writable."""
        self._folder = folder
        self._file_bytes_max = file_bytes_max
        try:
            folder.mkdir(parents=True, exist_ok=True)
            number = max(self.files(), default=1)
            self._open(number)
        except OSError as error:
            raise Unavailable(f"journal not writable: {error}", place=str(folder)) from error

    @property
    def position(self) -> Position:
        """The end of the journal."""
        return Position(self._number, self._size)

    def files(self) -> list[int]:
        """Numbers of the files there are, ascending."""
        found = (path.name.removeprefix(PREFIX).removesuffix(SUFFIX) for path in self._folder.glob(PREFIX + "*"))
        return sorted(int(text) for text in found if text.isdigit())

    def path(self, number: int) -> Path:
        """Where a file is."""
        return self._folder / f"{PREFIX}{number:08d}{SUFFIX}"

    def append(self, entries: Sequence[Entry]) -> Position:
        """Write all entries and wait until they are on disk; the position after them.

        Raises `Unavailable`, with nothing appended, when the disk is full or fails.
        """
        lines = b"".join(_to_line(entry) for entry in entries)
        try:
            if self._size and self._size + len(lines) > self._file_bytes_max:
                self._rotate()
            os.pwrite(self._descriptor, lines, self._size)
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._cut_back()
            raise Unavailable(f"journal not written: {error}", place=str(self.path(self._number))) from error
        self._size += len(lines)
        return self.position

    def iter_from(self, position: Position) -> Iterator[tuple[Entry, Position]]:
        """Entries after ``position``, each with the position behind it; a broken line is skipped and logged."""
        for number in self.files():
            if number < position.file:
                continue
            start = position.offset if number == position.file else 0
            for entry, offset in read_entries(self.path(number), start):
                yield entry, Position(number, offset)

    def drop_before(self, number: int) -> None:
        """Delete the files before ``number``; never the one that is written to."""
        for old in self.files():
            if old < min(number, self._number):
                self.path(old).unlink(missing_ok=True)

    def rotate(self) -> Position:
        """Begin a new file if the current one holds anything; the position afterwards."""
        if self._size:
            self._rotate()
        return self.position

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def _open(self, number: int) -> None:
        path = self.path(number)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._number = number
        self._size = _end_of_last_line(path)
        os.ftruncate(self._descriptor, self._size)
        _sync_folder(self._folder)

    def _rotate(self) -> None:
        before = self._descriptor
        self._open(self._number + 1)
        os.close(before)

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError as error:  # the next append writes at the same place again
            log.warning("Journal not cut back", error=str(error))


def read_entries(path: Path, start: int = 0) -> Iterator[tuple[Entry, int]]:
    """Entries of one file from offset ``start``, each with the offset behind it."""
    with path.open("rb") as file:
        file.seek(start)
        offset = start
        for line in file:
            offset += len(line)
            if not line.endswith(b"\n"):
                return  # being written, or cut off by a crash
            entry = _parse_line(line)
            if entry is None:
                log.warning("Skipping a broken line of the journal", path=str(path), offset=offset - len(line))
                continue
            yield entry, offset


def _to_line(entry: Entry) -> bytes:
    payload = entry.payload
    if b"\n" in payload or b"\r" in payload:  # pretty-printed JSON
        payload = json.dumps(json.loads(payload), separators=(",", ":")).encode()
    return b"%d %s %s\n" % (round(entry.received_s * 1000), entry.leaf.encode(), payload)


def _parse_line(line: bytes) -> Entry | None:
    parts = line[:-1].split(b" ", 2)
    if len(parts) != 3 or not parts[0].isdigit():
        return None
    try:
        return Entry(int(parts[0]) / 1000, parts[1].decode(), parts[2])
    except UnicodeDecodeError:
        return None


def _end_of_last_line(path: Path) -> int:
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65_536)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
