"""What else could be chosen: the candidates of the later rounds that no other beats in every respect."""

from collections.abc import Sequence
from dataclasses import replace

from meshtwin.mesh.configuration import Configuration, compute_digest
from meshtwin.mesh.kpis import NetworkKpis
from meshtwin.recipes.pareto import Merits, merits_of, pareto_indices
from meshtwin.recipes.results import ParetoPoint
from meshtwin.recipes.scoring import segment_redundancy
from meshtwin.recipes.standing import Standing
from meshtwin.recipes.values import Candidate, Question
from meshtwin.whatif.energy import compute_battery_energy_mj_per_h

__all__ = ["find_pareto_points"]


def find_pareto_points(question: Question, standings: Sequence[Standing]) -> tuple[ParetoPoint, ...]:
    """The Pareto set of all that ``standings`` hold, the configuration in force included, most on time first.

    Each with the figures of the last round it was in. Candidates of the first round that went no further are left
    out: a few messages can't place them.
    """
    if not standings:
        return ()
    latest: dict[str, tuple[Candidate, NetworkKpis]] = {}
    for standing in standings:
        for judged in standing.judged:
            latest[compute_digest(judged.candidate.configuration)] = (judged.candidate, judged.kpis)
    points = [
        ParetoPoint(
            digest=None,
            recipe="",
            reason="the configuration in force",
            merits=_merits(question, Configuration(), standings[-1].before),
        ),
        *(
            ParetoPoint(
                digest=digest,
                recipe=candidate.recipe,
                reason=candidate.reason,
                merits=_merits(question, candidate.configuration, kpis),
            )
            for digest, (candidate, kpis) in latest.items()
        ),
    ]
    chosen = [points[i] for i in pareto_indices([p.merits for p in points])]
    return tuple(sorted(chosen, key=lambda p: (-p.merits.on_time, p.merits.airtime_ratio, p.digest or "")))


def _merits(question: Question, configuration: Configuration, kpis: NetworkKpis) -> Merits:
    whole = question.snapshot.configuration.overlaid(configuration)
    told = replace(kpis, redundancy=segment_redundancy(question, whole)) if kpis.redundancy is None else kpis
    energy = compute_battery_energy_mj_per_h(question.snapshot, configuration)
    return merits_of(question, told, energy_mj_per_h=energy)
