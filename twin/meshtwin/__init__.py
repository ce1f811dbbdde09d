"""Network digital twin of Bluetooth Mesh networks.

In a program or notebook:

    scenario = meshtwin.read_scenario("office.yaml")
    result = meshtwin.simulate(scenario, replications=8)
    print(result)
    meshtwin.plot(result).savefig("office.png")

Floors, top to bottom; imports only point down (checked by import-linter):
app and library, then virtual_air and foreign, then the adapters (northbound, connectors, repository, gateway,
emulation, metrics, plotting), recipes, whatif, the models (sim, graph, fast, twins), radio, ports and contract,
mesh, units and errors.

Nothing here knows Kubernetes, and importing this package alone loads none of it.
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from meshtwin.foreign import find_judge, read_snapshot, serve_judge
    from meshtwin.graph_questions import BackboneWish, graph_of
    from meshtwin.library import Comparison, Simulation, compare, plot, read_scenario, simulate
    from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit
    from meshtwin.mesh.snapshots import Snapshot
    from meshtwin.ports import JudgePlan, no_progress
    from meshtwin.sim.scenario import Scenario
    from meshtwin.sim.to_snapshot import to_snapshot
    from meshtwin.sim.tracing import Trace, trace
    from meshtwin.sim.validation import validate

__all__ = [
    "BackboneWish",
    "Comparison",
    "Configuration",
    "JudgePlan",
    "NodeSettings",
    "Scenario",
    "Simulation",
    "Snapshot",
    "Trace",
    "Transmit",
    "compare",
    "find_judge",
    "graph_of",
    "no_progress",
    "plot",
    "read_scenario",
    "read_snapshot",
    "serve_judge",
    "simulate",
    "to_snapshot",
    "trace",
    "validate",
]

__version__ = "0.1.0"

HOMES: Final = {
    **dict.fromkeys(("Comparison", "Simulation", "compare", "plot", "read_scenario", "simulate"), "meshtwin.library"),
    **dict.fromkeys(("find_judge", "read_snapshot", "serve_judge"), "meshtwin.foreign"),
    **dict.fromkeys(("Configuration", "NodeSettings", "Transmit"), "meshtwin.mesh.configuration"),
    **dict.fromkeys(("JudgePlan", "no_progress"), "meshtwin.ports"),
    **dict.fromkeys(("Trace", "trace"), "meshtwin.sim.tracing"),
    **dict.fromkeys(("BackboneWish", "graph_of"), "meshtwin.graph_questions"),
    "Scenario": "meshtwin.sim.scenario",
    "Snapshot": "meshtwin.mesh.snapshots",
    "to_snapshot": "meshtwin.sim.to_snapshot",
    "validate": "meshtwin.sim.validation",
}


def __getattr__(name: str) -> Any:
    """Loads what a name stands for when it is first used: the twins import this package and need it small."""
    if name not in HOMES:
        raise AttributeError(f"module 'meshtwin' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES})
