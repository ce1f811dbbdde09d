"""What is kept of compiled kernels: machine code that another process calls, and nothing to compile into others."""

import pickle
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest

from meshtwin.sim.kernel_cache import NotCompiled, cached, kept_only

njit: Any = numba.njit
OPTIONS = {"nogil": True, "_nrt": False}


def total(values: Any, factor: Any) -> Any:
    result = 0.0
    for at in range(values.shape[0]):
        result += values[at] * factor
    return result


def make(package: Path) -> Any:
    return cached(njit(**OPTIONS)(total), total, package)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a kernel, compiled for one type of array."""
    package = tmp_path_factory.mktemp("package")
    assert make(package)(np.arange(4.0), 2.0) == 12.0
    return package


def test_kernel_from_the_cache_gives_what_the_compiled_one_gave(package: Path) -> None:
    kernel = make(package)
    with kept_only():
        assert kernel(np.arange(5.0), 0.5) == 5.0
    assert sum(kernel.stats.cache_hits.values()) == 1


def test_other_types_are_compiled_beside_a_kernel_from_the_cache(package: Path) -> None:
    kernel = make(package)
    with kept_only():
        assert kernel(np.arange(4.0), 2.0) == 12.0
        with pytest.raises(NotCompiled):
            kernel(np.arange(4), 2)
    assert kernel(np.arange(4), 2) == 12


def test_kept_kernel_holds_machine_code_and_no_source_of_it(package: Path) -> None:
    for path in (package / "__pycache__").glob("*.nbc"):
        (_, kind, (code, source)), *_ = pickle.loads(path.read_bytes())
        told = [
            str(each).strip() for f in llvm.parse_bitcode(source).functions for b in f.blocks for each in b.instructions
        ]
        assert (kind, set(told)) == ("object", {"ret void"})
        assert code


def test_kernel_from_the_cache_is_not_compiled_into_another(package: Path) -> None:
    """What stands in for its source has the name alone: it would do nothing."""
    kernel = make(package)
    with kept_only():
        kernel(np.arange(4.0), 2.0)
    (result,) = kernel.overloads.values()
    assert result.library._shared_module is None


def test_cache_is_left_where_the_sources_changed(package: Path) -> None:
    part = package / "part.py"
    part.write_text("CHANGED = True\n")
    try:
        with kept_only(), pytest.raises(NotCompiled):
            make(package)(np.arange(4.0), 2.0)
    finally:
        part.unlink()
