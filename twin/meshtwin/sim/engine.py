"""The entry to the simulator: one scenario, one seed, one replication, one result."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.sim.reference import run_reference
from meshtwin.sim.results import RunResult
from meshtwin.sim.scenario import Scenario

__all__ = ["ENGINES", "simulate", "simulate_replications"]

Engine = Callable[[Scenario, int, int], RunResult]

ENGINES: Final[Mapping[str, Engine]] = MappingProxyType({"reference": run_reference})


def simulate(scenario: Scenario, *, seed: int, replication: int = 0, engine: str = "reference") -> RunResult:
    """What happens in one replication; equal arguments give equal results.

    The same (seed, replication) gives two scenarios the same luck; two replications share nothing.
    Raises `InvalidInput` for an unknown engine.
    """
    if engine not in ENGINES:
        raise InvalidInput(f"engine {engine!r} is not one of {', '.join(sorted(ENGINES))}", place="engine")
    return ENGINES[engine](scenario, seed, replication)


def simulate_replications(
    scenario: Scenario, *, seed: int, replications: int, engine: str = "reference"
) -> tuple[RunResult, ...]:
    """Replications 0..replications-1, one after the other in this process."""
    return tuple(simulate(scenario, seed=seed, replication=r, engine=engine) for r in range(replications))
