"""Room in the twin's memory for answers that come back from workers, shared by all runs."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["AnswerRoom"]

LOOK_S: Final = 0.5  # so soon a waiting run notices that it was ended


class AnswerRoom:
    """``most_bytes`` in all; who does not find enough waits for its turn. Usable from several threads at once."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._taken_bytes = 0
        self._turns: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size_bytes: int, waiting: Callable[[], object]) -> Iterator[None]:
        """Holds ``size_bytes`` (all the room at most); first come, first served, so that large ones get their turn.

        ``waiting`` is called now and then while there is none; what it raises ends the waiting.
        """
        size_bytes = min(size_bytes, self.most_bytes)
        turn = object()
        with self._changed:
            self._turns.append(turn)
            try:
                while self._turns[0] is not turn or self._taken_bytes + size_bytes > self.most_bytes:
                    waiting()
                    self._changed.wait(LOOK_S)
                self._taken_bytes += size_bytes
            finally:
                self._turns.remove(turn)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._taken_bytes -= size_bytes
                self._changed.notify_all()
