"""What a snapshot can't rule out, and what a configuration would lose by it.

A twin hears notifications. It does not hear that a relay says it relays and forwards nothing, that somebody's Wi-Fi
will fill a channel in the afternoon, or that people will stand in the way. A configuration with little to spare
suffers from such things more than the one in force, which usually has plenty. So both are asked about under the
same trouble: links that deliver less than believed, and on top of that one relay that is dead. What counts is the
fall from the one to the other, since a trouble that exists is there before the change as well.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from meshtwin.graph.links import configured_graph, configured_relays
from meshtwin.graph.reach import best_paths
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import Configuration, NodeSettings
from meshtwin.mesh.kpis import NetworkKpis
from meshtwin.mesh.snapshots import LinkEstimate, Snapshot
from meshtwin.recipes.values import Question

__all__ = ["NO_TROUBLE", "WORK_MAX_SIMULATED", "Ask", "Doubts", "Fall", "Trouble", "weaken"]

# Verification right after a push takes a fall of more than 50 per mille for harm. What is expected must keep away
# from that by the error of a prediction; what would only happen under a trouble may come close to it.
EXPECTED_FALL_MAX: Final = 0.025
FALL_MAX: Final = 0.05
WEAKER: Final = 0.85  # of each link's delivery: half of the PDUs on one of three channels lost, or 1 to 2 dB less
RELAYS_DOUBTED: Final = 16  # at most: those that most messages go by
# However few questions there are. Of 72 backbones that fell too far with some relay dead, that relay was among the
# first 4 for 83 %, the first 6 for 90 %, the first 16 for all (24 networks of 24 and 52 nodes, seeds 9000 to 9023).
RELAYS_DOUBTED_LEAST: Final = 4
# A look at all doubted relays may take this part of the questions: each finalist is looked at once, and again after
# each step of its hardening, three fifths of them after one step or none.
LOOKS: Final = 20
# Nodes times questions that one run may spend on troubles: what a question costs grows with the nodes. Some 4 s of one
# processor at 300 nodes by the fast model, some 10 s by the simulator.
WORK_MAX: Final = 36_000
WORK_MAX_SIMULATED: Final = 6_000
LEAST_DELIVERY: Final = 0.05  # of a link that may be on a best path

# Figures of configurations on a snapshot, None where a model declines.
Ask = Callable[[Snapshot, Sequence[Configuration]], Sequence[NetworkKpis | None]]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that may be so: links deliver less than believed, and a relay is dead."""

    is_weak: bool = False
    dead: UnicastAddress | None = None

    @property
    def allowed(self) -> float:
        """On-time share that a flow may lose under it, 0..1."""
        return FALL_MAX if self.is_weak or self.dead is not None else EXPECTED_FALL_MAX

    def __str__(self) -> str:
        weak = [f"links deliver {1 - WEAKER:.0%} less than believed"] if self.is_weak else []
        dead = [] if self.dead is None else [f"relay {format_address(self.dead)} is dead"]
        return " and ".join([*weak, *dead])


NO_TROUBLE: Final = Trouble()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """The on-time share that ``flow`` loses against the configuration in force under the same trouble, -1..1."""

    flow: str
    size: float
    trouble: Trouble = NO_TROUBLE

    @property
    def excess(self) -> float:
        """What it is above what is allowed; below 0 if less."""
        return self.size - self.trouble.allowed

    def __str__(self) -> str:
        said = f"onTime of {self.flow} would be {self.size * 1000:.0f} per mille below that of the one in force"
        return said if self.trouble == NO_TROUBLE else f"{said} if {self.trouble}"


