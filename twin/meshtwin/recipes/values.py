"""What recipes are given, and what they propose."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.kpis import FlowKpis, NetworkKpis, Objectives, Prediction
from meshtwin.mesh.nodes import Flow, Node
from meshtwin.mesh.snapshots import SegmentView, Snapshot
from meshtwin.ports import QuickJudge
from meshtwin.recipes.parameters import ParameterBounds, check_values
from meshtwin.recipes.telling import is_too_large
from meshtwin.whatif.forks import flow_members

__all__ = [
    "Candidate",
    "Judged",
    "ParameterBounds",
    "Question",
    "Recipe",
    "RecipeUse",
    "Trial",
    "check_parameters",
    "find_segment",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A configuration worth judging; it speaks of settable nodes of the target segment only."""

    configuration: Configuration
    recipe: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A candidate with its figures."""

    candidate: Candidate
    kpis: NetworkKpis


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a pipeline asks of its recipes: better settings for one segment of a snapshot."""

    snapshot: Snapshot
    segment: SegmentView
    objectives: Objectives

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Nodes of the target segment, ascending."""
        mine = set(self.segment.addresses)
        return tuple(n for n in self.snapshot.nodes if n.address in mine)

    @property
    def settable(self) -> tuple[Node, ...]:
        """Nodes of the target segment that may be changed: those that are not frozen."""
        return tuple(n for n in self.nodes if not n.frozen)

    @property
    def touching_flows(self) -> tuple[Flow, ...]:
        """Flows with their source or a member in the target segment."""
        mine = set(self.segment.addresses)
        return tuple(
            f
            for f in self.snapshot.flows
            if f.source in mine or mine.intersection(flow_members(self.snapshot.nodes, f))
        )

    def focus(self, prediction: Prediction) -> Prediction:
        """``prediction`` that knows which flows touch the segment, and which node is its gateway's.

        Where there is room to tell all of it, it is left as it is: a first answer waits for nothing it does not need.
        """
        if not any(is_too_large(side) for side in (prediction.before, prediction.after)):
            return prediction
        gateway = self.segment.gateway_address
        return replace(
            prediction,
            own_flows=prediction.own_flows.union(f.name for f in self.touching_flows),
            own_nodes=prediction.own_nodes.union(() if gateway is None else (gateway,)),
        )

    def touching(self, kpis: NetworkKpis) -> tuple[FlowKpis, ...]:
        """What ``kpis`` tells of the flows that touch the segment."""
        names = {f.name for f in self.touching_flows}
        return tuple(f for f in kpis.flows if f.flow in names)

    def members(self, flow: Flow) -> tuple[UnicastAddress, ...]:
        """Nodes that ``flow`` is meant for, in any segment."""
        return flow_members(self.snapshot.nodes, flow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One turn of a recipe: the question, its parameters, and the best judged so far, best first.

    ``quick``: a fast model that the recipe may ask; None: there is none, and a recipe that needs one has
    nothing to say. ``seed``: what chance a recipe takes depends on it alone.
    """

    question: Question
    parameters: Mapping[str, int]
    best: tuple[Judged, ...] = ()
    quick: QuickJudge | None = None
    seed: int = 0


class Recipe(Protocol):
    """A collection of queries with one aim. Equal trials give equal candidates."""

    @property
    def name(self) -> str:
        """As in ``Recipe.spec.uses``."""
        ...

    @property
    def parameters(self) -> Mapping[str, ParameterBounds]:
        """The parameters it knows."""
        ...

    def propose(self, trial: Trial) -> Iterable[Candidate]:
        """Candidates worth judging, most promising first; none if it has nothing to say."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeUse:
    """A recipe with its parameters, as a pipeline names it."""

    recipe: Recipe
    parameters: Mapping[str, int] = field(default_factory=dict)


def find_segment(snapshot: Snapshot, name: str) -> SegmentView:
    """The segment called ``name``; raises `InvalidInput` (reason ``UnknownSegment``) with those known."""
    for segment in snapshot.segments:
        if segment.name == name:
            return segment
    known = ", ".join(s.name for s in snapshot.segments) or "none"
    raise InvalidInput(f"segment {name!r} is not in the snapshot; known: {known}", reason="UnknownSegment")


def check_parameters(recipe: Recipe, said: Mapping[str, int], place: str) -> dict[str, int]:
    """``said`` with defaults for the rest; raises as `meshtwin.recipes.parameters.check_values` says."""
    return check_values(recipe.name, recipe.parameters, said, place)
