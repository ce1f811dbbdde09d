"""Compiling the kernel of the fast model."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar, cast

import numba

from meshtwin.sim.kernel_cache import cached

__all__ = ["entry", "part"]

njit: Any = numba.njit  # takes options that its types leave out
P = ParamSpec("P")
R = TypeVar("R")
# Without reference counts: arrays come in and none is made; counting them took three quarters of the time.
OPTIONS: Final[Mapping[str, bool]] = {"nogil": True, "_nrt": False}


def part(function: Callable[P, R]) -> Callable[P, R]:
    """A part of the kernel, compiled into what calls it: to pass a tuple of arrays costs more than most parts do."""
    return cast(Callable[P, R], njit(**OPTIONS, forceinline=True)(function))


def entry(function: Callable[P, R]) -> Callable[P, R]:
    """A function to be called from Python; runs without the interpreter's lock, compiled once per machine type."""
    return cast(Callable[P, R], cached(njit(**OPTIONS)(function), function, Path(__file__).parent))
