"""What happens at the same nanosecond happens in one order."""

from hypothesis import given
from hypothesis import strategies as st

from meshtwin.sim.ordering import Rank
from meshtwin.sim.timeline import Timeline

asked = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(Rank), st.integers(0, 2)), max_size=20)


@given(asked)
def test_moments_come_by_time_then_rank_then_place_then_order_of_asking(wanted):
    timeline, told = Timeline(), []
    for number, (time_ns, rank, place) in enumerate(wanted):
        timeline.at(time_ns, rank, place, lambda _, told_of=(time_ns, rank, place, number): told.append(told_of))
    timeline.run()
    assert told == sorted(told)
    assert len(told) == len(wanted)


def test_process_goes_on_when_its_moment_comes():
    timeline, told = Timeline(), []

    def wait_twice():
        for time_ns in (3, 7):
            yield timeline.at(time_ns, Rank.BEGIN, 0)
            told.append(timeline.now_ns())

    timeline.process(wait_twice())
    timeline.run()
    assert told == [3, 7]
