"""All that a run has judged, and where each candidate was judged last."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.kpis import NetworkKpis
from meshtwin.recipes.results import Stage
from meshtwin.recipes.rounds import Finalist, Pool
from meshtwin.recipes.standing import Standing
from meshtwin.recipes.values import Judged, Question
from meshtwin.recipes.verdict import Confirmation

__all__ = ["Found", "LastJudged"]

ROUNDS: Final = (Stage.FIRST_ROUND, Stage.SECOND_ROUND, Stage.LAST_ROUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastJudged:
    """A candidate with the figures of the last stage it was in; ``before``: those of what is in force, there.

    ``ranked``: the last stage in which it was weighed against others; it may have been judged on fresh states for the
    Pareto set alone.
    """

    judged: Judged
    before: NetworkKpis
    stage: Stage
    ranked: Stage
    confirmation: Confirmation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that a run has judged: the pool, the rounds, the finalists on fresh states.

    ``finalists``: those that were held against troubles, the confirmed ones among them. ``alternatives``: what else
    was judged on the states of the finalists, for the Pareto set.
    """

    pool: Pool
    standings: tuple[Standing, ...]
    confirmed: tuple[Confirmation, ...]
    finalists: tuple[Finalist, ...]
    alternatives: tuple[Judged, ...] = ()

    def best_for(self, question: Question) -> Confirmation | None:
        """Of those that meet the objectives best, one worth a push, and with a margin; None: no candidate.

        The cheapest that suffices sits closest to the limit, where luck and the model's error decide.
        """
        return min(
            self.confirmed,
            key=lambda c: (c.distance, not c.is_worth_a_push(question), c.doubtful),
            default=None,
        )

    def closest_for(self, question: Question, best: Confirmation) -> Confirmation:
        """Where nothing is proposed: ``best``, or one of the alternatives that misses less on the same states.

        It is for telling alone: an alternative was not held against troubles, which are left out of the comparison.
        One that misses nothing there is passed over for the same reason.
        """
        misses = Confirmation.of(question, replace(best.finalist, worst=None), best.prediction, best.believed).distance
        others = [
            Confirmation.of(
                question,
                Finalist(judged=judged, worst=None, plain=judged, lacked=None),
                replace(best.prediction, after=judged.kpis),
                judged.kpis,
            )
            for judged in self.alternatives
        ]
        return min((o for o in others if 0.0 < o.distance < misses), key=lambda o: o.distance, default=best)

    def last_judged(self) -> tuple[LastJudged, ...]:
        """Every candidate once: finalists on fresh states, then from the last round to the first, then fast figures."""
        fresh = Stage.FRESH_STATES
        every = [
            LastJudged(
                judged=c.judged, before=c.prediction.before, stage=fresh, ranked=Stage.LAST_ROUND, confirmation=c
            )
            for c in self.confirmed
        ]
        for judged in self.alternatives:
            before, ranked = self.confirmed[0].prediction.before, self._last_round_of(judged.candidate.configuration)
            every.append(LastJudged(judged=judged, before=before, stage=fresh, ranked=ranked))
        for stage, standing in reversed(self._stages()):
            every += [LastJudged(judged=j, before=standing.before, stage=stage, ranked=stage) for j in standing.judged]
        if (pruned := self.pool.pruned) is not None:
            stage = Stage.FAST_MODEL
            every += [LastJudged(judged=j, before=pruned.before, stage=stage, ranked=stage) for j in pruned.judged]
        by_configuration: dict[Configuration, LastJudged] = {}
        for last in every:
            by_configuration.setdefault(last.judged.candidate.configuration, last)
        return tuple(by_configuration.values())

    def figures_at(self, stage: Stage, configuration: Configuration) -> NetworkKpis | None:
        """Figures of a candidate on the states of ``stage``; None: it was not judged there."""
        if stage is Stage.FRESH_STATES:
            judged: Sequence[Judged] = [*(c.judged for c in self.confirmed), *self.alternatives]
        elif stage is Stage.FAST_MODEL:
            judged = self.pool.expected
        else:
            judged = [j for other, standing in self._stages() if other is stage for j in standing.judged]
        return next((j.kpis for j in judged if j.candidate.configuration == configuration), None)

    def first_of(self, stage: Stage) -> Judged:
        """Who came first in a round of simulations."""
        return dict(self._stages())[stage].judged[0]

    def _last_round_of(self, configuration: Configuration) -> Stage:
        rounds = [stage for stage, _ in self._stages() if self.figures_at(stage, configuration) is not None]
        return rounds[-1]

    def _stages(self) -> list[tuple[Stage, Standing]]:
        return list(zip(ROUNDS, self.standings, strict=False))
