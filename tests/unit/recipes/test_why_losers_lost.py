"""What a run says of the candidates that it does not propose."""

from dataclasses import replace

import pytest
from tests.unit.recipes.figure_builders import kpis

from meshtwin.mesh.configuration import Configuration, Transmit, compute_digest
from meshtwin.mesh.kpis import Objectives, Prediction
from meshtwin.recipes.building import Design, complete_configuration
from meshtwin.recipes.comparing import Duel, find_worse
from meshtwin.recipes.doubts import Fall, Trouble
from meshtwin.recipes.found import Found
from meshtwin.recipes.hardening import describe_additions
from meshtwin.recipes.losing import Losing, describe_trials
from meshtwin.recipes.results import Role, Stage
from meshtwin.recipes.rounds import Finalist, Pool
from meshtwin.recipes.standing import Standing
from meshtwin.recipes.trade_offs import choose_alternatives, find_pareto_points
from meshtwin.recipes.values import Candidate, Judged, Question
from meshtwin.recipes.verdict import Confirmation

TWICE = Transmit(count=1, interval_steps=1)
FALL = Fall(flow="west", size=0.083, trouble=Trouble(is_weak=True, dead=3))


@pytest.fixture
def question(build_grid):
    snapshot = build_grid()
    return Question(snapshot=snapshot, segment=snapshot.segments[0], objectives=Objectives(on_time_at_least=0.9))


def judged(question, relays, *, on_time=0.95, airtime=0.01):
    design = Design(relays=frozenset(relays), network_transmit=TWICE, relay_retransmit=TWICE, ttl=5)
    candidate = Candidate(configuration=complete_configuration(question, design), recipe="test", reason=f"{design}: x")
    return Judged(candidate=candidate, kpis=kpis(on_time, airtime))


def confirm(question, plain, *, fresh, hardened=None, lacked=None):
    """A finalist with its figures on fresh states; what is in force is late there."""
    found = plain if hardened is None else replace(plain, candidate=hardened.candidate)
    finalist = Finalist(judged=found, worst=None, plain=plain, lacked=lacked)
    prediction = Prediction(
        before=kpis(0.5, 0.05),
        after=fresh,
        model="m",
        profile="zephyr",
        seed=9,
        replications=8,
        snapshot_fingerprint="f",
    )
    return Confirmation.of(question, finalist, prediction, fresh)


def losing(question, standings, confirmed, *, finalists=(), alternatives=(), pruned=()):
    before = kpis(0.5, 0.05)
    rounds = tuple(Standing(before=before, judged=tuple(some)) for some in standings)
    pool = Pool(
        standing=rounds[0],
        pruned=Standing(before=before, judged=tuple(pruned)) if pruned else None,
        proposed_by={"test": 1},
        refused=(),
        expected=(*rounds[0].judged, *pruned),
    )
    found = Found(
        pool=pool,
        standings=rounds,
        confirmed=tuple(confirmed),
        finalists=(*(c.finalist for c in confirmed), *finalists),
        alternatives=tuple(alternatives),
    )
    return Losing(question=question, found=found, best=found.best_for(question), is_proposed=bool(confirmed))


def verdicts(case):
    records, left_out = describe_trials(case)
    assert left_out == 0
    return {record.relays: (record.stage, record.verdict) for record in records}


def duel(question, mine, theirs, **more):
    return Duel(question=question, kpis=mine, rival=theirs, relays=3, rival_relays=3, **more)


def test_every_way_of_being_worse_is_told_with_its_difference(question):
    mine = kpis(0.95, 0.02)
    mine = replace(mine, flows=(replace(mine.flows[0], latency_p99_ms=90.0, spread_p95_ms=40.0),), redundancy=1)
    theirs = replace(kpis(0.97, 0.01), redundancy=2)
    assert find_worse(duel(question, mine, theirs)) == [
        "airtime 20.0 per mille (+10.0)",
        "latency p99 of west 90 ms (+30)",
        "onTime of west 950 per mille (-20)",
        "spread p95 of west 40 ms (+10)",
        "1 disjoint path (-1)",
    ]


def test_differences_as_small_as_luck_are_not_told(question):
    assert find_worse(duel(question, kpis(0.948, 0.0102), kpis(0.95, 0.01))) == []


def test_airtime_is_told_without_reports_where_the_whole_is_not_more(question):
    mine = replace(kpis(0.95, 0.0244), reporting_airtime_ratio=0.0144)
    theirs = replace(kpis(0.95, 0.0248), reporting_airtime_ratio=0.0152)
    assert find_worse(duel(question, mine, theirs)) == ["airtime without reports 10.0 per mille (+0.4)"]


def test_paths_that_nobody_counted_are_no_reason(question):
    wanting = replace(question, objectives=replace(question.objectives, redundancy_at_least=2))
    best, dear = judged(wanting, {1, 3}), judged(wanting, {1, 3, 5}, airtime=0.03)
    best = replace(best, kpis=replace(best.kpis, redundancy=2))
    confirmed = confirm(wanting, best, fresh=replace(kpis(0.95, 0.01), redundancy=2))
    case = losing(wanting, [[best]], [confirmed], pruned=[dear])
    assert verdicts(case)[3][1] == "worse than what is proposed: airtime 30.0 per mille (+20.0)"


