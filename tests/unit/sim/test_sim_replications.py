import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from statistics import fmean

import pytest

from meshtwin.errors import InvalidInput
from meshtwin.mesh.configuration import Transmit
from meshtwin.ports import Cancelled
from meshtwin.sim.replications import replicate, replicate_until
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.stopping import FIRST_STAGE, Goal, share_on_time

ONCE = Transmit(count=0, interval_steps=1)


def make_pair(*, delivery=0.7, count=4):
    """Node 1 sends to node 2, once each."""
    return Scenario(
        name="pair",
        nodes=tuple(
            ScenarioNode(address=a, relay=False, ttl=2, network_transmit=ONCE, relay_retransmit=ONCE) for a in (1, 2)
        ),
        links=(ScenarioLink(source=1, target=2, delivery=delivery),),
        flows=(ScenarioFlow(name="f", source=1, members=(2,), count=count, period_s=1.0),),
    )


def numbers(replications):
    return [result.replication for result in replications.results]


def test_replications_come_in_order_and_equal_on_any_executor():
    alone = replicate(make_pair(), seed=1, replications=9, engine="reference")
    with ThreadPoolExecutor(2) as executor:
        shared = replicate(make_pair(), seed=1, replications=9, engine="reference", executor=executor, workers=2)
    assert numbers(alone) == list(range(9))
    assert alone == shared


def test_replications_may_begin_later_and_stay_the_same():
    whole = replicate(make_pair(), seed=1, replications=6, engine="reference")
    later = replicate(make_pair(), seed=1, replications=3, first=3, engine="reference")
    assert later.results == whole.results[3:]


def test_progress_is_told_after_each_replication():
    shares = []
    replicate(make_pair(), seed=1, replications=4, engine="reference", progress=lambda share, _: shares.append(share))
    assert shares == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("interruption", [Cancelled("no longer wanted"), KeyboardInterrupt()])
def test_interruption_keeps_what_is_finished_and_says_what_is_missing(interruption):
    def progress(share, stage):
        if share >= 0.5:
            raise interruption

    kept = replicate(make_pair(), seed=1, replications=6, engine="reference", progress=progress)
    assert numbers(kept) == [0, 1, 2]
    assert "3 of 6" in kept.gap


def test_interruption_gives_up_what_an_executor_has_not_begun():
    begun = threading.Event()

    class Lazy(ThreadPoolExecutor):
        submitted = 0

        def submit(self, *arguments):
            Lazy.submitted += 1
            return super().submit(*arguments)

    def progress(share, stage):
        begun.set()
        raise Cancelled("no longer wanted")

    with Lazy(1) as executor:
        kept = replicate(make_pair(), seed=1, replications=40, engine="reference", executor=executor, progress=progress)
    assert begun.is_set()
    assert 1 <= len(kept.results) < 40
    assert "of 40" in kept.gap


@pytest.mark.parametrize("replications", [0, -1, 10_001])
def test_number_of_replications_has_limits(replications):
    with pytest.raises(InvalidInput, match=r"1\.\.10000"):
        replicate(make_pair(), seed=1, replications=replications)


def test_coarse_goal_is_met_by_the_first_stage():
    goal = Goal(figure=share_on_time("f", 1000.0), half_width=0.5)
    done = replicate_until(make_pair(), [goal], seed=1, engine="reference")
    assert numbers(done) == list(range(FIRST_STAGE))
    assert done.gap is None


def test_finer_goal_takes_more_replications_up_to_the_limit():
    figure = share_on_time("f", 1000.0)
    some = replicate_until(make_pair(), [Goal(figure=figure, half_width=0.04)], seed=1, engine="reference")
    most = replicate_until(make_pair(), [Goal(figure=figure, half_width=0.001)], seed=1, most=20, engine="reference")
    assert FIRST_STAGE < len(some.results) < 256
    assert len(most.results) == 20
    assert "wanted precision takes" in most.gap


def test_share_on_time_counts_messages_that_reached_all_in_time():
    (result,) = replicate(make_pair(delivery=1.0), seed=1, replications=1, engine="reference").results
    early = [m for m in result.messages if m.is_on_time(6.0)]
    assert share_on_time("f", 6.0)(result) == len(early) / 4
    assert share_on_time("unknown", 6.0)(result) == 0.0


@pytest.mark.parametrize("half_width", [0.0, -1.0, float("nan"), float("inf")])
def test_goal_without_a_width_is_refused(half_width):
    with pytest.raises(InvalidInput, match="half width"):
        Goal(figure=share_on_time("f", 1.0), half_width=half_width)


def test_random_replications_are_the_witness_of_selective_ones():
    scenario = make_pair(count=32)
    figure = share_on_time("f", 1000.0)
    shares = [
        fmean(figure(r) for r in replicate(
            scenario, seed=2, replications=40, engine="reference", is_selective=is_selective
        ).results)
        for is_selective in (True, False)
    ]  # fmt: skip
    assert abs(shares[0] - shares[1]) < 0.05
    assert {
        r.is_selective for r in replicate(replace(scenario), seed=2, replications=1, engine="reference").results
    } == {True}
