"""Compiling: the decorators of the kernel, and a cache that works where the package can't be written to.

numba's own cache looks at one source file and gives up on a folder that is read-only. The kernel is spread over
files, and an image has it compiled already and runs with a read-only root.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, ParamSpec, Self, TypeVar, cast

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator

from meshtwin.sim.air import NOISE_MW
from meshtwin.sim.draws import GOLDEN, MIX_1, MIX_2
from meshtwin.sim.elements.bearer import CHANNEL_ORDERS
from meshtwin.sim.interference import DAY_NS
from meshtwin.sim.ordering import Rank
from meshtwin.sim.packets import LossCause, PartKind, RecordKind
from meshtwin.sim.reference import BURST_SALT
from meshtwin.sim.states import COPIES_WITH_SLOT, SLOTS_PER_NODE, Slot

__all__ = ["inlined", "kernel"]

njit: Any = numba.njit  # takes options that its types leave out
boundscheck: Any = numba.config.BOUNDSCHECK  # type: ignore[attr-defined]  # set while it loads
P = ParamSpec("P")
R = TypeVar("R")
PACKAGE: Final = Path(__file__).parent
# Without reference counts: the kernel allocates nothing, and counting took nine tenths of its time.
OPTIONS: Final[Mapping[str, bool]] = {"nogil": True, "_nrt": False}
COMPILED_IN: Final = (  # what the kernel takes from elsewhere
    (GOLDEN, MIX_1, MIX_2, NOISE_MW, CHANNEL_ORDERS, DAY_NS, BURST_SALT, SLOTS_PER_NODE, COPIES_WITH_SLOT),
    (tuple(LossCause), tuple(RecordKind), tuple(PartKind), tuple(Rank), tuple(Slot)),
)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """A part of the kernel, which becomes one piece with its caller."""
    return cast(
        Callable[P, R], njit(**OPTIONS, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    )


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """A function to be called from Python; runs without the interpreter's lock, compiled once per machine type."""
    dispatcher = njit(**OPTIONS, no_cfunc_wrapper=True)(function)
    with contextlib.suppress(RuntimeError):  # no place for a cache at all: compiled in each process
        dispatcher._cache = PackageCache(function)
    return cast(Callable[P, R], dispatcher)


class PackageLocator(_CacheLocator):
    """``__pycache__`` beside this file, if it can be written to or holds something of this very source."""

    def __init__(self) -> None:
        self._path = PACKAGE / "__pycache__"
        self._stamp = stamp()

    def get_cache_path(self) -> str:
        return str(self._path)

    def get_source_stamp(self) -> str:
        return self._stamp

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


class StampedCacheImpl(CompileResultCacheImpl):
    _locator_classes = [PackageLocator, *CompileResultCacheImpl._locator_classes]  # type: ignore[list-item]  # noqa: RUF012  # numba's own way


class PackageCache(FunctionCache):
    """A cache that knows all sources of the kernel, and goes on where it can't write."""

    _impl_class = StampedCacheImpl

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]  # numba's caching carries no types
        self._cache_file._source_stamp = stamp()

    def save_overload(self, sig: object, data: object) -> None:
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]  # numba's caching carries no types


def stamp() -> str:
    """A digest of all that is compiled into the kernel, and of a switch that numba's own key leaves out."""
    digest = hashlib.sha256(repr((COMPILED_IN, boundscheck)).encode())
    for path in sorted(PACKAGE.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
