"""What a process holds of the machine's memory and no longer needs, given back. Linux; elsewhere nothing happens."""

import ctypes
import gc
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

__all__ = ["droppable", "give_back", "trim"]

MADV_DONTNEED: Final = (
    4  # <asm-generic/mman-common.h>: of an unchanged file, forget the pages; it is read again if need be
)
SMAPS: Final = Path("/proc/self/smaps")
MAPPING: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ *(.*)")


def give_back(library: str) -> None:
    """Gives back free heap, and the pages of ``library`` (a part of its file's name) that are as they are in the file.

    They stay in the system's cache, which gives them to whoever needs them, or lets go of them.
    """
    gc.collect()
    trim()
    try:
        libc = ctypes.CDLL(None)
        with SMAPS.open() as lines:
            for first, end in list(droppable(lines, library)):
                libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), MADV_DONTNEED)
    except OSError:
        return


def trim() -> None:
    """Gives back free heap, as what was large for a moment leaves behind; a few milliseconds, of any thread."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc
        libc.malloc_trim(0)


def droppable(smaps: Iterable[str], library: str) -> Iterator[tuple[int, int]]:
    """Addresses (first, end) of mappings of ``library`` that nothing can be lost of: not writable, never written to.

    ``smaps``: lines as of ``/proc/PID/smaps``; see proc_pid_smaps(5).
    """
    found: tuple[int, int] | None = None
    for line in smaps:
        if mapping := MAPPING.match(line):
            is_unwritten = "w" not in mapping[3] and library in Path(mapping[4]).name
            found = (int(mapping[1], 16), int(mapping[2], 16)) if is_unwritten else None
        elif found is not None and line.startswith("Anonymous:"):  # pages that were changed, such as by relocation
            if line.split()[1] == "0":
                yield found
            found = None
