"""Tables of what a search found, as the one who approves reads them."""

import re
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from meshtwin_operator.cli.differences import kpi_rows, origin_text
from meshtwin_operator.cli.searches import loser_rows, point_rows, print_runs, print_search

PROPOSED = {
    "role": "Proposed",
    "recipe": "local-search",
    "reason": "8 relays, TTL 4",
    "onTimePerMille": 993,
    "spreadP95Milliseconds": 51,
    "airtimePerMillion": 15_187,
    "redundancy": 2,
    "batteryMillijoulesPerHour": 12,
    "stage": "freshStates",
    "messages": 160,
}
IN_FORCE = {
    "role": "InForce",
    "reason": "the configuration in force",
    "verdict": "onTime of west is 538 per mille, below 950",
    "onTimePerMille": 538,
    "airtimePerMillion": 35_316,
    "isBeaten": True,
    "messages": 160,
}
LOSER = {
    "recipe": "all-relays",
    "reason": "12 relays, TTL 5",
    "verdict": "worse than what is proposed: airtime 17.3 per mille (+2.1)",
    "stage": "firstRound",
}
SEARCH: dict[str, Any] = {
    "candidates": 37,
    "byFastModelAlone": 14,
    "seed": 3,
    "pareto": [PROPOSED, IN_FORCE],
    "paretoLeftOut": 2,
    "losers": [LOSER],
    "losersLeftOut": 24,
}


def test_points_have_figures_with_units_and_say_what_is_proposed_and_in_force() -> None:
    assert point_rows(SEARCH) == [
        ("1", "proposed", "99.3 %", "51 ms", "1.52 %", "2", "12 mJ/h"),
        ("2*", "in force", "53.8 %", "-", "3.53 %", "-", "-"),
    ]


def test_losers_say_what_they_were_and_why_they_lost() -> None:
    assert loser_rows(SEARCH) == [
        ("12 relays, TTL 5 (all-relays)", "first round", "worse than what is proposed: airtime 17.3 per mille (+2.1)")
    ]


@pytest.mark.parametrize("width", [80, 140])
def test_tables_keep_every_figure_at_any_width(width: int) -> None:
    console = Console(width=width, record=True, highlight=False, markup=False)
    print_search(console, SEARCH)
    text = re.sub(r"\s+", " ", console.export_text())
    for part in ("37 candidates, 14 of them", "99.3 %", "51 ms", "1.52 %", "12 mJ/h", "* another one is better"):
        assert part in text
    assert "and 2 more, left out" in text
    assert "and 24 more that lost, left out" in text
    assert "…" not in text


def test_nothing_is_printed_of_what_nobody_searched() -> None:
    console = Console(width=80, record=True)
    print_search(console, None)
    assert console.export_text() == ""


def test_prediction_says_what_it_was_computed_from() -> None:
    told = {"model": "packet-simulator", "profile": "zephyr", "seed": 7, "replications": 1, "snapshotFingerprint": "0f"}
    assert origin_text(told) == "by packet-simulator, profile zephyr, seed 7, 1 replication, snapshot 0f"


def test_paths_and_battery_energy_are_rows_where_they_are_known() -> None:
    assert kpi_rows({"redundancy": 2, "batteryMillijoulesPerHour": 12}) == [
        ("", "disjoint paths", "2"),
        ("", "battery, sending", "12 mJ/h"),
    ]


def test_run_without_a_proposal_is_told_with_what_it_missed_its_warnings_and_its_best() -> None:
    console = Console(width=200, record=True, file=StringIO())
    best = {**PROPOSED, "role": "Best", "verdict": "onTime of west is 910 per mille, below 950"}
    found = {**SEARCH, "pareto": [best, IN_FORCE]}
    runs = [
        {
            "segment": "north",
            "result": "ObjectivesUnreachable",
            "message": "the best of 37 candidates: onTime of west is 910 per mille, below 950",
            "search": found,
            "warnings": ["2 nodes have no known link: 0004, 0005"],
        },
        {"segment": "south", "result": "Proposed", "message": "8 relays"},
    ]
    print_runs(console, runs)
    text = " ".join(console.export_text().split())
    assert "north: ObjectivesUnreachable: the best of 37 candidates: onTime of west is 910 per mille, below 950" in text
    assert "warning: 2 nodes have no known link: 0004, 0005" in text
    assert "1 the best 99.3 %" in text
    assert "south" not in text