@dataclass(slots=True, kw_only=True)
class Doubts:
    """Falls of the configurations of one question; what is in force is asked about once per trouble.

    ``work``: nodes times questions that may be spent, see `WORK_MAX`.
    """

    question: Question
    ask: Ask
    work: int = WORK_MAX
    asked: int = field(default=0, init=False)
    _weak: Snapshot = field(init=False)
    _in_force: dict[Trouble, NetworkKpis | None] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._weak = weaken(self.question.snapshot, WEAKER)

    @property
    def questions(self) -> int:
        """What may be asked in all; what is asked beyond it is answered, too."""
        return self.work // max(1, len(self.question.snapshot.nodes))

    @property
    def is_exhausted(self) -> bool:
        """Whether so much was asked."""
        return self.asked >= self.questions

    def find(self, configuration: Configuration) -> list[Fall]:
        """Falls under every trouble, the worst first.

        ``configuration`` is that of the whole snapshot. Troubles that no model answers are left out.
        """
        weak = [Trouble(is_weak=True, dead=dead) for dead in (None, *self._doubted(configuration))]
        return self.find_each([configuration], [NO_TROUBLE, *weak])[0]

    def find_each(self, configurations: Sequence[Configuration], troubles: Sequence[Trouble]) -> list[list[Fall]]:
        """Falls of several configurations under these troubles, as `find` gives them."""
        falls: list[list[Fall]] = [[] for _ in configurations]
        for is_weak in (False, True):
            some = [trouble for trouble in troubles if trouble.is_weak is is_weak]
            for index, rows in enumerate(self._figures(configurations, some)):
                for trouble, kpis in zip(some, rows, strict=True):
                    falls[index] += self._falls(trouble, kpis)
        return [sorted(found, key=lambda f: (-f.excess, f.flow, f.trouble.dead or 0)) for found in falls]

    def _falls(self, trouble: Trouble, kpis: NetworkKpis | None) -> list[Fall]:
        before = self._in_force[trouble]
        if before is None or kpis is None:
            return []
        earlier = {f.flow: f.on_time.estimate for f in before.flows}
        return [
            Fall(flow=f.flow, size=earlier[f.flow] - f.on_time.estimate, trouble=trouble)
            for f in kpis.flows
            if f.flow in earlier
        ]

    def _figures(
        self, configurations: Sequence[Configuration], troubles: Sequence[Trouble]
    ) -> list[list[NetworkKpis | None]]:
        """By configuration and trouble; all are weak or none. Those of what is in force are kept beside."""
        if not troubles:
            return [[] for _ in configurations]
        base = self.question.snapshot.configuration
        new = [trouble for trouble in troubles if trouble not in self._in_force]
        wanted = [_without(base, t.dead) for t in new]
        wanted += [_without(c, t.dead) for c in configurations for t in troubles]
        figures = list(self.ask(self._weak if troubles[0].is_weak else self.question.snapshot, wanted))
        self.asked += len(wanted)
        self._in_force.update(zip(new, figures, strict=False))
        rest = figures[len(new) :]
        return [rest[start : start + len(troubles)] for start in range(0, len(rest), len(troubles))]

    def _doubted(self, configuration: Configuration) -> list[UnicastAddress]:
        """Relays of the best paths of the flows, those with most targets behind them first.

        None where the objectives are content with one path.
        """
        question = self.question
        if question.objectives.redundancy_at_least == 1:
            return []
        graph = configured_graph(question.snapshot, configuration, threshold=LEAST_DELIVERY)
        relays = configured_relays(question.snapshot, configuration)
        behind: Counter[UnicastAddress] = Counter()
        for flow in question.snapshot.flows:
            if flow.source in graph:
                paths = best_paths(graph, relays, flow.source, question.members(flow))
                behind.update(relay for path in paths.values() for relay in path[1:-1])
        most = min(RELAYS_DOUBTED, max(RELAYS_DOUBTED_LEAST, self.questions // LOOKS))
        return sorted(behind, key=lambda a: (-behind[a], a))[:most]


def weaken(snapshot: Snapshot, factor: float) -> Snapshot:
    """The snapshot with each link delivering ``factor`` of what it does, as certain as before."""

    def weaker(link: LinkEstimate) -> LinkEstimate:
        heard = link.delivery_alpha * factor
        return replace(link, delivery_alpha=heard, delivery_beta=link.delivery_beta + link.delivery_alpha - heard)

    return replace(snapshot, links=tuple(weaker(link) for link in snapshot.links))


def _without(configuration: Configuration, dead: UnicastAddress | None) -> Configuration:
    if dead is None:
        return configuration
    return configuration.overlaid(Configuration.of({dead: NodeSettings(relay=False)}))
