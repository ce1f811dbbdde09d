"""Files of results and scenarios, read no further than a limit and written whole or not at all."""

import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from meshtwin.errors import InvalidInput, MeshTwinError, Unavailable

__all__ = ["DISK_FAULTS", "check_no_pipe", "check_target", "make_write_error", "read_bounded", "write_whole"]

DISK_FAULTS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # the disk's, not of what was asked for


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """The bytes of a file or a device; raises `InvalidInput` above ``limit_bytes`` or where it can't read.

    A named pipe is refused, since nobody knows whether anything will ever be written to it; ``/dev/stdin`` and what a
    shell makes of ``<(command)`` are read.
    """
    check_no_pipe(path)
    try:
        with path.open("rb") as file:
            content = file.read(limit_bytes + 1)
            size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise InvalidInput(f"can't be read: {error}", place=str(path)) from error
    if len(content) > limit_bytes:
        told = f"{size} bytes are more" if size > limit_bytes else "more bytes"
        raise InvalidInput(f"{told} than {limit_bytes}", reason="FileTooLarge", place=str(path))
    return content


def check_no_pipe(path: Path) -> None:
    """Raises `InvalidInput` for a named pipe, which would be waited for without end."""
    try:
        is_pipe = path.is_fifo() and not path.absolute().is_relative_to("/dev")
    except (OSError, ValueError, RuntimeError):  # whoever reads it says why it can't
        return
    if is_pipe:
        raise InvalidInput("can't be read: it is a named pipe; give a file, or /dev/stdin", place=str(path))


def check_target(path: Path, suffixes: tuple[str, ...]) -> None:
    """Raises `InvalidInput` where ``path`` could not be written, or ends in none of ``suffixes``: before the work."""
    if path.suffix.lower() not in suffixes:
        raise InvalidInput(
            f"{path.name} ends in none of {', '.join(suffixes)}", reason="UnknownFormat", place=str(path)
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InvalidInput(f"can't be written: there is no folder {folder}", place=str(path))
    if path.is_dir():
        raise InvalidInput("can't be written: it is a folder", place=str(path))
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise InvalidInput("can't be written: no right to", place=str(path))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Lets ``write`` make a file beside ``path``, then puts it in its place: nobody ever sees half of one.

    A link is followed; a device or pipe is written directly. Raises `InvalidInput` where it can't be written, or
    `Unavailable` where the disk is full or broken, and leaves what was there.
    """
    path = path.resolve()
    is_special = path.exists() and not path.is_file()
    draft = path if is_special else path.with_name(f".{path.stem[:100]}.{secrets.token_hex(4)}{path.suffix}")
    try:
        write(draft)
        if draft != path:
            draft.replace(path)
    except OSError as error:
        raise make_write_error(error, path) from error
    finally:
        if draft != path:
            draft.unlink(missing_ok=True)


def make_write_error(error: OSError, path: Path, told: str = "can't be written") -> MeshTwinError:
    """The error to raise for ``error`` on writing ``path``: `Unavailable` for a full or broken disk."""
    said = error.strerror or str(error)
    # what DuckDB says bears no number, but the words of one
    is_disk = error.errno in DISK_FAULTS or any(os.strerror(number) in said for number in DISK_FAULTS)
    kind = Unavailable if is_disk else InvalidInput
    return kind(f"{told}: {said}", place=str(path))
