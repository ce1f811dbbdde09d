"""What a pipeline run promises, with the real recipes and the real simulator on a small grid."""

from dataclasses import replace

import pytest

from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.mesh.configuration import NodeSettings, Transmit, compute_digest
from meshtwin.ports import Cancelled, no_progress
from meshtwin.recipes.answers import to_pipeline_response
from meshtwin.recipes.messages import ObjectivesModel, PipelineRequest, PipelineResponse, RecipeUseModel
from meshtwin.recipes.pipeline import run_pipeline
from meshtwin.recipes.results import Outcome, Role
from meshtwin.whatif.judging import InProcessJudge
from meshtwin.whatif.quick import InProcessQuickJudge

ALL = ("fewest-sufficient-relays", "end-to-end-latency", "path-redundancy")
REACHABLE = ObjectivesModel(on_time_within_milliseconds=150, on_time_at_least_per_mille=900)


def request(*, segment="office-west", objectives=REACHABLE, recipes=ALL, parameters=None):
    return PipelineRequest(
        run_id="run-1",
        pipeline="lighting",
        segment=segment,
        recipes=[RecipeUseModel(name=n, uses=n, parameters=(parameters or {}).get(n, {})) for n in recipes],
        objectives=objectives,
        messages_per_flow=8,
        replications=2,
    )


def run(snapshot, *, seed=1, progress=no_progress, **asked):
    return run_pipeline(request(**asked), snapshot, InProcessJudge(), seed=seed, progress=progress)


def test_wasteful_configuration_gets_a_cheaper_proposal_that_meets_the_objectives(build_grid):
    result = run(build_grid())

    assert result.outcome is Outcome.PROPOSED
    assert result.gaps == ()
    before, after = result.prediction.before, result.prediction.after
    assert after.airtime_ratio.estimate < 0.9 * before.airtime_ratio.estimate
    west = next(f for f in after.flows if f.flow == "west")
    assert west.on_time.estimate >= 0.9


def test_proposal_says_every_setting_of_the_segment_and_nothing_of_others(build_grid):
    snapshot = build_grid()
    result = run(snapshot)

    assert result.configuration.addresses == snapshot.segments[0].addresses
    for _, settings in result.configuration.entries:
        assert None not in (
            settings.relay,
            settings.relay_retransmit,
            settings.network_transmit,
            settings.default_ttl,
        )
    whole = snapshot.configuration.restricted(snapshot.segments[0].addresses).overlaid(result.configuration)
    assert result.digest == compute_digest(whole)


def test_frozen_nodes_and_nodes_that_can_not_relay_are_left_alone(build_grid):
    snapshot = build_grid(frozen=frozenset({3}), unable=frozenset({4}))
    silent = replace(snapshot.configuration.get(4), relay=None, relay_retransmit=None)
    configuration = type(snapshot.configuration).of({**snapshot.configuration.as_dict(), 4: silent})
    result = run(replace(snapshot, configuration=configuration))

    assert 3 not in result.configuration.addresses
    assert result.configuration.get(4).relay is None
    assert 3 not in result.changed_nodes


def test_reported_figures_come_from_states_that_no_round_has_seen(build_grid):
    result = run(build_grid(), seed=7)
    assert result.evidence.seed == 7
    assert result.prediction.seed != 7


def test_equal_snapshot_and_seed_give_equal_results(build_grid):
    assert run(build_grid(), seed=5) == run(build_grid(), seed=5)


def test_good_configuration_is_left_as_it_is(build_grid):
    snapshot = build_grid()
    first = run(snapshot)
    improved = replace(snapshot, configuration=snapshot.configuration.overlaid(first.configuration))

    second = run(improved, seed=2)

    assert second.outcome is Outcome.NOTHING_BETTER
    assert second.configuration is None


def test_unreachable_objectives_are_answered_with_the_best_seen_and_its_gap(build_grid):
    within_a_millisecond = ObjectivesModel(on_time_within_milliseconds=1, on_time_at_least_per_mille=990)
    result = run(build_grid(), objectives=within_a_millisecond)

    assert result.outcome is Outcome.OBJECTIVES_UNREACHABLE
    assert result.configuration is None
    assert result.prediction is not None
    assert any(gap.startswith("onTime of west is") for gap in result.gaps)


def test_redundancy_objective_is_met_by_the_proposal(build_grid):
    objectives = ObjectivesModel(
        on_time_within_milliseconds=150, on_time_at_least_per_mille=900, redundancy_at_least_paths=2
    )
    result = run(build_grid(), objectives=objectives)

    assert result.outcome is Outcome.PROPOSED
    assert result.prediction.after.redundancy >= 2


def test_evidence_says_why_the_losers_lost(build_grid):
    evidence = run(build_grid()).evidence

    assert evidence.candidates_tried == sum(evidence.proposed_by.values())
    assert set(evidence.proposed_by) == set(ALL)
    assert [t.verdict for t in evidence.trials].count("proposed") == 1
    losers = evidence.trials[1:]
    assert all(t.reason and any(letter.isdigit() for letter in t.verdict) for t in losers)


