"""What silence says: notifications that no counter tells of, and pairs that never heard each other."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.twins.twin_builders import START_S, counter, fold_all, report

from meshtwin.mesh.nodes import Position
from meshtwin.twins.delivery_grid import log_likelihood, to_beta, to_tables
from meshtwin.twins.estimator import LinkQuestion, estimate_all, estimate_links, estimate_unheard
from meshtwin.twins.exposure import measure_exposure
from meshtwin.twins.link_line import Expectation, Pairs, fit_link_line, log_normal_mass
from meshtwin.twins.load import Load
from meshtwin.twins.state import TwinState

QUIET = Load(busy_ratio=0.0, source="measured")
SIZE = 24  # nodes in a row, 3 m apart
SPACING_M = 3.0
SENT = 60  # notifications


def true_delivery(source: int, target: int) -> float:
    """Half at 9 m, falling with the fifth power of odds, scattered by 1.5 either way, alike in both directions."""
    distance_m = SPACING_M * abs(source - target)
    scatter = 1.5 * math.sin(7 * (source + target) + 3 * source * target)
    return 1 / (1 + (distance_m / 9.0) ** 5 * math.exp(scatter))


def row_of_nodes(*, rounds: int = 3, deaf_to: int | None = None) -> tuple[TwinState, dict[int, Position]]:
    """Every node reports whom it heard at all; node 1 does not hear ``deaf_to``. Equal counts, no dice."""
    places = {n: Position(SPACING_M * n, 0.0) for n in range(1, SIZE + 1)}
    messages = []
    for turn in range(1, rounds + 1):
        sent = SENT * turn // rounds
        for target in places:
            counters = []
            for source in places:
                share = true_delivery(source, target) if source != target else 0.0
                heard = round(sent * share)
                if source != target and heard > 0 and not (target == 1 and source == deaf_to):
                    counters.append(counter(f"{source:04x}", sent, heard))
            sequence = turn * SIZE + target
            messages.append(report(f"{target:04x}", *counters, sequence=sequence, at_s=10.0 * sent))
    return fold_all(messages), places


def ask(state: TwinState, places: dict[int, Position], interval_s: float = 10.0) -> LinkQuestion:
    return LinkQuestion(
        state=state,
        now_s=START_S + 10.0 * SENT,
        load=QUIET,
        report_interval_s=200,
        notification_interval_s=interval_s,
        places=places,
    )


def test_pairs_beyond_all_links_are_expected_to_deliver_nothing():
    state, places = row_of_nodes()
    found = {(link.source, link.target) for link in estimate_unheard(ask(state, places))}
    assert all(abs(source - target) * SPACING_M < 40 for source, target in found)


def test_unheard_pair_in_the_middle_of_others_is_believed_weak_though_it_is_short():
    """Node 1 went through all of node 2's notifications and heard none."""
    state, places = row_of_nodes(deaf_to=2)
    links = {(link.source, link.target): link for link in estimate_unheard(ask(state, places), least=0.0)}
    assert links[2, 1].delivery_mean < 0.25  # the other direction is strong, and shadowing mostly shared
    assert links[2, 1].last_heard is None


def test_pair_that_was_not_told_yet_is_expected_by_its_length():
    """The reporter has listed each neighbour once: it may have more to tell."""
    state, places = row_of_nodes(rounds=1, deaf_to=2)
    links = {(link.source, link.target): link for link in estimate_unheard(ask(state, places), least=0.0)}
    assert links[2, 1].delivery_mean > 0.4


def test_all_estimates_hold_each_pair_once_in_order():
    state, places = row_of_nodes(deaf_to=2)
    pairs = [(link.source, link.target) for link in estimate_all(ask(state, places))]
    assert pairs == sorted(set(pairs))


def test_without_places_nothing_is_said_of_unheard_pairs():
    state, _ = row_of_nodes()
    assert estimate_unheard(ask(state, {})) == ()


def test_notifications_sent_before_the_first_one_heard_count_as_missed():
    """Four neighbours count sixty each; of the fifth only the last ten are in the reporter's counters."""
    others = [counter(f"{n:04x}", 60, 60) for n in range(2, 7)]
    late = counter("0009", 10, 5)
    listeners = [report(f"{n:04x}", counter("0009", 60, 60), sequence=n) for n in range(10, 15)]
    state = fold_all([report("0001", *others, late), *listeners])

    with_others, alone = (
        {(link.source, link.target): link for link in estimate_links(ask(state, {}, interval_s))}
        for interval_s in (10.0, 0.0)
    )

    assert alone[9, 1].delivery_mean == pytest.approx(0.5, abs=0.05)
    assert with_others[9, 1].delivery_mean < 0.2
    assert with_others[2, 1].delivery_mean == pytest.approx(alone[2, 1].delivery_mean, abs=0.02)


@pytest.mark.parametrize("speed", [0.5, 1.0, 16.0])
def test_links_that_lost_nothing_miss_nothing_however_fast_the_mesh_runs(speed):
    """Reports take turns, so that one listener was listed long ago and another just now."""
    reports = []
    for turn in range(40):
        sent = turn + 1  # by each node, one in ten seconds of the mesh
        reporter, neighbour = divmod(turn, 8)
        if reporter == neighbour:
            continue
        told = counter(f"{neighbour:04x}", sent, sent)
        reports.append(report(f"{reporter:04x}", told, sequence=turn, at_s=10 * sent / speed))
    state = fold_all(reports)

    exposure = measure_exposure(state, now_s=START_S + 400 / speed, report_interval_s=60, notification_interval_s=10)

    assert all(exposure.missing(*pair) < 1 for pair in exposure.accounted)


