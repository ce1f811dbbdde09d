"""What a candidate must bear before it is proposed, and what it is given so that it does."""

from dataclasses import replace

import pytest

from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit
from meshtwin.mesh.kpis import FlowKpis, HowKnown, Interval, NetworkKpis, Objectives
from meshtwin.ports import no_progress
from meshtwin.recipes.building import Design, complete_configuration
from meshtwin.recipes.doubts import EXPECTED_FALL_MAX, FALL_MAX, NO_TROUBLE, Doubts, Fall, Trouble, weaken
from meshtwin.recipes.hardening import harden
from meshtwin.recipes.messages import ObjectivesModel, PipelineRequest, RecipeUseModel
from meshtwin.recipes.pipeline import run_pipeline
from meshtwin.recipes.results import Outcome
from meshtwin.recipes.scoring import find_falls
from meshtwin.recipes.values import Candidate, Question
from meshtwin.whatif.judging import InProcessJudge
from meshtwin.whatif.quick import InProcessQuickJudge

SENDS = Transmit(count=2, interval_steps=1)
WANTED = Objectives(on_time_at_least=0.9)


def kpis_of(**on_time):
    return NetworkKpis(
        flows=tuple(
            FlowKpis(
                flow=name,
                sent=100,
                on_time=Interval(estimate=share, low=share, high=share),
                delivery=Interval(estimate=share, low=share, high=share),
                latency_p50_ms=None,
                latency_p95_ms=None,
                latency_p99_ms=None,
                spread_p95_ms=None,
                how_known=HowKnown.PREDICTED,
            )
            for name, share in on_time.items()
        ),
        airtime_ratio=Interval(estimate=0.01, low=0.01, high=0.01),
    )


@pytest.fixture
def question(build_grid):
    """Six columns of two nodes, all relays: each column can lose one of its two."""
    settings = NodeSettings(relay=True, relay_retransmit=SENDS, network_transmit=SENDS, default_ttl=10)
    snapshot = build_grid(settings=settings)
    return Question(snapshot=snapshot, segment=snapshot.segments[0], objectives=WANTED)


def make_doubts(question):
    quick = InProcessQuickJudge()
    return Doubts(
        question=question, ask=lambda snapshot, wanted: [a.kpis for a in quick.estimate(snapshot, wanted, seed=3)]
    )


def candidate(question, relays, *, ttl=10):
    design = Design(relays=frozenset(relays), network_transmit=SENDS, relay_retransmit=SENDS, ttl=ttl)
    return Candidate(configuration=complete_configuration(question, design), recipe="test", reason=str(design))


def falls_of(question, relays):
    whole = question.snapshot.configuration.overlaid(candidate(question, relays).configuration)
    return make_doubts(question).find(whole)


def test_what_is_in_force_falls_under_no_trouble(question):
    falls = make_doubts(question).find(question.snapshot.configuration)

    assert all(fall.size == 0.0 for fall in falls)


def test_only_relay_of_a_place_is_what_a_candidate_can_not_lose(question):
    worst = falls_of(question, {1, 3, 5})[0]

    assert worst.trouble.dead == 3
    assert worst.size > 0.8
    assert "if links deliver 15% less than believed and relay 0003 is dead" in str(worst)


def test_two_relays_of_each_place_bear_the_loss_of_one(question):
    falls = [fall for fall in falls_of(question, {1, 2, 3, 4, 5, 6}) if fall.flow == "west"]

    assert all(fall.excess <= 0.0 for fall in falls)


def test_relays_are_not_doubted_where_one_path_is_enough(question):
    content = replace(question, objectives=replace(WANTED, redundancy_at_least=1))

    falls = falls_of(content, {1, 3, 5})

    assert {fall.trouble for fall in falls} == {NO_TROUBLE, Trouble(is_weak=True)}


