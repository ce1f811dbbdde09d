import json
from dataclasses import replace

import duckdb
import pytest

from meshtwin.errors import InvalidInput
from meshtwin.sim.engine import simulate_replications
from meshtwin.sim.result_file import describe_result, read_result, write_result
from meshtwin.sim.scenario_file import parse_scenario
from meshtwin.sim.tracing import trace

LOSSY = """
format: meshtwin.dev/scenario/v1
name: pair
defaults: {relay: false, ttl: 3, networkTransmit: {count: 0, intervalSteps: 1}}
nodes: [{address: "0001"}, {address: "0002", groups: [c000]}, {address: "0003", groups: [c000]}]
links:
  - {source: "0001", target: "0002", delivery: 0.5}
  - {source: "0001", target: "0003", delivery: 0.9}
  - {source: "0002", target: "0001", delivery: 0.9}
flows:
  - {name: group, source: "0001", destination: c000, count: 40, periodSeconds: 1}
  - {name: asked, source: "0001", destination: "0002", count: 10, periodSeconds: 1, responsePduBytes: 20}
"""


@pytest.fixture(scope="module")
def finished():
    scenario = parse_scenario(LOSSY)
    return scenario, simulate_replications(scenario, seed=3, replications=3)


def test_document_counts_what_the_runs_did(finished):
    scenario, runs = finished
    document = describe_result(scenario, runs, seed=3, engine="reference", asked=5)
    group, asked = document.flows
    assert (document.replications, document.replications_asked) == (3, 5)
    assert (group.sent, group.members, asked.sent) == (120, 2, 30)
    assert group.delivered == sum(len(m.arrivals) for r in runs for m in r.messages if m.flow == "group")
    assert group.delivery_ratio.estimate == pytest.approx(group.delivered / 240)
    assert group.round_trip_milliseconds is None
    assert asked.round_trip_milliseconds is not None
    assert group.mean_hops == 1.0


def test_latency_curve_ascends_and_meets_the_quantiles(finished):
    scenario, runs = finished
    times = describe_result(scenario, runs, seed=3, engine="reference").flows[0].latency_milliseconds
    assert list(times.curve) == sorted(times.curve)
    assert times.curve[50] == times.p50
    assert times.p50 <= times.p95 <= times.p99 <= times.curve[100]


def test_document_comes_back_from_its_file(finished, tmp_path):
    scenario, runs = finished
    document = describe_result(scenario, runs, seed=3, engine="reference")
    write_result(tmp_path / "r.json", document, scenario, runs)
    assert read_result(tmp_path / "r.json") == document
    assert "deliveryRatio" in json.loads((tmp_path / "r.json").read_text())["flows"][0]


def test_parquet_has_a_row_for_every_message_and_member(finished, tmp_path):
    scenario, runs = finished
    path = tmp_path / "it's r.parquet"
    write_result(path, describe_result(scenario, runs, seed=3, engine="reference"), scenario, runs)
    rows = duckdb.read_parquet(str(path))
    count, arrived = rows.aggregate("count(*), count(latency_ns) filter (flow = 'group')").fetchall()[0]
    assert count == 3 * (40 * 2 + 10)
    assert arrived == sum(len(m.arrivals) for r in runs for m in r.messages if m.flow == "group")
    assert rows.filter("arrived and latency_ns is null").aggregate("count(*)").fetchall() == [(0,)]


def test_rows_of_a_result_and_of_a_trace_have_addresses_of_one_form(finished, tmp_path):
    scenario, runs = finished
    write_result(tmp_path / "r.parquet", describe_result(scenario, runs, seed=3, engine="reference"), scenario, runs)
    trace(scenario, seed=3, engine="reference").save(tmp_path / "t.parquet")
    joined = duckdb.sql(
        f"select distinct member from '{tmp_path}/r.parquet' join '{tmp_path}/t.parquet' on member = node order by 1"
    ).fetchall()
    assert joined == [(f"{member:04x}",) for member in sorted({m for f in scenario.flows for m in f.members})]


def test_other_formats_are_refused_by_name(finished, tmp_path):
    scenario, runs = finished
    with pytest.raises(InvalidInput, match=r"r\.xlsx ends in none of \.json, \.parquet"):
        write_result(tmp_path / "r.xlsx", describe_result(scenario, runs, seed=3, engine="x"), scenario, runs)


