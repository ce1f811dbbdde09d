import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from meshtwin.errors import InvalidInput
from meshtwin.sim.validation import TABLES, build_grid_scenario, build_office_scenario, read_table, validate
from meshtwin.sim.validation.chain import ChainRow, judge_chain
from meshtwin.sim.validation.figures import (
    ValidationReport,
    at_least,
    at_most,
    kendall_tau,
    leave_one_out_error,
)
from meshtwin.sim.validation.grid import HEARTBEAT
from meshtwin.sim.validation.physics import judge_reception
from meshtwin.sim.validation.tables import read_table as read


def test_every_published_table_is_found_in_the_package():
    assert all(read_table(name) for name in TABLES)


def test_unknown_table_is_refused_with_the_known_ones():
    with pytest.raises(InvalidInput, match="'cellar' is not one of chain, office, grid"):
        read_table("cellar")


def test_table_that_is_not_in_the_folder_is_refused_with_its_name(tmp_path):
    with pytest.raises(InvalidInput, match=r"chain_10_nodes\.yaml can't be read"):
        read("chain", tmp_path)


def test_table_that_is_no_mapping_is_refused(tmp_path):
    (tmp_path / "chain_10_nodes.yaml").write_text("- 1\n")
    with pytest.raises(InvalidInput, match="not a mapping"):
        read("chain", tmp_path)


def test_table_that_lacks_a_key_is_refused_with_the_key(tmp_path):
    (tmp_path / "packet_error_ratio.yaml").write_text("rssi_dbm: [-94]\n")
    with pytest.raises(InvalidInput, match=r"packet_error_ratio\.yaml has no 'packet_error_ratio_20_byte'"):
        validate(names=["reception"], folder=tmp_path)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=8))
def test_kendall_tau_equals_scipys(pairs):
    left, right = [float(a) for a, _ in pairs], [float(b) for _, b in pairs]
    ours, theirs = kendall_tau(left, right), float(kendalltau(left, right).statistic)
    assert (math.isnan(ours) and math.isnan(theirs)) or ours == pytest.approx(theirs)


def test_error_of_one_run_against_the_others_is_known_for_two_runs():
    assert leave_one_out_error([[1.0, 4.0], [3.0, 4.0]]) == pytest.approx(1.0)


def test_bounds_are_kept_on_the_right_side():
    assert at_most("t", "n", 0.1, 0.2, 0.05, floor=None, runs=1).is_kept
    assert not at_most("t", "n", 0.1, 0.2, 0.05, floor=None, runs=1).is_aim_reached
    assert not at_least("t", "n", 0.1, 0.2, None, floor=None, runs=1).is_kept


@pytest.mark.parametrize(("runs", "floor", "verdict"), [(10, 0.22, None), (10, 0.1, False), (120, 0.22, False)])
def test_error_from_few_runs_has_no_verdict_where_noise_is_above_its_bound(runs, floor, verdict):
    figure = replace(at_most("t", "n", 0.16, 0.15, 0.1, floor=floor, runs=runs), full_runs=120)
    report = ValidationReport(seed=1, engine="auto", figures=(figure,), rows=())
    assert report.to_json()["figures"][0]["isKept"] is verdict
    assert report.is_kept is (verdict is None)


def test_luck_of_few_runs_is_no_verdict_either():
    assert not replace(at_most("t", "n", 0.01, 0.15, 0.1, floor=0.22, runs=10), full_runs=120).is_decided


def test_reception_is_within_a_hundredth_of_the_published_packet_error_ratios():
    figures, rows = judge_reception(read_table("reception"), seed=5, messages=400)
    assert all(figure.is_kept for figure in figures if "mean" not in figure.name)
    assert len(rows) == 64
    assert sum(str(row["point"]).startswith("engine") for row in rows) == 32


def test_error_of_predicted_hops_leaves_fitted_ones_out():
    rows = [
        ChainRow(
            hops=hops, published_mean_ms=100.0, simulated_mean_ms=150.0 if hops <= 4 else 102.0,
            published_median_ms=100.0, simulated_median_ms=100.0, published_deviation_ms=10.0,
            simulated_deviation_ms=9.0, lost=0,
        )
        for hops in range(1, 10)
    ]  # fmt: skip
    figures, _ = judge_chain(rows, runs=1)
    assert figures[0].reached == pytest.approx(0.02)
    assert figures[1].reached == pytest.approx(0.5)


def test_office_has_its_flows_in_phase_and_ends_before_the_last_packets_arrive():
    scenario = build_office_scenario(read_table("office"), "19", 5)
    assert {(f.count, f.start_s) for f in scenario.flows} == {(30, 1 / 3)}
    assert sum(node.relay for node in scenario.nodes) == 19
    assert scenario.duration_s == 10.2


@given(st.integers(0, 2**32))
def test_grid_sends_once_a_second_with_a_ttl_of_hops_plus_two_after_the_first_heartbeat(seed):
    scenario = build_grid_scenario(read_table("grid"), seed)
    sources = [flow for flow in scenario.flows if flow.name != HEARTBEAT]
    assert all(flow.count == 29 for flow in by_source(sources).values())
    late = [flow for flow in sources if flow.name.endswith("late")]
    assert all(flow.ttl == int(flow.name.split("/")[0]) + 2 for flow in late)
    heartbeat = next(flow for flow in scenario.flows if flow.name == HEARTBEAT)
    assert all(flow.start_s > heartbeat.start_s for flow in late)


class Total:
    def __init__(self):
        self.count = 0


def by_source(flows):
    totals = {}
    for flow in flows:
        totals.setdefault(flow.source, Total()).count += flow.count
    return totals


def test_validation_of_one_table_tells_progress_and_plain_json():
    told = []
    report = validate(
        names=["chain"], runs=2, engine="reference", progress=lambda share, stage: told.append((share, stage))
    )
    assert told[0] == (0.0, "chain")
    assert told[-1] == (1.0, "done")
    document = json.loads(json.dumps(report.to_json()))
    assert document["format"] == "meshtwin.dev/validation/v1"
    assert {row["hops"] for row in document["rows"]} == set(range(1, 10))
    assert {"noiseFloor", "isKept", "isAimReached"} <= set(document["figures"][0])


def test_validation_with_one_run_is_refused_since_it_has_no_noise_floor():
    with pytest.raises(InvalidInput, match="fewer than 2"):
        validate(names=["chain"], runs=1)
