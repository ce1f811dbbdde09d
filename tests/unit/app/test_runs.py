"""Runs of pipelines: bounded, idempotent, followed, kept over a restart."""

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.twins.test_snapshot_and_overlay import north

from meshtwin.app.runs import RUNS_AT_ONCE, RUNS_KEPT, RunRegistry
from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.mesh.kpis import Interval, NetworkKpis, Prediction
from meshtwin.ports import Progress, Provisional
from meshtwin.recipes.messages import PipelineRequest, RunStatus, WhatIfRequest
from meshtwin.twins.partial import PartialSnapshot


def request(run_id: str = "r1", segment: str = "nowhere") -> PipelineRequest:
    recipes: list[Any] = [{"name": "x", "uses": "path-redundancy"}]
    return PipelineRequest.model_validate(
        {"runId": run_id, "pipeline": "lighting", "segment": segment, "recipes": recipes, "seed": 1}
    )


class Source:
    """Snapshots that wait until they are let go."""

    def __init__(self) -> None:
        self.taken = 0
        self.gate = asyncio.Event()

    async def snapshot(self) -> PartialSnapshot:
        self.taken += 1
        await self.gate.wait()
        return north()


async def ended(registry: RunRegistry, run_id: str) -> RunStatus:
    while True:
        status = registry.get(run_id)
        assert status is not None
        if status.state != "Running":
            return status
        await asyncio.sleep(0.01)


async def test_fault_of_the_request_fails_the_run_with_its_reason(tmp_path: Path) -> None:
    source = Source()
    source.gate.set()
    registry = RunRegistry(tmp_path, source.snapshot)

    await registry.start_pipeline(request(segment="nowhere"))
    status = await ended(registry, "r1")

    assert status.state == "Failed"
    assert status.error is not None
    assert status.error.reason == "UnknownSegment"


async def test_unknown_recipe_or_parameter_is_refused_before_anything_starts(tmp_path: Path) -> None:
    source = Source()
    registry = RunRegistry(tmp_path, source.snapshot)
    asked = request().model_dump(by_alias=True)
    asked["recipes"][0]["parameters"] = {"path": 3}

    with pytest.raises(InvalidInput, match=r"has no parameter 'path'; it knows: aroundBest, paths \(recipes\[0\]"):
        await registry.start_pipeline(PipelineRequest.model_validate(asked))

    assert registry.get("r1") is None
    assert source.taken == 0


async def test_question_too_large_is_refused_before_anything_starts(tmp_path: Path) -> None:
    source = Source()
    source.gate.set()
    registry = RunRegistry(tmp_path, source.snapshot)
    huge = {"runId": "r1", "segment": "north", "messagesPerFlow": 10_000, "replications": 1000}
    one, two = ("0001", "0002")
    flows = [
        {"name": f"f{i}", "source": one, "destination": two, "ratePerMinute": 60_000, "deadlineMilliseconds": 100}
        for i in range(64)
    ]

    with pytest.raises(InvalidInput) as caught:
        await registry.start_what_if(WhatIfRequest.model_validate({**huge, "traffic": flows}))

    registry.close()
    assert caught.value.reason == "TooLarge"
    assert registry.get("r1") is None
    assert os.listdir(tmp_path) == []


async def test_slow_snapshot_does_not_hold_up_who_asks(tmp_path: Path) -> None:
    source = Source()
    registry = RunRegistry(tmp_path, source.snapshot, door_s=0.01)

    assert (await registry.start_pipeline(request())).state == "Running"

    source.gate.set()
    assert (await ended(registry, "r1")).state == "Failed"  # no such segment
    assert source.taken == 1


async def test_fast_answer_is_shown_while_the_simulation_goes_on_and_kept_beside_the_result(tmp_path: Path) -> None:
    source, seen, go_on = Source(), asyncio.Event(), threading.Event()
    source.gate.set()
    registry = RunRegistry(tmp_path, source.snapshot)
    loop = asyncio.get_running_loop()

    def work(partial: PartialSnapshot, seed: int, progress: Progress, provisional: Provisional) -> RunStatus:
        provisional(expected(seed), "with two relays")
        loop.call_soon_threadsafe(seen.set)
        go_on.wait()
        return RunStatus(run_id="r1", state="Done", progress_per_mille=1000)

    registry._start("r1", 7, work)
    await seen.wait()
    running = registry.get("r1")
    go_on.set()
    done = await ended(registry, "r1")

    assert running is not None
    assert running.provisional is not None
    assert (running.state, running.provisional.message) == ("Running", "with two relays")
    assert (running.provisional.prediction.provisional, running.provisional.prediction.seed) == (True, 7)
    assert (done.state, done.provisional) == ("Done", running.provisional)


