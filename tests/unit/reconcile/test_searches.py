"""What a proposal keeps of a search, and how much of it."""

from typing import Any

from meshtwin.recipes.messages import EvidenceModel, PipelineResponse
from meshtwin_operator.reconcile.searches import to_search, to_warnings
from meshtwin_operator.resources.searches import LOSERS_MAX, POINTS_MAX, TEXT_MAX, WARNINGS_MAX, SearchRecord


def point(number: int, role: str = "Alternative", **more: Any) -> dict[str, Any]:
    return {
        "digest": f"sha256:{number:064x}",
        "recipe": "local-search",
        "reason": f"{number} relays",
        "role": role,
        "messages": 320,
        "verdict": "" if role == "Proposed" else "worse than what is proposed: airtime 12.0 per mille (+2.0)",
        "onTimePerMille": 1000 - number,
        "airtimePerMillion": 9_000 + number,
        **more,
    }


def trial(number: int, stage: str = "firstRound", **more: Any) -> dict[str, Any]:
    return {
        "recipe": "path-redundancy",
        "reason": f"{number} relays",
        "digest": f"sha256:{number:064x}",
        "relays": number,
        "airtimePerMillion": 9_000,
        "verdict": "onTime of lights is 900 per mille, below 950",
        "stage": stage,
        **more,
    }


def evidence(points: list[dict[str, Any]], trials: list[dict[str, Any]], **more: Any) -> EvidenceModel:
    return EvidenceModel.model_validate(
        {"models": ["m"], "seed": 7, "candidatesTried": 90, "pruned": 60, "pareto": points, "trials": trials, **more}
    )


def test_points_and_losers_are_kept_with_their_figures_and_reasons() -> None:
    found = to_search(evidence([point(1, "Proposed"), point(2, "InForce", digest=None)], [trial(1), trial(3)]))
    assert [(p.role, p.on_time_per_mille, p.airtime_per_million, p.messages) for p in found.pareto] == [
        ("Proposed", 999, 9001, 320),
        ("InForce", 998, 9002, 320),
    ]
    assert [(loser.reason, loser.verdict) for loser in found.losers] == [
        ("3 relays", "onTime of lights is 900 per mille, below 950")
    ]
    assert (found.candidates, found.by_fast_model_alone, found.seed) == (90, 60, 7)
    assert (found.pareto_left_out, found.losers_left_out) == (0, 0)


def test_of_many_points_those_that_are_proposed_and_in_force_stay_and_the_rest_is_counted() -> None:
    many = [point(n) for n in range(20)] + [point(20, "InForce", digest=None), point(21, "Proposed")]
    found = to_search(evidence(many, [], paretoLeftOut=3))
    assert len(found.pareto) == POINTS_MAX
    assert [p.role for p in found.pareto[-2:]] == ["InForce", "Proposed"]
    assert found.pareto_left_out == 22 - POINTS_MAX + 3


def test_of_many_losers_some_of_the_fast_models_stay_and_the_rest_is_counted() -> None:
    many = [trial(n) for n in range(20)] + [trial(n, "fastModel") for n in range(20, 32)]
    found = to_search(evidence([], many, trialsLeftOut=50))
    assert len(found.losers) == LOSERS_MAX
    assert [loser.stage for loser in found.losers].count("fastModel") == 4
    assert found.losers[0].reason == "0 relays"
    assert found.losers_left_out == 32 - LOSERS_MAX + 50


def test_losers_of_one_kind_take_all_the_room() -> None:
    for stage in ("firstRound", "fastModel"):
        assert len(to_search(evidence([], [trial(n, stage) for n in range(20)])).losers) == LOSERS_MAX


def test_long_texts_are_cut_so_that_the_record_stays_small() -> None:
    long = "x" * 5000
    points = [point(n, reason=long, verdict=long, recipe=long) for n in range(40)]
    found = to_search(evidence(points, [trial(n, reason=long, verdict=long, recipe=long) for n in range(50, 90)]))
    assert len(found.pareto[0].reason) == TEXT_MAX
    assert found.pareto[0].reason.endswith("…")
    assert len(found.model_dump_json(by_alias=True)) < 30_000
    assert SearchRecord.model_validate(found.model_dump(mode="json", by_alias=True)) == found


def test_evidence_that_an_earlier_twin_kept_is_still_read() -> None:
    old_trial = {k: v for k, v in trial(3, airtimePerMille=9).items() if k not in ("airtimePerMillion", "stage")}
    old_point = {k: v for k, v in point(1).items() if k not in ("role", "messages", "verdict")}
    found = to_search(evidence([old_point], [old_trial]))
    assert [(p.role, p.messages) for p in found.pareto] == [("Alternative", None)]
    assert [loser.stage for loser in found.losers] == [None]


def response(**more: Any) -> PipelineResponse:
    said = {"outcome": "Proposed", "message": "fewer relays", "segment": "north", "baseDigest": "b"}
    return PipelineResponse.model_validate({**said, "inventoryHash": "i", "evidence": evidence([], []), **more})


def test_warnings_come_first_gaps_follow_and_each_is_told_once() -> None:
    found = to_warnings(
        response(warnings=["2 refused", "may be 916", "2 refused"], gaps=["north: silent", "may be 916"])
    )
    assert found == ["2 refused", "may be 916", "north: silent"]


def test_many_and_long_warnings_are_cut_and_the_rest_is_counted() -> None:
    found = to_warnings(response(warnings=[f"{n} {'x' * 5000}" for n in range(40)]))
    assert len(found) == WARNINGS_MAX
    assert max(len(text) for text in found) == TEXT_MAX
    assert found[-1] == f"and {40 - WARNINGS_MAX + 1} more warnings, left out"


def test_a_run_without_warnings_has_none_to_keep() -> None:
    assert to_warnings(response()) == []
