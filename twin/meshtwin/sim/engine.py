"""The entry to the simulator: one scenario, one seed, one replication, one result."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.sim.compiled import run_compiled, unsupported
from meshtwin.sim.reference import run_reference
from meshtwin.sim.results import RunResult
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.states import PresetStates, preset_states

__all__ = ["ENGINES", "FAST", "resolve_engine", "simulate", "simulate_replications", "simulate_selective"]

Engine = Callable[[Scenario, int, int, PresetStates | None], RunResult]

ENGINES: Final[Mapping[str, Engine]] = MappingProxyType({"reference": run_reference, "compiled": run_compiled})
AUTO: Final = "auto"  # the compiled engine for what it knows, else the reference engine
FAST: Final = "fast"  # the fast model, which stands above the simulator and is asked by the library


def simulate(
    scenario: Scenario,
    *,
    seed: int,
    replication: int = 0,
    engine: str = "reference",
    states: PresetStates | None = None,
) -> RunResult:
    """What happens in one replication; equal arguments give equal results.

    The same (seed, replication) gives two scenarios the same luck; two replications share nothing.
    ``states``: preset states in place of draws (`meshtwin.sim.states.preset_states`).
    Raises `InvalidInput` for an unknown engine, or states that do not fit.
    """
    if states is not None:
        states.check_fits(scenario)
    result = _choose(engine, scenario)(scenario, seed, replication, states)
    return result if states is None else replace(result, is_selective=True)


def simulate_selective(
    scenario: Scenario,
    *,
    seed: int,
    replication: int = 0,
    engine: str = "reference",
    ranked_as: Scenario | None = None,
) -> RunResult:
    """`simulate` with the preset states of (seed, replication): one scramble.

    ``ranked_as``: the other side of a comparison whose links differ.
    """
    states = preset_states(scenario, seed=seed, replication=replication, ranked_as=ranked_as)
    return simulate(scenario, seed=seed, replication=replication, engine=engine, states=states)


def simulate_replications(
    scenario: Scenario, *, seed: int, replications: int, engine: str = "reference"
) -> tuple[RunResult, ...]:
    """Replications 0..replications-1, one after the other in this process."""
    return tuple(simulate(scenario, seed=seed, replication=r, engine=engine) for r in range(replications))


def resolve_engine(engine: str, scenario: Scenario) -> str:
    """The name of the engine that `simulate` takes for ``scenario`` when asked for ``engine``."""
    if engine == AUTO:
        return "compiled" if unsupported(scenario) is None else "reference"
    return engine


def _choose(engine: str, scenario: Scenario) -> Engine:
    engine = resolve_engine(engine, scenario)
    if engine == FAST:
        raise InvalidInput(f"{FAST} is a model without runs of its own; engine {AUTO} has them", place="engine")
    if engine not in ENGINES:
        raise InvalidInput(
            f"engine {engine!r} is not one of {', '.join(sorted([AUTO, FAST, *ENGINES]))}", place="engine"
        )
    return ENGINES[engine]
