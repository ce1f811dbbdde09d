"""What commands that work for long have in common: they tell how far they are, and can be ended."""

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import typer

from meshtwin_operator.cli.loading import INTERRUPTED

__all__ = ["NOTHING_YET", "heeding", "interruptible", "progress"]

Tell = Callable[[float, str], None]
TERMINATED: Final = 143  # exit code, as a shell says of a program that SIGTERM ended
LINE_EVERY_S: Final = 15.0
NOTHING_YET: Final = "meshtwin: interrupted before the first replication was finished: there is nothing to tell"
COMPILING: Final = "starting; the first run after an update compiles, up to a minute"


@contextmanager
def progress(beginning: str = COMPILING) -> Iterator[Tell]:
    """A progress bar on the terminal's error stream; where that is a file or a pipe, a line every 15 s."""
    if not sys.stderr.isatty():
        yield _line_now_and_then()
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from meshtwin_operator.cli.console import make_console

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=make_console(stderr=True), transient=True) as bar:
        task = bar.add_task(beginning, total=1.0)
        yield lambda share, stage: bar.update(task, completed=share, description=stage)


def _line_now_and_then() -> Tell:
    told_s = time.monotonic()

    def tell(share: float, stage: str) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= LINE_EVERY_S:
            told_s = time.monotonic()
            typer.echo(f"meshtwin: {share:.0%}, {stage}", err=True)

    return tell


@contextmanager
def interruptible(told: str = NOTHING_YET) -> "Iterator[list[int]]":
    """SIGTERM ends the work as Ctrl-C does; the list holds the exit code of whichever of them came.

    Where nothing is finished yet, the command ends with that code and says ``told``.
    """
    ended: list[int] = []

    def end(number: int, frame: object) -> None:
        ended.append(TERMINATED if number == signal.SIGTERM else INTERRUPTED)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield ended
    except KeyboardInterrupt:
        typer.echo(told, err=True)
        raise typer.Exit(ended[0] if ended else INTERRUPTED) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def heeding(ended: "Sequence[int]", tell: Tell) -> Tell:
    """Ends the work also where the interruption was swallowed by what ran at that moment."""

    def heed(share: float, stage: str) -> None:
        if ended:
            raise KeyboardInterrupt
        tell(share, stage)

    return heed
