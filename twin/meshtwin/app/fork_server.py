"""The process that workers are forked from: it has loaded the models once, for all of them.

A worker that starts by itself takes 0.6 s of processor time and 60 MiB of its own; one that is forked from a process
with the models loaded takes 20 ms and 10 to 20 MiB. The twin itself can't be forked: it has threads.
(Forked from it before it has, the server would share a quarter with it for some seconds, until both have changed most
pages, and then hold what the twin has imported as well: 148 MiB with the twin in place of 141.)
"""

import gc
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import threading
from multiprocessing import util
from multiprocessing.context import BaseContext
from multiprocessing.synchronize import SemLock
from typing import Any, Final

__all__ = ["FORK_SERVER", "ForkServer"]

PRELOADED: Final = "meshtwin.app.preloading"

_servers: Any = multiprocessing


class ForkServer:
    """Counts who needs the server. `multiprocessing` has one per process, starts it, and starts it again if it died.

    It ends with the process, however that ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engaged = 0
        self._is_kept = False

    def keep(self, is_kept: bool = True) -> None:
        """Once it runs it stays, so that nobody waits for the models again, however long nothing was asked."""
        with self._lock:
            self._is_kept = is_kept

    def engage(self) -> BaseContext:
        """The context whose processes are forked from it; `release` has to follow."""
        with self._lock:
            self._engaged += 1
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload([PRELOADED])
            return context

    def release(self, *, may_end: bool = False) -> None:
        """Not needed any more; it ends if nobody else needs it, ``may_end``, and it is not kept. Waits for that."""
        with self._lock:
            self._engaged -= 1
            if not may_end or self._engaged:
                return
            if not self._is_kept:
                _servers.forkserver._forkserver._stop()  # has no public name, but CPython's own tests use it since 3.9
            if not _has_locks() or (gc.collect() and not _has_locks()):
                _servers.resource_tracker._resource_tracker._stop()  # likewise; starts again with the next worker


def _has_locks() -> bool:
    """Whether locks between processes are left, which `multiprocessing`'s resource tracker (6 MiB) would clear away."""
    waiting: Any = util._finalizer_registry  # type: ignore[attr-defined]  # has no public name
    return any(each._callback is SemLock._cleanup for each in list(waiting.values()))  # type: ignore[attr-defined]  # likewise


FORK_SERVER: Final = ForkServer()
