"""Compiling the kernel of the fast model, and a cache that knows all sources of this package.

numba's own cache looks at one source file and gives up on a folder that is read-only; an image has the kernel
compiled already. The compiled engine does likewise (`meshtwin.sim.compiled.jit`) with sources of its own.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, ParamSpec, Self, TypeVar, cast

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator

__all__ = ["entry", "part"]

njit: Any = numba.njit  # takes options that its types leave out
boundscheck: Any = numba.config.BOUNDSCHECK  # type: ignore[attr-defined]  # set while it loads
P = ParamSpec("P")
R = TypeVar("R")
PACKAGE: Final = Path(__file__).parent
# Without reference counts: arrays come in and none is made; counting them took three quarters of the time.
OPTIONS: Final[Mapping[str, bool]] = {"nogil": True, "_nrt": False}


def part(function: Callable[P, R]) -> Callable[P, R]:
    """A part of the kernel, compiled with what calls it."""
    return cast(Callable[P, R], njit(**OPTIONS)(function))


def entry(function: Callable[P, R]) -> Callable[P, R]:
    """A function to be called from Python; runs without the interpreter's lock, compiled once per machine type."""
    dispatcher = njit(**OPTIONS)(function)
    dispatcher._cache = FastCache(function)
    return cast(Callable[P, R], dispatcher)


class FastLocator(_CacheLocator):
    """``__pycache__`` beside this file, if it can be written to or holds something compiled."""

    def __init__(self) -> None:
        self._path = PACKAGE / "__pycache__"

    def get_cache_path(self) -> str:
        return str(self._path)

    def get_source_stamp(self) -> str:
        return stamp()

    def get_disambiguator(self) -> str:
        return "bounds" if boundscheck else "meshtwin"

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> Self | None:
        """None where another place has to be found: `NUMBA_CACHE_DIR`, or the user's own cache."""
        locator = cls()
        if os.environ.get("NUMBA_CACHE_DIR"):
            return None
        with contextlib.suppress(OSError):
            locator.ensure_cache_path()  # type: ignore[no-untyped-call]  # numba's caching carries no types
            return locator
        return locator if any(locator._path.glob("*.nbi")) else None


class FastCacheImpl(CompileResultCacheImpl):
    _locator_classes = [FastLocator, *CompileResultCacheImpl._locator_classes]  # type: ignore[list-item]  # noqa: RUF012  # numba's own way


class FastCache(FunctionCache):
    """A cache that knows all sources of the fast model, and goes on where it can't write."""

    _impl_class = FastCacheImpl

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]  # numba's caching carries no types
        self._cache_file._source_stamp = stamp()

    def save_overload(self, sig: object, data: object) -> None:
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]  # numba's caching carries no types


@lru_cache(maxsize=1)
def stamp() -> str:
    """A digest of all that is compiled here, and of a switch that numba's own key leaves out."""
    digest = hashlib.sha256(repr(boundscheck).encode())
    for path in sorted(PACKAGE.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
