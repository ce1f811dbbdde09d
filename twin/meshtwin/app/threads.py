"""Work in a thread that nobody waits for when the process ends."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["in_own_thread"]

Found = TypeVar("Found")


async def in_own_thread(name: str, work: Callable[[], Found]) -> Found:
    """What ``work`` gives or raises, from a thread of its own.

    Unlike the threads of `asyncio.to_thread` it shares no pool with anybody, and a process can end while it goes on:
    a model may compute for minutes without looking up.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Found] = loop.create_future()

    def tell(settle: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(lambda: None if found.done() else settle())

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # handed to who waits; work that ends its process ends only itself
            fault = error if isinstance(error, Exception) else RuntimeError(f"ended by {type(error).__name__}")
            tell(lambda: found.set_exception(fault))
        else:
            tell(lambda: found.set_result(result))

    threading.Thread(target=run, name=name, daemon=True).start()
    return await found
