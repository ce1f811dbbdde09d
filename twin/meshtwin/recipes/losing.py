"""Why a candidate is not what is proposed: what it misses, or in what it is worse than the best on the same states."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from meshtwin.mesh.configuration import compute_digest
from meshtwin.mesh.kpis import NetworkKpis
from meshtwin.recipes.building import design_of
from meshtwin.recipes.comparing import Duel, find_worse
from meshtwin.recipes.found import Found, LastJudged
from meshtwin.recipes.hardening import describe_additions
from meshtwin.recipes.results import Stage, TrialRecord
from meshtwin.recipes.scoring import Gap, find_gaps, find_harm, find_sure_gaps
from meshtwin.recipes.sieve import KEPT_PER_RECIPE
from meshtwin.recipes.values import Candidate, Judged, Question
from meshtwin.recipes.verdict import BETTER_BY, Confirmation

__all__ = ["Losing", "describe_trials"]

TRIALS_REPORTED: Final = 32  # enough to understand, small enough for a status page
TOLD: Final = 3  # things that one candidate misses or is worse in


@dataclass(frozen=True, slots=True, kw_only=True)
class Losing:
    """Everything that says why candidates lost; ``best``: the one proposed, or the closest; None: no candidate."""

    question: Question
    found: Found
    best: Confirmation | None
    is_proposed: bool

    @property
    def name_of_best(self) -> str:
        """How sentences call it."""
        return "what is proposed" if self.is_proposed else "the best"

    def why(self, last: LastJudged) -> str:
        """Why the candidate is not proposed, in figures; "proposed" of the one that is.

        Where its reason reads like that of the best, with as many relays: in how many of them it differs.
        """
        is_best = self.best is not None and last.confirmation is self.best
        if is_best and self.is_proposed:
            return "proposed"
        return f"{self._why(last, is_best=is_best)}{'' if is_best else self._what_differs(last.judged.candidate)}"

    def _why(self, last: LastJudged, *, is_best: bool) -> str:
        if gaps := self._gaps(last):
            return _listed([gap.text for gap in gaps])
        if (text := self._why_hardened(last)) is not None:
            return text
        if (text := self._why_no_push(last)) is not None:
            return text
        return "the best" if is_best else self._why_not_preferred(last)

    def _what_differs(self, mine: Candidate) -> str:
        if self.best is None:
            return ""
        best = self.best.judged.candidate
        if (mine.recipe, mine.reason) != (best.recipe, best.reason) or mine.configuration == best.configuration:
            return ""
        own, others = mine.configuration.relays, best.configuration.relays
        if len(own) != len(others):
            return ""
        if own == others:
            digest = compute_digest(mine.configuration).removeprefix("sha256:")
            return f"; relays of {self.name_of_best}, other settings: digest {digest[:8]}"
        return f"; {len(own - others)} of its {len(own)} relays are others than in {self.name_of_best}"

    def why_not_kept(self) -> str:
        """Why the configuration in force is not left as it is; that it is, where nothing is proposed."""
        if self.best is None or not self.is_proposed:
            return "stays in force"
        gaps = find_sure_gaps(self.question, self.best.prediction.before)
        return _listed([g.text for g in gaps] or [f"what is proposed takes {self.best.saving:.0%} less airtime"])

    def _gaps(self, last: LastJudged) -> Sequence[Gap]:
        if last.confirmation is not None:
            return last.confirmation.gaps
        kpis, question = last.judged.kpis, self.question
        if kpis.redundancy is None:  # the fast model tells none, and what nobody knows is no reason
            question = replace(question, objectives=replace(question.objectives, redundancy_at_least=None))
        return (*find_gaps(question, kpis), *find_harm(self.question, last.before, kpis))

    def _why_no_push(self, last: LastJudged) -> str | None:
        """Of one that was judged on fresh states: that it saves too little against what is in force, which suffices."""
        before, after = last.before.own_airtime_ratio, last.judged.kpis.own_airtime_ratio
        saving = 1.0 - after / before if before > 0.0 else 0.0
        if last.stage is not Stage.FRESH_STATES or saving >= BETTER_BY or find_sure_gaps(self.question, last.before):
            return None
        how_much = f"saves {saving:.0%} of the airtime in force" if saving >= 0 else f"takes {-saving:.0%} more airtime"
        return f"{how_much}; a push needs {BETTER_BY:.0%} saved, since what is in force meets the objectives"

    def _why_hardened(self, last: LastJudged) -> str | None:
        """Of a finalist that can't be proposed as it is: what troubles would cost, and what was added for it."""
        mine = last.judged.candidate
        found = (f for f in self.found.finalists if f.plain.candidate.configuration == mine.configuration)
        if last.confirmation is not None or (finalist := next(found, None)) is None:
            return None
        hardened = finalist.judged.candidate
        got = self._additions(mine, hardened)
        same = (c for c in self.found.confirmed if c.judged.candidate.configuration == hardened.configuration)
        if (confirmation := next(same, None)) is not None and finalist.lacked is not None:
            which = self.name_of_best if confirmation is self.best else "another candidate"
            return f"{finalist.lacked}; {which} is this with {got}"
        if finalist.worst is not None and finalist.worst.excess > 0.0:
            return f"{finalist.worst}{'' if finalist.lacked is None else f', even with {got}'}"
        return None

    def _additions(self, plain: Candidate, hardened: Candidate) -> str:
        first = design_of(self.question, plain.configuration)
        last = design_of(self.question, hardened.configuration)
        return "more" if first is None or last is None else describe_additions(first, last)

    def _why_not_preferred(self, last: LastJudged) -> str:
        """In what it is worse: than the best on the last states it met, or else than the first of its round."""
        untried = ""
        if last.stage is Stage.FRESH_STATES and last.confirmation is None:
            untried = "; not held against weaker links and a dead relay"
        if worse := self._worse_at(last, last.stage):
            return f"{worse}{untried}"
        if last.ranked is not last.stage and (worse := self._worse_at(last, last.ranked)):
            return f"{last.ranked.words} {worse}; not worse {last.stage.words}{untried}"
        return f"{self._why_ranked_later(last)}{untried}"

    def _why_ranked_later(self, last: LastJudged) -> str:
        """Of one that is in nothing worse than the best: in what it is worse than the first of its round."""
        not_worse = "" if self.best is None else f"not worse than {self._name_at(last.stage)} {last.stage.words}"
        if last.ranked is Stage.FAST_MODEL:
            return "; ".join(
                filter(None, (f"{KEPT_PER_RECIPE} others of its recipe were expected to be better", not_worse))
            )
        first = self.found.first_of(last.ranked)
        kpis = self.found.figures_at(last.ranked, last.judged.candidate.configuration)
        if kpis is None or first.candidate.configuration == last.judged.candidate.configuration:
            return "; ".join(filter(None, ("a later round preferred others", not_worse)))
        worse = find_worse(self._duel(last, kpis, first))
        told = (
            f"worse than the first {last.ranked.words}: {_listed(worse)}" if worse else "a later round preferred others"
        )
        return "; ".join(filter(None, (told, not_worse)))

    def _worse_at(self, last: LastJudged, stage: Stage) -> str:
        """In what it is worse than the best on the states of ``stage``; empty: in nothing, or not both met them."""
        best = self.best
        if best is None:
            return ""
        is_fresh = stage is Stage.FRESH_STATES
        rival = best.judged.candidate if is_fresh else best.finalist.plain.candidate
        theirs = self.found.figures_at(stage, rival.configuration)
        kpis = self.found.figures_at(stage, last.judged.candidate.configuration)
        if theirs is None or kpis is None:
            return ""
        duel = self._duel(last, kpis, Judged(candidate=rival, kpis=theirs))
        if is_fresh and last.confirmation is not None:
            duel = replace(duel, believed=(last.confirmation.believed, best.believed))
        worse = find_worse(duel)
        return f"worse than {self._name_at(stage)}: {_listed(worse)}" if worse else ""

    def _duel(self, last: LastJudged, kpis: NetworkKpis, rival: Judged) -> Duel:
        return Duel(
            question=self.question,
            kpis=kpis,
            rival=rival.kpis,
            relays=len(last.judged.candidate.configuration.relays),
            rival_relays=len(rival.candidate.configuration.relays),
        )

    def _name_at(self, stage: Stage) -> str:
        """The rounds judged the best before it got what it lacked."""
        was_plain = stage is not Stage.FRESH_STATES and self.best is not None and self.best.finalist.lacked is not None
        return f"{self.name_of_best} before its additions" if was_plain else self.name_of_best


def describe_trials(losing: Losing) -> tuple[tuple[TrialRecord, ...], int]:
    """Candidates with their verdicts, the best first and then as far as they came; and how many were left out."""
    best = None if losing.best is None else losing.best.judged.candidate.configuration
    every = sorted(losing.found.last_judged(), key=lambda last: last.judged.candidate.configuration != best)
    records = tuple(
        TrialRecord(
            recipe=last.judged.candidate.recipe,
            reason=last.judged.candidate.reason,
            digest=compute_digest(last.judged.candidate.configuration),
            relays=len(last.judged.candidate.configuration.relays),
            airtime_ratio=last.judged.kpis.airtime_ratio.estimate,
            verdict=losing.why(last),
            stage=last.stage,
        )
        for last in every[:TRIALS_REPORTED]
    )
    return records, len(every) - len(records)


def _listed(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - TOLD} more" if len(texts) > TOLD else ""
    return "; ".join(texts[:TOLD]) + more
