"""Questions that do not fit the memory are refused before anything is simulated."""

from dataclasses import replace

import pytest
from tests.unit.twins.test_snapshot_and_overlay import north

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.nodes import Flow
from meshtwin.ports import JudgePlan
from meshtwin.whatif.judging import InProcessJudge
from meshtwin.whatif.sizes import check_size


def snapshot():
    base = north().snapshot
    one, two = (node.address for node in base.nodes[:2])
    flow = Flow(name="f", source=one, destination=UnicastAddress(two), rate_per_minute=6.0, deadline_ms=200)
    return replace(base, flows=(flow,))


def plan(replications=8, messages=40):
    return JudgePlan(seed=1, replications=replications, messages_per_flow=messages)


def test_usual_question_fits():
    check_size(snapshot(), 64, plan())


def test_too_many_messages_in_one_replication_are_refused_with_value_and_limit():
    with pytest.raises(InvalidInput, match=r"1000000 messages .* take about .* MiB .* more than 192 MiB") as caught:
        check_size(snapshot(), 1, plan(messages=1_000_000))
    assert (caught.value.reason, caught.value.place) == ("TooLarge", "messagesPerFlow")


def test_too_many_replications_are_refused_with_what_to_do():
    with pytest.raises(InvalidInput, match=r"100000 replications .* ask for fewer") as caught:
        check_size(snapshot(), 1, plan(replications=100_000, messages=1000))
    assert (caught.value.reason, caught.value.place) == ("TooLarge", "replications")


def test_judge_refuses_before_it_simulates():
    told = []
    with pytest.raises(InvalidInput, match="more than 192 MiB"):
        InProcessJudge().judge(
            snapshot(),
            (snapshot().configuration,),
            plan(messages=1_000_000),
            lambda share, stage: told.append(share),
        )
    assert told == []


def test_flows_that_send_without_pause_are_refused_with_what_to_do():
    base = snapshot()
    busy = tuple(replace(base.flows[0], name=f"f{i}", rate_per_minute=60_000.0) for i in range(64))
    with pytest.raises(InvalidInput, match=r"others meanwhile, take about .* lower the flows' rates"):
        check_size(replace(base, flows=busy), 1, plan(messages=1))
