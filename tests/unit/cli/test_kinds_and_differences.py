"""Kinds as people type them, printer columns, and differences of proposals."""

from datetime import UTC, datetime, timedelta

import pytest

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin_operator.cli.differences import difference_rows, experience_text, kpi_rows, setting_changes
from meshtwin_operator.cli.kinds import age_text, find_kinds, value_at
from meshtwin_operator.resources.kinds import KINDS


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("dt", "DigitalTwin"),
        ("MeshSegments", "MeshSegment"),
        ("pipelines.meshtwin.dev", "Pipeline"),
        ("proposals", "ConfigurationProposal"),
        ("segments", "MeshSegment"),
        ("mconf", "MeshConfiguration"),
    ],
)
def test_kind_is_found_by_any_of_its_names(word: str, kind: str) -> None:
    assert [found.kind_name for found in find_kinds(word)] == [kind]


def test_all_names_every_kind() -> None:
    assert find_kinds("all") == KINDS


def test_unknown_kind_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match=r"digitaltwins \(dt\)"):
        find_kinds("pods")


def test_printer_column_finds_the_status_of_a_condition() -> None:
    manifest = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert value_at(manifest, '.status.conditions[?(@.type=="Ready")].status') == "True"
    assert value_at(manifest, '.status.conditions[?(@.type=="Synced")].status') is None
    assert value_at({}, ".spec.mode") is None


@pytest.mark.parametrize(("seconds", "text"), [(5, "5s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172_800, "2d")])
def test_age_is_written_as_kubectl_does(seconds: int, text: str) -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert age_text((now - timedelta(seconds=seconds)).isoformat(), now) == text


def test_differences_of_a_what_if_are_told_with_their_sign_and_what_is_not_known() -> None:
    told = {
        "flow": "lights",
        "onTime": {"estimatePerMille": -25, "lowPerMille": -41, "highPerMille": -9},
        "delivery": {},
        "latencyP50": {"estimateMilliseconds": 3, "lowMilliseconds": -1, "highMilliseconds": 7},
        "latencyP95": {"estimateMilliseconds": 12},
        "latencyP99": {"estimateMilliseconds": 0, "lowMilliseconds": 0, "highMilliseconds": 0},
    }
    assert difference_rows({"differences": [told]}) == {
        ("lights", "on time"): "-2.5 points (-4.1 to -0.9)",
        ("lights", "delivery"): "not known",
        ("lights", "latency p50"): "+3 ms (-1 to +7)",
        ("lights", "latency p95"): "+12 ms",
        ("lights", "latency p99"): "+0 ms (+0 to +0)",
    }
    assert difference_rows({}) == {}


def test_share_that_nothing_tells_is_not_known() -> None:
    figures = {"flows": [{"flow": "f", "howKnown": "predicted", "delivery": {"lowPerMille": 0, "highPerMille": 1000}}]}
    assert kpi_rows(figures) == [("f", "delivery", "not known")]


def test_only_settings_that_change_are_listed_with_their_nodes() -> None:
    base = [{"nodes": ["0001-0004"], "relay": "Enabled", "defaultTtl": 127}]
    proposed = [
        {"nodes": ["0001-0004"], "relay": "Disabled", "defaultTtl": 127},
        {"nodes": ["0002"], "relay": "Enabled"},
    ]
    (change,) = setting_changes(base, proposed, [UnicastAddress(a) for a in (1, 2, 3, 4)])
    assert (change.setting, change.before, change.after, change.count) == ("relay", "Enabled", "Disabled", 3)
    assert change.nodes == ("0001", "0003-0004")


def test_addresses_without_a_node_are_not_counted() -> None:
    base = [{"nodes": ["0001-0004"], "defaultTtl": 127}]
    proposed = [{"nodes": ["0001-0004"], "defaultTtl": 6}]
    (change,) = setting_changes(base, proposed, [UnicastAddress(1), UnicastAddress(4)])
    assert change.count == 2


def test_figures_say_their_interval() -> None:
    interval = {"estimatePerMille": 950, "lowPerMille": 900, "highPerMille": 980}
    flow = {"flow": "lights", "onTime": interval, "delivery": interval, "spreadP95Milliseconds": 40}
    at_gateway = {"node": "0029", "perMille": 42}
    rows = kpi_rows({"flows": [flow], "airtimePerMille": 31, "airtimeAt": [at_gateway]})
    assert ("lights", "on time", "95.0 % (90.0–98.0)") in rows
    assert ("lights", "spread p95", "40 ms") in rows
    assert rows[-2:] == [("", "airtime, mean", "3.1 %"), ("", "airtime at 0029", "4.2 %")]


def test_prediction_says_on_what_experience_its_intervals_rest() -> None:
    used = {"segment": "north", "predictions": 4, "since": "2026-05-01T13:00:00Z", "messages": 60}
    assert experience_text({"scorecard": used}) == (
        "intervals: 90 % of what 60 messages per flow will show; "
        "scorecard of north: 4 predictions measured since 2026-05-01"
    )
    empty = experience_text({"scorecard": {"segment": "north", "predictions": 0, "messages": 60}})
    assert empty is not None
    assert "empty" in empty
    assert experience_text({}) is None