def test_trade_offs_hold_what_is_proposed_and_in_force_with_the_figures_of_the_prediction(build_grid):
    result = run(build_grid())
    points = {p.role: p for p in result.evidence.pareto}

    for role, kpis in ((Role.PROPOSED, result.prediction.after), (Role.IN_FORCE, result.prediction.before)):
        flow = next(f for f in kpis.flows if f.flow == "west")
        assert points[role].merits.on_time == flow.on_time.estimate
        assert points[role].merits.redundancy == kpis.redundancy
        assert points[role].merits.airtime_ratio == kpis.airtime_ratio.estimate
    assert {p.messages for p in result.evidence.pareto} == {16}
    assert [p.verdict == "" for p in result.evidence.pareto] == [
        p.role is Role.PROPOSED for p in result.evidence.pareto
    ]


def test_trial_and_trade_off_of_one_candidate_tell_one_airtime(build_grid):
    evidence = to_pipeline_response(run(build_grid())).evidence
    trials = {t.digest: t.airtime_per_million for t in evidence.trials}
    points = {p.digest: p.airtime_per_million for p in evidence.pareto if p.digest is not None}
    assert points
    assert points == {digest: trials[digest] for digest in points}


def test_fast_model_prunes_and_is_told_before_the_simulation_decides(build_grid):
    told = []

    def asked():
        told.clear()
        return run_pipeline(
            request(recipes=(*ALL, "local-search"), parameters={"local-search": {"evaluations": 60}}),
            build_grid(),
            InProcessJudge(),
            seed=5,
            progress=no_progress,
            quick=InProcessQuickJudge(),
            provisional=lambda prediction, about: told.append(prediction),
        )

    result = asked()

    assert result.outcome is Outcome.PROPOSED
    assert 0 < result.evidence.pruned < result.evidence.candidates_tried
    assert result.evidence.models == ("graph", "fast", "packet-simulator")
    assert all(p.provisional and p.model == "fast" for p in told)
    assert not result.prediction.provisional
    assert asked() == result


def test_trade_offs_are_told_best_on_time_first_and_none_beats_another(build_grid):
    points = run(build_grid()).evidence.pareto
    costs = [p.merits.as_costs() for p in points if not p.is_beaten]
    assert costs
    assert [p.merits.on_time for p in points] == sorted((p.merits.on_time for p in points), reverse=True)
    assert not any(
        all(a <= b for a, b in zip(one, other, strict=True)) for one in costs for other in costs if one != other
    )


def test_all_relays_alone_are_proposed_where_they_save_enough(build_grid):
    result = run(build_grid(), recipes=("all-relays",))
    assert result.outcome is Outcome.PROPOSED
    assert result.message.endswith("every node that can")


def test_baseline_that_takes_spare_paths_away_is_not_proposed_and_the_run_says_why(build_grid):
    result = run(build_grid(), recipes=("connected-dominating-set",))
    assert result.configuration is None
    assert "connected-dominating-set: 2 nodes would hang on a single relay" in result.message
    assert result.warnings


def test_answer_survives_the_wire(build_grid):
    response = to_pipeline_response(run(build_grid()))
    assert PipelineResponse.model_validate_json(response.to_payload()) == response
    assert response.outcome == "Proposed"
    assert response.settings


def test_progress_rises_to_one(build_grid):
    told = []
    run(build_grid(), progress=lambda share, stage: told.append(share))
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_cancelled_run_ends(build_grid):
    def cancel(share, stage):
        raise Cancelled("nobody waits any more")

    with pytest.raises(Cancelled):
        run(build_grid(), progress=cancel)


def test_unknown_segment_is_refused_with_the_known_ones(build_grid):
    with pytest.raises(InvalidInput, match="'cellar' is not in the snapshot; known: office-west, office-east"):
        run(build_grid(), segment="cellar")


def test_unknown_recipe_is_refused_with_its_place(build_grid):
    with pytest.raises(InvalidInput, match=r"'magic' is not known.*recipes\[0\].uses"):
        run(build_grid(), recipes=("magic",))


def test_parameter_out_of_bounds_is_refused_with_its_limit(build_grid):
    with pytest.raises(InvalidInput, match=r"mostRelaysHeard 9 is outside 1\.\.5"):
        run(build_grid(), parameters={"fewest-sufficient-relays": {"mostRelaysHeard": 9}})


def test_segment_without_flows_is_refused(build_grid):
    with pytest.raises(InvalidInput, match="nothing to judge by"):
        run(replace(build_grid(), flows=()))


def test_snapshot_without_links_has_to_wait(build_grid):
    with pytest.raises(Unavailable, match="wait for neighbour reports"):
        run(replace(build_grid(), links=()))


def test_modest_configuration_that_meets_objectives_is_not_replaced_for_nothing(build_grid):
    modest = NodeSettings(
        relay=True,
        relay_retransmit=Transmit(count=0, interval_steps=1),
        network_transmit=Transmit(count=0, interval_steps=1),
        default_ttl=3,
    )
    result = run(build_grid(settings=modest, near=0.99), recipes=("path-redundancy",))
    assert result.outcome is Outcome.NOTHING_BETTER
    assert result.message == "no recipe had a candidate"
