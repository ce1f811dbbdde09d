"""Coarse counts of heartbeats, and what gateway and twin together make of them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.twins.twin_builders import counter, fold_all, report

from meshtwin.gateway.foundation import HeartbeatHeard
from meshtwin.gateway.heartbeat_counts import estimate_counts
from meshtwin.gateway.heartbeats import HeartbeatBook
from meshtwin.gateway.rotation import LISTEN_HEARTBEATS
from meshtwin.twins.estimator import fit_beta

LISTENINGS = 8
COUNTS = st.integers(0, LISTEN_HEARTBEATS)


def told(count: int) -> HeartbeatHeard:
    """What a node tells that heard ``count`` heartbeats of node 2; Mesh Protocol 1.1, 4.1.2."""
    log = count.bit_length()
    low, high = (0, 0) if log == 0 else (1 << log - 1, (1 << log) - 1)
    return HeartbeatHeard(source=2, count_low=low, count_high=high, min_hops=1, max_hops=1)


@given(st.lists(COUNTS, min_size=1, max_size=12))
def test_counters_move_forward_within_the_range_of_each_listening(counts: list[int]) -> None:
    book = HeartbeatBook(epoch=0)
    expected, least, most = 0, 0, 0
    for count in counts:
        heard = told(count)
        said = book.fold(1, heard, LISTEN_HEARTBEATS, 1)
        if said is None:
            continue
        expected += LISTEN_HEARTBEATS
        least, most = least + heard.count_low, most + min(heard.count_high, LISTEN_HEARTBEATS)
        assert said.last_counter == expected
        assert least <= said.received <= most
        assert said.received_uncertainty <= most - least + 1


@given(st.lists(st.sampled_from([0, 1, LISTEN_HEARTBEATS]), min_size=1, max_size=8))
def test_counts_that_are_exact_are_taken_as_they_are(counts: list[int]) -> None:
    ranges = [(count, count) for count in counts]

    assert estimate_counts(ranges, LISTEN_HEARTBEATS) == (tuple(counts), 0.0)


@pytest.mark.parametrize("delivery", [0.2, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99])
def test_a_steady_link_is_told_as_good_as_it_is(delivery: float) -> None:
    rng, shares = random.Random(4), []
    for _ in range(40):
        book = HeartbeatBook(epoch=0)
        for _ in range(LISTENINGS):
            said = book.fold(1, told(sum(rng.random() < delivery for _ in range(LISTEN_HEARTBEATS))), 16, 1)
        assert said is not None
        shares.append(said.received / said.last_counter)

    # A binomial count of as many has a deviation of 0.04 at most; the mean of 40 links is known to 0.01.
    assert sum(shares) / len(shares) == pytest.approx(delivery, abs=0.04)


@pytest.mark.parametrize("delivery", [0.3, 0.5, 0.7, 0.9, 0.95])
def test_most_links_are_within_two_deviations_of_what_the_twin_makes_of_coarse_counts(delivery: float) -> None:
    rng, inside, links = random.Random(5), 0, 60
    for _ in range(links):
        book, reports = HeartbeatBook(epoch=0), []
        for index in range(LISTENINGS):
            said = book.fold(1, told(sum(rng.random() < delivery for _ in range(LISTEN_HEARTBEATS))), 16, 1)
            if said is not None:
                entry = said.model_dump(by_alias=True, exclude_none=True)
                reports.append(report("0001", entry, sequence=index, at_s=600.0 * index))
        evidence = fold_all(reports).nodes[1].links[2].evidence
        [(alpha, beta)] = fit_beta([evidence])
        mean, deviation = alpha / (alpha + beta), (alpha * beta / (alpha + beta + 1)) ** 0.5 / (alpha + beta)
        inside += abs(mean - delivery) <= 2 * deviation

    assert (
        inside / links >= 0.7
    )  # with the middle of the range, and no doubt about it, 0.2 at deliveries of 0.9 and 0.95


def test_a_coarse_count_is_worth_no_more_however_often_it_is_told() -> None:
    rounds = [
        report("0001", counter("0002", 16 * n, 12 * n, receivedUncertainty=4 * n), sequence=n) for n in range(1, 50)
    ]

    [(_, heard, missed)] = fold_all(rounds).nodes[1].links[2].evidence

    assert heard + missed == pytest.approx(3 * 0.75 * 0.25 / 0.25**2, rel=0.1)  # variance of +-0.25, uniform