async def test_who_waits_is_told_with_the_first_answer_or_at_the_end(tmp_path: Path) -> None:
    source, go_on = Source(), threading.Event()
    source.gate.set()
    registry = RunRegistry(tmp_path, source.snapshot)

    def work(partial: PartialSnapshot, seed: int, progress: Progress, provisional: Provisional) -> RunStatus:
        provisional(expected(seed), "with two relays")
        go_on.wait()
        return RunStatus(run_id="r1", state="Done", progress_per_mille=1000)

    registry._start("r1", 7, work)
    first = await registry.wait("r1", 60.0, until_over=False)
    still = await registry.wait("r1", 0.0, until_over=True)
    go_on.set()
    last = await registry.wait("r1", 60.0, until_over=True)

    assert first is not None and still is not None and last is not None  # noqa: PT018
    assert (first.state, first.provisional is None) == ("Running", False)
    assert (still.state, last.state) == ("Running", "Done")
    assert await registry.wait("unknown", 60.0, until_over=True) is None


async def test_who_waits_for_a_run_that_fails_or_is_ended_is_told_then(tmp_path: Path) -> None:
    registry = RunRegistry(tmp_path, Source().snapshot, door_s=0.01)
    await registry.start_pipeline(request())
    waiting = asyncio.create_task(registry.wait("r1", 60.0, until_over=False))
    await asyncio.sleep(0)
    await registry.cancel("r1")
    told = await waiting

    assert told is not None
    assert told.state == "Failed"
    again = RunRegistry(tmp_path, Source().snapshot)
    assert await again.wait("r1", 60.0, until_over=True) == told


def expected(seed: int) -> Prediction:
    nothing = NetworkKpis(flows=(), airtime_ratio=Interval(estimate=0.0, low=0.0, high=0.0))
    return Prediction(
        before=nothing,
        after=nothing,
        model="fast",
        profile="zephyr",
        seed=seed,
        replications=1,
        snapshot_fingerprint="0" * 16,
        provisional=True,
    )


async def test_same_id_is_the_same_run(tmp_path: Path) -> None:
    source = Source()
    registry = RunRegistry(tmp_path, source.snapshot, door_s=0.01)

    await registry.start_pipeline(request())
    await asyncio.sleep(0)
    again = await registry.start_pipeline(request())
    await asyncio.sleep(0)

    assert again.run_id == "r1"
    assert source.taken == 1
    registry.close()


async def test_no_more_runs_than_allowed_at_once(tmp_path: Path) -> None:
    registry = RunRegistry(tmp_path, Source().snapshot, door_s=0.01)
    for number in range(RUNS_AT_ONCE):
        await registry.start_pipeline(request(f"r{number}"))

    with pytest.raises(Unavailable) as caught:
        await registry.start_pipeline(request("one-too-many"))

    assert caught.value.reason == "TooManyRuns"
    registry.close()


async def test_cancelled_run_is_failed_and_makes_room(tmp_path: Path) -> None:
    registry = RunRegistry(tmp_path, Source().snapshot, door_s=0.01)
    for number in range(RUNS_AT_ONCE):
        await registry.start_pipeline(request(f"r{number}"))

    status = await registry.cancel("r0")

    assert status is not None
    assert status.error is not None
    assert status.error.reason == "Cancelled"
    assert (await registry.start_pipeline(request("another"))).state == "Running"
    registry.close()


async def test_cancelled_run_keeps_its_place_while_its_thread_is_at_work(tmp_path: Path) -> None:
    source, go_on = Source(), threading.Event()
    source.gate.set()
    registry = RunRegistry(tmp_path, source.snapshot)
    at_work = asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()

    def work(partial: PartialSnapshot, seed: int, progress: Progress, provisional: Provisional) -> RunStatus:
        loop.call_soon_threadsafe(at_work.release)
        go_on.wait()
        return RunStatus(run_id="any", state="Done")

    for number in range(RUNS_AT_ONCE):
        registry._start(f"r{number}", 7, work)
        await at_work.acquire()
        await registry.cancel(f"r{number}")
    with pytest.raises(Unavailable, match="wait for one, or end it"):
        registry._start("one-too-many", 7, work)
    go_on.set()
    await asyncio.gather(*(run.task for run in registry._runs.values() if run.task is not None))

    assert registry._start("now-there-is-room", 7, work).state == "Running"
    registry.close()


