"""Progress of a long measurement, on standard error: how many of how many, and for how long."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

__all__ = ["follow", "tell_time"]

EVERY_S: Final = 15.0  # between lines: often enough to see that it lives, seldom enough for a log

Item = TypeVar("Item")


def follow(items: Iterable[Item], total: int, what: str, every_s: float = EVERY_S) -> Iterator[Item]:
    """The items as they come; says how many there were, at most each ``every_s`` seconds and after the last one."""
    began_s = told_s = time.monotonic()
    for number, item in enumerate(items, 1):
        yield item
        now_s = time.monotonic()
        if now_s - told_s >= every_s or number == total:
            told_s = now_s
            print(f"{what}: {number} of {total}, {now_s - began_s:.0f} s", file=sys.stderr, flush=True)


def tell_time(name: str, began_s: float) -> None:
    """Says how long ``name`` took since ``began_s``, of the monotonic clock."""
    print(f"{name}: {time.monotonic() - began_s:.0f} s in all", file=sys.stderr, flush=True)
