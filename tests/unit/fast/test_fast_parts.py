"""Draws, traffic and the compiled entry points of the fast model."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.fast.fast_builders import background, flow, line

from meshtwin.fast import estimate
from meshtwin.fast.draws import spread_unit, unit
from meshtwin.fast.heap import pop, push
from meshtwin.fast.runner import run_background, run_states
from meshtwin.fast.tables import dbm_from_delivery, delivery_from_dbm
from meshtwin.fast.traffic import find_streams, find_together, make_messages, overlapping
from meshtwin.radio.reception import compute_packet_error_ratio, compute_rx_power_dbm, compute_snr_db
from meshtwin.sim.draws import draw


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32))
def test_draws_are_the_simulators(key: int, part: int) -> None:
    assert unit(np.uint64(key), part) == draw(key, part)


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 2**64 - 1), st.integers(1, 9))
def test_states_take_every_equal_part_once(key: int, bits: int) -> None:
    count = 2**bits

    values = [spread_unit(np.uint64(key), state, bits) for state in range(count)]

    assert sorted(int(v * count) for v in values) == list(range(count))


@given(st.lists(st.integers(-(2**62), 2**62), max_size=40), st.integers(-(2**62), 2**62))
def test_heap_gives_keys_in_order_whatever_lies_beyond_its_size(keys: list[int], beyond: int) -> None:
    heap, size = np.full(len(keys) + 1, beyond, np.int64), 0
    for key in keys:
        size = push.py_func(heap, size, key)  # type: ignore[attr-defined]  # of a compiled function

    given_back = []
    while size:
        top, size = pop.py_func(heap, size)  # type: ignore[attr-defined]  # likewise
        given_back.append(int(top))

    assert given_back == sorted(keys)


def test_background_meets_its_rate_and_its_sources_send_equally_often() -> None:
    scenario = line(4, background=(background(20.0, 1, 2, 3, 4),))
    index = {n.address: place for place, n in enumerate(scenario.nodes)}

    table = make_messages(scenario, find_streams(scenario)[:1], index, 7, 6.0)

    assert len(table.start_ns) == 120
    assert set(Counter(table.source.tolist()).values()) == {30}
    assert list(table.start_ns) == sorted(table.start_ns)


@given(st.integers(20, 60), st.floats(0.5, 30.0))
@settings(deadline=None, max_examples=30)
def test_background_meets_its_rate_nearly_exactly_whatever_it_is(nodes: int, rate_per_s: float) -> None:
    scenario = line(nodes, background=(background(rate_per_s, *range(1, nodes + 1)),))
    index = {n.address: place for place, n in enumerate(scenario.nodes)}

    table = make_messages(scenario, find_streams(scenario)[:1], index, 7, 6.0)

    assert abs(len(table.start_ns) - rate_per_s * 6.0) <= 3.0  # the discrepancy of some 60 multiples of one number


def test_a_node_that_is_off_changes_nothing_that_others_send() -> None:
    scenario = line(4, background=(background(20.0, 1, 2, 3, 4),))
    index = {n.address: place for place, n in enumerate(scenario.nodes)}
    off = scenario.without_node(3)

    sent, sent_without = (
        list(zip(*(c.tolist() for c in make_messages(s, find_streams(s)[:1], index, 7, 6.0)), strict=True))
        for s in (scenario, off)
    )

    assert sent_without == [row for row in sent if row[1] != index[3]]


def test_messages_for_one_of_several_nodes_are_for_each_equally_often() -> None:
    others = replace(background(20.0, 1, 2), destinations=(2, 3, 4))
    scenario = line(4, background=(others,))
    index = {n.address: place for place, n in enumerate(scenario.nodes)}

    table = make_messages(scenario, find_streams(scenario)[:1], index, 7, 6.0)

    found = Counter(table.lone.tolist())
    assert set(found) == {index[2], index[3], index[4]}
    assert max(found.values()) - min(found.values()) <= 4


def test_a_message_to_one_member_and_its_answer_are_each_for_one_node() -> None:
    asked = line(4, flow(1, 4, response_pdu_bytes=20), background=(background(1.0, 2),))

    streams = {stream.name: stream.destinations for stream in find_streams(asked)}

    assert streams == {"background/others": (), "flow/flow": (4,), "answer/flow": (1,)}


@pytest.mark.parametrize(("period_s", "expected"), [(2.5, False), (0.4, True)])
def test_flows_overlap_when_their_messages_may_come_close(period_s: float, expected: bool) -> None:
    assert overlapping(line(2, flow(1, 2, period_s=period_s))) is expected


def test_flows_that_begin_together_are_found() -> None:
    together = line(2, flow(1, 2, name="a", spread_s=0.0), flow(2, 1, name="b", spread_s=0.0))
    apart = line(2, flow(1, 2, name="a", spread_s=0.0), flow(2, 1, name="b", spread_s=0.0, start_s=1.6))

    assert find_together(together) == ("a", "b")
    assert find_together(apart) is None


@pytest.mark.parametrize("dbm", [-104.0, -98.7, -97.0, -90.0, -70.0])
def test_delivery_from_power_is_the_reception_models(dbm: float) -> None:
    exact = 1.0 - compute_packet_error_ratio(compute_snr_db(dbm), 20)

    assert delivery_from_dbm(np.asarray([dbm]))[0] == pytest.approx(exact, abs=1e-4)


@pytest.mark.parametrize("delivery", [0.02, 0.4, 0.95, 1.0])
def test_power_from_delivery_is_the_reception_models(delivery: float) -> None:
    found = dbm_from_delivery(np.asarray([delivery]))[0]

    if delivery < 1.0:
        assert found == pytest.approx(compute_rx_power_dbm(delivery), abs=0.02)
    else:
        assert found <= -90.0  # stronger than that is not known


def test_kernel_is_compiled_for_one_signature_whatever_the_scenario() -> None:
    estimate(line(2), states=8)
    estimate(line(3, flow(1, 2, 3), profile="mathworks", background=(background(1.0, 1),)), states=16, seed=5)
    estimate(line(2, flow(2, 1, response_pdu_bytes=12), profile="bluez", capture=False), states=8)

    assert len(run_states.signatures) == 1  # type: ignore[attr-defined]  # of numba
    assert len(run_background.signatures) == 1  # type: ignore[attr-defined]  # of numba


def test_importing_the_model_loads_no_numba() -> None:
    code = "import sys, meshtwin.fast; sys.exit('numba' in sys.modules or 'scipy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
