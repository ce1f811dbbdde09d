"""What a proposal, or the status of a pipeline, keeps of the twin's evidence: as much as one who decides reads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from meshtwin.recipes.messages import EvidenceModel, ParetoPointModel, PipelineResponse, TrialModel
from meshtwin_operator.resources.pipelines import RUN_WARNINGS_MAX
from meshtwin_operator.resources.searches import (
    LOSERS_MAX,
    POINTS_MAX,
    TEXT_MAX,
    WARNINGS_MAX,
    LoserRecord,
    ParetoPointRecord,
    SearchRecord,
)

__all__ = ["SHORT", "WHOLE", "Room", "bound_warnings", "to_search", "to_warnings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much of the evidence there is room for; ``text``: characters of a reason or a verdict."""

    points: int
    losers: int
    text: int
    warnings: int

    @property
    def fast(self) -> int:
        """Losers that only the fast model saw, at most: they are many, and lost for few reasons."""
        return self.losers // 3


WHOLE: Final = Room(points=POINTS_MAX, losers=LOSERS_MAX, text=TEXT_MAX, warnings=WARNINGS_MAX)  # a proposal's
# Of a run that proposed nothing. A pipeline's status has up to 256 runs: 6 kB each at most, and not all keep it.
SHORT: Final = Room(points=4, losers=3, text=240, warnings=RUN_WARNINGS_MAX)


def to_search(evidence: EvidenceModel, room: Room = WHOLE, *, is_proposed: bool = True) -> SearchRecord:
    """The Pareto set and the losers' reasons, bounded, with the numbers of what is left out.

    What is proposed, or was the best, and what is in force are among the points in any case.
    """
    best = None if is_proposed or not evidence.trials else evidence.trials[0].digest
    points = _chosen(evidence.pareto, room, best)
    shown = {point.digest for point in evidence.pareto}
    lost = [trial for trial in evidence.trials if trial.digest not in shown]
    losers = _closest(lost, room)
    return SearchRecord(
        candidates=evidence.candidates_tried,
        by_fast_model_alone=evidence.pruned,
        seed=evidence.seed,
        pareto=[_point(point, room, best) for point in points],
        pareto_left_out=len(evidence.pareto) - len(points) + evidence.pareto_left_out,
        losers=[_loser(trial, room) for trial in losers],
        losers_left_out=len(lost) - len(losers) + evidence.trials_left_out,
    )


def to_warnings(result: PipelineResponse, room: Room = WHOLE) -> list[str]:
    """The run's warnings, then gaps of what it knew; as `bound_warnings` has them."""
    return bound_warnings((*result.warnings, *result.gaps), room)


def bound_warnings(texts: Iterable[str], room: Room = WHOLE) -> list[str]:
    """Each once, bounded, the last one counting what is left out."""
    told = list(dict.fromkeys(_cut(text, room.text) for text in texts if text))
    if len(told) <= room.warnings:
        return told
    return [*told[: room.warnings - 1], f"and {len(told) - room.warnings + 1} more warnings, left out"]


def _chosen(points: Sequence[ParetoPointModel], room: Room, best: str | None) -> list[ParetoPointModel]:
    """The first ones, and those that must not be missing; in the order given."""
    wanted = sorted(points, key=lambda p: _role(p, best) == "Alternative")[: room.points]
    return [point for point in points if any(point is one for one in wanted)]


def _role(point: ParetoPointModel, best: str | None) -> Literal["Proposed", "Best", "InForce", "Alternative"]:
    """``best``: digest of the closest one, where nothing is proposed."""
    return "Best" if best is not None and point.digest == best else point.role


def _closest(trials: Sequence[TrialModel], room: Room) -> list[TrialModel]:
    """The first ones of the simulated and of the others."""
    simulated = [t for t in trials if t.stage != "fastModel"]
    fast = [t for t in trials if t.stage == "fastModel"]
    left = max(room.losers - len(simulated), min(room.fast, len(fast)))
    return [*simulated[: room.losers - min(left, len(fast))], *fast[:left]]


def _point(point: ParetoPointModel, room: Room, best: str | None) -> ParetoPointRecord:
    said = point.model_dump(exclude={"digest"}, exclude_none=True)
    return ParetoPointRecord.model_validate(
        {**said, **_texts(point, room), "recipe": point.recipe[:63], "role": _role(point, best)}
    )


def _loser(trial: TrialModel, room: Room) -> LoserRecord:
    return LoserRecord.model_validate({**_texts(trial, room), "recipe": trial.recipe[:63], "stage": trial.stage})


def _texts(said: ParetoPointModel | TrialModel, room: Room) -> dict[str, str]:
    return {"reason": _cut(said.reason, room.text), "verdict": _cut(said.verdict, room.text)}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
