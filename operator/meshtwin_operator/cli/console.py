"""Consoles for tables: as wide as the terminal, and wide enough for pipes and logs."""

import sys

from rich.console import Console

__all__ = ["make_console"]

PIPE_WIDTH = 200  # columns when nobody's terminal limits them: a table must not be cut in a log


def make_console(*, stderr: bool = False) -> Console:
    """A console that prints text as it is."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, markup=False, width=None if stream.isatty() else PIPE_WIDTH)
