"""How far something is, as one line that is written over itself; for terminals and notebooks."""

from collections.abc import Callable
from typing import Final

__all__ = ["ProgressLine"]

EVERY_S: Final = 0.2
WIDTH: Final = 78  # characters; a shorter line has to cover the one before


class ProgressLine:
    """A `meshtwin.ports.Progress`: ``45 % 3 of 8 replications``, at most five times a second; `end` clears the line.

    ``write`` takes text for the standard error stream, ``now_s`` is a monotonic clock.
    """

    def __init__(self, write: Callable[[str], object], now_s: Callable[[], float]) -> None:
        self._write, self._now_s = write, now_s
        self._told_s: float | None = None

    def __call__(self, share: float, stage: str) -> None:
        now_s = self._now_s()
        if self._told_s is None or now_s - self._told_s >= EVERY_S:
            self._told_s = now_s
            self._write("\r" + f"meshtwin: {share:4.0%} {stage}"[:WIDTH].ljust(WIDTH))

    def end(self) -> None:
        """Leaves an empty line behind."""
        if self._told_s is not None:
            self._write("\r" + " " * WIDTH + "\r")
