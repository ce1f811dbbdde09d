"""Looking at a replication while it runs: how far it is, and a way to end it. Engines tell, whoever waits listens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from meshtwin.sim.scenario import Scenario
from meshtwin.sim.traffic import find_run_s
from meshtwin.units import s_to_ns

__all__ = ["Look", "tell", "watched", "watched_part"]

# Told the share 0..1 of the simulated time that is over. What it raises ends the replication.
Look = Callable[[float], None]

_look: ContextVar[Look | None] = ContextVar("look", default=None)


@contextmanager
def watched(look: Look) -> Iterator[None]:
    """Has ``look`` told of the replications that run inside, in this thread: each half second at least or so."""
    token = _look.set(look)
    try:
        yield
    finally:
        _look.reset(token)


@contextmanager
def watched_part(begin: float, length: float) -> Iterator[None]:
    """Whoever looks takes what runs inside for the part of a replication from ``begin`` on, ``length`` of it."""
    whole = _look.get()
    if whole is None:
        yield
        return
    with watched(lambda share: whole(begin + share * length)):
        yield


def tell(scenario: Scenario, now_ns: int) -> None:
    """For engines: the simulated time is ``now_ns``."""
    look = _look.get()
    if look is not None:
        end_ns = s_to_ns(find_run_s(scenario))
        look(min(1.0, now_ns / end_ns) if end_ns > 0 else 1.0)
