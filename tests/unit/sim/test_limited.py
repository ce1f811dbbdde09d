"""Replications within a time: a clock that the test turns, and the real engines."""

from concurrent.futures import Future
from dataclasses import replace
from itertools import count

import pytest

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.ports import Cancelled, no_progress
from meshtwin.sim.cost import estimate_receptions, shorten
from meshtwin.sim.engine import simulate
from meshtwin.sim.limited import Limits, run_limited, run_limited_shares, tell_time
from meshtwin.sim.scenario import Scenario, ScenarioBackground, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.watching import tell as look_now
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


class Workforce:
    """One other process, which has all done as soon as it is asked, or never begins."""

    def __init__(self, *, begins=True):
        self.count = 1
        self.begins = begins
        self.asked = []
        self.shares = []
        self.given_up = 0

    def submit(self, share, numbers):
        self.asked.append(list(numbers))
        self.shares.append(share)
        future = Future()
        if self.begins:
            future.set_running_or_notify_cancel()
            future.set_result([(number, (number, share)) for number in numbers])
        return future

    def give_up(self):
        self.given_up += 1


def shared(workforce, *, wanted, passing_s, within_s=None, progress=no_progress, after=None):
    """Replications that take ``passing_s`` by the clock, the first one twenty looks long; results are their numbers."""
    now_s = [0.0]

    def one(share, number):
        parts = 20 if number == 0 else 1
        for part in range(parts):
            now_s[0] += passing_s * share / parts
            look_now(make_chain(), (part + 1) * 20 * 10**9 // parts)
        return number, share

    return run_limited_shares(
        make_chain(), one, wanted=wanted, limits=Limits(now_s=lambda: now_s[0], within_s=within_s), progress=progress,
        workforce=workforce, after=after,
    )  # fmt: skip


def test_others_are_asked_as_soon_as_they_pay_and_everything_is_run_once():
    workforce = Workforce()
    done = shared(workforce, wanted=64, passing_s=0.25)
    assert [number for number, _ in done.runs] == list(range(64))
    assert done.processes == 2
    sizes = [len(numbers) for numbers in workforce.asked]
    assert max(sizes) == 4  # a second of work each
    assert sizes[-1] == 1  # an even end
    assert workforce.asked[0][0] == 1  # while the first one ran here


def test_others_are_not_asked_where_little_is_left_to_do():
    workforce = Workforce()
    done = shared(workforce, wanted=64, passing_s=0.05)
    assert (len(done.runs), done.processes, workforce.asked) == (64, 1, [])


def test_what_others_have_not_begun_is_taken_back():
    done = shared(Workforce(begins=False), wanted=20, passing_s=1.0)
    assert [number for number, _ in done.runs] == list(range(20))


def test_shortened_replications_are_those_of_all_processes():
    """A whole one takes 100 s of the 60: the first part tells, and others that have begun start anew."""
    workforce = Workforce(begins=False)
    done = shared(workforce, wanted=20, passing_s=100.0, within_s=60.0)
    assert {share for _, share in done.runs} == {done.share}
    assert 0.1 < done.share < 0.3
    assert set(workforce.shares) <= {1.0, done.share}


def test_work_goes_on_after_what_is_done_with_the_same_share():
    start = shared(None, wanted=8, passing_s=100.0, within_s=60.0)
    begun = replace(start, runs=start.runs + tuple((n, start.share) for n in range(len(start.runs), 8)))
    rest = shared(None, wanted=12, passing_s=0.0, after=begun)
    assert [number for number, _ in rest.runs] == list(range(12))
    assert {share for _, share in rest.runs} == {start.share}


def test_time_that_is_over_ends_the_wait_for_others():
    class Slow(Workforce):
        def submit(self, share, numbers):
            future = super().submit(share, numbers)
            future.set_running_or_notify_cancel()
            return future

    clock = count()
    workforce = Slow(begins=False)

    def one(share, number):
        for _ in range(3):
            next(clock)
        return number

    done = run_limited_shares(
        make_chain(), one, wanted=9, limits=Limits(now_s=lambda: next(clock) * 1.0, within_s=60.0, may_shorten=False),
        progress=no_progress, workforce=workforce,
    )  # fmt: skip
    missing = {number for numbers in workforce.asked for number in numbers}
    assert set(done.runs) == set(range(9)) - missing
    assert "60 s are over" in done.gaps[0]
    assert workforce.given_up == 1


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
    assert short.duration_s == 100.0  # it ends with its last message, long before


def test_shortened_scenario_has_a_share_of_the_messages_that_fall_due():
    short = shorten(make_chain(messages=10_000, duration_s=40.0), 0.1)
    assert [flow.count for flow in short.flows] == [4]


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
