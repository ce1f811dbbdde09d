"""A queue of keys for reconciling: each key at most once, never worked on twice at a time, with backoff.

The semantics are those of client-go's work queue: a key added while it is being worked on comes again
after `WorkQueue.done`. Both drivers (``kube``, ``local``) use it. For one asyncio loop, not thread-safe.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

__all__ = ["RETRY_MAX_S", "RETRY_MIN_S", "WorkQueue"]

RETRY_MIN_S: Final = 0.05  # first retry: a resourceVersion conflict is over by then
RETRY_MAX_S: Final = 60.0  # what is broken for long is looked at once a minute
JITTER: Final = 0.25  # share of the delay by which retries are spread, so that they do not come in step

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Keys to look at. One or more workers call `get`, work, then `done`."""

    def __init__(self, *, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter  # uniform in [0, 1)
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()  # in _ready
        self._working: set[K] = set()
        self._again: set[K] = set()  # added while worked on
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._wake = asyncio.Event()

    def add(self, key: K) -> None:
        """Queue a key now; nothing happens if it waits already."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._waiting or key in self._again:
            return
        if key in self._working:
            self._again.add(key)
            return
        self._waiting.add(key)
        self._ready.append(key)
        self._wake.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Queue a key after ``seconds``; the earlier of two deadlines holds."""
        if seconds <= 0:
            self.add(key)
            return
        if key in self._waiting or key in self._again:
            return
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self.add, key)

    async def get(self) -> K:
        """The next key; the caller owns it until `done`."""
        while not self._ready:
            self._wake.clear()
            await self._wake.wait()
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        """Give a key back; one that was added meanwhile is queued again."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def retry(self, key: K) -> float:
        """Queue a key after its backoff (0.05 s doubling to 60 s, with jitter); returns the delay in s."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay_s = min(RETRY_MIN_S * 2.0 ** min(failures, 30), RETRY_MAX_S)
        delay_s *= 1.0 - JITTER * self._jitter()
        self.add_after(key, delay_s)
        return delay_s

    def forget(self, key: K) -> None:
        """Reset the backoff of a key: its work succeeded."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """Retries of a key since it was last forgotten."""
        return self._failures.get(key, 0)

    @property
    def depth(self) -> int:
        """Keys that wait for a worker now (metric ``meshtwin_queue_keys``)."""
        return len(self._ready) + len(self._again)

    @property
    def delayed(self) -> int:
        """Keys that wait for their time."""
        return len(self._timers)

    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is worked on; delayed keys do not count."""
        return not self._ready and not self._working and not self._again

    def close(self) -> None:
        """Cancel the timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
