"""Runs share the memory for answers: what does not fit together waits its turn."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from meshtwin.app.answer_room import AnswerRoom
from meshtwin.ports import Cancelled


def test_answers_that_fit_together_are_held_at_once():
    room = AnswerRoom(100)
    with room.taken(60, pytest.fail), room.taken(40, pytest.fail):
        pass


def test_answer_that_does_not_fit_waits_until_another_is_given_back():
    room, waits, order = AnswerRoom(100), threading.Event(), []

    def second() -> None:
        with room.taken(50, waits.set):
            order.append("second")

    with ThreadPoolExecutor(1) as pool:
        with room.taken(60, pytest.fail):
            future = pool.submit(second)
            assert waits.wait(10)
            order.append("first")
        future.result(10)
    assert order == ["first", "second"]


def test_small_answers_do_not_overtake_a_large_one_that_waits():
    room, large_waits, small_waits, order = AnswerRoom(100), threading.Event(), threading.Event(), []

    def take(size: int, waits: threading.Event) -> None:
        with room.taken(size, waits.set):
            order.append(size)

    with ThreadPoolExecutor(2) as pool:
        with room.taken(50, pytest.fail):
            large = pool.submit(take, 90, large_waits)
            assert large_waits.wait(10)
            small = pool.submit(take, 20, small_waits)
            assert small_waits.wait(10)
        large.result(10)
        small.result(10)
    assert order == [90, 20]


def test_run_that_is_ended_stops_waiting_and_holds_nothing():
    room = AnswerRoom(100)

    def ended() -> None:
        raise Cancelled("the run was ended")

    with room.taken(80, pytest.fail):
        with pytest.raises(Cancelled), room.taken(40, ended):
            pytest.fail("there is no room")
        with room.taken(20, pytest.fail):
            pass
    with room.taken(100, pytest.fail):
        pass


def test_answer_above_the_whole_room_gets_all_of_it():
    room = AnswerRoom(100)
    with room.taken(1000, pytest.fail), pytest.raises(Cancelled), room.taken(1, _end):
        pytest.fail("there is no room")


def _end() -> None:
    raise Cancelled("the run was ended")