def test_more_relays_are_told_where_all_else_is_equal(question):
    equal = kpis(0.95, 0.01)
    assert find_worse(replace(duel(question, equal, equal), relays=5)) == ["5 relays (+2)"]


def test_one_alone_is_proposed_and_other_finalists_lost_to_it(question):
    first, second = judged(question, {1, 3}), judged(question, {1, 3, 5})
    confirmed = [
        confirm(question, first, fresh=kpis(0.95, 0.01)),
        confirm(question, second, fresh=kpis(0.95, 0.014)),
    ]
    assert verdicts(losing(question, [[first, second]], confirmed)) == {
        2: (Stage.FRESH_STATES, "proposed"),
        3: (Stage.FRESH_STATES, "worse than what is proposed: airtime 14.0 per mille (+4.0)"),
    }


def test_loser_that_misses_an_objective_says_which_and_by_how_much(question):
    best, late = judged(question, {1, 3}), judged(question, {3}, on_time=0.8)
    case = losing(question, [[best, late]], [confirm(question, best, fresh=kpis(0.95, 0.01))])
    assert verdicts(case)[1] == (Stage.FIRST_ROUND, "onTime of west is 800 per mille, below 900")


def test_finalist_that_had_to_be_hardened_says_what_it_lacked_and_that_it_is_proposed_with_more(question):
    plain, hardened = judged(question, {1, 3}), judged(question, {1, 3, 5})
    best = confirm(question, plain, fresh=kpis(0.95, 0.01), hardened=hardened, lacked=FALL)
    stage, verdict = verdicts(losing(question, [[plain]], [best]))[2]
    assert stage is Stage.FIRST_ROUND
    assert verdict == (
        "onTime of west would be 83 per mille below that of the one in force if links deliver 15% less than believed "
        "and relay 0003 is dead; what is proposed is this with 1 relay more"
    )


def test_finalist_that_nothing_helps_says_what_it_would_lose(question):
    best, weak = judged(question, {1, 3, 5}), judged(question, {1, 3})
    helpless = Finalist(judged=weak, worst=FALL, plain=weak, lacked=None)
    case = losing(question, [[weak, best]], [confirm(question, best, fresh=kpis(0.95, 0.01))], finalists=[helpless])
    assert verdicts(case)[2][1] == str(FALL)


def test_loser_that_only_the_fast_model_saw_is_compared_by_it(question):
    best, dear = judged(question, {1, 3}), judged(question, {1, 3, 5}, airtime=0.03)
    case = losing(question, [[best]], [confirm(question, best, fresh=kpis(0.95, 0.01))], pruned=[dear])
    expected = (Stage.FAST_MODEL, "worse than what is proposed: airtime 30.0 per mille (+20.0)")
    assert verdicts(case)[3] == expected


def test_loser_that_is_not_worse_than_the_proposal_says_what_was_before_it_in_its_round(question):
    cheap, best = judged(question, {1}, airtime=0.005), judged(question, {1, 3}, airtime=0.02)
    case = losing(
        question, [[cheap, judged(question, {1, 3, 5}), best]], [confirm(question, best, fresh=kpis(0.95, 0.02))]
    )
    stage, verdict = verdicts(case)[3]
    assert stage is Stage.FIRST_ROUND
    assert verdict == (
        "worse than the first in the first round: airtime 10.0 per mille (+5.0); "
        "not worse than what is proposed in the first round"
    )


def test_pareto_points_are_judged_on_the_states_of_the_prediction_alone(question):
    best, cheap, other = judged(question, {1, 3}), judged(question, {1}, airtime=0.005), judged(question, {3})
    confirmed = [confirm(question, best, fresh=kpis(0.95, 0.01))]
    case = losing(question, [[best, cheap, other], [best, cheap, other]], confirmed)

    wanted, left_out = choose_alternatives(question, case.found)
    assert cheap.candidate in wanted
    assert left_out == 0

    fresh = Judged(candidate=cheap.candidate, kpis=kpis(0.91, 0.006))
    points = find_pareto_points(replace(case, found=replace(case.found, alternatives=(fresh,))))
    assert [(p.role, p.merits.on_time, p.is_beaten) for p in points] == [
        (Role.PROPOSED, 0.95, False),
        (Role.ALTERNATIVE, 0.91, False),
        (Role.IN_FORCE, 0.5, False),  # it has a path more
    ]
    assert points[1].verdict == (
        "worse than what is proposed: onTime of west 910 per mille (-40); "
        "not held against weaker links and a dead relay"
    )
    assert points[2].verdict == "onTime of west is 500 per mille, below 900"


