"""The no-harm test: is the share of on-time messages after a change not worse than before, by a margin?

Pure arithmetic over counts. Not here: who measures, and what happens after the verdict.

Test: Farrington and Manning's score test of non-inferiority for two independent binomials.
Intervals: Wilson's score interval. Both hold their level for shares near 1, where Wald's do not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist
from typing import Final

from meshtwin.errors import InvalidInput

__all__ = [
    "CONFIDENCE",
    "LOOKS_MAX",
    "Counts",
    "FlowVerdict",
    "Judgement",
    "compute_power",
    "compute_score",
    "judge_flow",
    "judge_flows",
    "restricted_shares",
    "wilson_interval",
]

CONFIDENCE: Final = 0.95  # one-sided, over all looks together; usual level of non-inferiority trials
LOOKS_MAX: Final = 3  # probes after a commit: 1, 2 and 4 times the batch, pooled
NORMAL: Final = NormalDist()


class Judgement(StrEnum):
    """``UNDECIDED``: more messages may tell. ``INCONCLUSIVE``: what was measured before cannot show harm at all."""

    HARMLESS = "Harmless"
    HARMFUL = "Harmful"
    INCONCLUSIVE = "Inconclusive"
    UNDECIDED = "Undecided"


@dataclass(frozen=True, slots=True)
class Counts:
    """``good`` of ``total`` messages were on time."""

    good: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.good <= self.total:
            raise InvalidInput(f"{self.good} good of {self.total} messages is impossible")

    @property
    def share(self) -> float:
        """0..1; 0 without messages."""
        return self.good / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowVerdict:
    """Judgement of one flow; ``score`` is the standardised distance above the margin."""

    flow: str
    judgement: Judgement
    before: Counts
    after: Counts
    score: float
    power: float  # to pass when after and before are truly equal to the measured baseline


def wilson_interval(counts: Counts, level: float = 0.95) -> tuple[float, float]:
    """Two-sided score interval of a share; (0, 1) without messages.

    Source: Wilson (1927); method 3 of Newcombe (1998), Statistics in Medicine 17, 857-872.
    """
    n = counts.total
    if n == 0:
        return 0.0, 1.0
    z = NORMAL.inv_cdf(0.5 + level / 2)
    centre = counts.good + z * z / 2
    reach = z * math.sqrt(z * z / 4 + counts.good * (n - counts.good) / n)
    low, high = (centre - reach) / (n + z * z), (centre + reach) / (n + z * z)
    return max(0.0, min(low, counts.share)), min(1.0, max(high, counts.share))


def restricted_shares(first: Counts, second: Counts, difference: float) -> tuple[float, float]:
    """Maximum likelihood shares (p1, p2) under p1 - p2 = ``difference``, |difference| < 1.

    The closed form of the cubic. Source: Farrington and Manning (1990), Statistics in Medicine 9, appendix I.
    """
    theta = second.total / first.total
    p1, p2, d = first.share, second.share, difference
    a = 1 + theta
    b = -(1 + theta + p1 + theta * p2 + d * (theta + 2))
    c = d * d + d * (2 * p1 + theta + 1) + p1 + theta * p2
    e = -p1 * d * (1 + d)
    v = b**3 / (3 * a) ** 3 - b * c / (6 * a * a) + e / (2 * a)
    u = math.copysign(math.sqrt(max(0.0, b * b / (3 * a) ** 2 - c / (3 * a))), v)
    ratio = 1.0 if u == 0 else max(-1.0, min(1.0, v / u**3))
    w = (math.pi + math.acos(ratio)) / 3
    share = 2 * u * math.cos(w) - b / (3 * a)
    share = max(share, 0.0, d)
    share = min(share, 1.0, 1 + d)
    return share, share - d


def compute_score(after: Counts, before: Counts, margin: float) -> float:
    """Standard normal score of "after is not worse than before by ``margin``"; large is harmless.

    Under after = before - margin it is about standard normal. Raises `InvalidInput` without messages.
    """
    if not after.total or not before.total:
        raise InvalidInput(f"{after.total} messages after and {before.total} before: both must be above 0")
    p_after, p_before = restricted_shares(after, before, -margin)
    variance = p_after * (1 - p_after) / after.total + p_before * (1 - p_before) / before.total
    distance = after.share - before.share + margin
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def compute_power(before: Counts, after_total: int, margin: float, confidence: float) -> float:
    """Probability to be found harmless when the true share after equals the one before.

    Normal approximation with the restricted variance under the hypothesis of harm. Source: as above, eq. (4).
    """
    share = (before.good + 0.5) / (before.total + 1)  # shrunk: a perfect sample is not a perfect network
    scale = 1_000_000  # counts that stand for exact shares
    like = Counts(round(share * scale), scale)
    ratio_after = Counts(like.good, like.total)
    p_after, p_before = restricted_shares(ratio_after, like, -margin)
    under_harm = math.sqrt(p_after * (1 - p_after) / after_total + p_before * (1 - p_before) / before.total)
    under_equal = math.sqrt(share * (1 - share) * (1 / after_total + 1 / before.total))
    z = NORMAL.inv_cdf(confidence)
    if under_equal == 0:
        return 1.0 if margin > z * under_harm else 0.0
    return NORMAL.cdf((margin - z * under_harm) / under_equal)


def judge_flow(flow: str, before: Counts, after: Counts, *, margin: float, looks_max: int = LOOKS_MAX) -> FlowVerdict:
    """Judge one flow at one of ``looks_max`` looks; each look gets its share of the error (Bonferroni).

    Harmful: significantly worse than before, and by more than the margin as measured.
    Where no more than the margin was on time before, nothing can be worse by the margin, and passing the test is
    no evidence (in words of non-inferiority trials: it has no assay sensitivity). Harmless is then only what is
    significantly better than before, and what is not better at all is inconclusive.
    """
    per_look = 1 - (1 - CONFIDENCE) / looks_max
    can_show_harm = before.share > margin
    score = compute_score(after, before, margin if can_show_harm else 0.0)
    critical = NORMAL.inv_cdf(per_look)
    if score >= critical:
        judgement = Judgement.HARMLESS
    elif not can_show_harm:
        judgement = Judgement.UNDECIDED if after.share > before.share else Judgement.INCONCLUSIVE
    elif after.share < before.share - margin and compute_score(after, before, 0.0) <= -critical:
        judgement = Judgement.HARMFUL
    else:
        judgement = Judgement.UNDECIDED
    power = compute_power(before, after.total, margin, per_look) if can_show_harm else 1 - per_look
    return FlowVerdict(flow=flow, judgement=judgement, before=before, after=after, score=score, power=power)


def judge_flows(verdicts: Sequence[FlowVerdict]) -> Judgement:
    """Harmless only if every flow is (so the level holds for all of them); harmful as soon as one is."""
    found = {verdict.judgement for verdict in verdicts}
    worst_first = (Judgement.HARMFUL, Judgement.INCONCLUSIVE, Judgement.UNDECIDED)
    return next((judgement for judgement in worst_first if judgement in found), Judgement.HARMLESS)
