"""Replications within a time: a clock that the test turns, and the real engines."""

from itertools import count

import pytest

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.ports import Cancelled, no_progress
from meshtwin.sim.cost import estimate_receptions, shorten
from meshtwin.sim.engine import simulate
from meshtwin.sim.limited import Limits, run_limited, tell_time
from meshtwin.sim.scenario import Scenario, ScenarioBackground, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.watching import watched

ONCE = Transmit(count=0, interval_steps=1)
A, B, C = (UnicastAddress(n) for n in (1, 2, 3))


def make_chain(*, messages=20, duration_s=None, relay=True):
    """1 - 2 - 3, where 2 relays."""
    return Scenario(
        name="chain",
        nodes=tuple(
            ScenarioNode(address=a, relay=relay and a == B, ttl=3, network_transmit=ONCE, relay_retransmit=ONCE)
            for a in (A, B, C)
        ),
        links=tuple(ScenarioLink(source=a, target=b, delivery=0.8) for a, b in ((A, B), (B, A), (B, C), (C, B))),
        flows=(ScenarioFlow(name="f", source=A, members=(C,), count=messages, period_s=1.0),),
        duration_s=duration_s,
    )


def ticking(step_s):
    """A clock that goes on by ``step_s`` whenever it is read."""
    ticks = count()
    return lambda: next(ticks) * step_s


def run(scenario, replication):
    return simulate(scenario, seed=1, replication=replication)


def limited(scenario, *, wanted=4, step_s=0.0, within_s=None, progress=no_progress):
    limits = Limits(now_s=ticking(step_s), within_s=within_s)
    return run_limited(scenario, run, wanted=wanted, limits=limits, progress=progress)


def test_enough_time_gives_all_replications_and_no_gap():
    done = limited(make_chain(), within_s=10.0)
    assert [r.replication for r in done.runs] == [0, 1, 2, 3]
    assert (done.share, done.gaps) == (1.0, ())


def test_runs_within_a_limit_are_those_without_one():
    assert limited(make_chain(), within_s=1e6).runs == limited(make_chain()).runs


def test_replications_that_time_does_not_suffice_for_are_missing():
    done = limited(make_chain(), wanted=100, step_s=0.1, within_s=30.0)
    assert 2 <= len(done.runs) < 100
    assert done.gaps == (f"replications {len(done.runs) + 1} to 100: 30 s are over",)


def test_replication_that_would_not_fit_is_shortened_and_both_sides_of_that_are_told():
    done = limited(make_chain(messages=400), step_s=0.1, within_s=30.0)
    assert len(done.runs) >= 2
    messages = {len(r.messages) for r in done.runs}
    assert len(messages) == 1
    assert 10 < messages.pop() < 200
    assert "of 400 messages of f: a whole one takes about" in done.gaps[0]


def test_no_replication_in_time_is_an_error_that_says_so():
    with pytest.raises(InvalidInput, match="not one replication was finished within 1 s") as caught:
        limited(make_chain(messages=400), step_s=0.9, within_s=1.0)
    assert caught.value.reason == "TimeLimit"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), Cancelled("no longer wanted")])
def test_interrupted_work_keeps_what_is_finished(interruption):
    def progress(share, stage):
        if share >= 0.6:
            raise interruption

    done = limited(make_chain(), progress=progress)
    assert len(done.runs) in {2, 3}
    assert "interrupted" in done.gaps[0]


def test_progress_is_told_inside_a_replication_and_only_rises():
    shares = []
    limited(make_chain(), wanted=2, progress=lambda share, stage: shares.append(share))
    assert shares == sorted(shares)
    assert len(shares) > 10
    assert shares[-1] == 1.0


def test_compiled_engine_can_be_looked_at_and_ended():
    told = []

    def look(share):
        told.append(share)
        raise Cancelled("seen enough")

    noise = ScenarioBackground(name="n", sources=(A, B, C), rate_per_s=1000.0)  # one look comes in some million events
    busy = make_chain(messages=5000)
    busy = Scenario(name="b", nodes=busy.nodes, links=busy.links, flows=busy.flows, background=(noise,))
    with watched(look), pytest.raises(Cancelled):
        simulate(busy, seed=1, engine="compiled")
    assert len(told) == 1
    assert 0.0 < told[0] < 1.0


def test_shortened_scenario_meets_the_luck_of_the_whole_one():
    whole = run(make_chain(messages=40), 0)
    part = run(shorten(make_chain(messages=40), 0.25), 0)
    assert part.messages == whole.messages[:10]


def test_shortened_scenario_keeps_a_message_of_each_flow():
    short = shorten(make_chain(messages=3, duration_s=100.0), 0.01)
    assert [flow.count for flow in short.flows] == [1]
    assert short.duration_s == pytest.approx(1.0)


def test_estimated_cost_is_not_below_what_happens():
    """Witness: two links hear each message of the relay, one that of the source."""
    assert estimate_receptions(make_chain(messages=10)) == 10 * (1 + 2)
    assert estimate_receptions(make_chain(messages=10, relay=False)) == 10


@pytest.mark.parametrize("within_s", [0.0, -1.0, float("nan"), float("inf")])
def test_time_that_is_none_is_refused(within_s):
    with pytest.raises(InvalidInput, match="is not above 0"):
        Limits(now_s=ticking(0.0), within_s=within_s)


@pytest.mark.parametrize(
    ("seconds", "told"), [(42.0, "42 s"), (600.0, "10 min"), (7200.0, "2 h"), (864_000.0, "10 days")]
)
def test_times_are_told_for_people(seconds, told):
    assert tell_time(seconds) == told
