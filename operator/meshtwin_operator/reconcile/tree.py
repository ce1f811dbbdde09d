"""Trees of twins: ancestors, the root, segments, policies that hold for a twin, pushes in flight."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin_operator.reconcile.world import ObjectKey, World
from meshtwin_operator.resources.base import Resource
from meshtwin_operator.resources.records import ConfigurationProposal, MeshConfiguration
from meshtwin_operator.resources.twins import DigitalTwin, MeshSegment

__all__ = [
    "IN_FLIGHT",
    "TERMINAL",
    "Lineage",
    "age_key",
    "child_twins",
    "configurations_of",
    "find_lineage",
    "is_open",
    "key_of",
    "pushes_in_flight",
    "segments_of",
    "segments_of_tree",
    "step_of",
    "twins_of_tree",
]

# Steps in which a gateway may hold something of ours that is not settled.
IN_FLIGHT: Final = frozenset({"Staging", "MeasuringBaseline", "Committing", "Verifying", "Confirming", "Aborting"})
TERMINAL: Final = frozenset({"Confirmed", "RolledBack", "Rejected", "TimedOut", "Superseded", "Adopted"})
OPEN_PHASES: Final = frozenset({None, "Pending", "Judging", "AwaitingDecision"})
NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)  # of an object without a time of creation: older than all others


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """A twin with its ancestors, itself first and the root last."""

    twins: tuple[DigitalTwin, ...]

    @property
    def twin(self) -> DigitalTwin:
        """The twin itself."""
        return self.twins[0]

    @property
    def root(self) -> DigitalTwin:
        """The root of the tree: it has the broker."""
        return self.twins[-1]

    @property
    def mode(self) -> str:
        """The twin's own mode, but ``Observe`` when any ancestor observes."""
        observed = any(twin.spec.mode == "Observe" for twin in self.twins)
        return "Observe" if observed else self.twin.spec.mode

    @property
    def suspended_by(self) -> str | None:
        """Name of the nearest twin with ``suspend``; None: none has."""
        return next((t.metadata.name for t in self.twins if t.spec.suspend), None)

    @property
    def stopped_by(self) -> str | None:
        """Name of the nearest twin with ``emergencyStop``; None: none has."""
        return next((t.metadata.name for t in self.twins if t.spec.emergency_stop), None)


def key_of(resource: DigitalTwin | MeshSegment | MeshConfiguration) -> ObjectKey:
    """The key of an object."""
    return ObjectKey(resource.kind, resource.metadata.namespace, resource.metadata.name)


def age_key(resource: Resource) -> tuple[datetime, str]:
    """Sorts the oldest first; of two that are as old the name that sorts first."""
    return resource.metadata.creation_timestamp or NEVER, resource.metadata.name


def _twin(world: World, namespace: str, name: str) -> DigitalTwin | None:
    found = world.get(ObjectKey("DigitalTwin", namespace, name))
    return found if isinstance(found, DigitalTwin) else None


def find_lineage(world: World, namespace: str, name: str) -> Lineage:
    """The twin and its ancestors.

    Raises `InvalidInput`: reason ``TwinNotFound``, ``ParentNotFound``, or ``ParentCircle`` with the circle.
    """
    twin = _twin(world, namespace, name)
    if twin is None:
        raise InvalidInput(f"DigitalTwin {name!r} does not exist", reason="TwinNotFound", place="spec.twinRef")
    chain = [twin]
    while (parent := chain[-1].spec.parent_ref) is not None:
        names = [one.metadata.name for one in chain]
        if parent.name in names:
            circle = " -> ".join([*names, parent.name])
            raise InvalidInput(f"parents form a circle: {circle}", reason="ParentCircle", place="spec.parentRef")
        above = _twin(world, namespace, parent.name)
        if above is None:
            raise InvalidInput(
                f"DigitalTwin {parent.name!r}, parent of {names[-1]!r}, does not exist",
                reason="ParentNotFound",
                place="spec.parentRef",
            )
        chain.append(above)
    return Lineage(twins=tuple(chain))


def child_twins(world: World, namespace: str, name: str) -> tuple[DigitalTwin, ...]:
    """Twins whose ``parentRef`` names this one, by name."""
    found = world.find("DigitalTwin", namespace, "parent", name)
    return tuple(twin for twin in found if isinstance(twin, DigitalTwin))


def twins_of_tree(world: World, namespace: str, root: str) -> tuple[DigitalTwin, ...]:
    """The root and everything below it, breadth first; a circle is cut where it closes."""
    found: dict[str, DigitalTwin] = {}
    waiting = [root]
    while waiting:
        name = waiting.pop(0)
        twin = _twin(world, namespace, name)
        if twin is None or name in found:
            continue
        found[name] = twin
        waiting.extend(child.metadata.name for child in child_twins(world, namespace, name))
    return tuple(found.values())


def segments_of(world: World, namespace: str, twin: str) -> tuple[MeshSegment, ...]:
    """Segments whose ``twinRef`` names this twin, by name."""
    found = world.find("MeshSegment", namespace, "twin", twin)
    return tuple(segment for segment in found if isinstance(segment, MeshSegment))


def segments_of_tree(world: World, namespace: str, root: str) -> tuple[MeshSegment, ...]:
    """Segments of all twins of a tree, by name."""
    twins = twins_of_tree(world, namespace, root)
    segments = [s for twin in twins for s in segments_of(world, namespace, twin.metadata.name)]
    return tuple(sorted(segments, key=lambda segment: segment.metadata.name))


def configurations_of(world: World, namespace: str, segment: str) -> tuple[MeshConfiguration, ...]:
    """Revisions of a segment, oldest first."""
    found = world.find("MeshConfiguration", namespace, "segment", segment)
    mine = [record for record in found if isinstance(record, MeshConfiguration)]
    return tuple(sorted(mine, key=lambda record: (record.spec.revision, record.metadata.name)))


def step_of(record: MeshConfiguration) -> str:
    """Step of a push; ``Pending`` before the first status."""
    status = record.status
    return "Pending" if status is None or status.push is None else status.push.step


def is_open(proposal: ConfigurationProposal) -> bool:
    """Whether a proposal is not decided yet."""
    return (proposal.status.phase if proposal.status else None) in OPEN_PHASES


def pushes_in_flight(world: World, namespace: str, root: str) -> tuple[MeshConfiguration, ...]:
    """Records of the tree's segments whose push or repair is between stage and verdict, by name."""
    candidates = {
        record.metadata.name: record
        for index in ("step", "heal")
        for step in sorted(IN_FLIGHT)
        for record in world.find("MeshConfiguration", namespace, index, step)
        if isinstance(record, MeshConfiguration)
    }
    return tuple(
        candidates[name]
        for name in sorted(candidates)
        if _is_in_tree(world, namespace, candidates[name].spec.segment_ref.name, root)
    )


def _is_in_tree(world: World, namespace: str, segment: str, root: str) -> bool:
    found = world.get(ObjectKey("MeshSegment", namespace, segment))
    if not isinstance(found, MeshSegment):
        return False
    try:
        return find_lineage(world, namespace, found.spec.twin_ref.name).root.metadata.name == root
    except InvalidInput:
        return False