def test_what_was_not_told_before_a_count_began_anew_is_no_loss():
    """All hear everything, each with six copies and then, after a push, with three; counts begin anew with it.

    Node 1 told of node 2 long before the push, and of the others just before: the difference was heard, and is lost.
    """
    reports = []
    for target in range(1, 9):
        for source in range(1, 9):
            if source == target:
                continue
            told = 12 if (target, source) == (1, 2) else 60
            for sent, copies, epoch, at_s in ((told, 6, 0, 10.0 * told), (20, 3, 1, 800.0)):
                counters = counter(f"{source:04x}", sent, sent, transmissions=copies, epoch=epoch)
                reports.append((at_s, report(f"{target:04x}", counters, at_s=at_s)))
    ordered = [r.model_copy(update={"sequence": n}) for n, (_, r) in enumerate(sorted(reports, key=lambda x: x[0]))]
    state = fold_all(ordered)
    question = replace(ask(state, {}), now_s=START_S + 800.0, report_interval_s=60)

    exposure = measure_exposure(state, now_s=question.now_s, report_interval_s=60, notification_interval_s=10)
    links = {(link.source, link.target): link.delivery_mean for link in estimate_links(question)}

    assert exposure.missing(2, 1) < 1.0
    assert links[2, 1] == pytest.approx(links[3, 1], abs=0.03)
    assert exposure.transmissions[2] == 3  # the newest, not the most


@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 3))
def test_exposure_is_never_more_than_either_end_saw(sent, listened, copies):
    first = report("0001", counter("0002", sent, sent, transmissions=copies))
    second = report("0003", counter("0004", listened, listened), sequence=1)
    exposure = measure_exposure(
        fold_all([first, second]), now_s=START_S, report_interval_s=60, notification_interval_s=10
    )
    assert 0.0 <= exposure.missing(2, 3) <= min(sent, listened)
    assert exposure.missing(2, 1) == 0.0


def drawn_pairs(*, slope: float, correlation: float, count: int, seed: int) -> Pairs:
    """Both directions of ``count`` pairs of 1 to 100 m, log-odds on a line with shared scatter, 200 single sends."""
    rng = np.random.default_rng(seed)
    decades = rng.uniform(0.0, 2.0, count)
    shared = math.sqrt(correlation) * rng.normal(0, 2.0, count)
    counts = []
    for _ in range(2):
        odds = 1.0 + slope * (decades - 1.0) + shared + math.sqrt(1 - correlation) * rng.normal(0, 2.0, count)
        heard = rng.binomial(200, 1 / (1 + np.exp(-odds)))
        counts += [((1, float(h), float(200 - h)),) for h in heard]
    reverse = np.concatenate([np.arange(count, 2 * count), np.arange(count)])
    return Pairs(decades=np.tile(decades, 2), tables=to_tables(counts), reverse=reverse)


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_line_and_correlation_of_directions_are_found_again(correlation):
    pairs = drawn_pairs(slope=-5.0, correlation=correlation, count=300, seed=3)
    line = fit_link_line(pairs, np.ones(len(pairs)), QUIET)
    assert line is not None
    assert line.slope == pytest.approx(-5.0, abs=0.5)
    assert line.deviation == pytest.approx(2.0, abs=0.25)
    assert line.correlation == pytest.approx(correlation, abs=0.15)


def test_other_direction_moves_a_pair_of_which_nothing_was_counted():
    pairs = drawn_pairs(slope=-5.0, correlation=0.8, count=200, seed=4)
    line = fit_link_line(pairs, np.ones(len(pairs)), QUIET)
    assert line is not None
    heard = Pairs(
        decades=np.array([1.0, 1.0]),
        tables=to_tables([((1, 195.0, 5.0),), ((1, 0.0, 0.0),)]),
        reverse=np.array([1, 0]),
    )
    both = line.expect_both_ways(heard, QUIET)
    alone = line.expect(heard.decades)
    assert both.mean[1] > alone.mean[1] + 1.0
    assert both.deviation[1] < alone.deviation[1]


def test_few_pairs_give_no_line():
    pairs = drawn_pairs(slope=-5.0, correlation=0.0, count=8, seed=1)
    assert fit_link_line(pairs, np.ones(len(pairs)), QUIET) is None


def test_prior_mass_on_the_grid_is_that_of_normal_log_odds():
    """Witness: mean delivery of normal log-odds by direct integration."""
    points = np.linspace(-30, 30, 200_001)
    density = np.exp(-0.5 * ((points - 1.0) / 2.0) ** 2)
    mean = float((density / (1 + np.exp(-points))).sum() / density.sum())
    (alpha, beta), *_ = to_beta(log_normal_mass(Expectation(np.array([1.0]), np.array([2.0]))))
    assert alpha / (alpha + beta) == pytest.approx(mean, abs=0.002)


def test_counts_of_all_transmissions_are_in_the_likelihood():
    tables = to_tables([((1, 5.0, 5.0), (3, 2.0, 1.0)), ((3, 1.0, 0.0),)])
    both = log_likelihood(tables, slice(None), QUIET)
    alone = log_likelihood(to_tables([((3, 1.0, 0.0),)]), slice(None), QUIET)
    assert both.shape == (2, alone.shape[1])
    assert np.allclose(both[1], alone[0])