def test_place_that_cannot_be_written_is_told(finished, tmp_path):
    scenario, runs = finished
    with pytest.raises(InvalidInput, match="can't be written"):
        write_result(tmp_path / "no" / "r.json", describe_result(scenario, runs, seed=3, engine="x"), scenario, runs)


def test_file_that_is_no_result_is_refused_with_the_field(tmp_path):
    path = tmp_path / "r.json"
    path.write_text('{"format": "meshtwin.dev/result/v1", "scenario": 4}')
    with pytest.raises(InvalidInput, match=r"r\.json: scenario"):
        read_result(path)


def test_no_finished_replication_is_nothing_to_tell(finished):
    with pytest.raises(InvalidInput, match="no replication is finished"):
        describe_result(finished[0], (), seed=1, engine="reference")


def spoilt(finished, tmp_path, change):
    scenario, runs = finished
    document = json.loads(describe_result(scenario, runs, seed=1, engine="reference").model_dump_json(by_alias=True))
    change(document, document["flows"][0])
    path = tmp_path / "spoilt.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InvalidInput, match="not a result") as caught:
        read_result(path)
    return caught.value.place


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda d, f: f["latencyMilliseconds"].update(curve=[3.0]), "flows.0.latencyMilliseconds.curve"),
        (lambda d, f: f["latencyMilliseconds"].update(p99=1e308), "flows.0.latencyMilliseconds.p99"),
        (lambda d, f: f["latencyMilliseconds"].update(p50=-1.0), "flows.0.latencyMilliseconds.p50"),
        (lambda d, f: f["deliveryRatio"].update(estimate=7.0), "flows.0.deliveryRatio.estimate"),
        (lambda d, f: f["deliveryRatio"].update(low=f["deliveryRatio"]["high"] + 1e-9), "flows.0.deliveryRatio"),
        (lambda d, f: f["deliveryRatio"].update(estimate=None), "flows.0.deliveryRatio"),
        (lambda d, f: f["latencyMilliseconds"]["curveBounds"].update(low=[1.0]), "curveBounds.low"),
        (lambda d, f: f["latencyMilliseconds"]["curveBounds"].update(kind="band"), "curveBounds.kind"),
        (lambda d, f: f.update(name="x" * 100_000), "flows.0.name"),
        (lambda d, f: f.update(name="\x1b[31m"), "flows.0.name"),
        (lambda d, f: f.update(deadlineMilliseconds=10**400), "flows.0.deadlineMilliseconds"),
        (lambda d, f: d.update(flows=[f] * 10_001), "flows"),
    ],
)
def test_result_that_could_not_be_drawn_is_refused_with_its_field(finished, tmp_path, change, where):
    assert where in spoilt(finished, tmp_path, change)


def test_parquet_that_can_not_be_written_is_told_as_such(finished, tmp_path):
    scenario, runs = finished
    document = describe_result(scenario, runs, seed=1, engine="reference")
    with pytest.raises(InvalidInput, match="there is no folder"):
        write_result(tmp_path / "none" / "r.parquet", document, scenario, runs)


def test_parquet_holds_the_document_with_its_intervals(finished, tmp_path):
    scenario, runs = finished
    document = describe_result(scenario, runs, seed=3, engine="reference", gaps=["it's a gap"])
    write_result(tmp_path / "r.parquet", document, scenario, runs)
    assert read_result(tmp_path / "r.parquet") == document


