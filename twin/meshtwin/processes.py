"""Worker processes for the library and the command line: an executor that ends at once when it is told to.

Not `multiprocessing`: that runs the caller's own program again in every process unless it is guarded against it, which
a notebook or a script of five lines is not. Here a worker is this same Python with the same paths, asked over a pipe.
For that reason `meshtwin.app.crew.Crew`, which forks by `multiprocessing`, can't stand in for it: a twin's program is
known, and its workers start at once and share its memory; these take a second and load all for themselves.
"""

import gc
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from types import TracebackType
from typing import Any, BinaryIO, Final

from meshtwin.errors import InvalidInput, Unavailable

__all__ = ["WORKERS_MOST", "Workers", "check_workers"]

WORKERS_MOST: Final = 256
END_S: Final = 5.0  # for the end of a killed process
LENGTH: Final = struct.Struct("<Q")  # before each answer

_Job = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def check_workers(workers: int) -> None:
    """Raises `InvalidInput` for what is no number of processes."""
    if isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= WORKERS_MOST:
        raise InvalidInput(f"{workers!r} workers are not a whole number of 1..{WORKERS_MOST}", place="workers")


class Workers(Executor):
    """``count`` processes, started when there is work; leaving the context kills them, whatever they do.

    They are out of reach of the terminal's Ctrl-C, and end with this process, however that ends. What is asked of one
    that died raises `Unavailable` (``WorkerDied``).
    """

    def __init__(self, count: int) -> None:
        check_workers(count)
        self._count = count
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        self._is_closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """As of every executor; function, arguments and result have to be picklable."""
        future: Future[Any] = Future()
        self._jobs.put((future, fn, args, kwargs))
        if len(self._threads) < self._count:
            thread = threading.Thread(target=self._serve, daemon=True, name="meshtwin worker")
            self._threads.append(thread)
            thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the processes at once: there is nothing in them that would have to be kept."""
        with self._lock:
            self._is_closed = True
            processes = list(self._processes)
        for process in processes:
            process.kill()
        for _ in self._threads:
            self._jobs.put(None)
        if wait:
            for process in processes:
                process.wait(END_S)
            for thread in self._threads:
                thread.join(END_S)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def _serve(self) -> None:
        """One worker's turn: a job there, its answer back."""
        try:
            process = self._start()
        except OSError as error:  # no more processes, or no memory for one
            self._refuse(f"no worker could be started ({error}); take fewer workers")
            return
        if process is None or process.stdin is None or process.stdout is None:
            return
        with suppress(OSError), process.stdin as there, process.stdout as back:  # closing the pipe of a killed one
            while (job := self._jobs.get()) is not None:
                future, *work = job
                if future.set_running_or_notify_cancel():
                    _ask(future, work, there, back)

    def _refuse(self, why: str) -> None:
        while (job := self._jobs.get()) is not None:
            if job[0].set_running_or_notify_cancel():
                job[0].set_exception(Unavailable(why, reason="WorkerNotStarted"))

    def _start(self) -> "subprocess.Popen[bytes] | None":
        with self._lock:
            if self._is_closed:
                return None
            process = subprocess.Popen(  # noqa: S603  # this Python, and this module
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                process_group=0,  # Ctrl-C is for the process that was asked; it knows what is to be kept
            )
            self._processes.append(process)
            return process


def _ask(future: "Future[Any]", work: list[Any], there: Any, back: Any) -> None:
    try:
        pickle.dump(work, there)
        there.flush()
        is_done, answer = _unpack(back)
    except (OSError, EOFError, pickle.UnpicklingError):
        text = "a worker process died (out of memory?); ask for fewer messages, or take fewer workers"
        future.set_exception(Unavailable(text, reason="WorkerDied"))
    except BaseException as error:
        future.set_exception(error)
    else:
        if is_done:
            future.set_result(answer)
        else:
            future.set_exception(answer)


def _unpack(back: Any) -> Any:
    """What `work` sent. Collecting garbage meanwhile would take three quarters of the time, and find none."""
    content = back.read(LENGTH.unpack(_all_of(back.read(LENGTH.size), LENGTH.size))[0])
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        return pickle.loads(content)  # noqa: S301  # written by our own process
    finally:
        if is_collecting:
            gc.enable()


def _all_of(content: bytes, size: int) -> bytes:
    if len(content) < size:
        raise EOFError
    return content


def work() -> None:
    """What a worker process does: it answers what comes in, one after the other, until its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    back = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what is printed meanwhile is no answer
    jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, jobs), daemon=True).start()
    while True:
        function, arguments, named = jobs.get()
        try:
            answer = (True, function(*arguments, **named))
        except BaseException as error:
            answer = (False, error)
        content = pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL)
        back.write(LENGTH.pack(len(content)))
        back.write(content)
        back.flush()


def _receive(source: BinaryIO, jobs: "queue.SimpleQueue[Any]") -> None:
    """A thread of its own, so that a worker ends with its parent also while it is working."""
    try:
        while True:
            jobs.put(pickle.load(source))  # noqa: S301  # written by our own parent
    except EOFError:
        os._exit(0)


if __name__ == "__main__":
    work()
