"""Warnings of a pipeline's proposal stand wherever somebody who decides looks at it."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.memory_access import MemoryAccess
from typer.testing import CliRunner

from meshtwin_operator.cli import deciding, target
from meshtwin_operator.cli.commands import app
from meshtwin_operator.cli.demo_story import WARNINGS_TOLD, Story

DIGEST = "sha256:" + "a" * 64
DOUBT = "onTime of lights: going by earlier predictions, it may be 916 per mille, below 950"
BASE = {
    "kind": "MeshConfiguration",
    "metadata": {"name": "north-r0000"},
    "spec": {"segmentRef": {"name": "north"}, "revision": 0, "settings": [{"nodes": ["0001"], "defaultTtl": 5}]},
    "status": {"push": {"step": "Adopted"}},
}


def shelf(*warnings: str, prediction: dict[str, Any] | None = None) -> MemoryAccess:
    spec: dict[str, Any] = {
        "segmentRef": {"name": "north"},
        "origin": "Pipeline",
        "pipelineRef": {"name": "lighting"},
        "baseRevision": 0,
        "settings": [{"nodes": ["0001"], "defaultTtl": 4}],
    }
    if warnings:
        spec["warnings"] = list(warnings)
    if prediction is not None:
        spec["prediction"] = prediction
    status = {"phase": "AwaitingDecision", "digest": DIGEST, "baseRevision": 0}
    proposal = {"kind": "ConfigurationProposal", "metadata": {"name": "p"}, "spec": spec, "status": status}
    return MemoryAccess(BASE, proposal)


def run(monkeypatch: pytest.MonkeyPatch, access: MemoryAccess, *words: str) -> tuple[str, str]:
    """What a command prints on stdout, line breaks as spaces, and on stderr."""
    monkeypatch.setattr(target, "open_target", lambda _: access)
    monkeypatch.setattr(deciding, "open_target", lambda _: access)
    told = CliRunner().invoke(app, list(words))
    assert told.exit_code == 0, told.output
    return " ".join(told.stdout.split()), told.stderr


@pytest.mark.parametrize("words", [("diff", "p"), ("describe", "cprop", "p")])
def test_a_warning_is_told_once_to_whoever_looks(monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    told, _ = run(monkeypatch, shelf(DOUBT), *words)
    assert told.count(DOUBT) == 1
    assert f"warning: {DOUBT}" in told


@pytest.mark.parametrize("words", [("diff", "p"), ("describe", "cprop", "p"), ("approve", "p", "--wait", "0")])
def test_a_proposal_stored_without_warnings_is_shown_without_them(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    assert "warning" not in "".join(run(monkeypatch, shelf(), *words))


def test_difference_for_programs_has_the_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    told, _ = run(monkeypatch, shelf(DOUBT), "diff", "p", "-o", "json")
    assert json.loads(told)["warnings"] == [DOUBT]


def test_approval_repeats_the_warnings_beside_what_it_made(monkeypatch: pytest.MonkeyPatch) -> None:
    told, beside = run(monkeypatch, shelf(DOUBT), "approve", "p", "--wait", "0")
    assert "created by alice" in told
    assert f"warning: {DOUBT}" in beside


FIGURES = {
    "flow": "lights",
    "messages": 320,
    "onTime": {"estimatePerMille": 990, "lowPerMille": 980, "highPerMille": 998},
    "delivery": {"estimatePerMille": 995, "lowPerMille": 990, "highPerMille": 999},
    "answered": {"estimatePerMille": 970, "lowPerMille": 950, "highPerMille": 985},
    "howKnown": "predicted",
}
LARGE = {"before": {"flows": [FIGURES]}, "after": {"flows": [FIGURES]}, "flowsLeftOut": 36, "nodesLeftOut": 1}


@pytest.mark.parametrize("words", [("diff", "p"), ("describe", "cprop", "p"), ("approve", "p", "--wait", "0")])
def test_a_prediction_says_how_many_flows_it_leaves_out(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    told = "".join(run(monkeypatch, shelf(prediction=LARGE), *words))
    assert "left out: 36 flows and 1 gateway node, which change less or are better off than those told" in told


@pytest.mark.parametrize("words", [("diff", "p"), ("describe", "cprop", "p")])
def test_share_of_answers_stands_beside_the_others_with_its_interval(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    told, _ = run(monkeypatch, shelf(prediction=LARGE), *words)
    assert "lights answered 97.0 % (95.0–98.5) 97.0 % (95.0–98.5)" in told


def test_demo_tells_warnings_of_what_waits_and_counts_those_beyond_a_few(tmp_path: Path) -> None:
    lines: list[str] = []
    more = [f"{n} candidates refused: airtime" for n in range(2, 8)]
    assert Story(shelf(DOUBT, *more), say=lines.append, state=tmp_path).tell() == ["p"]
    assert f"  warning: {DOUBT}" in lines
    assert sum(line.startswith("  warning: ") for line in lines) == WARNINGS_TOLD
    assert "  2 more warnings, as `meshtwin diff` shows" in lines
