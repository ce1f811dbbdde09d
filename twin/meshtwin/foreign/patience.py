"""Waiting for a stranger no longer than agreed: time limits of sockets begin anew with every byte."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["wait_for"]

Found = TypeVar("Found")


def wait_for(work: Callable[[], Found], limit_s: float, give_up: Callable[[], None]) -> Found:
    """What ``work`` gives or raises, in a thread of its own; raises `TimeoutError` if it takes longer.

    ``give_up`` is called then, and should make ``work`` end soon; nobody waits for it.
    """
    found: Future[Found] = Future()

    def run() -> None:
        try:
            found.set_result(work())
        except BaseException as error:  # handed to who waits
            found.set_exception(error)

    threading.Thread(target=run, name="foreign-model", daemon=True).start()
    try:
        return found.result(timeout=limit_s)
    except TimeoutError:
        if not found.done():
            give_up()
        raise
    except KeyboardInterrupt:
        give_up()
        raise
