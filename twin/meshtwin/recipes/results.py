"""How a pipeline ended for one segment, and what that rests on."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.kpis import Prediction
from meshtwin.recipes.pareto import Merits

__all__ = ["Evidence", "Outcome", "ParetoPoint", "PipelineResult", "TrialRecord"]


class Outcome(StrEnum):
    """How a run ended; the names stand in ``Pipeline.status``."""

    PROPOSED = "Proposed"
    NOTHING_BETTER = "NothingBetter"
    OBJECTIVES_UNREACHABLE = "ObjectivesUnreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One candidate that was tried; ``verdict`` says why it lost, or that it won."""

    recipe: str
    reason: str
    digest: str
    relays: int
    airtime_ratio: float
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoPoint:
    """A configuration that no other of the later rounds beats in every respect; ``digest`` None: the one in force."""

    digest: str | None
    recipe: str
    reason: str
    merits: Merits


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the decision rests on.

    ``trials``: the closest candidates, best first; ``candidates_tried`` counts those that only the fast model was
    asked about, too, and ``pruned`` those alone. ``pareto``: what else could be chosen, the most on time first.
    """

    models: tuple[str, ...]
    seed: int
    candidates_tried: int
    proposed_by: Mapping[str, int]
    trials: tuple[TrialRecord, ...]
    pruned: int = 0
    pareto: tuple[ParetoPoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineResult:
    """The answer of `meshtwin.recipes.pipeline.run_pipeline`.

    ``configuration``: every settable value of every settable node of the segment; None unless proposed.
    ``digest``: of the segment's whole configuration, what is not settable included.
    ``prediction``: base against winner on fresh states; against the best seen if nothing was proposed, None
    if there was no candidate at all.
    """

    outcome: Outcome
    message: str
    segment: str
    segment_addresses: tuple[UnicastAddress, ...]
    configuration: Configuration | None
    digest: str | None
    changed_nodes: tuple[UnicastAddress, ...]
    prediction: Prediction | None
    base_digest: str
    base_revision: int | None
    inventory_hash: str
    evidence: Evidence
    gaps: tuple[str, ...]
    warnings: tuple[str, ...]
