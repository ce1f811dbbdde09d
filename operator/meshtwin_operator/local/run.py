"""Running something until it ends or a signal comes, with an orderly end."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable

__all__ = ["run_until_signal"]


async def run_until_signal(run: Callable[[], Awaitable[None]]) -> None:
    """Await ``run()``; SIGINT and SIGTERM cancel it once, and it is awaited until it has cleaned up."""
    task = asyncio.ensure_future(run())
    loop = asyncio.get_running_loop()
    stopping = False

    def stop() -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await task
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
