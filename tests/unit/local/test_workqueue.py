"""The queue of keys that both drivers use."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from meshtwin_operator.workqueue import RETRY_MAX_S, WorkQueue


def make_queue() -> WorkQueue[str]:
    return WorkQueue(jitter=lambda: 0.0)


async def test_key_added_twice_is_handed_out_once() -> None:
    queue = make_queue()
    queue.add("a")
    queue.add("a")
    assert await queue.get() == "a"
    assert queue.depth == 0


async def test_keys_come_in_the_order_in_which_they_were_added() -> None:
    queue = make_queue()
    for key in "cab":
        queue.add(key)
    assert [await queue.get() for _ in range(3)] == ["c", "a", "b"]


async def test_key_added_while_worked_on_comes_again_after_done() -> None:
    queue = make_queue()
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    assert queue.depth == 1
    queue.done(key)
    assert await queue.get() == "a"


async def test_key_worked_on_is_never_handed_out_a_second_time() -> None:
    queue = make_queue()
    queue.add("a")
    await queue.get()
    queue.add("a")
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.done("a")
    assert await waiting == "a"


async def test_waiting_worker_is_woken_by_a_delayed_key() -> None:
    queue = make_queue()
    queue.add_after("a", 0.01)
    assert queue.delayed == 1
    assert await queue.get() == "a"
    assert queue.delayed == 0


async def test_adding_now_cancels_the_delay() -> None:
    queue = make_queue()
    queue.add_after("a", 3600)
    queue.add("a")
    assert await queue.get() == "a"
    assert queue.delayed == 0


async def test_earlier_of_two_delays_holds() -> None:
    queue = make_queue()
    queue.add_after("a", 3600)
    queue.add_after("a", 0.01)
    queue.add_after("a", 3600)
    assert await queue.get() == "a"


async def test_backoff_doubles_up_to_a_minute_and_is_forgotten() -> None:
    queue = make_queue()
    delays = [queue.retry("a") for _ in range(14)]
    assert delays[:4] == [0.05, 0.1, 0.2, 0.4]
    assert delays[-1] == RETRY_MAX_S
    queue.forget("a")
    assert queue.retry("a") == 0.05
    queue.close()


async def test_jitter_only_shortens_the_delay() -> None:
    queue: WorkQueue[str] = WorkQueue(jitter=lambda: 0.999)
    assert 0.0375 < queue.retry("a") < 0.05
    queue.close()


@given(st.lists(st.tuples(st.sampled_from(["add", "work"]), st.sampled_from("abc")), max_size=40))
def test_no_key_that_was_added_is_ever_lost(steps: list[tuple[str, str]]) -> None:
    async def play() -> None:
        queue = make_queue()
        owed: set[str] = set()
        for step, key in steps:
            if step == "add":
                queue.add(key)
                owed.add(key)
            elif queue.depth:
                taken = await queue.get()
                owed.discard(taken)
                queue.done(taken)
        while not queue.is_idle():
            taken = await queue.get()
            owed.discard(taken)
            queue.done(taken)
        assert not owed

    asyncio.run(play())
