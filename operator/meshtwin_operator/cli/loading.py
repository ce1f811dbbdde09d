"""Ctrl-C while modules are loaded. Loads next to nothing itself."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["INTERRUPTED", "loading"]

INTERRUPTED = 130  # exit code, as a shell says of a program that Ctrl-C ended


@contextmanager
def loading() -> Iterator[None]:
    """Ctrl-C ends the process at once, without a word: there is nothing yet that would have to be kept.

    An exception in the midst of an import is not always heard: callbacks and extension modules swallow it, and the
    command would go on.
    """
    before = signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave(number: int, frame: object) -> None:
    os._exit(INTERRUPTED)
