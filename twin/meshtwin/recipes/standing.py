"""Candidates in order, and which of them go on."""

from dataclasses import dataclass

from meshtwin.mesh.kpis import NetworkKpis
from meshtwin.recipes.scoring import find_gaps
from meshtwin.recipes.values import Judged, Question

__all__ = ["Standing", "choose_survivors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Candidates judged on the same states as the base, best first."""

    before: NetworkKpis
    judged: tuple[Judged, ...]


def choose_survivors(question: Question, standing: Standing, kept: int) -> tuple[Judged, ...]:
    """``kept`` candidates: the best half by rank, and as many more spread over the airtime of the rest.

    After few messages the cheap ones that were lucky look best. Those that spend more airtime are the hedge:
    if the cheap ones turn out to miss the objectives, a dearer one is still there. The rest are those that
    do meet the objectives so far; if they are too few, the next by rank.
    """
    judged = standing.judged
    best = judged[: max(1, kept - kept // 2)]
    rest = judged[len(best) :]
    meeting = sorted((j for j in rest if not find_gaps(question, j.kpis)), key=lambda j: j.kpis.own_airtime_ratio)
    wanted = kept - len(best)
    if len(meeting) <= wanted:
        others = [j for j in rest if j not in meeting]
        return (*best, *meeting, *others[: wanted - len(meeting)])
    step = len(meeting) / wanted
    return (*best, *(meeting[min(int((i + 1) * step), len(meeting) - 1)] for i in range(wanted)))