def test_hardening_adds_what_a_candidate_lacks_and_says_so(question):
    thin = candidate(question, {1, 3, 5})

    hardened = harden(make_doubts(question), thin)

    relays = {a for a, s in hardened.candidate.configuration.entries if s.relay}
    assert hardened.is_tolerable
    assert relays >= {1, 3, 4, 5}
    assert "to bear a dead relay and weaker links" in hardened.candidate.reason


def test_hardening_leaves_a_candidate_that_has_enough_as_it_is(question):
    rich = candidate(question, {1, 2, 3, 4, 5, 6})

    assert harden(make_doubts(question), rich).candidate is rich


def test_candidate_of_no_single_rule_is_judged_and_not_changed(question):
    mixed = candidate(question, {1, 3, 5})
    odd = NodeSettings(default_ttl=4)
    mixed = replace(mixed, configuration=mixed.configuration.overlaid(Configuration.of({2: odd})))

    hardened = harden(make_doubts(question), mixed)

    assert hardened.candidate is mixed
    assert not hardened.is_tolerable


def test_troubles_that_no_model_answers_are_left_out(question):
    silent = Doubts(question=question, ask=lambda _, wanted: [None] * len(wanted))

    hardened = harden(silent, candidate(question, {1, 3, 5}))

    assert hardened.worst is None
    assert hardened.is_tolerable


def test_weaker_links_deliver_a_share_of_what_they_did_and_are_as_certain(question):
    before = question.snapshot

    after = weaken(before, 0.5)

    for was, now in zip(before.links, after.links, strict=True):
        assert now.delivery_mean == pytest.approx(was.delivery_mean / 2)
        assert now.delivery_alpha + now.delivery_beta == pytest.approx(was.delivery_alpha + was.delivery_beta)


def test_more_is_allowed_under_a_trouble_than_without():
    assert Fall(flow="f", size=0.03).excess == pytest.approx(0.03 - EXPECTED_FALL_MAX)
    assert Fall(flow="f", size=0.03, trouble=Trouble(is_weak=True)).excess == pytest.approx(0.03 - FALL_MAX)


def test_expected_fall_of_a_flow_is_a_gap_though_the_objective_is_met(question):
    gaps = find_falls(question, kpis_of(west=1.0, east=0.99), kpis_of(west=0.96, east=0.98), None)

    assert [gap.flow for gap in gaps] == ["west"]
    assert gaps[0].text == "onTime of west would be 40 per mille below that of the one in force"


def test_proposal_bears_the_loss_of_any_relay_it_depends_on(build_grid):
    snapshot = build_grid()
    asked = PipelineRequest(
        run_id="run",
        pipeline="lighting",
        segment="office-west",
        recipes=[RecipeUseModel(name="relays", uses="fewest-sufficient-relays")],
        objectives=ObjectivesModel(on_time_at_least_per_mille=900),
        messages_per_flow=8,
        replications=2,
    )

    result = run_pipeline(asked, snapshot, InProcessJudge(), seed=4, progress=no_progress, quick=InProcessQuickJudge())

    assert result.outcome is Outcome.PROPOSED
    judged = Question(snapshot=snapshot, segment=snapshot.segments[0], objectives=WANTED)
    falls = make_doubts(judged).find(snapshot.configuration.overlaid(result.configuration))
    assert max(fall.excess for fall in falls if fall.trouble.dead is not None) <= 0.03  # other states, some luck


def test_fall_under_a_trouble_is_a_gap_that_names_the_trouble(question):
    figures = kpis_of(west=0.99)
    worst = Fall(flow="west", size=0.083, trouble=Trouble(is_weak=True, dead=3))

    (gap,) = find_falls(question, figures, figures, worst)

    assert gap.text == (
        "onTime of west would be 83 per mille below that of the one in force "
        "if links deliver 15% less than believed and relay 0003 is dead"
    )


def test_questions_about_troubles_are_fewer_on_large_networks(question):
    few = Doubts(question=question, ask=lambda _, wanted: [None] * len(wanted), work=60)

    few.find(question.snapshot.configuration)

    assert few.questions == 5
    assert few.is_exhausted
