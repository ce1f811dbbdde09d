"""What a proposal keeps of the twin's evidence: as much as one who decides reads."""

from collections.abc import Sequence

from meshtwin.recipes.messages import EvidenceModel, ParetoPointModel, PipelineResponse, TrialModel
from meshtwin_operator.resources.searches import (
    LOSERS_MAX,
    POINTS_MAX,
    TEXT_MAX,
    WARNINGS_MAX,
    LoserRecord,
    ParetoPointRecord,
    SearchRecord,
)

__all__ = ["to_search", "to_warnings"]

FAST_MAX = LOSERS_MAX // 3  # losers that only the fast model saw: they are many, and lost for few reasons


def to_search(evidence: EvidenceModel) -> SearchRecord:
    """The Pareto set and the losers' reasons, bounded, with the numbers of what is left out.

    What is proposed and what is in force are among the points in any case.
    """
    points = _chosen(evidence.pareto)
    shown = {point.digest for point in evidence.pareto}
    lost = [trial for trial in evidence.trials if trial.digest not in shown]
    losers = _closest(lost)
    return SearchRecord(
        candidates=evidence.candidates_tried,
        by_fast_model_alone=evidence.pruned,
        seed=evidence.seed,
        pareto=[_point(point) for point in points],
        pareto_left_out=len(evidence.pareto) - len(points) + evidence.pareto_left_out,
        losers=[_loser(trial) for trial in losers],
        losers_left_out=len(lost) - len(losers) + evidence.trials_left_out,
    )


def to_warnings(result: PipelineResponse) -> list[str]:
    """The run's warnings, then gaps of what it knew; each once, bounded, the last one counting what is left out."""
    told = list(dict.fromkeys(_cut(text) for text in (*result.warnings, *result.gaps) if text))
    if len(told) <= WARNINGS_MAX:
        return told
    return [*told[: WARNINGS_MAX - 1], f"and {len(told) - WARNINGS_MAX + 1} more warnings, left out"]


def _chosen(points: Sequence[ParetoPointModel]) -> list[ParetoPointModel]:
    """The first ones, and those that must not be missing; in the order given."""
    wanted = sorted(points, key=lambda p: p.role == "Alternative")[:POINTS_MAX]
    return [point for point in points if any(point is one for one in wanted)]


def _closest(trials: Sequence[TrialModel]) -> list[TrialModel]:
    """The first ones of the simulated and of the others."""
    simulated = [t for t in trials if t.stage != "fastModel"]
    fast = [t for t in trials if t.stage == "fastModel"]
    room = max(LOSERS_MAX - len(simulated), min(FAST_MAX, len(fast)))
    return [*simulated[: LOSERS_MAX - min(room, len(fast))], *fast[:room]]


def _point(point: ParetoPointModel) -> ParetoPointRecord:
    said = point.model_dump(exclude={"digest"}, exclude_none=True)
    return ParetoPointRecord.model_validate({**said, **_texts(point), "recipe": point.recipe[:63]})


def _loser(trial: TrialModel) -> LoserRecord:
    return LoserRecord.model_validate({**_texts(trial), "recipe": trial.recipe[:63], "stage": trial.stage})


def _texts(said: ParetoPointModel | TrialModel) -> dict[str, str]:
    return {"reason": _cut(said.reason), "verdict": _cut(said.verdict)}


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_MAX else f"{text[: TEXT_MAX - 1]}…"
