"""The no-harm test against published values, closed forms, and a numerical witness."""

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.errors import InvalidInput
from meshtwin_operator.reconcile.no_harm import (
    Counts,
    Judgement,
    compute_power,
    compute_score,
    judge_flow,
    judge_flows,
    restricted_shares,
    wilson_interval,
)

COUNTS = st.integers(1, 200).flatmap(lambda n: st.integers(0, n).map(lambda good: Counts(good, n)))


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        (Counts(81, 263), 0.2553, 0.3662),
        (Counts(15, 148), 0.0624, 0.1605),
        (Counts(0, 20), 0.0, 0.1611),
        (Counts(1, 29), 0.0061, 0.1718),
    ],
)
def test_wilson_interval_gives_the_values_of_newcombe_1998_table_1(counts: Counts, low: float, high: float) -> None:
    assert wilson_interval(counts) == pytest.approx((low, high), abs=5e-5)


def test_score_is_two_sided_critical_at_the_published_limits_of_mee() -> None:
    # Newcombe (1998), Statistics in Medicine 17, 873-890, Table II, method 5 (Mee), 56/70 against 48/80:
    # 0.0533 to 0.3377. Mee's interval inverts Farrington and Manning's score.
    after, before = Counts(56, 70), Counts(48, 80)
    assert compute_score(after, before, -0.0533) == pytest.approx(1.96, abs=2e-3)
    assert compute_score(after, before, -0.3377) == pytest.approx(-1.96, abs=2e-3)


@given(COUNTS, COUNTS)
def test_score_without_margin_is_the_pooled_two_proportion_test(after: Counts, before: Counts) -> None:
    pooled = (after.good + before.good) / (after.total + before.total)
    variance = pooled * (1 - pooled) * (1 / after.total + 1 / before.total)
    if variance > 1e-9:
        expected = (after.share - before.share) / math.sqrt(variance)
        assert compute_score(after, before, 0.0) == pytest.approx(expected, abs=1e-6)


@given(COUNTS, COUNTS, st.sampled_from([-0.2, -0.05, -0.01]))
def test_restricted_shares_are_the_most_likely_ones_of_a_fine_grid(first: Counts, second: Counts, d: float) -> None:
    def likelihood(p1: float) -> float:
        pairs = ((first, p1), (second, p1 - d))
        total = 0.0
        for counts, p in pairs:
            for k, q in ((counts.good, p), (counts.total - counts.good, 1 - p)):
                if k:
                    total += k * math.log(q) if q > 1e-12 else -1e9
        return total

    found, other = restricted_shares(first, second, d)
    low, high = max(0.0, d), min(1.0, 1 + d)
    best = max(likelihood(low + (high - low) * i / 2000) for i in range(2001))
    assert other == pytest.approx(found - d)
    assert likelihood(min(max(found, low + 1e-9), high - 1e-9)) >= best - 1e-3


def test_power_agrees_with_counting_all_outcomes() -> None:
    # Witness: exact enumeration of both binomials at a share of 0.9, level 0.95, margin 0.1.
    n, share, margin = 80, 0.9, 0.1
    weights = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    critical = NormalDist().inv_cdf(0.95)
    exact = sum(
        weights[a] * weights[b]
        for a in range(n + 1)
        for b in range(n + 1)
        if compute_score(Counts(a, n), Counts(b, n), margin) >= critical
    )
    assert compute_power(Counts(72, 80), n, margin, 0.95) == pytest.approx(
        exact, abs=0.05
    )  # normal approximation, shrunk share


def test_exact_level_at_the_margin_is_near_its_nominal_value() -> None:
    # The true loss equals the margin: at most about 5 % may pass (score tests are slightly liberal at small n).
    n, before, margin = 60, 0.95, 0.05
    critical = NormalDist().inv_cdf(0.95)

    def weights(share: float) -> list[float]:
        return [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]

    wb, wa = weights(before), weights(before - margin)
    passed = sum(
        wa[a] * wb[b]
        for a in range(n + 1)
        for b in range(n + 1)
        if compute_score(Counts(a, n), Counts(b, n), margin) >= critical
    )
    assert passed < 0.065


def test_clear_improvement_is_harmless_at_the_first_look() -> None:
    assert judge_flow("lights", Counts(40, 60), Counts(59, 60), margin=0.05).judgement is Judgement.HARMLESS


def test_clear_loss_is_harmful() -> None:
    assert judge_flow("lights", Counts(59, 60), Counts(40, 60), margin=0.05).judgement is Judgement.HARMFUL


def test_equal_perfect_samples_of_sixty_do_not_tell_yet() -> None:
    assert judge_flow("lights", Counts(60, 60), Counts(60, 60), margin=0.05).judgement is Judgement.UNDECIDED
    assert judge_flow("lights", Counts(60, 60), Counts(180, 180), margin=0.05).judgement is Judgement.HARMLESS


def test_one_harmful_flow_makes_the_whole_harmful() -> None:
    good = judge_flow("a", Counts(40, 60), Counts(59, 60), margin=0.05)
    bad = judge_flow("b", Counts(59, 60), Counts(20, 60), margin=0.05)
    assert judge_flows([good, bad]) is Judgement.HARMFUL
    assert judge_flows([good]) is Judgement.HARMLESS


def test_no_messages_are_refused() -> None:
    with pytest.raises(InvalidInput, match="above 0"):
        compute_score(Counts(0, 0), Counts(1, 2), 0.05)


@pytest.mark.parametrize(
    ("before", "after", "judgement"),
    [
        (Counts(0, 30), Counts(0, 30), Judgement.INCONCLUSIVE),
        (Counts(3, 30), Counts(2, 30), Judgement.INCONCLUSIVE),
        (Counts(0, 30), Counts(3, 30), Judgement.UNDECIDED),
        (Counts(0, 30), Counts(30, 30), Judgement.HARMLESS),
    ],
)
def test_where_nothing_can_get_worse_by_the_margin_only_an_improvement_is_harmless(
    before: Counts, after: Counts, judgement: Judgement
) -> None:
    assert judge_flow("f", before, after, margin=0.2).judgement is judgement


@given(COUNTS, COUNTS, st.sampled_from([0.05, 0.1, 0.2]))
def test_harmless_always_means_that_harm_could_have_shown_or_that_it_is_better(
    before: Counts, after: Counts, margin: float
) -> None:
    verdict = judge_flow("f", before, after, margin=margin)
    if verdict.judgement is Judgement.HARMLESS:
        assert before.share > margin or after.share > before.share


def test_an_inconclusive_flow_outweighs_harmless_ones_but_not_harm() -> None:
    harmless = judge_flow("a", Counts(40, 60), Counts(59, 60), margin=0.05)
    nothing = judge_flow("b", Counts(0, 60), Counts(0, 60), margin=0.05)
    harmful = judge_flow("c", Counts(59, 60), Counts(20, 60), margin=0.05)
    assert judge_flows([harmless, nothing]) is Judgement.INCONCLUSIVE
    assert judge_flows([nothing, harmful]) is Judgement.HARMFUL


@given(COUNTS, st.integers(0, 50))
def test_more_good_messages_never_lower_the_score(before: Counts, extra: int) -> None:
    worse, better = Counts(50, 100), Counts(50 + extra, 100)
    assert compute_score(better, before, 0.05) >= compute_score(worse, before, 0.05) - 1e-9