def test_parquet_of_somebody_else_is_no_result(tmp_path):
    duckdb.sql("select 1 as x").write_parquet(str(tmp_path / "other.parquet"))
    with pytest.raises(InvalidInput, match=r"not a result: there is no meshtwin\.dev/result in its metadata"):
        read_result(tmp_path / "other.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(InvalidInput, match="not a result"):
        read_result(tmp_path / "broken.parquet")


def test_every_estimate_has_an_interval_that_holds_it(finished):
    scenario, runs = finished
    document = describe_result(scenario, runs, seed=3, engine="reference")
    group, asked = document.flows
    for estimate, interval in (
        (group.latency_milliseconds.p50, group.latency_milliseconds.p50_interval),
        (group.latency_milliseconds.p95, group.latency_milliseconds.p95_interval),
        (group.spread_p95_milliseconds, group.spread_p95_interval),
        (group.mean_hops, group.mean_hops_interval),
        (asked.round_trip_milliseconds.p50, asked.round_trip_milliseconds.p50_interval),
        (document.totals.transmissions / 3, document.totals.transmissions_per_replication),
        *(
            (count / 3, document.totals.losses_per_replication[cause])
            for cause, count in document.totals.losses_by_cause.items()
        ),
    ):
        assert interval.estimate == pytest.approx(estimate)
        low, high = interval.low, interval.high
        assert low is None or low <= interval.estimate
        assert high is None or interval.estimate <= high
        assert (low is None or high is None) == (interval.open_because is not None)


def test_every_point_of_the_latency_curve_has_bounds_of_its_own(finished):
    scenario, runs = finished
    times = describe_result(scenario, runs, seed=3, engine="reference").flows[0].latency_milliseconds
    bounds = times.curve_bounds
    assert bounds.kind == "pointwise"
    for point, low, high in zip(times.curve, bounds.low, bounds.high, strict=True):
        assert low is None or low <= point
        assert high is None or point <= high
    assert (bounds.low[50], bounds.high[50]) == pytest.approx(
        (times.p50_interval.low, times.p50_interval.high), abs=1e-5
    )
    assert (bounds.low[0], bounds.high[100]) == (None, None)
    assert "120 messages bound the points from" in bounds.open_because


def test_curve_of_one_replication_has_no_bounds_and_says_why(finished):
    scenario, runs = finished
    times = describe_result(scenario, runs[:1], seed=3, engine="reference").flows[0].latency_milliseconds
    assert {*times.curve_bounds.low, *times.curve_bounds.high} == {None}
    assert "one replication" in times.curve_bounds.open_because


def test_share_of_what_was_never_sent_is_null_with_the_reason(finished, tmp_path):
    whole = parse_scenario(LOSSY)
    scenario = replace(whole, flows=(whole.flows[0], replace(whole.flows[1], count=0)))
    runs = simulate_replications(scenario, seed=3, replications=2)
    document = describe_result(scenario, runs, seed=3, engine="reference")
    write_result(tmp_path / "r.json", document, scenario, runs)
    told = json.loads((tmp_path / "r.json").read_text())["flows"][1]
    for name in ("deliveryRatio", "onTimeRatio"):
        assert told[name] == {
            "estimate": None, "low": None, "high": None, "level": 0.9, "openBecause": "no message was sent"
        }  # fmt: skip
    assert read_result(tmp_path / "r.json") == document


def test_half_that_an_earlier_version_told_of_what_was_never_sent_is_not_believed(finished, tmp_path):
    scenario, runs = finished
    document = json.loads(describe_result(scenario, runs, seed=1, engine="reference").model_dump_json(by_alias=True))
    document["flows"][0]["deliveryRatio"] = {
        "estimate": 0.5, "low": None, "high": None, "level": 0.9, "openBecause": "no message was sent"
    }  # fmt: skip
    (tmp_path / "old.json").write_text(json.dumps(document))
    assert read_result(tmp_path / "old.json").flows[0].delivery_ratio.estimate is None


def test_result_of_an_earlier_version_is_read(finished, tmp_path):
    """It had no intervals of quantiles, and bounds of equal value for one replication."""
    scenario, runs = finished
    document = json.loads(describe_result(scenario, runs, seed=1, engine="reference").model_dump_json(by_alias=True))
    for flow in document["flows"]:
        for name in ("spreadP95Interval", "meanHopsInterval"):
            del flow[name]
        for times in (flow["latencyMilliseconds"], flow["roundTripMilliseconds"] or {}):
            for name in ("p50Interval", "p95Interval", "p99Interval", "curveBounds"):
                times.pop(name, None)
    del document["gaps"], document["totals"]["transmissionsPerReplication"], document["totals"]["lossesPerReplication"]
    (tmp_path / "old.json").write_text(json.dumps(document))
    assert read_result(tmp_path / "old.json").flows[0].latency_milliseconds.p95_interval is None
