"""What else could be chosen: the candidates that no other beats in every respect, all judged on the same states."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from meshtwin.mesh.configuration import Configuration, compute_digest
from meshtwin.mesh.kpis import NetworkKpis
from meshtwin.recipes.found import Found, LastJudged
from meshtwin.recipes.losing import Losing
from meshtwin.recipes.pareto import Merits, merits_of, pareto_indices
from meshtwin.recipes.results import ParetoPoint, Role, Stage
from meshtwin.recipes.scoring import tell_standing_facts
from meshtwin.recipes.values import Candidate, Question
from meshtwin.whatif.energy import compute_battery_energy_mj_per_h

__all__ = ["choose_alternatives", "find_pareto_points"]

# With up to three finalists and what is in force they are eight, which is what a reader takes in. Each costs as much
# as half a what-if: some 1 s on 300 nodes at a load of 5 on two cores.
ALTERNATIVES_MAX: Final = 4


def choose_alternatives(question: Question, found: Found) -> tuple[tuple[Candidate, ...], int]:
    """Candidates worth judging on fresh states for the Pareto set, beside the finalists; and how many were left out.

    Those of the later rounds that nothing beats by the figures they have: of a few messages those of the first round
    can't be placed. Of more than there is room for, some spread over their airtime.
    """
    later = [last for last in found.last_judged() if last.stage in (Stage.LAST_ROUND, Stage.SECOND_ROUND)]
    judged = [*(c.judged for c in found.confirmed), *(last.judged for last in later)]
    merits = [_merits(question, j.candidate.configuration, j.kpis) for j in judged]
    front = [judged[i] for i in pareto_indices(merits) if i >= len(found.confirmed)]
    front.sort(key=lambda j: j.kpis.own_airtime_ratio)
    if len(front) <= ALTERNATIVES_MAX:
        return tuple(j.candidate for j in front), 0
    step = (len(front) - 1) / (ALTERNATIVES_MAX - 1)
    chosen = [front[round(i * step)].candidate for i in range(ALTERNATIVES_MAX)]
    return tuple(chosen), len(front) - len(chosen)


def find_pareto_points(losing: Losing) -> tuple[ParetoPoint, ...]:
    """The Pareto set of what was judged on fresh states, with what is proposed and in force, the most on time first.

    Where nothing is proposed, the best is there, too, though another may beat it.
    """
    points = _points(losing)
    best = None if losing.best is None else compute_digest(losing.best.judged.candidate.configuration)
    chosen = set(pareto_indices([p.merits for p in points]))
    told = [
        replace(point, is_beaten=index not in chosen)
        for index, point in enumerate(points)
        if index in chosen or point.role is not Role.ALTERNATIVE or point.digest == best
    ]
    return tuple(sorted(told, key=lambda p: (-p.merits.on_time, p.merits.airtime_ratio, p.digest or "")))


def _points(losing: Losing) -> Sequence[ParetoPoint]:
    """What is proposed and what is in force first: of equal points the first stays."""
    every = [last for last in losing.found.last_judged() if last.stage is Stage.FRESH_STATES]
    if not every:
        return []
    best = [last for last in every if losing.is_proposed and last.confirmation is losing.best]
    return [
        *(_point(losing, last, Role.PROPOSED) for last in best),
        _in_force(losing, every[0].before),
        *(_point(losing, last, Role.ALTERNATIVE) for last in every if last not in best),
    ]


def _point(losing: Losing, last: LastJudged, role: Role) -> ParetoPoint:
    candidate, kpis = last.judged.candidate, last.judged.kpis
    return ParetoPoint(
        digest=compute_digest(candidate.configuration),
        recipe=candidate.recipe,
        reason=candidate.reason,
        merits=_merits(losing.question, candidate.configuration, kpis),
        role=role,
        messages=_messages(losing.question, kpis),
        is_beaten=False,
        verdict="" if role is Role.PROPOSED else losing.why(last),
    )


def _in_force(losing: Losing, kpis: NetworkKpis) -> ParetoPoint:
    return ParetoPoint(
        digest=None,
        recipe="",
        reason="the configuration in force",
        merits=_merits(losing.question, Configuration(), kpis),
        role=Role.IN_FORCE,
        messages=_messages(losing.question, kpis),
        is_beaten=False,
        verdict=losing.why_not_kept(),
    )


def _merits(question: Question, configuration: Configuration, kpis: NetworkKpis) -> Merits:
    """With the whole airtime, as predictions tell it: what a reader compares."""
    whole = question.snapshot.configuration.overlaid(configuration)
    told = tell_standing_facts(question, whole, kpis) if kpis.redundancy is None else kpis  # paths take time to count
    energy = compute_battery_energy_mj_per_h(question.snapshot, configuration)
    merits = merits_of(question, told, energy_mj_per_h=energy)
    return replace(merits, airtime_ratio=kpis.airtime_ratio.estimate)


def _messages(question: Question, kpis: NetworkKpis) -> int:
    return min((f.sent for f in question.touching(kpis)), default=0)
