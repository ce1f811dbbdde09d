"""Which candidates are worth simulating, by the fast model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.kpis import NetworkKpis, Prediction
from meshtwin.ports import Provisional, QuickJudge
from meshtwin.recipes.scoring import rank
from meshtwin.recipes.standing import Standing, choose_survivors
from meshtwin.recipes.values import Candidate, Judged, Question

__all__ = ["KEPT_PER_RECIPE", "Sieve"]

# Of what one recipe proposes. Half are the best by rank, the others a hedge over dearer ones (see
# `choose_survivors`): the fast model may be too kind to the cheap ones.
KEPT_PER_RECIPE: Final = 10


@dataclass(slots=True, kw_only=True)
class Sieve:
    """Asks the fast model about all candidates of a run; without one, or where it declines, all go on.

    Tells the best it has seen as a provisional answer, each time that is another one.
    """

    question: Question
    quick: QuickJudge | None
    seed: int
    provisional: Provisional
    _before: NetworkKpis | None = field(default=None, init=False)
    _best: Judged | None = field(default=None, init=False)
    _pruned: list[Judged] = field(default_factory=list, init=False)
    _expected: list[Judged] = field(default_factory=list, init=False)

    @property
    def expected(self) -> tuple[Judged, ...]:
        """All that the fast model gave figures of."""
        return tuple(self._expected)

    @property
    def pruned(self) -> Standing | None:
        """What did not go on, best first; None if there is nothing."""
        if self._before is None or not self._pruned:
            return None
        before = self._before
        return Standing(before=before, judged=tuple(sorted(self._pruned, key=lambda j: rank(self.question, j, before))))

    def sift(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those to be simulated, in the order given."""
        if self.quick is None or not candidates:
            return list(candidates)
        snapshot = self.question.snapshot
        asked = [] if self._before is not None else [Configuration()]
        answers = list(self.quick.estimate(snapshot, [*asked, *(c.configuration for c in candidates)], seed=self.seed))
        if asked:
            self._before = answers.pop(0).kpis
        if self._before is None:
            return list(candidates)
        before = self._before
        told = [
            Judged(candidate=c, kpis=a.kpis) for c, a in zip(candidates, answers, strict=True) if a.kpis is not None
        ]
        self._expected += told
        told.sort(key=lambda j: rank(self.question, j, before))
        self._tell(told)
        survivors = choose_survivors(self.question, Standing(before=before, judged=tuple(told)), KEPT_PER_RECIPE)
        going = {id(j.candidate) for j in survivors}
        self._pruned += [j for j in told if id(j.candidate) not in going]
        return [c for c, a in zip(candidates, answers, strict=True) if a.kpis is None or id(c) in going]

    def _tell(self, told: Sequence[Judged]) -> None:
        """The best so far, if it is another one, as a provisional answer."""
        before, quick = self._before, self.quick
        if not told or before is None or quick is None:
            return
        best = min([told[0], *([self._best] if self._best else [])], key=lambda j: rank(self.question, j, before))
        if best is self._best:
            return
        self._best = best
        prediction = Prediction(
            before=before,
            after=best.kpis,
            model=quick.quick_model,
            profile=self.question.snapshot.profile,
            seed=self.seed,
            replications=1,
            snapshot_fingerprint=self.question.snapshot.fingerprint,
            provisional=True,
        )
        self.provisional(self.question.focus(prediction), best.candidate.reason)
