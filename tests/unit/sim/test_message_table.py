"""Messages in columns are the messages: whatever they are, both ways tell the same."""

import pickle
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.engine import simulate
from meshtwin.sim.message_table import Arrival, MessageResult, MessageTable, flow_columns
from meshtwin.sim.results import answered_share
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode

ONCE = Transmit(count=0, interval_steps=1)
TIMES_NS = st.integers(0, 2**50)
ARRIVALS = st.builds(
    Arrival,
    st.integers(1, 0x7FFF).map(UnicastAddress), TIMES_NS, st.integers(1, 127), st.none() | TIMES_NS,
)  # fmt: skip


@st.composite
def messages(draw):
    arrivals = draw(st.lists(ARRIVALS, max_size=4, unique_by=lambda a: a.member))
    return MessageResult(
        flow=draw(st.sampled_from(["press", "back"])),
        number=draw(st.integers(0, 2**40)),
        started_ns=draw(TIMES_NS),
        member_count=len(arrivals) + draw(st.integers(0, 2)),
        arrivals=tuple(sorted(arrivals, key=lambda a: (a.latency_ns, a.member))),
        transmissions=draw(st.integers(0, 10**6)),
    )


MANY = st.lists(messages(), max_size=6).map(tuple)


@given(MANY)
def test_table_is_the_messages_that_it_is_made_of(many):
    table = MessageTable.of(many)
    assert table == many
    assert many == table
    assert (len(table), tuple(table), table[1:]) == (len(many), many, many[1:])
    assert hash(table) == hash(many)
    assert MessageTable.of(table) is table


@given(MANY)
def test_table_comes_out_of_another_process_as_it_went_in(many):
    assert pickle.loads(pickle.dumps(MessageTable.of(many))) == many


@given(MANY, st.sampled_from(["press", "back", "unknown"]), st.sampled_from([0, 1, 10**9]))
def test_columns_tell_what_the_messages_of_a_flow_tell(many, flow, deadline_ms):
    columns, mine = flow_columns(many, flow), [m for m in many if m.flow == flow]
    assert columns.number.tolist() == [m.number for m in mine]
    assert columns.reached_all.tolist() == [m.reached_all for m in mine]
    assert columns.is_on_time(deadline_ms).tolist() == [m.is_on_time(deadline_ms) for m in mine]
    assert columns.spread_ns.tolist() == [m.spread_ns for m in mine if m.spread_ns is not None]
    assert columns.latency_ns.tolist() == [a.latency_ns for m in mine for a in m.arrivals]
    assert columns.message.tolist() == [place for place, m in enumerate(mine) for _ in m.arrivals]
    assert columns.trips_ns.tolist() == [t for m in mine for a in m.arrivals if (t := a.round_trip_ns) is not None]
    assert columns.answered_share == pytest.approx(answered_share(mine))


@given(MANY, MANY)
def test_arrivals_are_the_same_only_if_all_of_them_are(some, others):
    one, other = flow_columns(some, "press"), flow_columns(others, "press")
    left, right = ([m.arrivals for m in many if m.flow == "press"] for many in (some, others))
    assert one.has_arrivals_of(other) == (left == right)
    assert one.has_arrivals_of(one)


def test_both_engines_give_equal_messages_in_any_form():
    nodes = tuple(
        ScenarioNode(address=UnicastAddress(a), relay=a == 2, ttl=3, network_transmit=ONCE, relay_retransmit=ONCE)
        for a in (1, 2, 3)
    )
    links = tuple(ScenarioLink(source=a, target=b, delivery=0.8) for a, b in ((1, 2), (2, 3), (2, 1), (3, 2)))
    flows = (ScenarioFlow(name="press", source=1, members=(2, 3), count=30, period_s=1.0),)
    scenario = Scenario(name="three", nodes=nodes, links=links, flows=flows)
    reference, compiled = (simulate(scenario, seed=3, engine=engine) for engine in ("reference", "compiled"))
    assert isinstance(compiled.messages, MessageTable)
    assert reference.messages == compiled.messages
    latencies = [a.latency_ns for m in reference.messages for a in m.arrivals]
    assert np.mean(flow_columns(compiled.messages, "press").latency_ns) == pytest.approx(fmean(latencies))
