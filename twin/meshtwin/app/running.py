"""Running a process until it ends or a signal comes: plain logs, an orderly end, an exit code."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import structlog

from meshtwin.app import allow_refused
from meshtwin.app.logs import configure_logs
from meshtwin.errors import Inconsistent, InvalidInput, MeshTwinError

__all__ = [
    "BAD_INPUT",
    "RECORDS_DISAGREE",
    "UNAVAILABLE",
    "hide_main_module",
    "run_device",
    "run_twin",
    "run_until_signal",
]

log = structlog.get_logger(__name__)

# Exit codes of a device. A supervisor starts it again after the first alone: the others wait for a person.
UNAVAILABLE: Final = 1
BAD_INPUT: Final = 2
RECORDS_DISAGREE: Final = 3  # such as a mesh daemon that goes on from an older backup


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


def run_device(run: Callable[[], Awaitable[None]]) -> int:
    """Run a gateway or mesh; exit code 0 after a signal, else by who must act.

    `UNAVAILABLE`: time may help. `BAD_INPUT`, `RECORDS_DISAGREE`: a person must, and the message says what to do.
    """
    configure_logs("info", stream=sys.stderr)
    try:
        asyncio.run(run_until_signal(run))
    except MeshTwinError as error:
        print(f"{error.reason}: {error}", file=sys.stderr)
        match error:
            case InvalidInput():
                return BAD_INPUT
            case Inconsistent():
                return RECORDS_DISAGREE
            case _:
                return UNAVAILABLE
    return 0


def run_twin(module: str, start: Callable[[Path], Coroutine[Any, Any, None]]) -> int:
    """Run a twin with the settings file of the command line; exit code 0 after a signal, 2 for bad settings, else 1."""
    if len(sys.argv) != 2:
        print(f"usage: python -m {module} CONFIG.json", file=sys.stderr)
        return 2
    configure_logs("info", stream=sys.stdout)
    hide_main_module()
    allow_refused()
    try:
        asyncio.run(start(Path(sys.argv[1])))
    except InvalidInput as error:
        log.error("Not started", reason=error.reason, message=str(error))
        return 2
    except (MeshTwinError, OSError) as error:
        log.error("Ended", error=str(error))
        return 1
    return 0


def hide_main_module() -> None:
    """Has workers leave out what the running program's main module imports: they need none of it.

    A spawned process imports the main module of the one that spawned it, for functions that are defined there. In a
    twin that is the whole server: half a second of processor time of the 1.3 s that the first answer waits for.
    """
    main = sys.modules["__main__"]
    main.__spec__ = None
    vars(main).pop("__file__", None)
