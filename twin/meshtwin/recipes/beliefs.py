"""How far a run trusts a model's on-time intervals when it decides: as far as its earlier predictions held.

A simulation's interval knows the chance of its own draws, and half of what is measured lies outside of it (MODELS.md,
"Error knowledge"). Candidates are compared on equal states, where what a model lacks it lacks for all of them; whether
one meets an objective with a margin is no comparison, and that is asked of the intervals made here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from meshtwin.mesh.kpis import FlowKpis, NetworkKpis
from meshtwin.mesh.priors import SIMULATION
from meshtwin.mesh.scorecards import FigureKind, Prior, Scorecard, Standings, adjust, stand
from meshtwin.mesh.snapshots import Snapshot

__all__ = ["Beliefs", "find_segments_of_flows"]

# Messages: so many that counting them adds nothing. An objective is about the flow, not about one probe of it.
WHOLE_FLOW: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Beliefs:
    """What segments' scorecards say of models, by name of the segment; without an entry the prior alone speaks."""

    cards: Mapping[str, Standings] = field(default_factory=lambda: MappingProxyType({}))
    prior: Prior = SIMULATION[FigureKind.ON_TIME]

    def widen(self, kpis: NetworkKpis, model: str, segment_of: Callable[[str], str]) -> NetworkKpis:
        """The figures with 90 % intervals of what the flows' on-time shares are, going by the model's record.

        Estimates and all other figures stay. ``segment_of``: whose card a flow of that name goes by.
        """

        def believed(flow: FlowKpis) -> FlowKpis:
            known = self.cards.get(segment_of(flow.flow), {}).get((model, FigureKind.ON_TIME))
            standing = known or stand(Scorecard(), self.prior, model=model)
            return replace(flow, on_time=adjust(flow.on_time, standing, self.prior, trials=WHOLE_FLOW))

        return replace(kpis, flows=tuple(believed(flow) for flow in kpis.flows))


def find_segments_of_flows(snapshot: Snapshot, default: str) -> Callable[[str], str]:
    """The segment that holds a flow's source: its gateway counts the flow. ``default``: of one that nobody holds."""
    owners = {address: view.name for view in snapshot.segments for address in view.addresses}
    found = {flow.name: owners.get(flow.source, default) for flow in snapshot.flows}
    return lambda flow: found.get(flow, default)
