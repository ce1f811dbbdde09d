"""Values compared by identity, so that what was worked out of a large one is kept without comparing it."""

from typing import Any

__all__ = ["Identity"]


class Identity:
    """A value compared by identity: comparing thousands of links would cost more than it saves."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value  # kept alive, so that nothing else gets its identity

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self.value is other.value
