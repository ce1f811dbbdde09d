"""From counters to the delivery of a single transmission."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.twins.twin_builders import START_S, counter, fold_all, report

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit
from meshtwin.mesh.snapshots import LinkEstimate
from meshtwin.mesh.upkeep import UpkeepPart
from meshtwin.twins.bursts import BURST_CORRELATION
from meshtwin.twins.estimator import LinkQuestion, estimate_links, fit_beta
from meshtwin.twins.load import Load, Traffic, estimate_load, estimate_outage
from meshtwin.twins.state import TwinState

QUIET = Load(busy_ratio=0.0, source="measured")


def all_lost(delivery: float, transmissions: int) -> float:
    """Witness: zero successes of a beta-binomial, written with gamma functions."""
    theta = BURST_CORRELATION / (1 - BURST_CORRELATION)
    alpha, beta = delivery / theta, (1 - delivery) / theta
    gamma = math.lgamma
    return math.exp(gamma(beta + transmissions) + gamma(1 / theta) - gamma(beta) - gamma(alpha + beta + transmissions))


def mean(alpha_beta: tuple[float, float]) -> float:
    return alpha_beta[0] / sum(alpha_beta)


def deviation(alpha_beta: tuple[float, float]) -> float:
    a, b = alpha_beta
    return math.sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))


def estimate(state: TwinState, at_s: float = 0.0) -> dict[tuple[int, int], LinkEstimate]:
    links = estimate_links(LinkQuestion(state=state, now_s=START_S + at_s, load=QUIET, report_interval_s=60))
    return {(link.source, link.target): link for link in links}


@given(heard=st.integers(0, 300), missed=st.integers(0, 300))
def test_single_transmissions_on_a_quiet_channel_give_the_conjugate_posterior(heard: int, missed: int) -> None:
    """Witness: Beta(1 + heard, 1 + missed) in closed form."""
    alpha, beta = fit_beta([((1, float(heard), float(missed)),)])[0]

    assert mean((alpha, beta)) == pytest.approx((1 + heard) / (2 + heard + missed), abs=0.002)
    assert deviation((alpha, beta)) == pytest.approx(deviation((1 + heard, 1 + missed)), abs=0.002)


@pytest.mark.parametrize("transmissions", [2, 3, 6])
@pytest.mark.parametrize("delivery", [0.2, 0.5, 0.8])
def test_repeats_are_inverted(transmissions: int, delivery: float) -> None:
    heard_share = 1 - all_lost(delivery, transmissions)
    counts = ((transmissions, 2000 * heard_share, 2000 * (1 - heard_share)),)

    fitted = fit_beta([counts])[0]

    assert abs(mean(fitted) - delivery) < 0.01 + deviation(fitted)


def test_load_is_inverted() -> None:
    """By pure ALOHA, of 0.7 of transmissions that a quiet channel delivers exp(-0.2) come through a tenth of load."""
    load = Load(busy_ratio=0.1, source="measured")
    heard_share = 0.7 * 0.8187

    fitted = fit_beta([((1, 2000 * heard_share, 2000 * (1 - heard_share)),)], load)[0]

    assert mean(fitted) == pytest.approx(0.7, abs=0.01)


def test_three_copies_that_share_their_fate_in_part_are_all_lost_more_often_than_independent_ones() -> None:
    """Beta-binomial of mean 0.5 and correlation 0.05: 0.5 * 0.525 * 0.5476 = 0.1438 are lost, not 0.125."""
    fitted = fit_beta([((3, 20_000 * 0.8562, 20_000 * 0.1438),)])[0]
    as_if_independent = fit_beta([((3, 20_000 * 0.875, 20_000 * 0.125),)])[0]

    assert mean(fitted) == pytest.approx(0.5, abs=0.004)
    assert mean(as_if_independent) > 0.515


def test_losses_of_whole_notifications_are_not_taken_for_a_weak_link() -> None:
    """Six copies and 2 % missed: a weak link on a quiet channel, or a good one with storms."""
    counts = [((6, 995.0, 5.0),)]

    quiet = fit_beta(counts)[0]
    stormy = fit_beta(counts, Load(busy_ratio=0.0, source="measured", outage_ratio=0.005))[0]

    assert mean(stormy) > mean(quiet) + 0.03


def test_heard_always_with_many_repeats_says_little_of_one_transmission() -> None:
    once, often = fit_beta([((1, 100.0, 0.0),), ((6, 100.0, 0.0),)])

    assert deviation(often) > 3 * deviation(once)
    assert mean(once) > mean(often)


def test_evidence_of_different_repeats_is_combined() -> None:
    alone, both = fit_beta([((1, 30.0, 10.0),), ((1, 30.0, 10.0), (3, 98.0, 2.0))])

    assert deviation(both) < deviation(alone)


def test_many_links_are_estimated_as_each_alone() -> None:
    counts = [((1 + n % 3, float(n % 50), float(n % 7)),) for n in range(2500)]

    together = fit_beta(counts)

    assert together[1234] == pytest.approx(fit_beta([counts[1234]])[0])


def test_links_come_in_order_of_source_and_target() -> None:
    state = fold_all([report("0002", counter("0003", 9, 9), counter("0001", 9, 9)), report("0001", sequence=1)])

    assert list(estimate(state)) == [(1, 2), (3, 2)]


def test_old_evidence_keeps_its_direction_and_loses_certainty() -> None:
    state = fold_all([report("0001", counter("0002", 50, 50))])

    fresh, old = estimate(state)[(2, 1)], estimate(state, at_s=1e6)[(2, 1)]

    assert old.delivery_deviation > 2 * fresh.delivery_deviation
    assert old.delivery_mean > 0.7


def test_missing_report_is_no_loss() -> None:
    """The reporter itself is silent: nobody knows what it heard meanwhile."""
    state = fold_all(
        [
            report("0001", counter("0002", 50, 50)),
            *[report("0003", counter("0002", 50 + n, 50 + n), sequence=1 + n, at_s=60.0 * n) for n in range(1, 20)],
        ]
    )

    assert estimate(state)[(2, 1)] == estimate(fold_all([report("0001", counter("0002", 50, 50))]))[(2, 1)]


def test_neighbour_no_longer_listed_by_a_living_reporter_counts_what_others_heard() -> None:
    messages = [report("0001", counter("0002", 50, 50), counter("0003", 50, 50))]
    for n in range(1, 20):
        now_s = 60.0 * n
        messages.append(report("0001", counter("0003", 50 + 6 * n, 50 + 6 * n), sequence=2 * n, at_s=now_s))
        messages.append(report("0003", counter("0002", 50 + 6 * n, 50 + 6 * n), sequence=2 * n + 1, at_s=now_s))

    links = estimate(fold_all(messages), at_s=1200)

    assert links[(2, 1)].delivery_mean < 0.7
    assert links[(3, 1)].delivery_mean > 0.9


def test_silent_link_that_is_listed_again_is_judged_by_its_counters() -> None:
    messages = [report("0001", counter("0002", 50, 50))]
    for n in range(1, 20):
        messages.append(report("0003", counter("0002", 50 + 6 * n, 50 + 6 * n), sequence=2 * n, at_s=60.0 * n))
        messages.append(report("0001", sequence=2 * n + 1, at_s=60.0 * n))
    messages.append(report("0001", counter("0002", 164, 164), sequence=99, at_s=1200))

    assert estimate(fold_all(messages), at_s=1200)[(2, 1)].delivery_mean > 0.95


def test_slow_rotation_of_reports_is_no_silence() -> None:
    """Twenty neighbours, one per report: each is listed every twenty intervals."""
    neighbours = [f"{n:04x}" for n in range(2, 22)]
    messages = []
    for n in range(100):
        count = 50 + 6 * n
        messages.append(report("0001", counter(neighbours[n % 20], count, count), sequence=2 * n, at_s=60.0 * n))
        others = [counter(address, count, count) for address in neighbours]
        messages.append(report("0030", *others, sequence=2 * n + 1, at_s=60.0 * n))

    links = estimate(fold_all(messages), at_s=6000)

    assert min(links[(n, 1)].delivery_mean for n in range(2, 22)) > 0.9


def network_with_rssi(transmissions: int) -> tuple[TwinState, dict[tuple[int, int], float]]:
    """Thirty links whose delivery rises from 0 to 1 between -95 and -85 dBm, heard 60 times each."""
    truth: dict[tuple[int, int], float] = {}
    counters = []
    for n in range(30):
        rssi = -99.0 + n
        delivery = 1 / (1 + math.exp(-(rssi + 90) / 1.5))
        truth[(n + 2, 1)] = delivery
        heard = round(60 * (1 - all_lost(delivery, transmissions)))
        said = {"transmissions": transmissions, "rssiMeanDbm": rssi}
        counters.append(counter(f"{n + 2:04x}", 60, heard, **said))
    return fold_all([report("0001", *counters)]), truth


def test_rssi_tells_apart_what_repeats_saturate() -> None:
    state, truth = network_with_rssi(transmissions=6)

    links = estimate(state)

    errors = [abs(links[key].delivery_mean - delivery) for key, delivery in truth.items()]
    assert sum(errors) / len(errors) < 0.05
    assert max(errors) < 0.2


def test_rssi_does_not_outvote_what_was_counted() -> None:
    """A strong neighbour that is interfered with: the counters decide."""
    state, _ = network_with_rssi(transmissions=1)
    loud = counter("0040", 60, 6, rssiMeanDbm=-60)

    links = estimate(fold_all([report("0001", loud, sequence=1)], state))

    assert links[(0x40, 1)].delivery_mean < 0.3


def test_strongest_link_is_not_believed_better_than_a_scanner_that_changes_channels_can_hear() -> None:
    """Six copies are always heard, and say nothing of the few per cent that each copy misses."""
    state, _ = network_with_rssi(transmissions=6)
    loud = counter("0040", 60, 60, rssiMeanDbm=-40, transmissions=6)

    links = estimate(fold_all([report("0001", loud, sequence=1)], state))

    assert 0.88 < links[(0x40, 1)].delivery_mean < 0.96


def test_few_links_with_rssi_keep_the_uniform_prior() -> None:
    state = fold_all([report("0001", counter("0002", 10, 10, rssiMeanDbm=-60))])

    assert estimate(state)[(2, 1)].delivery_mean == pytest.approx(11 / 12, abs=0.002)


def test_outage_is_what_the_strongest_links_miss() -> None:
    strong = [counter(f"{n:04x}", 100, 95, transmissions=3, rssiMeanDbm=-50) for n in range(2, 22)]
    weak = [counter(f"{n:04x}", 100, 40, transmissions=3, rssiMeanDbm=-90) for n in range(22, 62)]

    assert estimate_outage(fold_all([report("0001", *strong, *weak)])) == pytest.approx(0.05)


def test_two_lost_copies_are_no_outage() -> None:
    """A link of 0.9 loses both in 1 % by itself."""
    twice = [counter(f"{n:04x}", 100, 95, transmissions=2, rssiMeanDbm=-50) for n in range(2, 62)]

    assert estimate_outage(fold_all([report("0001", *twice)])) == 0.0


def test_outage_is_not_guessed_from_few_links() -> None:
    assert estimate_outage(fold_all([report("0001", counter("0002", 100, 50, transmissions=3))])) == 0.0


def crowd() -> TwinState:
    return fold_all([report("0001", *(counter(f"{n:04x}", 9, 9, transmissions=3) for n in range(2, 12)))])


def test_load_without_a_measurement_is_that_of_the_notifications() -> None:
    load = estimate_load(crowd(), Traffic(notification_interval_s=10, report_interval_s=60))

    assert load.source == "monitoring"
    assert load.busy_ratio == pytest.approx(10 * 3 * 0.000376 / 10)


def test_reports_load_the_channel_once_per_relaying_neighbour_and_copy() -> None:
    relaying = NodeSettings(relay=True, relay_retransmit=Transmit(count=4, interval_steps=1))
    configuration = Configuration.of({UnicastAddress(1): relaying})
    traffic = Traffic(notification_interval_s=1e9, report_interval_s=11, configuration=configuration)

    load = estimate_load(crowd(), traffic)

    assert load.busy_ratio == pytest.approx(11 / 11 * 10 * 5 * 0.000376, rel=1e-3)


def test_upkeep_loads_the_channel_as_its_budget_allows() -> None:
    relaying = NodeSettings(relay=True, relay_retransmit=Transmit(count=4, interval_steps=1))
    part = UpkeepPart(name="settings", per_s=2.0, questions=3, question_bytes=20, answers=3, budget_share=0.5)
    traffic = Traffic(
        notification_interval_s=1e9,
        report_interval_s=0,
        configuration=Configuration.of({UnicastAddress(1): relaying}),
        upkeep=(part,),
        airtime_budget_ratio=0.01,
    )

    assert estimate_load(crowd(), traffic).busy_ratio == pytest.approx(0.005, rel=1e-3)
    free = replace(traffic, upkeep=(replace(part, budget_share=None),))
    assert estimate_load(crowd(), free).busy_ratio == pytest.approx(2 * 6 * 10 * 5 * 0.000376, rel=1e-3)
