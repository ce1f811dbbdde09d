"""Answers that list what they lack."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from meshtwin.mesh.scorecards import Standings
from meshtwin.mesh.snapshots import Snapshot

__all__ = ["Gap", "PartialSnapshot"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Something an answer lacks: where, why, and since when it was not heard."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialSnapshot:
    """A snapshot and what it lacks; ``load_source`` says how the load under the estimates is known.

    ``standings``: what models are worth in each segment, by its name, as far as its scorecard tells.
    """

    snapshot: Snapshot
    gaps: tuple[Gap, ...] = ()
    load_source: Literal["measured", "monitoring", "mixed"] = "monitoring"
    standings: Mapping[str, Standings] = field(default_factory=dict)
