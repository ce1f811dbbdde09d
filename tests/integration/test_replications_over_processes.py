"""Replications in real processes: the same results as in one, and an interruption keeps the finished ones."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from meshtwin.mesh.configuration import Transmit
from meshtwin.ports import Cancelled
from meshtwin.sim.replications import replicate
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode

ONCE = Transmit(count=0, interval_steps=1)
SCENARIO = Scenario(
    name="three",
    nodes=tuple(
        ScenarioNode(address=a, relay=True, ttl=3, network_transmit=ONCE, relay_retransmit=ONCE) for a in (1, 2, 3)
    ),
    links=tuple(ScenarioLink(source=a, target=a + 1, delivery=0.7) for a in (1, 2)),
    flows=(ScenarioFlow(name="f", source=1, members=(2, 3), count=8, period_s=1.0),),
)


@pytest.fixture(scope="module")
def executor():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


def test_two_processes_give_what_one_gives(executor):
    alone = replicate(SCENARIO, seed=5, replications=6, engine="reference")
    assert replicate(SCENARIO, seed=5, replications=6, engine="reference", executor=executor, workers=2) == alone


def test_interruption_keeps_what_the_processes_finished(executor):
    def progress(share, stage):
        if share >= 0.25:
            raise Cancelled("no longer wanted")

    kept = replicate(
        SCENARIO, seed=5, replications=16, engine="reference", executor=executor, workers=2, progress=progress
    )
    assert 4 <= len(kept.results) < 16
    assert f"{len(kept.results)} of 16" in kept.gap
