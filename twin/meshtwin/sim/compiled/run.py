"""One replication on the compiled engine."""

from typing import TYPE_CHECKING, Any

import numpy as np

from meshtwin.errors import InvalidInput
from meshtwin.sim.compiled.support import unsupported
from meshtwin.sim.draws import extend_key, make_key
from meshtwin.sim.results import RunResult
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.states import PresetStates
from meshtwin.sim.watching import tell

if TYPE_CHECKING:
    from meshtwin.sim.compiled.layout import State

__all__ = ["compile_ahead", "run_compiled", "run_state"]


def run_compiled(scenario: Scenario, seed: int, replication: int, states: PresetStates | None = None) -> RunResult:
    """One replication of ``scenario``, equal to what the reference engine gives.

    The first call in a process loads numba and the kernel; in a fresh checkout it compiles.
    Raises `InvalidInput` for what `unsupported` names.
    """
    if reason := unsupported(scenario):
        raise InvalidInput(f"the compiled engine does not know {reason}", reason="Unsupported", place=scenario.name)
    from meshtwin.sim.compiled.collect import collect

    return collect(scenario, seed, replication, run_state(scenario, seed, replication, states))


def run_state(scenario: Scenario, seed: int, replication: int, states: PresetStates | None = None) -> "State":
    """The arrays as they are when one replication is over."""
    from meshtwin.sim.compiled.changes import Changes
    from meshtwin.sim.compiled.kernel import CHANGED, FINISHED, GROWING, PAUSED, advance  # compiles
    from meshtwin.sim.compiled.prepare import build_state, prepare

    prepared = prepare(scenario)
    root_key = extend_key(make_key(seed, "replication"), replication)
    state = build_state(prepared, root_key, states)
    changes = Changes(prepared, root_key)
    sets = max(1, scenario.profile.originated_sets + scenario.profile.relay_sets)
    most_repeats = int((prepared.flows["repeats"] + prepared.flows["retries"]).max(initial=0))
    friends = prepared.friendships["friend"]
    most_stored = int(np.bincount(friends).max()) if len(friends) else 0  # of one friend's low-power nodes
    while True:
        room = (largest_degree(state) + 2) * (6 + 2 * sets + most_stored) + most_repeats
        verdict = advance(state, prepared.stop_ns, room)
        if verdict == FINISHED:
            return state
        if verdict == CHANGED:
            state = changes.apply(state)
            continue
        if verdict == PAUSED:
            tell(scenario, int(state.queue[0]["time_ns"]))
        else:
            state = grow(state, GROWING[verdict], room)


def compile_ahead() -> str:
    """Compiles the kernel if need be, and gives the folder of the cache that keeps it; for building images."""
    from meshtwin.mesh.addresses import UnicastAddress
    from meshtwin.mesh.configuration import Transmit
    from meshtwin.sim.compiled.kernel import advance
    from meshtwin.sim.scenario import ScenarioFlow, ScenarioLink, ScenarioNode

    a, b, once = UnicastAddress(1), UnicastAddress(2), Transmit(count=0, interval_steps=1)
    scenario = Scenario(
        name="ahead",
        nodes=tuple(
            ScenarioNode(address=n, relay=False, ttl=0, network_transmit=once, relay_retransmit=once) for n in (a, b)
        ),
        links=(ScenarioLink(source=a, target=b, delivery=1.0),),
        flows=(ScenarioFlow(name="one", source=a, members=(b,), count=1, period_s=1.0),),
    )
    run_compiled(scenario, 0, 0)
    compiled: Any = advance
    return str(compiled._cache.cache_path)


def largest_degree(state: "State") -> int:
    """Most links that one node has."""
    return int((state.nodes["link_to"] - state.nodes["link_from"]).max(initial=0))


def grow(state: "State", name: str, room: int) -> "State":
    """One array twice as long, or longer by ``room`` if that is more; what is new is zero."""
    names = (name, "known") if name == "slots" else (name,)  # a row of ``known`` per slot
    longer: dict[str, Any] = {}
    for each in names:
        array = getattr(state, each)
        longer[each] = np.zeros((len(array) + max(len(array), room), *array.shape[1:]), dtype=array.dtype)
        longer[each][: len(array)] = array
    return state._replace(**longer)
