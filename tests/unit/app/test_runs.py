"""Runs of pipelines: bounded, idempotent, followed, kept over a restart."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from tests.unit.twins.test_snapshot_and_overlay import north

from meshtwin.app.runs import RUNS_AT_ONCE, RUNS_KEPT, RunRegistry
from meshtwin.errors import Unavailable
from meshtwin.recipes.messages import PipelineRequest, RunStatus
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


async def test_same_id_is_the_same_run(tmp_path: Path) -> None:
    source = Source()
    registry = RunRegistry(tmp_path, source.snapshot)

    await registry.start_pipeline(request())
    await asyncio.sleep(0)
    again = await registry.start_pipeline(request())
    await asyncio.sleep(0)

    assert again.run_id == "r1"
    assert source.taken == 1
    registry.close()


async def test_no_more_runs_than_allowed_at_once(tmp_path: Path) -> None:
    registry = RunRegistry(tmp_path, Source().snapshot)
    for number in range(RUNS_AT_ONCE):
        await registry.start_pipeline(request(f"r{number}"))

    with pytest.raises(Unavailable) as caught:
        await registry.start_pipeline(request("one-too-many"))

    assert caught.value.reason == "TooManyRuns"
    registry.close()


async def test_cancelled_run_is_failed_and_makes_room(tmp_path: Path) -> None:
    registry = RunRegistry(tmp_path, Source().snapshot)
    for number in range(RUNS_AT_ONCE):
        await registry.start_pipeline(request(f"r{number}"))

    status = await registry.cancel("r0")

    assert status is not None
    assert status.error is not None
    assert status.error.reason == "Cancelled"
    assert (await registry.start_pipeline(request("another"))).state == "Running"
    registry.close()


async def test_run_that_was_under_way_is_interrupted_after_a_restart(tmp_path: Path) -> None:
    killed = RunRegistry(tmp_path, Source().snapshot)
    await killed.start_pipeline(request())

    status = RunRegistry(tmp_path, Source().snapshot).get("r1")  # without closing the first one

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

    registry = RunRegistry(tmp_path, Source().snapshot)

    assert registry.get("broken") is None
