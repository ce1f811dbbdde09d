"""The message cache: recently seen messages, the oldest forgotten first."""

from collections import deque

__all__ = ["MessageCache"]


class MessageCache:
    """Remembers up to ``size`` message keys. Source: Mesh Protocol 1.1, 3.4.5.6.5."""

    __slots__ = ("_order", "_size", "known")

    def __init__(self, size: int) -> None:
        self._size = size
        self._order: deque[tuple[int, int]] = deque()
        self.known: set[tuple[int, int]] = set()  # read by the engine's innermost loop

    def add(self, key: tuple[int, int]) -> bool:
        """Whether ``key`` (`meshtwin.sim.packets.Properties.cached_as`) is new; remembers it."""
        if key in self.known:
            return False
        if len(self._order) >= self._size:
            self.known.discard(self._order.popleft())
        self._order.append(key)
        self.known.add(key)
        return True

    def clear(self) -> None:
        """Forgets everything, as without power."""
        self._order.clear()
        self.known.clear()
