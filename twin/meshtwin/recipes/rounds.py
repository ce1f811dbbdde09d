"""Judging candidates: the fast model prunes, then few replications, then more for those that are left.

Every round has fresh replications, so that luck in one does not carry a candidate through the next.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.configuration import Configuration, compute_digest
from meshtwin.mesh.kpis import NetworkKpis, Prediction
from meshtwin.ports import Judge, JudgePlan, Progress, Provisional, QuickJudge, no_progress, no_provisional
from meshtwin.recipes.doubts import WORK_MAX_SIMULATED, Doubts, Fall
from meshtwin.recipes.faults import FaultFinder
from meshtwin.recipes.hardening import as_it_is, harden
from meshtwin.recipes.scoring import rank, segment_redundancy, tell_standing_facts
from meshtwin.recipes.sieve import Sieve
from meshtwin.recipes.standing import Standing, choose_survivors
from meshtwin.recipes.values import Candidate, Judged, Question, RecipeUse, Trial

__all__ = ["CONFIRMATIONS", "Finalist", "Pool", "Rounds", "fresh_seed"]

BEST_FOR_RECIPES: Final = 8  # candidates that a recipe may build upon
CONFIRMATIONS: Final = 3  # finalists judged on fresh states before giving up

# (survivors, divisor of the replications asked for) after the first round, which has an eighth of them and
# half of the messages: most candidates fail plainly, and many of them are slow to simulate.
LATER_ROUNDS: Final = ((8, 4), (3, 1))
FIRST_DIVISOR: Final = 8

# Shares of the whole work, for progress: recipes, two later rounds, confirmation, the Pareto set.
STAGES: Final = ((0.0, 0.45), (0.45, 0.65), (0.65, 0.8), (0.8, 0.92), (0.92, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """All candidates after the first round; ``refused`` says who proposed what may not be.

    ``pruned``: those that the fast model alone was asked about, on its own figures; None: it was not asked.
    ``expected``: all that it was asked about.
    """

    standing: Standing
    pruned: Standing | None
    proposed_by: Mapping[str, int]
    refused: tuple[str, ...]
    expected: tuple[Judged, ...] = ()

    @property
    def tried(self) -> int:
        """Candidates that some model was asked about."""
        return len(self.standing.judged) + (0 if self.pruned is None else len(self.pruned.judged))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalist:
    """A candidate of the last round with what it was given to bear troubles, and the worst fall left; None: not known.

    ``judged``: with the figures of ``plain``, which is what the rounds judged; ``lacked``: the fall for which it was
    given something.
    """

    judged: Judged
    worst: Fall | None
    plain: Judged
    lacked: Fall | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """The rounds of one run; ``seed`` and the question decide everything that they answer."""

    question: Question
    judge: Judge
    seed: int
    messages_per_flow: int
    replications: int
    progress: Progress
    quick: QuickJudge | None = None
    provisional: Provisional = no_provisional

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
        faults = FaultFinder(self.question)
        sieve = Sieve(question=self.question, quick=self.quick, seed=self.seed, provisional=self.provisional)
        for index, use in enumerate(uses):
            trial = Trial(
                question=self.question,
                parameters=use.parameters,
                best=tuple(pool[:BEST_FOR_RECIPES]),
                quick=self.quick,
                seed=self.seed,
            )
            fresh: list[Candidate] = []
            for candidate in use.recipe.propose(trial):
                digest = compute_digest(candidate.configuration)
                if digest in digests or not base.changed_nodes(candidate.configuration):
                    continue
                digests.add(digest)
                fault = faults.find(candidate.configuration)
                if fault is None:
                    fresh.append(candidate)
                else:
                    refused[f"{use.recipe.name}: {fault}"] += 1
            counts[use.recipe.name] += len(fresh)
            span = (index / len(uses), (index + 1) / len(uses))
            stage = self._stage(0, f"{use.recipe.name}: {len(fresh)} candidates", span)
            pool += self._judged(sieve.sift(fresh), plan, stage)
            pool.sort(key=lambda j: rank(self.question, j, before))
        return Pool(
            standing=Standing(before=before, judged=tuple(pool)),
            pruned=sieve.pruned,
            proposed_by=dict(counts),
            refused=tuple(
                f"{times} candidate{'' if times == 1 else 's'} refused: {why}" for why, times in refused.items()
            ),
            expected=sieve.expected,
        )

    def select(self, standing: Standing) -> tuple[Standing, ...]:
        """``standing`` and what two more rounds leave of it; the last has the finalists, best first."""
        first = max(1, self.replications // FIRST_DIVISOR)
        standings = [standing]
        for index, (kept, divisor) in enumerate(LATER_ROUNDS):
            replications = max(1, self.replications // divisor)
            survivors = [j.candidate for j in choose_survivors(self.question, standings[-1], kept)]
            if not survivors:
                break
            before, judged = self._with_base(
                survivors,
                self._plan(replications, first=first),
                self._stage(1 + index, f"round {2 + index}: {len(survivors)} candidates"),
            )
            ordered = sorted(judged, key=lambda j: rank(self.question, j, before))
            standings.append(Standing(before=before, judged=tuple(ordered)))
            first += replications
        return tuple(standings)

    def harden(self, finalists: Sequence[Judged], looked_at: list[Finalist] | None = None) -> Iterator[Finalist]:
        """The finalists with what they need to bear troubles that the twin can't see, and the worst fall left.

        What they need is not added where it would break the limit on airtime, which is a promise to everybody else
        on the air. In the order given, but for those that some trouble makes fall too far all the same: they come
        last. Worked out as they are asked for; of equal ones the first alone. ``looked_at`` gets all that were
        worked out.
        """
        doubts = self._doubts()
        postponed: list[Finalist] = []
        digests: set[str] = set()
        for finalist in finalists:
            found = harden(doubts, finalist.candidate)
            if self._breaks_airtime(doubts, finalist, found.candidate):
                found = as_it_is(doubts, finalist.candidate)
            one = Finalist(
                judged=replace(finalist, candidate=found.candidate),
                worst=found.worst,
                plain=finalist,
                lacked=found.lacked,
            )
            if looked_at is not None:
                looked_at.append(one)
            digest = compute_digest(found.candidate.configuration)
            if digest in digests:
                continue
            digests.add(digest)
            if found.is_tolerable:
                yield one
            else:
                postponed.append(one)
        yield from postponed

    def confirm(self, candidate: Candidate, attempt: int, before: NetworkKpis | None = None) -> Prediction:
        """Base against candidate on states that no round has seen; redundancy always told.

        ``before``: the base's figures in an earlier confirmation, which met the same states.
        """
        plan = self._fresh_plan()
        span = (attempt / CONFIRMATIONS, (attempt + 1) / CONFIRMATIONS)
        stage = self._stage(3, "judging the best on fresh states", span)
        snapshot = self.question.snapshot
        base = snapshot.configuration
        whole = base.overlaid(candidate.configuration)
        if before is None:
            before, after = self._figures([base, whole], plan, stage)
        else:
            (after,) = self._figures([whole], plan, stage)
        return Prediction(
            before=tell_standing_facts(self.question, base, before),
            after=tell_standing_facts(self.question, whole, after),
            model=self.judge.model,
            profile=snapshot.profile,
            seed=plan.seed,
            replications=plan.replications,
            snapshot_fingerprint=snapshot.fingerprint,
        )

    def place(self, candidates: Sequence[Candidate]) -> tuple[Judged, ...]:
        """Candidates with their figures on the states of `confirm`, redundancy told: what else could be chosen."""
        base = self.question.snapshot.configuration
        whole = [base.overlaid(c.configuration) for c in candidates]
        stage = self._stage(4, f"judging {len(whole)} others on the same states")
        figures = self._figures(whole, self._fresh_plan(), stage) if whole else []
        return tuple(
            Judged(candidate=candidate, kpis=tell_standing_facts(self.question, configuration, kpis))
            for candidate, configuration, kpis in zip(candidates, whole, figures, strict=True)
        )

    def _fresh_plan(self) -> JudgePlan:
        return replace(self._plan(self.replications, first=0), seed=fresh_seed(self.seed))

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

    def _breaks_airtime(self, doubts: Doubts, finalist: Judged, hardened: Candidate) -> bool:
        """Whether airtime would rise above the limit: by as much as the model that is asked says that it rises."""
        limit = self.question.objectives.airtime_at_most
        if limit is None or hardened is finalist.candidate:
            return False
        snapshot = self.question.snapshot
        wanted = [snapshot.configuration.overlaid(c.configuration) for c in (finalist.candidate, hardened)]
        plain, harder = doubts.ask(snapshot, wanted)
        if plain is None or harder is None:
            return True
        rise = harder.airtime_ratio.estimate / max(plain.airtime_ratio.estimate, 1e-9)
        return finalist.kpis.airtime_ratio.estimate * rise > limit

    def _doubts(self) -> Doubts:
        """Small questions are for the fast model, or where it declines for the simulator, briefly."""
        snapshot, quick, seed = self.question.snapshot, self.quick, fresh_seed(self.seed)
        if quick is not None and quick.estimate(snapshot, [Configuration()], seed=self.seed)[0].kpis is not None:
            return Doubts(
                question=self.question,
                ask=lambda asked, wanted: [a.kpis for a in quick.estimate(asked, wanted, seed=seed)],
            )
        plan = replace(self._plan(max(1, self.replications // FIRST_DIVISOR), first=0), seed=seed)
        return Doubts(
            question=self.question,
            ask=lambda asked, wanted: self.judge.judge(asked, wanted, plan, no_progress),
            work=WORK_MAX_SIMULATED,
        )

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


def fresh_seed(seed: int) -> int:
    """A seed that no round has used, 0..2^31 - 1, from the run's own.

    >>> fresh_seed(1) not in (1, fresh_seed(2))
    True
    """
    digest = sha256(f"{seed}/confirmation".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
