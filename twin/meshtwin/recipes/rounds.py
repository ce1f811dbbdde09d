"""Judging candidates with few replications first and more for those that are left (successive halving).

Every round has fresh replications, so that luck in one does not carry a candidate through the next.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.configuration import Configuration, compute_digest
from meshtwin.mesh.kpis import NetworkKpis, Prediction
from meshtwin.ports import Judge, JudgePlan, Progress
from meshtwin.recipes.faults import find_fault
from meshtwin.recipes.scoring import find_gaps, rank, segment_redundancy
from meshtwin.recipes.values import Candidate, Judged, Question, RecipeUse, Trial

__all__ = ["CONFIRMATIONS", "Pool", "Rounds", "Standing", "choose_survivors", "fresh_seed"]

BEST_FOR_RECIPES: Final = 8  # candidates that a recipe may build upon
CONFIRMATIONS: Final = 3  # finalists judged on fresh states before giving up

# (survivors, divisor of the replications asked for) after the first round, which has an eighth of them and
# half of the messages: most candidates fail plainly, and many of them are slow to simulate.
LATER_ROUNDS: Final = ((8, 4), (3, 1))
FIRST_DIVISOR: Final = 8

# Shares of the whole work, for progress: recipes, two later rounds, confirmation.
STAGES: Final = ((0.0, 0.45), (0.45, 0.65), (0.65, 0.85), (0.85, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Candidates judged on the same states as the base, best first."""

    before: NetworkKpis
    judged: tuple[Judged, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """All candidates after the first round; ``refused`` says who proposed what may not be."""

    standing: Standing
    proposed_by: Mapping[str, int]
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """The rounds of one run; ``seed`` and the question decide everything that they answer."""

    question: Question
    judge: Judge
    seed: int
    messages_per_flow: int
    replications: int
    progress: Progress

    def collect(self, uses: Sequence[RecipeUse]) -> Pool:
        """Asks one recipe after the other; each sees what was judged best before it."""
        if not uses:
            raise InvalidInput("a pipeline needs at least one recipe", place="recipes")
        plan = replace(
            self._plan(max(1, self.replications // FIRST_DIVISOR), first=0),
            messages_per_flow=max(1, self.messages_per_flow // 2),
        )
        base = self.question.snapshot.configuration
        (before,) = self._figures([base], plan, self._stage(0, "judging what is in force", (0.0, 0.0)))
        pool: list[Judged] = []
        digests: set[str] = set()
        counts: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        for index, use in enumerate(uses):
            trial = Trial(question=self.question, parameters=use.parameters, best=tuple(pool[:BEST_FOR_RECIPES]))
            fresh: list[Candidate] = []
            for candidate in use.recipe.propose(trial):
                digest = compute_digest(candidate.configuration)
                if digest in digests or not base.changed_nodes(candidate.configuration):
                    continue
                digests.add(digest)
                fault = find_fault(self.question, candidate.configuration)
                if fault is None:
                    fresh.append(candidate)
                else:
                    refused[f"{use.recipe.name}: {fault}"] += 1
            counts[use.recipe.name] += len(fresh)
            span = (index / len(uses), (index + 1) / len(uses))
            stage = self._stage(0, f"{use.recipe.name}: {len(fresh)} candidates", span)
            pool += self._judged(fresh, plan, stage)
            pool.sort(key=lambda j: rank(self.question, j, before))
        return Pool(
            standing=Standing(before=before, judged=tuple(pool)),
            proposed_by=dict(counts),
            refused=tuple(f"{times} candidates refused: {why}" for why, times in refused.items()),
        )

    def select(self, standing: Standing) -> Standing:
        """The finalists of two more rounds, best first."""
        first = max(1, self.replications // FIRST_DIVISOR)
        for index, (kept, divisor) in enumerate(LATER_ROUNDS):
            replications = max(1, self.replications // divisor)
            survivors = [j.candidate for j in choose_survivors(self.question, standing, kept)]
            if not survivors:
                return standing
            before, judged = self._with_base(
                survivors,
                self._plan(replications, first=first),
                self._stage(1 + index, f"round {2 + index}: {len(survivors)} candidates"),
            )
            ordered = sorted(judged, key=lambda j: rank(self.question, j, before))
            standing = Standing(before=before, judged=tuple(ordered))
            first += replications
        return standing

    def confirm(self, candidate: Candidate, attempt: int) -> Prediction:
        """Base against candidate on states that no round has seen; redundancy always told."""
        seed = fresh_seed(self.seed, attempt)
        plan = replace(self._plan(self.replications, first=0), seed=seed)
        span = (attempt / CONFIRMATIONS, (attempt + 1) / CONFIRMATIONS)
        before, (after,) = self._with_base([candidate], plan, self._stage(3, "judging the best on fresh states", span))
        snapshot = self.question.snapshot
        base = snapshot.configuration
        whole = base.overlaid(candidate.configuration)
        return Prediction(
            before=replace(before, redundancy=segment_redundancy(self.question, base)),
            after=replace(after.kpis, redundancy=segment_redundancy(self.question, whole)),
            model=self.judge.model,
            profile=snapshot.profile,
            seed=seed,
            replications=plan.replications,
            snapshot_fingerprint=snapshot.fingerprint,
        )

    def _with_base(
        self, candidates: Sequence[Candidate], plan: JudgePlan, progress: Progress
    ) -> tuple[NetworkKpis, list[Judged]]:
        base = self.question.snapshot.configuration
        whole = [base, *(base.overlaid(c.configuration) for c in candidates)]
        before, *after = self._figures(whole, plan, progress)
        return before, [Judged(candidate=c, kpis=k) for c, k in zip(candidates, after, strict=True)]

    def _judged(self, candidates: Sequence[Candidate], plan: JudgePlan, progress: Progress) -> list[Judged]:
        if not candidates:
            return []
        base = self.question.snapshot.configuration
        whole = [base.overlaid(c.configuration) for c in candidates]
        figures = self._figures(whole, plan, progress)
        return [Judged(candidate=c, kpis=k) for c, k in zip(candidates, figures, strict=True)]

    def _figures(
        self, configurations: Sequence[Configuration], plan: JudgePlan, progress: Progress
    ) -> list[NetworkKpis]:
        """Figures in the order given; redundancy, which costs time, only where an objective asks for it."""
        figures = self.judge.judge(self.question.snapshot, configurations, plan, progress)
        if self.question.objectives.redundancy_at_least is None:
            return list(figures)
        return [
            replace(k, redundancy=segment_redundancy(self.question, c))
            for c, k in zip(configurations, figures, strict=True)
        ]

    def _plan(self, replications: int, *, first: int) -> JudgePlan:
        return JudgePlan(
            seed=self.seed,
            replications=replications,
            messages_per_flow=self.messages_per_flow,
            first_replication=first,
        )

    def _stage(self, index: int, text: str, span: tuple[float, float] = (0.0, 1.0)) -> Progress:
        low, high = STAGES[index]
        start, end = low + (high - low) * span[0], low + (high - low) * span[1]
        return lambda share, _: self.progress(start + (end - start) * share, text)


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


def fresh_seed(seed: int, attempt: int) -> int:
    """A seed that no round has used, 0..2^31 - 1, from the run's own.

    >>> fresh_seed(1, 0) != fresh_seed(1, 1)
    True
    """
    digest = sha256(f"{seed}/confirmation/{attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
