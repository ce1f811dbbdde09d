"""What a twin says of itself while its models are being loaded."""

import asyncio

from meshtwin.app.warming import NOT_COMPILED, Warming
from meshtwin.northbound.views import Health

WELL = Health(True, "children missing: a")


async def settled(warming: Warming) -> None:
    assert warming._task is not None
    await warming._task


async def test_twin_is_not_ready_before_its_models_are_loaded() -> None:
    warming, gate = Warming(), asyncio.Event()

    async def load() -> bool:
        await gate.wait()
        return True

    warming.start(load())
    assert warming.add_to(WELL) == Health(False, "children missing: a; models are being loaded")
    gate.set()
    await settled(warming)
    assert warming.add_to(WELL) == WELL


async def test_twin_is_ready_after_the_limit_though_its_models_are_not() -> None:
    warming, gate = Warming(limit_s=-1.0), asyncio.Event()

    async def load() -> bool:
        await gate.wait()
        return True

    warming.start(load())
    assert warming.add_to(Health(True)) == Health(True, "models are being loaded")
    assert not warming.add_to(Health(False, "disk full")).is_good
    gate.set()
    await settled(warming)


async def test_twin_whose_worker_cannot_start_is_ready_and_says_so() -> None:
    async def load() -> bool:
        raise OSError("no more processes")

    warming = Warming()
    warming.start(load())
    await settled(warming)
    assert warming.add_to(Health(True)) == Health(True, "models not loaded ahead: OSError")


async def test_models_that_are_not_compiled_are_left_to_the_first_question() -> None:
    async def load() -> bool:
        return False

    warming = Warming()
    warming.start(load())
    await settled(warming)
    assert warming.add_to(Health(True)) == Health(True, NOT_COMPILED)


def test_twin_that_loads_nothing_ahead_says_nothing() -> None:
    assert Warming().add_to(WELL) == WELL


async def test_fault_of_loading_ahead_is_not_told_any_more_once_a_question_was_answered() -> None:
    async def load() -> bool:
        return False

    warming = Warming()
    warming.start(load())
    await settled(warming)
    assert warming.add_to(Health(True)).detail == NOT_COMPILED
    warming.answered()
    assert warming.add_to(WELL) == WELL


async def test_question_that_is_answered_before_loading_ended_leaves_nothing_to_tell() -> None:
    gate = asyncio.Event()

    async def load() -> bool:
        await gate.wait()
        raise OSError("no more processes")

    warming = Warming()
    warming.start(load())
    warming.answered()
    gate.set()
    await settled(warming)
    assert warming.add_to(WELL) == WELL