def test_best_that_is_not_proposed_is_shown_though_another_beats_it(question):
    best, cheap = judged(question, {1, 3}), judged(question, {1})
    case = losing(question, [[best, cheap], [best, cheap]], [confirm(question, best, fresh=kpis(0.85, 0.02))])
    better = Judged(candidate=cheap.candidate, kpis=kpis(0.86, 0.01))
    case = replace(case, is_proposed=False, found=replace(case.found, alternatives=(better,)))
    points = find_pareto_points(case)
    mine = next(p for p in points if p.digest == compute_digest(best.candidate.configuration))
    assert (mine.role, mine.merits.on_time) == (Role.ALTERNATIVE, 0.85)
    assert mine.verdict == "onTime of west is 850 per mille, below 900"


def test_alternative_that_misses_less_than_all_finalists_is_the_best_that_is_told(question):
    best, cheap, good = judged(question, {1, 3}), judged(question, {1}), judged(question, {3})
    case = losing(
        question, [[best, cheap, good], [best, cheap, good]], [confirm(question, best, fresh=kpis(0.8, 0.02))]
    )
    closer = Judged(candidate=cheap.candidate, kpis=kpis(0.85, 0.01))
    unproven = Judged(candidate=good.candidate, kpis=kpis(0.95, 0.01))  # meets the objective, under no trouble
    found = replace(case.found, alternatives=(closer, unproven))

    told = found.closest_for(question, case.best)
    assert told.judged == closer
    assert [gap.text for gap in told.gaps] == ["onTime of west is 850 per mille, below 900"]
    records, _ = describe_trials(replace(case, found=found, best=told, is_proposed=False))
    assert (records[0].digest, records[0].verdict) == (
        compute_digest(cheap.candidate.configuration),
        "onTime of west is 850 per mille, below 900",
    )


def test_finalist_that_misses_least_on_the_same_states_stays_the_best(question):
    best, cheap = judged(question, {1, 3}), judged(question, {1})
    case = losing(question, [[best, cheap], [best, cheap]], [confirm(question, best, fresh=kpis(0.88, 0.02))])
    farther = Judged(candidate=cheap.candidate, kpis=kpis(0.85, 0.01))
    assert replace(case.found, alternatives=(farther,)).closest_for(question, case.best) is case.best


def test_no_more_alternatives_are_judged_than_a_reader_takes_in(question):
    best = judged(question, {1, 3}, on_time=0.9, airtime=0.001)
    many = [
        judged(question, {1, 3, 5, *range(2, 2 + 2 * i, 2)}, on_time=0.91 + 0.01 * i, airtime=0.01 * (i + 1))
        for i in range(3)
    ] + [judged(question, {a}, on_time=0.95 + 0.01 * a, airtime=0.05 + 0.01 * a) for a in range(1, 5)]
    case = losing(question, [[best, *many], [best, *many]], [confirm(question, best, fresh=kpis(0.9, 0.001))])
    wanted, left_out = choose_alternatives(question, case.found)
    assert len(wanted) == 4
    assert left_out == len(many) - 4
    assert many[0].candidate in wanted
    assert many[-1].candidate in wanted


def test_additions_are_counted_in_singular_and_plural():
    first = Design(relays=frozenset({1}), network_transmit=TWICE, relay_retransmit=TWICE, ttl=5)
    last = replace(first, relays=frozenset({1, 3, 5}), network_transmit=Transmit(count=2, interval_steps=1), ttl=6)
    assert describe_additions(first, last) == "2 relays more, 1 send more, 1 hop more"
    assert str(replace(first, network_transmit=Transmit(count=0, interval_steps=1))) == (
        "1 relay, TTL 5, 1 send, 2 per relay every 20 ms"
    )


def alike(question, relays, **figures):
    told = judged(question, relays, **figures)
    return replace(told, candidate=replace(told.candidate, reason="every node hears a relay"))


def test_loser_that_reads_like_the_proposal_says_how_many_of_its_relays_are_others(question):
    best, other = alike(question, {1, 3}), alike(question, {1, 5}, airtime=0.03)
    case = losing(question, [[best, other]], [confirm(question, best, fresh=kpis(0.95, 0.01))])
    assert [record.verdict for record in describe_trials(case)[0]] == [
        "proposed",
        "worse than what is proposed: airtime 30.0 per mille (+20.0); "
        "1 of its 2 relays are others than in what is proposed",
    ]


def test_loser_with_the_relays_of_the_proposal_is_told_by_its_digest(question):
    best, other = alike(question, {1, 3}), alike(question, {1, 3}, airtime=0.03)
    settings = {a: replace(s, default_ttl=9) for a, s in other.candidate.configuration.entries}
    other = replace(other, candidate=replace(other.candidate, configuration=Configuration.of(settings)))
    case = losing(question, [[best, other]], [confirm(question, best, fresh=kpis(0.95, 0.01))])
    digest = compute_digest(other.candidate.configuration).removeprefix("sha256:")
    assert describe_trials(case)[0][1].verdict.endswith(
        f"; relays of what is proposed, other settings: digest {digest[:8]}"
    )
