import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.mesh.kpis import HowKnown
from meshtwin.mesh.nodes import Flow
from meshtwin.sim.intervals import compute_mean_interval, compute_ratio_interval, compute_student_quantile
from meshtwin.sim.packets import LossCause
from meshtwin.sim.results import Arrival, MessageResult, RunResult, summarise

MS = 1_000_000
FLOW = Flow(name="f", source=1, destination=0xC001, rate_per_minute=6, deadline_ms=150)


def make_message(*latencies_ms, members=2, number=0):
    arrivals = tuple(Arrival(10 + i, ms * MS, 1) for i, ms in enumerate(latencies_ms))
    return MessageResult(
        flow="f", number=number, started_ns=0, member_count=members, arrivals=arrivals, transmissions=3
    )


def make_result(*messages, airtime_ratio=0.01):
    return RunResult(
        scenario="s", profile="zephyr", seed=1, replication=0, messages=messages, transmissions=3,
        airtime_ratio=airtime_ratio, losses=dict.fromkeys(LossCause, 0),
    )  # fmt: skip


def test_group_is_on_time_only_if_every_member_is():
    assert make_message(10, 150).is_on_time(150)
    assert not make_message(10, 151).is_on_time(150)


def test_lost_member_counts_as_late_and_gives_no_spread():
    message = make_message(10)
    assert not message.is_on_time(10_000)
    assert message.spread_ns is None


def test_spread_is_first_to_last_member():
    assert make_message(10, 35).spread_ns == 25 * MS


def test_summary_counts_messages_for_on_time_and_pairs_for_delivery():
    kpis = summarise([make_result(make_message(10, 20), make_message(10), make_message(10, 200))], [FLOW])
    flow = kpis.flows[0]
    assert flow.sent == 3
    assert flow.on_time.estimate == pytest.approx(1 / 3)
    assert flow.delivery.estimate == pytest.approx(5 / 6)
    assert flow.latency_p50_ms == 10
    assert flow.spread_p95_ms == pytest.approx(181)
    assert flow.how_known is HowKnown.PREDICTED
    assert flow.on_time.level == 0.9


def test_flow_without_messages_is_unknown_not_perfect():
    flow = summarise([make_result()], [FLOW]).flows[0]
    assert (flow.on_time.low, flow.on_time.high, flow.latency_p50_ms) == (0.0, 1.0, None)


def test_perfect_score_still_has_a_width_that_shrinks_with_messages():
    few = summarise([make_result(*[make_message(1, 2)] * 20)], [FLOW]).flows[0].on_time
    many = summarise([make_result(*[make_message(1, 2)] * 200)], [FLOW]).flows[0].on_time
    assert few.low < many.low < many.high == 1.0


def test_wilson_interval_is_the_textbook_one():
    """Witness: 95 of 100 at 95 % is 0.8882 to 0.9785 (Wilson 1927, as in common tables)."""
    interval = compute_ratio_interval([(95, 100)], 0.95)
    assert (interval.low, interval.high) == pytest.approx((0.8882, 0.9785), abs=2e-4)


def test_replications_that_disagree_widen_the_interval():
    even = compute_ratio_interval([(50, 100)] * 4)
    uneven = compute_ratio_interval([(10, 100), (90, 100), (20, 100), (80, 100)])
    assert uneven.high - uneven.low > 3 * (even.high - even.low)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(50, 60)), min_size=1, max_size=6))
def test_ratio_interval_holds_its_estimate_and_stays_a_ratio(runs):
    interval = compute_ratio_interval(runs)
    assert 0.0 <= interval.low <= interval.estimate <= interval.high <= 1.0


@pytest.mark.parametrize(("degrees", "published"), [(1, 6.314), (2, 2.920), (3, 2.353), (4, 2.132), (9, 1.833)])
def test_student_quantile_is_the_tabulated_one(degrees, published):
    assert compute_student_quantile(0.95, degrees) == pytest.approx(published, rel=0.02)


def test_mean_interval_is_student_over_replications():
    interval = compute_mean_interval([1.0, 2.0, 3.0])
    assert interval.estimate == 2.0
    assert interval.high - 2.0 == pytest.approx(2.920 / 3**0.5, rel=0.01)
