"""How a pipeline ended for one segment, and what that rests on."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.kpis import Prediction
from meshtwin.recipes.pareto import Merits

__all__ = ["Evidence", "Outcome", "ParetoPoint", "PipelineResult", "Role", "Stage", "TrialRecord"]


class Outcome(StrEnum):
    """How a run ended; the names stand in ``Pipeline.status``."""

    PROPOSED = "Proposed"
    NOTHING_BETTER = "NothingBetter"
    OBJECTIVES_UNREACHABLE = "ObjectivesUnreachable"


class Stage(StrEnum):
    """The last states that a candidate was judged on; candidates of one stage met the same."""

    FAST_MODEL = "fastModel"
    FIRST_ROUND = "firstRound"
    SECOND_ROUND = "secondRound"
    LAST_ROUND = "lastRound"
    FRESH_STATES = "freshStates"

    @property
    def words(self) -> str:
        """For sentences."""
        return STAGE_WORDS[self]


STAGE_WORDS: Final[Mapping[Stage, str]] = MappingProxyType(
    {
        Stage.FAST_MODEL: "by the fast model",
        Stage.FIRST_ROUND: "in the first round",
        Stage.SECOND_ROUND: "in the second round",
        Stage.LAST_ROUND: "in the last round",
        Stage.FRESH_STATES: "on fresh states",
    }
)


class Role(StrEnum):
    """What a point of the Pareto set is to the one who decides."""

    PROPOSED = "Proposed"
    IN_FORCE = "InForce"
    ALTERNATIVE = "Alternative"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One candidate that was tried; ``verdict`` says why it lost, or that it is proposed.

    ``airtime_ratio``: with reports, as in predictions.
    """

    recipe: str
    reason: str
    digest: str
    relays: int
    airtime_ratio: float
    verdict: str
    stage: Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoPoint:
    """A configuration that no other beats in every respect, all on the same fresh states; ``digest`` None: in force.

    What is proposed, or was the best where nothing is, and what is in force are there in any case; ``is_beaten``:
    another point is better in something and worse in nothing. Airtime is with reports, as in predictions.
    ``messages``: of each flow, that the figures rest on. ``verdict``: why it is not what is proposed; empty: it is.
    """

    digest: str | None
    recipe: str
    reason: str
    merits: Merits
    role: Role
    messages: int
    is_beaten: bool
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the decision rests on.

    ``trials``: the closest candidates, best first; ``candidates_tried`` counts those that only the fast model was
    asked about, too, and ``pruned`` those alone. ``pareto``: what else could be chosen, the most on time first.
    ``trials_left_out``: those that ``trials`` has no room for; ``pareto_left_out``: those that may be in the set by the
    figures of the rounds, and were not judged on fresh states.
    """

    models: tuple[str, ...]
    seed: int
    candidates_tried: int
    proposed_by: Mapping[str, int]
    trials: tuple[TrialRecord, ...]
    pruned: int = 0
    pareto: tuple[ParetoPoint, ...] = ()
    trials_left_out: int = 0
    pareto_left_out: int = 0


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
