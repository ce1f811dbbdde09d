"""How much is simulated: precision, workers, and what does not go together."""

import numpy as np
import pytest

import meshtwin
from meshtwin.errors import InvalidInput
from meshtwin.sides import Effort

PAIR = """
name: pair
defaults: {relay: false, networkTransmit: {count: 0}}
nodes: [{address: "0001"}, {address: "0002"}]
links: [{source: "0001", target: "0002", delivery: 0.6}]
flows: [{name: press, source: "0001", destination: "0002", count: 20, periodSeconds: 1}]
"""


def half_width(interval):
    return (interval.high - interval.low) / 2.0


def test_precision_is_reached_with_more_replications_than_a_coarser_one_takes():
    coarse = meshtwin.simulate(PAIR, precision=0.2, engine="reference")
    fine = meshtwin.simulate(PAIR, precision=0.03, engine="reference")
    assert len(coarse.runs) == 8
    assert len(fine.runs) > 16
    assert half_width(fine.kpis.flows[0].on_time) < 0.04
    assert fine.gaps == ()


def test_precision_that_is_not_reached_is_a_gap_with_what_it_would_take():
    short = meshtwin.simulate(PAIR, precision=0.005, replications=10, engine="reference")
    assert len(short.runs) == 10
    assert "on-time of press within ±0.005 takes" in short.gaps[0]
    assert "10 are allowed" in short.gaps[0]


def test_share_that_is_always_one_is_simulated_until_its_interval_is_narrow_enough():
    """Eight replications of 20 messages without a loss still leave 1.7 points; Wilson's interval says so."""
    sure = PAIR.replace("delivery: 0.6", "delivery: 1.0")
    told = meshtwin.simulate(sure, precision=0.004, precision_of="delivery", engine="reference")
    assert half_width(told.kpis.flows[0].delivery) <= 0.0045
    assert len(told.runs) > 8


def test_precision_of_latency_is_in_milliseconds():
    told = meshtwin.simulate(PAIR, precision=0.5, precision_of="latency", engine="reference")
    mean = told.document.flows[0].latency_milliseconds.mean
    assert half_width(mean) < 0.75


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"precision": 0.0}, r"0\.0 of on-time is outside 0\.0001\.\.0\.5"),
        ({"precision": float("nan")}, "nan of on-time is outside"),
        ({"precision": "fine"}, "'fine' is no number"),
        ({"precision": 0.1, "precision_of": "hops"}, "'hops' is not one of on-time, delivery, latency"),
        ({"precision": 0.1, "replications": 3}, "fewer than the 8"),
        ({"workers": 0}, r"0 workers are not a whole number of 1\.\.256"),
        ({"workers": 1.5}, r"1\.5 workers are not"),
        ({"workers": 2, "replications": 10_001}, "more than 10000"),
        ({"workers": 2, "run": print}, "neither workers nor a precision"),
        ({"seed": -1}, "seed -1 is negative"),
    ],
)
def test_effort_that_can_not_be_is_refused_before_the_work(words, said):
    with pytest.raises(InvalidInput, match=said):
        Effort(**words)


@pytest.mark.parametrize(("share", "runs", "gap"), [(0.3, {4, 5}, "to 8: interrupted"), (0.6, None, ": interrupted")])
def test_interruption_ends_a_precision_with_what_is_done_in_either_stage(share, runs, gap):
    def progress(told, stage):
        if told > share:
            raise KeyboardInterrupt

    told = meshtwin.simulate(PAIR, precision=0.01, engine="reference", progress=progress)
    assert len(told.runs) in (runs or range(8, told.asked))
    assert gap in told.gaps[0]


def test_precision_of_a_difference_is_that_of_the_comparison():
    """A pair whose link is a little worse on the other side; the interval comes from all replications."""
    worse = PAIR.replace("delivery: 0.6", "delivery: 0.5")
    coarse, fine = (meshtwin.compare(PAIR, worse, precision=h, engine="reference") for h in (0.5, 0.03))
    assert len(coarse.first.runs) == len(coarse.second.runs) == 8
    assert len(fine.first.runs) == len(fine.second.runs) > 8
    assert half_width(fine.differences[0].on_time) < 0.04
    assert fine.first.gaps == fine.second.gaps == ()


def test_sides_that_never_differ_are_compared_until_so_many_messages_could_show_it():
    sure = PAIR.replace("delivery: 0.6", "delivery: 1.0").replace("count: 0", "count: 4")
    more = sure.replace("count: 4", "count: 5")
    told = meshtwin.compare(sure, more, precision=0.01, precision_of="delivery", engine="reference")
    assert len(told.first.runs) == 14  # 268 messages by Wilson's interval, 20 a replication
    assert half_width(told.differences[0].delivery) <= 0.0101


def test_precision_of_a_difference_in_latency_is_of_what_both_delivered():
    later = PAIR.replace("count: 0", "count: 2")
    told = meshtwin.compare(PAIR, later, precision=2.0, precision_of="latency", engine="reference")
    assert half_width(told.differences[0].latency_ms) < 2.5
    assert told.first.gaps == ()


def test_workers_that_would_not_pay_are_not_started():
    told = meshtwin.simulate(PAIR, workers=2, engine="reference")
    assert told.processes == 1
    assert told.runs == meshtwin.simulate(PAIR, engine="reference").runs


def test_comparison_without_a_common_flow_is_refused_before_anything_runs():
    def run(scenario, *, seed, replication, engine):
        raise AssertionError("nothing may run")

    with pytest.raises(InvalidInput, match="press here, other there"):
        meshtwin.compare(PAIR, PAIR.replace("name: press", "name: other"), run=run)


def test_numbers_of_numpy_are_taken_as_pythons_own():
    told = Effort(seed=np.int64(3), replications=np.int32(8), precision=np.float32(0.25))
    assert (told.seed, told.replications, told.precision) == (3, 8, 0.25)
    assert (type(told.seed), type(told.replications), type(told.precision)) == (int, int, float)


@pytest.mark.parametrize("wrong", [{"engine": ["fast"]}, {"precision": 0.1, "precision_of": ["latency"]}])
def test_list_in_place_of_a_name_is_refused(wrong):
    with pytest.raises(InvalidInput, match=r"\['"):
        Effort(**wrong)
