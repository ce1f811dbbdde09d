"""What finished replications keep, and how many there is room for."""

import gc
import tracemalloc
from dataclasses import replace

import pytest

import meshtwin
from meshtwin import sides
from meshtwin.errors import InvalidInput
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.engine import simulate
from meshtwin.sim.keeping import RUNS_MAX_BYTES, check_room, count_room, estimate_kept_bytes
from meshtwin.sim.message_table import MessageTable
from meshtwin.sim.result_file import describe_result
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode

ONCE = Transmit(count=0, interval_steps=1)


def make_star(members=20, messages=50, **more):
    """Node 1 and all that hear it; more than half of the messages arrive."""
    nodes = tuple(
        ScenarioNode(address=a, relay=False, ttl=3, network_transmit=ONCE, relay_retransmit=ONCE)
        for a in range(1, members + 2)
    )
    others = tuple(range(2, members + 2))
    return Scenario(
        name="star",
        nodes=nodes,
        links=tuple(ScenarioLink(source=1, target=a, delivery=0.7) for a in others),
        flows=(ScenarioFlow(name="f", source=1, members=others, count=messages, period_s=1.0),),
        **more,
    )


def test_kept_bytes_are_not_below_what_telling_replications_takes():
    scenario = make_star(members=50, messages=200)
    peaks = [find_peak(scenario, replications) for replications in (2, 10, 30)]  # the first one loads what is needed
    each = (peaks[2] - peaks[1]) / 20
    assert estimate_kept_bytes(scenario) / 4 < each < estimate_kept_bytes(scenario)


def find_peak(scenario, replications):
    """Bytes, from the first replication to their document."""
    gc.collect()
    tracemalloc.start()
    try:
        kept = [simulate(scenario, seed=1, replication=number).packed() for number in range(replications)]
        gc.collect()
        tracemalloc.reset_peak()
        describe_result(scenario, kept, seed=1, engine="auto")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_messages_that_the_duration_cuts_off_are_not_kept():
    scenario = make_star(messages=50)
    assert estimate_kept_bytes(replace(scenario, duration_s=25.0)) == estimate_kept_bytes(make_star(messages=25))


def test_more_replications_than_there_is_room_for_are_refused_before_any_runs():
    scenario = make_star(members=200, messages=100_000)
    most = count_room([scenario])
    assert 1 < most < 10
    check_room([scenario], most)
    with pytest.raises(InvalidInput, match=rf"more than 2048 MiB; ask for {most} at most, or send") as caught:
        meshtwin.simulate(scenario, replications=most + 1)
    assert (caught.value.reason, caught.value.place) == ("TooLarge", "replications")


def test_two_sides_have_room_for_half_as_many():
    scenario = make_star(members=200, messages=10_000)
    assert count_room([scenario, scenario]) == count_room([scenario]) // 2
    with pytest.raises(InvalidInput, match="replications of star keep about"):
        meshtwin.compare(scenario, scenario, replications=count_room([scenario]))


def test_one_replication_is_what_the_limit_of_scenarios_decides_about():
    scenario = make_star(members=200, messages=1_000_000)
    assert estimate_kept_bytes(scenario) > RUNS_MAX_BYTES
    check_room([scenario], 1)


def test_precision_is_not_allowed_more_replications_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(sides, "count_room", lambda scenarios: 10)
    result = meshtwin.simulate(make_star(messages=5), precision=0.002, precision_of="delivery")
    assert len(result.runs) == 10
    assert result.gaps[-1].endswith("of which 10 are allowed: there is no room for more in memory; send fewer messages")


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_replications_are_kept_as_arrays(engine):
    result = meshtwin.simulate(make_star(), replications=2, engine=engine)
    assert all(isinstance(run.messages, MessageTable) for run in result.runs)
    assert result.runs[1] == simulate(result.scenario, seed=1, replication=1, engine=engine)
