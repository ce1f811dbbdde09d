"""A scenario: everything the simulator needs to know, as one frozen value."""

from dataclasses import dataclass, replace

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.sim.profiles import StackProfile
from meshtwin.sim.profiles.zephyr import ZEPHYR
from meshtwin.sim.scenario_checks import (
    check_addresses,
    check_background,
    check_flows,
    check_happenings,
    check_links,
    check_low_power,
    check_times,
    check_ttls,
    require,
)
from meshtwin.sim.scenario_features import ExternalInterference
from meshtwin.sim.scenario_parts import (
    ACCESS_PDU_BYTES,
    NodeChange,
    ScenarioBackground,
    ScenarioFlow,
    ScenarioLink,
    ScenarioNode,
)
from meshtwin.wording import counted

__all__ = [
    "ACCESS_PDU_BYTES",
    "NodeChange",
    "Scenario",
    "ScenarioBackground",
    "ScenarioFlow",
    "ScenarioLink",
    "ScenarioNode",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One network with its settings and traffic; raises `InvalidInput` for an impossible world.

    ``capture``: collisions are judged by signal to interference; otherwise any audible overlap destroys.
    ``duration_s`` None: run until the air is quiet. ``watched``: nodes whose own airtime is told besides the mean.
    """

    name: str
    nodes: tuple[ScenarioNode, ...]
    links: tuple[ScenarioLink, ...]
    flows: tuple[ScenarioFlow, ...]
    background: tuple[ScenarioBackground, ...] = ()
    profile: StackProfile = ZEPHYR
    capture: bool = True
    duration_s: float | None = None
    interference: tuple[ExternalInterference, ...] = ()
    start_of_day_s: float = 0.0  # time of day at which the run begins, for ``interference``
    changes: tuple[NodeChange, ...] = ()
    watched: tuple[UnicastAddress, ...] = ()
    is_traced: bool = False  # keep a record of every event, for comparing engines
    gaps: tuple[str, ...] = ()  # what was asked for and is not in it, such as flows outside a region

    def __post_init__(self) -> None:
        name, known = self.name, check_addresses(self.name, self.nodes)
        check_links(name, self.links, known)
        check_flows(name, self.flows, known)
        check_background(name, self.background, known)
        check_ttls(name, self.profile, self.nodes, self.flows, self.background)
        check_low_power(name, self.nodes, self.flows, known)
        check_times(name, self.duration_s, self.start_of_day_s)
        check_happenings(name, self.interference, self.changes, known)
        require(f"{name}.watched", frozenset(self.watched), known)

    def __repr__(self) -> str:
        """One line; `dataclasses.asdict` has everything, which would fill pages."""
        relays = sum(node.relay and node.is_on for node in self.nodes)
        return (
            f"Scenario({self.name!r}: {counted(len(self.nodes), 'node')}, {relays} relay, "
            f"{counted(len(self.links), 'directed link')}, {counted(len(self.flows), 'flow')}, "
            f"profile {self.profile.name})"
        )

    def without_node(self, address: UnicastAddress) -> "Scenario":
        """The scenario with one node switched off; raises `InvalidInput` for an address that is no node of it."""
        if address not in {node.address for node in self.nodes}:
            told = f"{address:04x}" if isinstance(address, int) else repr(address)
            raise InvalidInput(f"unknown node {told}; addresses are numbers, like 0x0014", place=self.name)
        nodes = tuple(replace(n, is_on=False) if n.address == address else n for n in self.nodes)
        return replace(self, nodes=nodes)

    def sending_rate_per_s(self, background: ScenarioBackground) -> float:
        """Messages per second of those of its sources that are on: one that is off takes its share with it."""
        off = {node.address for node in self.nodes if not node.is_on}
        return background.rate_per_s * sum(a not in off for a in background.sources) / max(1, len(background.sources))
