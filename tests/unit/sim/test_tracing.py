"""Traces: what befell each message, and why it was lost."""

import json
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

import meshtwin
from meshtwin.errors import InvalidInput
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.profiles import get_profile
from meshtwin.sim.scenario import Scenario, ScenarioBackground, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.tracing import TraceDocument

SAMPLES = Path(__file__).parents[3] / "manifests/samples/scenarios"
THRICE = Transmit(count=2, interval_steps=1)
PAIR = """
name: pair
reception: packetErrorRatio
nodes: [{address: "0001"}, {address: "0002"}]
links: [{source: "0001", target: "0002", delivery: 0.6}]
flows: [{name: press, source: "0001", destination: "0002", count: 1, periodSeconds: 1}]
"""
ALWAYS = replace(get_profile("zephyr"), scan_interval_ns=10**15, scan_window_ns=10**15)


def make_pair(delivery, **changes):
    """0001 sends 0002 a message thrice, on a channel that both listen to for ever."""
    scenario = Scenario(
        name="pair",
        nodes=tuple(
            ScenarioNode(address=a, relay=False, ttl=3, network_transmit=THRICE, relay_retransmit=THRICE)
            for a in (1, 2)
        ),
        links=(ScenarioLink(source=1, target=2, delivery=delivery),),
        flows=(ScenarioFlow(name="press", source=1, members=(2,), count=2, period_s=1.0),),
        profile=ALWAYS,
    )
    return replace(scenario, **changes)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_each_copy_until_one_is_heard_is_told_with_flow_number_sender_and_fate(engine):
    flow = replace(make_pair(0.5).flows[0], count=40)
    rows = list(meshtwin.trace(make_pair(0.5, flows=(flow,)), engine=engine).rows())
    assert [r["copy"] for r in rows if r["kind"] == "transmitted"] == [0, 1, 2] * 40
    heard = {r["number"]: r["copy"] for r in rows if r["kind"] == "received"}
    assert set(heard.values()) == {0, 1, 2}
    assert 0 < 40 - len(heard) < 15  # 0.5 cubed of them are lost
    lost = [(r["number"], r["copy"]) for r in rows if r["kind"] == "lost"]
    assert lost == [(n, copy) for n in range(40) for copy in range(heard.get(n, 3))]
    assert {(r["flow"], r["node"], r["sender"]) for r in rows if r["sender"]} == {("press", "0002", "0001")}
    assert {r["cause"] for r in rows if r["kind"] == "lost"} == {"belowSensitivity"}


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_a_message_and_its_answer_are_told_apart(engine):
    flow = replace(make_pair(1.0).flows[0], response_pdu_bytes=21, count=1)
    both = (ScenarioLink(source=1, target=2, delivery=1.0), ScenarioLink(source=2, target=1, delivery=1.0))
    rows = list(meshtwin.trace(make_pair(1.0, flows=(flow,), links=both), engine=engine).rows())
    assert [(r["node"], r["part"]) for r in rows if r["kind"] == "originated"] == [
        ("0001", "message"),
        ("0002", "answer"),
    ]
    assert [(r["node"], r["part"], r["hops"]) for r in rows if r["kind"] == "received"] == [
        ("0002", "message", 1),
        ("0001", "answer", 1),
    ]


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_background_has_its_own_name(engine):
    background = (
        ScenarioBackground(name="first", sources=(1,), rate_per_s=2.0),
        ScenarioBackground(name="second", sources=(2,), rate_per_s=2.0),
    )
    rows = meshtwin.trace(make_pair(1.0, background=background), engine=engine).rows()
    sources = {(r["flow"], r["node"]) for r in rows if r["kind"] == "originated"}
    assert sources == {("press", "0001"), ("first", "0001"), ("second", "0002")}


def test_polls_and_segments_have_names_of_their_own():
    low_power = meshtwin.trace(meshtwin.read_scenario(SAMPLES / "low-power.yaml"))
    assert {"poll", "delivery"} <= {r["part"] for r in low_power.rows()}
    assert {r["flow"] for r in low_power.rows() if r["part"] == "poll"} == {"poll"}
    segmented = meshtwin.trace(meshtwin.read_scenario(SAMPLES / "segmented.yaml"))
    assert {"segment", "acknowledgment"} <= {r["part"] for r in segmented.rows()}