async def test_run_that_takes_too_long_fails_with_the_limit(tmp_path: Path) -> None:
    source = Source()
    source.gate.set()
    registry = RunRegistry(tmp_path, source.snapshot, limit_s=0.0)

    def work(partial: PartialSnapshot, seed: int, progress: Progress, provisional: Provisional) -> RunStatus:
        while True:
            progress(0.5, "still going")

    registry._start("r1", 7, work)
    status = await ended(registry, "r1")

    assert status.error is not None
    assert (status.error.reason, status.state) == ("TimeLimit", "Failed")
    assert "not done within 0 s" in status.error.message


async def test_threads_of_runs_are_not_those_that_the_journal_needs(tmp_path: Path) -> None:
    source = Source()
    source.gate.set()
    registry = RunRegistry(tmp_path, source.snapshot)
    names: list[str] = []

    def work(partial: PartialSnapshot, seed: int, progress: Progress, provisional: Provisional) -> RunStatus:
        names.append(threading.current_thread().name)
        return RunStatus(run_id="r1", state="Done")

    registry._start("r1", 7, work)
    await ended(registry, "r1")

    assert names == ["run r1"]


async def test_first_and_last_answer_are_told_and_a_failure_is_not(tmp_path: Path) -> None:
    source, answers = Source(), []
    source.gate.set()
    registry = RunRegistry(tmp_path, source.snapshot, on_answer=lambda: answers.append(1))

    def fail(partial: PartialSnapshot, seed: int, progress: Progress, provisional: Provisional) -> RunStatus:
        raise Unavailable("no worker", place="workers")

    def work(partial: PartialSnapshot, seed: int, progress: Progress, provisional: Provisional) -> RunStatus:
        provisional(expected(seed), "with two relays")
        return RunStatus(run_id="r1", state="Done", progress_per_mille=1000)

    registry._start("failed", 7, fail)
    await ended(registry, "failed")
    assert answers == []
    registry._start("r1", 7, work)
    await ended(registry, "r1")
    assert len(answers) == 2


@pytest.mark.parametrize("run_id", ["a/b", "../x", "a b", "x\r\nX-Evil: 1", "a\0b", "é", "?q", ".", "-", ""])
def test_run_id_that_can_not_stand_in_an_address_is_refused(run_id: str) -> None:
    with pytest.raises(ValidationError):
        request(run_id)


async def test_run_that_was_under_way_is_interrupted_after_a_restart(tmp_path: Path) -> None:
    killed = RunRegistry(tmp_path, Source().snapshot, door_s=0.01)
    await killed.start_pipeline(request())

    status = RunRegistry(tmp_path, Source().snapshot, door_s=0.01).get("r1")  # without closing the first one

    assert status is not None
    assert status.error is not None
    assert (status.state, status.error.reason) == ("Failed", "Interrupted")
    killed.close()


async def test_finished_run_keeps_its_answer_over_a_restart(tmp_path: Path) -> None:
    source = Source()
    source.gate.set()
    registry = RunRegistry(tmp_path, source.snapshot)
    await registry.start_pipeline(request())
    before = await ended(registry, "r1")

    assert RunRegistry(tmp_path, source.snapshot).get("r1") == before


async def test_old_answers_are_forgotten(tmp_path: Path) -> None:
    source = Source()
    source.gate.set()
    registry = RunRegistry(tmp_path, source.snapshot)
    for number in range(RUNS_KEPT + 3):
        await registry.start_pipeline(request(f"r{number}"))
        await ended(registry, f"r{number}")
    await registry.start_pipeline(request("last"))
    await ended(registry, "last")

    assert registry.get("r0") is None
    assert registry.get(f"r{RUNS_KEPT + 2}") is not None
    assert len(os.listdir(tmp_path)) <= RUNS_KEPT + 1


def test_broken_file_of_a_run_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")

    registry = RunRegistry(tmp_path, Source().snapshot, door_s=0.01)

    assert registry.get("broken") is None
