"""From judged candidates to an outcome in a word and a sentence."""

from dataclasses import dataclass
from math import floor
from typing import Final

from meshtwin.mesh.addresses import format_address
from meshtwin.mesh.kpis import NetworkKpis, Prediction
from meshtwin.recipes.results import Outcome
from meshtwin.recipes.rounds import Finalist, Pool
from meshtwin.recipes.scoring import Gap, count_doubtful, find_falls, find_gaps, find_harm, find_sure_gaps
from meshtwin.recipes.values import Judged, Question
from meshtwin.wording import counted

__all__ = ["BETTER_BY", "Confirmation", "Verdict", "decide", "find_warnings"]

# Relative airtime saved, reports left out; below it a push is not worth its risk and its messages. It also keeps
# an hourly pipeline from swinging between configurations that differ by luck only.
BETTER_BY: Final = 0.10
REFUSED_TOLD: Final = 3  # reasons why candidates were refused, in a sentence; warnings have them all


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """A finalist judged again on fresh states; ``gaps``: what it misses there, harm included.

    ``believed``: the candidate's figures with intervals by what the model's earlier predictions were worth
    (`meshtwin.recipes.beliefs`); ``doubtful``: flows whose on-time interval reaches below the objective there.
    """

    finalist: Finalist
    prediction: Prediction
    believed: NetworkKpis
    gaps: tuple[Gap, ...]
    doubtful: int

    @classmethod
    def of(
        cls,
        question: Question,
        finalist: Finalist,
        prediction: Prediction,
        believed: NetworkKpis,
    ) -> "Confirmation":
        """The confirmation with its gaps."""
        return cls(
            finalist=finalist,
            prediction=prediction,
            believed=believed,
            gaps=(
                *find_gaps(question, prediction.after),
                *find_harm(question, prediction.before, prediction.after),
                *find_falls(question, prediction.before, prediction.after, finalist.worst),
            ),
            doubtful=count_doubtful(question, believed),
        )

    @property
    def judged(self) -> Judged:
        """The candidate with its figures on fresh states."""
        return Judged(candidate=self.finalist.judged.candidate, kpis=self.prediction.after)

    @property
    def saving(self) -> float:
        """Airtime saved against what is in force, reports left out: 0.1 is a tenth less; below 0: it takes more."""
        before, after = self.prediction.before.own_airtime_ratio, self.prediction.after.own_airtime_ratio
        return 1.0 - after / before if before > 0.0 else 0.0

    @property
    def distance(self) -> float:
        """Sum of the gaps; 0: meets the objectives and does no harm."""
        return sum(gap.size for gap in self.gaps)

    @property
    def is_sure(self) -> bool:
        """Whether it meets the objectives with a margin: by the lower bound of each believed on-time interval."""
        return not self.gaps and not self.doubtful

    @property
    def saves_enough(self) -> bool:
        """Whether it takes at least a tenth less airtime than what is in force."""
        before, after = self.prediction.before.own_airtime_ratio, self.prediction.after.own_airtime_ratio
        return after <= before * (1 - BETTER_BY)

    def is_worth_a_push(self, question: Question) -> bool:
        """Whether it would be proposed: it meets the objectives, and what is in force misses them or costs more."""
        return not self.gaps and (bool(find_sure_gaps(question, self.prediction.before)) or self.saves_enough)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome in a word and in a sentence."""

    outcome: Outcome
    message: str


def decide(question: Question, pool: Pool, best: Confirmation | None) -> Verdict:
    """What the run comes to. A base that misses its objectives by no more than luck counts as meeting them."""
    if best is None:
        misses = find_gaps(question, pool.standing.before)
        outcome = Outcome.OBJECTIVES_UNREACHABLE if misses else Outcome.NOTHING_BETTER
        why = "".join(f"; {text}" for text in pool.refused[:REFUSED_TOLD])
        return Verdict(outcome=outcome, message=f"no recipe had a candidate{why}")
    base_misses = find_sure_gaps(question, best.prediction.before)
    tried = pool.tried
    if best.gaps:
        seen = "; ".join(gap.text for gap in best.gaps)
        if base_misses:
            return Verdict(outcome=Outcome.OBJECTIVES_UNREACHABLE, message=f"the best of {tried} candidates: {seen}")
        return Verdict(
            outcome=Outcome.NOTHING_BETTER,
            message=f"the configuration in force meets the objectives; the best of {tried} others: {seen}",
        )
    if not base_misses and not best.saves_enough:
        return Verdict(
            outcome=Outcome.NOTHING_BETTER,
            message=f"the configuration in force meets the objectives; the best of {tried} others saves less "
            f"than {BETTER_BY:.0%} of its airtime",
        )
    return Verdict(outcome=Outcome.PROPOSED, message=best.judged.candidate.reason)


def find_warnings(question: Question, believed: NetworkKpis | None) -> tuple[str, ...]:
    """What the reader of a proposal should know though it forbade nothing; ``believed``: as in `Confirmation`."""
    warnings: list[str] = []
    if question.segment.gateway_address is None:
        warnings.append("the gateway's address is not known: its reach and redundancy were not judged")
    heard = {a for link in question.snapshot.links for a in (link.source, link.target)}
    if silent := [n.address for n in question.nodes if n.address not in heard]:
        names = ", ".join(format_address(a) for a in silent[:8])
        warnings.append(f"{counted(len(silent), 'node has', 'nodes have')} no known link: {names}")
    least = question.objectives.on_time_at_least
    if believed is not None and least is not None:
        warnings += [
            f"onTime of {f.flow}: going by earlier predictions, it may be {floor(f.on_time.low * 1000)} per mille, "
            f"below {least * 1000:.0f}"
            for f in question.touching(believed)
            if f.on_time.estimate >= least > f.on_time.low
        ]
    return tuple(warnings)