def test_trace_is_of_the_first_replication_of_a_result():
    scenario = meshtwin.read_scenario(SAMPLES / "retries.yaml")
    told = meshtwin.trace(scenario, seed=5)
    (run,) = meshtwin.simulate(scenario, seed=5, replications=1).runs
    reached = {(m.flow, m.number) for m in run.messages if m.flow == "once" and m.arrivals}
    received = {
        (r["flow"], r["number"])
        for r in told.rows()
        if (r["kind"], r["node"], r["flow"], r["part"]) == ("received", "0003", "once", "message")
    }
    assert received == reached


def test_files_hold_the_records_and_fit_the_schema(tmp_path):
    told = meshtwin.trace(make_pair(0.5))
    told.save(tmp_path / "t.json")
    told.save(tmp_path / "t.parquet")
    document = TraceDocument.model_validate_json((tmp_path / "t.json").read_text())
    assert (document.scenario, document.profile, document.left_out) == ("pair", "zephyr", 0)
    rows = list(told.rows())
    assert [r.model_dump(by_alias=True)["timeNs"] for r in document.records] == [r["time_ns"] for r in rows]
    read = duckdb.sql(f"select * from '{tmp_path / 't.parquet'}'").fetchall()
    assert read == [tuple(row.values()) for row in rows]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.json", "t.parquet"]
    ((head,),) = duckdb.sql(f"select value from parquet_kv_metadata('{tmp_path / 't.parquet'}')").fetchall()
    assert json.loads(bytes(head))["format"] == "meshtwin.dev/trace/v1"


def test_suffix_in_capitals_names_the_same_kind_of_file(tmp_path):
    meshtwin.trace(make_pair(1.0)).save(tmp_path / "t.JSON")
    assert TraceDocument.model_validate_json((tmp_path / "t.JSON").read_text()).scenario == "pair"


def test_trace_that_would_not_fit_is_refused_before_it_runs():
    flow = replace(make_pair(1.0).flows[0], count=10_000_000)
    with pytest.raises(InvalidInput, match="send fewer messages") as caught:
        meshtwin.trace(make_pair(1.0, flows=(flow,)))
    assert caught.value.reason == "TooLarge"


def test_trace_of_another_suffix_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="parquet"):
        meshtwin.trace(make_pair(1.0)).save(tmp_path / "t.csv")


def test_trace_and_snapshot_take_a_file_or_its_text_as_simulate_does(tmp_path):
    file = SAMPLES / "chain.yaml"
    from_file = meshtwin.trace(str(file), engine="reference")
    assert from_file.records == meshtwin.trace(meshtwin.read_scenario(file), engine="reference").records
    assert meshtwin.trace(file.read_text(), engine="reference").records == from_file.records
    pair = tmp_path / "pair.yaml"
    pair.write_text(PAIR)
    snapshot = meshtwin.to_snapshot(meshtwin.read_scenario(PAIR))
    assert meshtwin.to_snapshot(pair) == meshtwin.to_snapshot(str(pair)) == meshtwin.to_snapshot(PAIR) == snapshot
    for take in (meshtwin.trace, meshtwin.to_snapshot):
        with pytest.raises(InvalidInput, match="int is no file name and no YAML text"):
            take(5)


@pytest.mark.parametrize("name", ["seed", "replication"])
@pytest.mark.parametrize(
    ("value", "said"),
    [(-1, "-1 is negative"), (True, "True is no whole"), ("0", "'0' is no whole"), (1.5, "1.5 is no")],
)
def test_seed_and_replication_of_another_kind_are_refused_by_name(name, value, said):
    with pytest.raises(InvalidInput, match=f"{name} {said}"):
        meshtwin.trace(make_pair(1.0), **{name: value})


@pytest.mark.parametrize("key", ["sources", "destinations"])
def test_background_with_a_node_given_twice_is_refused(key):
    background = ScenarioBackground(name="b", sources=(1,), destinations=(2,), rate_per_s=1.0)
    with pytest.raises(InvalidInput, match=rf"node 0002 is given twice \(pair.background.b.{key}\)"):
        make_pair(1.0, background=(replace(background, **{key: (2, 2)}),))
