"""The process that workers are forked from: it has loaded the models once, for all of them.

A worker that starts by itself takes 0.7 s of processor time and 90 MiB of its own; one that is forked from a process
with the models loaded takes 20 ms and 10 to 20 MiB. The twin itself can't be forked: it has threads.
"""

import multiprocessing
import multiprocessing.forkserver
import threading
from multiprocessing.context import BaseContext
from typing import Any, Final

__all__ = ["FORK_SERVER", "ForkServer"]

PRELOADED: Final = "meshtwin.app.preloading"


class ForkServer:
    """Counts who needs the server. `multiprocessing` has one per process, starts it, and starts it again if it died.

    It ends with the process, however that ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engaged = 0

    def engage(self) -> BaseContext:
        """The context whose processes are forked from it; `release` has to follow."""
        with self._lock:
            self._engaged += 1
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload([PRELOADED])
            return context

    def release(self, *, may_end: bool = False) -> None:
        """Not needed any more; it ends if nobody else needs it, and ``may_end``. Waits for that end."""
        with self._lock:
            self._engaged -= 1
            if may_end and self._engaged == 0:
                server: Any = multiprocessing.forkserver
                server._forkserver._stop()  # without a public name, but what CPython's own tests use since 3.9


FORK_SERVER: Final = ForkServer()
