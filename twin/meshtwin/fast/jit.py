"""Compiling the kernel of the fast model, with the simulator's kind of cache for all sources of this package."""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar, cast

import numba
from numba.core.caching import CompileResultCacheImpl

from meshtwin.sim.compiled.jit import PackageCache, PackageLocator, StampedCacheImpl

__all__ = ["entry", "part"]

P = ParamSpec("P")
R = TypeVar("R")
njit: Any = numba.njit  # takes options that its types leave out
boundscheck: Any = numba.config.BOUNDSCHECK  # type: ignore[attr-defined]  # set while it loads
PACKAGE: Final = Path(__file__).parent


def part(function: Callable[P, R]) -> Callable[P, R]:
    """A part of the kernel, compiled with what calls it.

    Without reference counts: arrays come in and none is made; counting them took three quarters of the time.
    """
    return cast(Callable[P, R], njit(nogil=True, _nrt=False)(function))


def entry(function: Callable[P, R]) -> Callable[P, R]:
    """A function to be called from Python; runs without the interpreter's lock, compiled once per machine type."""
    dispatcher = njit(nogil=True, _nrt=False)(function)
    dispatcher._cache = FastCache(function)
    return cast(Callable[P, R], dispatcher)


class FastLocator(PackageLocator):
    """``__pycache__`` beside this file, under the same conditions."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._path = PACKAGE / "__pycache__"
        self._stamp = stamp()


class FastCacheImpl(StampedCacheImpl):
    _locator_classes: list[type[object]] = [FastLocator, *CompileResultCacheImpl._locator_classes]  # noqa: RUF012  # numba's own


class FastCache(PackageCache):
    """A cache that knows all sources of the fast model."""

    _impl_class = FastCacheImpl

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file._source_stamp = stamp()


@lru_cache(maxsize=1)
def stamp() -> str:
    """A digest of all that is compiled here, and of a switch that numba's own key leaves out."""
    digest = hashlib.sha256(repr(boundscheck).encode())
    for path in sorted(PACKAGE.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
