"""Compiling: the decorators of the kernel."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar, cast

import numba

from meshtwin.sim.air import NOISE_MW
from meshtwin.sim.draws import GOLDEN, MIX_1, MIX_2, hash_text
from meshtwin.sim.elements.bearer import CHANNEL_ORDERS
from meshtwin.sim.fates import BURST_SALT
from meshtwin.sim.interference import DAY_NS
from meshtwin.sim.kernel_cache import cached
from meshtwin.sim.ordering import Rank
from meshtwin.sim.packets import LossCause, PartKind, RecordKind
from meshtwin.sim.states import COPIES_WITH_SLOT, SLOTS_PER_NODE, Slot

__all__ = ["apart", "inlined", "kernel"]

njit: Any = numba.njit  # takes options that its types leave out
P = ParamSpec("P")
R = TypeVar("R")
# Without reference counts: the kernel allocates nothing, and counting took nine tenths of its time.
OPTIONS: Final[Mapping[str, bool]] = {"nogil": True, "_nrt": False}
COMPILED_IN: Final = (  # what the kernel takes from elsewhere
    (GOLDEN, MIX_1, MIX_2, NOISE_MW, CHANNEL_ORDERS, DAY_NS, BURST_SALT, SLOTS_PER_NODE, COPIES_WITH_SLOT),
    (tuple(LossCause), tuple(RecordKind), tuple(Rank), tuple(Slot)),
    tuple((kind.name, hash_text(kind.name)) for kind in PartKind),
)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """A part of the kernel, which becomes one piece with its caller."""
    return cast(
        Callable[P, R], njit(**OPTIONS, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    )


def apart(function: Callable[P, R]) -> Callable[P, R]:
    """A part of the kernel that runs seldom: a function of its own, so that its caller stays small.

    Every argument needs one type at all calls (`keyed.wide`), or it is compiled once more.
    """
    return cast(Callable[P, R], njit(**OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function))


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """A function to be called from Python; runs without the interpreter's lock, compiled once per machine type."""
    dispatcher = njit(**OPTIONS, no_cfunc_wrapper=True)(function)
    return cast(Callable[P, R], cached(dispatcher, function, Path(__file__).parent, COMPILED_IN))
