"""Running a twin process: REST beside its tasks on one event loop, until a signal or a fault."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import structlog
import uvicorn
from fastapi import FastAPI

__all__ = ["serve_until_signal", "utc_now"]

log = structlog.get_logger(__name__)

SHUTDOWN_S: Final = 5  # for open requests


def utc_now() -> datetime:
    """The clock of the process."""
    return datetime.now(UTC)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_until_signal(
    app: FastAPI, host: str, port: int, tasks: Mapping[str, Coroutine[Any, Any, None]]
) -> None:
    """Serve and run ``tasks`` until SIGTERM or SIGINT; then end them all.

    A task that fails ends the process with its exception: a twin that is half alive helps nobody.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=SHUTDOWN_S,
        server_header=False,
    )
    server = _Server(config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = [asyncio.create_task(task, name=name) for name, task in tasks.items()]
    running.append(asyncio.create_task(_serve(server), name="rest"))
    stopping = asyncio.create_task(stop.wait(), name="signal")
    try:
        done, _ = await asyncio.wait({*running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopping}:
            log.error("Task ended", task=task.get_name())
            task.result()
    finally:
        server.should_exit = True
        stopping.cancel()
        for task in running:
            if task.get_name() != "rest":
                task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        log.info("Stopped", pid=os.getpid())


async def _serve(server: uvicorn.Server) -> None:
    try:
        await server.serve()
    except SystemExit as error:  # uvicorn's way to say that the address is taken
        host, port = server.config.host, server.config.port
        raise OSError(f"REST not served at {host}:{port}: address in use or not ours") from error
