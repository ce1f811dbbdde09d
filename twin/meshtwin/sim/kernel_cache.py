"""A cache for kernels that numba compiles: one per package, stamped with all of its sources.

numba's own cache looks at one source file and gives up on a folder that is read-only. A kernel is spread over
files, and an image has it compiled already and runs with a read-only root.
"""

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import llvmlite.binding as llvm  # type: ignore[import-untyped]  # carries no types
import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator

__all__ = ["NotCompiled", "cached", "kept_only"]

log = logging.getLogger("meshtwin")  # of the standard library: a notebook has configured nothing else
boundscheck: Any = numba.config.BOUNDSCHECK  # type: ignore[attr-defined]  # set while it loads


def cached(dispatcher: Any, function: Callable[..., Any], package: Path, compiled_in: object = ()) -> Any:
    """``dispatcher`` of ``function``, keeping what it compiles beside the sources of ``package`` (a folder).

    ``compiled_in``: constants from elsewhere that end up in the machine code, plain values with a stable repr.
    Where nothing can be kept, each process compiles for itself.
    """
    with contextlib.suppress(RuntimeError):  # no place for a cache at all
        dispatcher._cache = _make_cache(package, compiled_in)(function)
    return dispatcher


def _make_cache(package: Path, compiled_in: object) -> type[FunctionCache]:
    """numba builds locators from classes alone, so what differs between packages is closed over."""
    stamp = compute_stamp(package, compiled_in)

    class PackageLocator(_CacheLocator):
        """``__pycache__`` beside the sources, if it can be written to or holds something compiled."""

        def get_cache_path(self) -> str:
            return str(package / "__pycache__")

        def get_source_stamp(self) -> str:
            return stamp

        def get_disambiguator(self) -> str:
            return "bounds" if boundscheck else "meshtwin"

        @classmethod
        def from_function(cls, py_func: Callable[..., Any], py_file: str) -> Self | None:
            """None where another place has to be found: `NUMBA_CACHE_DIR`, or the user's own cache."""
            if os.environ.get("NUMBA_CACHE_DIR"):
                return None
            locator = cls()
            with contextlib.suppress(OSError):
                locator.ensure_cache_path()  # type: ignore[no-untyped-call]  # numba's caching carries no types
                return locator
            return locator if any((package / "__pycache__").glob("*.nbi")) else None

    class StampedCacheImpl(CompileResultCacheImpl):
        _locator_classes = [PackageLocator, *CompileResultCacheImpl._locator_classes]  # type: ignore[list-item]  # noqa: RUF012  # numba's own way

        def reduce(self, result: Any) -> object:
            return _without_sources(super().reduce(result), result.fndesc)  # type: ignore[no-untyped-call]  # likewise

        def rebuild(self, target_context: object, payload: object) -> Any:
            found: Any = super().rebuild(target_context, payload)  # type: ignore[no-untyped-call]  # likewise
            with contextlib.suppress(AttributeError):  # a numba that keeps it otherwise
                found.library._compiled_object = None  # 1 MB beside the code that was made of it
                found.library._shared_module = None  # none to compile into others: an error, and not another function
            return found

    class PackageCache(FunctionCache):
        """Goes on where it can't write."""

        _impl_class = StampedCacheImpl

        def __init__(self, function: Callable[..., Any]) -> None:
            super().__init__(function)  # type: ignore[no-untyped-call]  # numba's caching carries no types
            self._cache_file._source_stamp = stamp

        def load_overload(self, sig: object, target_context: object) -> object:
            # numba would get its compiler ready first, which machine code does not need: 0.2 s and 16 MiB. Whoever
            # does compile gets it ready by himself (`numba.core.compiler.CompilerBase`).
            with self._guard_against_spurious_io_errors():
                found: object = self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]  # likewise
            if found is None:
                if _only_kept:
                    raise NotCompiled(package.name)
                _tell_once(package.name)
            return found

        def save_overload(self, sig: object, data: object) -> None:
            with contextlib.suppress(OSError):
                super().save_overload(sig, data)  # type: ignore[no-untyped-call]  # numba's caching carries no types

    return PackageCache


def _without_sources(payload: Any, about: Any) -> object:
    """What is kept of a kernel, less what only compiling it into others would need: it is called from Python alone.

    Of the engine 4 of 5 MB, which LLVM would read and hold (9 MiB, a tenth of a second). Names of what the machine
    code defines are asked of it, so those stay. As it is where numba keeps something else.
    """
    match payload:
        case [(str() as name, "object", (bytes() as code, bytes())), *rest]:
            defined = (about.llvm_func_name, about.llvm_cpython_wrapper_name, about.llvm_cfunc_wrapper_name)
            told = "\n".join(f'define void @"{each}"() {{ ret void }}' for each in defined)
            return ((name, "object", (code, llvm.parse_assembly(told).as_bitcode())), *rest)
    return payload


class NotCompiled(Exception):
    """A kernel that is in no cache was asked for within `kept_only`."""


_only_kept = False


@contextlib.contextmanager
def kept_only() -> Iterator[None]:
    """Within it a kernel that no cache has raises `NotCompiled`, instead of being compiled for half a minute."""
    global _only_kept  # noqa: PLW0603  # numba calls the cache, with nothing of ours
    _only_kept = True
    try:
        yield
    finally:
        _only_kept = False


@lru_cache(maxsize=1)
def _tell_once(package: str) -> None:
    """One line on standard error (or wherever logs go): half a minute of silence looks like a fault."""
    log.warning("Compiling the models (%s), up to a minute; kept for the next time where it can be written", package)


def compute_stamp(package: Path, compiled_in: object) -> str:
    """A digest of all that is compiled, and of a switch that numba's own key leaves out."""
    digest = hashlib.sha256(repr((compiled_in, boundscheck)).encode())
    for path in sorted(package.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
