"""Worker processes that start when somebody asks, and leave some time after the last one did.

Beside `meshtwin.processes.Workers`, which a twin could not use: those are new programs, each of which takes a second
and 90 MiB to load the models, where these are forked in 20 ms from a process that has them, and share its memory.
What both would have in common is an executor, which is the standard library's here.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Final

from meshtwin.app.fork_server import FORK_SERVER
from meshtwin.errors import Unavailable
from meshtwin.ports import Cancelled

__all__ = ["Crew", "begin_worker"]

END_S: Final = 5.0  # for the end of a killed process
START_TRIES, START_AGAIN_S = 10, 0.05  # a fork server takes some ms to die, when it was killed


class Crew:
    """``workers`` processes at most, which leave ``idle_s`` after the last question; usable from several threads.

    ``left`` is called then. They are forked from a process that has loaded the models (`meshtwin.app.fork_server`),
    which leaves with the last crew.
    """

    def __init__(self, workers: int, idle_s: float, left: Callable[[], object] = lambda: None) -> None:
        self.workers = workers
        self._left = left
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._executor: ProcessPoolExecutor | None = None
        self._askers = 0
        self._is_closed = False
        self._timer: threading.Timer | None = None

    @property
    def running(self) -> bool:
        """Whether workers are up."""
        with self._lock:
            return self._executor is not None

    @contextmanager
    def asking(self) -> Iterator[ProcessPoolExecutor]:
        """The workers, started if need be, and kept at least as long as someone asks.

        Raises `Cancelled` if `close` ended them, `Unavailable` (``WorkerDied``) if one died by itself.
        """
        executor = self._engage()
        try:
            yield executor
        except (BrokenProcessPool, CancelledError) as error:
            if self._is_closed:
                raise Cancelled("the workers have ended") from error
            self._discard(executor)
            message = "a worker died (out of memory?); ask again, or for fewer messages"
            raise Unavailable(message, reason="WorkerDied") from error
        finally:
            self._release()

    def close(self) -> None:
        """Ends the workers at once, and for good; what they are asked is given up and raises `Cancelled`."""
        with self._lock:
            self._is_closed = True
            executor, self._executor = self._executor, None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if executor is not None:
            workers = list((executor._processes or {}).values())  # until 3.14's kill_workers
            for worker in workers:  # what one of them simulates may take minutes
                worker.kill()
            executor.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.join(END_S)
            FORK_SERVER.release()

    def _engage(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._is_closed:
                raise Cancelled("the workers have ended")
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._executor is not None and self._executor._broken:  # a worker died while nobody asked
                FORK_SERVER.release()
                self._executor = None
            if self._executor is None:
                self._executor = self._start()
            self._askers += 1
            return self._executor

    def _start(self) -> ProcessPoolExecutor:
        """An executor whose first worker is starting; raises `Unavailable` (``WorkerNotStarted``) if none can."""
        context = FORK_SERVER.engage()
        for tries_left in reversed(range(START_TRIES)):
            executor = ProcessPoolExecutor(self.workers, mp_context=context, initializer=begin_worker)
            try:
                executor.submit(os.getpid)
                return executor
            except OSError as error:  # no more processes; or a fork server that is just dying
                executor.shutdown(wait=False)
                if not tries_left:
                    FORK_SERVER.release()
                    message = f"no worker could be started ({error}); ask again later"
                    raise Unavailable(message, reason="WorkerNotStarted") from error
                time.sleep(START_AGAIN_S)
        raise AssertionError("the last try returns or raises")

    def _release(self) -> None:
        with self._lock:
            self._askers -= 1
            if self._askers == 0 and self._executor is not None:
                self._timer = threading.Timer(self._idle_s, self._leave_if_idle)
                self._timer.daemon = True
                self._timer.start()

    def _leave_if_idle(self) -> None:
        with self._lock:
            if self._askers:
                return
            executor, self._executor = self._executor, None
            self._timer = None
        if executor is not None:
            self._left()
            executor.shutdown(wait=True)
            del executor  # and its locks
            FORK_SERVER.release(may_end=True)

    def _discard(self, executor: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._executor is executor:
                self._executor = None
                FORK_SERVER.release()
        executor.shutdown(wait=False, cancel_futures=True)


def begin_worker() -> None:
    """Leaves Ctrl-C to the twin, and dies with it: a worker that waits for work would outlive a killed twin."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
