"""The search over designs: its steps, its climbing, its Pareto set; with a fast model that is a formula."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.recipes.figure_builders import kpis

from meshtwin.mesh.configuration import NodeSettings, Transmit
from meshtwin.mesh.kpis import Objectives
from meshtwin.ports import QuickAnswer
from meshtwin.recipes.baselines import Evolution, betweenness_design, dominating_set_design, evolve
from meshtwin.recipes.building import Design, complete_configuration, relay_capable
from meshtwin.recipes.climbing import Ascent, climb
from meshtwin.recipes.local_search import LocalSearch, all_relays_design
from meshtwin.recipes.moves import Space, block_size, iter_relay_moves, iter_setting_moves
from meshtwin.recipes.parameters import check_built_in
from meshtwin.recipes.pareto import Merits, pareto_indices
from meshtwin.recipes.pipeline import ask_question
from meshtwin.recipes.sieve import KEPT_PER_RECIPE, Sieve
from meshtwin.recipes.values import Candidate, Trial

ONCE = Transmit(count=1, interval_steps=1)
ADDRESSES = st.frozensets(st.integers(1, 40), max_size=20)


def design(relays=(), *, ttl=5):
    return Design(relays=frozenset(relays), network_transmit=ONCE, relay_retransmit=ONCE, ttl=ttl)


@dataclass
class Formula:
    """A quick judge: nodes 3 and 5 must relay, each relay costs airtime; it declines a TTL above 60."""

    quick_model: str = "formula"
    asked: list = field(default_factory=list)

    def estimate(self, snapshot, configurations, *, seed):
        return tuple(self._answer(snapshot, c) for c in configurations)

    def _answer(self, snapshot, configuration):
        self.asked.append(configuration)
        whole = snapshot.configuration.overlaid(configuration).as_dict()
        relays = {a for a, s in whole.items() if s.relay}
        if whole[1].default_ttl > 60 and configuration.entries:
            return QuickAnswer(declined="the TTL is too large")
        return QuickAnswer(kpis=kpis(0.5 + 0.25 * len({3, 5} & relays), 0.001 * (1 + len(relays))))


def question_about(snapshot):
    # One path is enough: what the formula rewards would else be refused, since single relays would hold it up.
    return ask_question(snapshot, "office-west", Objectives(on_time_at_least=0.95, redundancy_at_least=1))


def propose(question, quick, **parameters):
    trial = Trial(
        question=question,
        parameters=check_built_in("local-search", parameters, "parameters"),
        quick=quick,
        seed=4,
    )
    return list(LocalSearch().propose(trial))


@given(relays=ADDRESSES, others=ADDRESSES, block=st.integers(1, 5), key=st.integers(0, 2**64 - 1))
def test_steps_stay_within_the_space_and_change_something(relays, others, block, key):
    space = Space.of(relays | others)
    for step in iter_relay_moves(design(relays), space, block=block, key=key, most=50):
        assert step.relays <= set(space.capable)
        assert step.relays != relays
        assert len(step.relays ^ relays) <= max(2, block)


@given(relays=ADDRESSES, others=ADDRESSES, key=st.integers(0, 2**64 - 1))
def test_single_steps_try_every_relay_and_every_other_node(relays, others, key):
    space = Space.of(relays | others)
    steps = list(iter_relay_moves(design(relays), space, block=1, key=key, most=1000))
    changed = {frozenset(s.relays ^ relays) for s in steps}
    assert {frozenset({a}) for a in space.capable} <= changed


def test_setting_steps_change_one_number_each():
    start = design({1, 2})
    for step in iter_setting_moves(start):
        differing = [
            n for n in ("network_transmit", "relay_retransmit", "ttl") if getattr(step, n) != getattr(start, n)
        ]
        assert len(differing) == 1
        assert step.relays == start.relays


def test_steps_shrink_to_single_relays():
    sizes = [block_size(design(range(100)), stage) for stage in range(6)]
    assert sizes == [25, 10, 3, 1, 1, 1]


def climbed(start, wanted, *, left=500, allow=lambda _: True, capable=range(1, 13)):
    """Climbs a landscape in which the score is the number of relays that differ from ``wanted``."""
    asked = []

    def ask(designs):
        asked.extend(designs)
        return [kpis(1.0, 0.001)] * len(designs)

    ascent = Ascent(ask=ask, score=lambda d, _: (float(len(d.relays ^ wanted)),), allow=allow, left=left)
    space = Space.of(frozenset(capable), vary_settings=False)
    return climb(ascent, start, space, seed=1), asked


@given(start=st.frozensets(st.integers(1, 12)), wanted=st.frozensets(st.integers(1, 12)))
@settings(max_examples=30, deadline=None)
def test_climb_reaches_the_top_of_a_smooth_hill(start, wanted):
    found, _ = climbed(design(start), wanted)
    assert found.design.relays == wanted


def test_climb_asks_about_each_design_once_and_not_more_than_allowed():
    _, asked = climbed(design(range(1, 13)), frozenset({1}), left=40)
    assert len(asked) == len(set(asked)) <= 40


def test_climb_does_not_step_where_it_is_not_allowed():
    found, _ = climbed(design({1, 2, 3}), frozenset(), allow=lambda d: len(d.relays) >= 2)
    assert len(found.design.relays) == 2


def test_climb_from_a_start_that_is_not_allowed_ends_at_once():
    found, _ = climbed(design({1}), frozenset(), allow=lambda _: False)
    assert found is None


def test_search_finds_the_relays_that_are_needed_and_no_others(build_grid):
    question = question_about(build_grid())
    best = propose(question, Formula())[0]
    assert {a for a, s in best.configuration.entries if s.relay} == {3, 5}
    assert "the fast model expects 1000 per mille on time" in best.reason


def test_search_also_starts_from_what_is_in_force(build_grid):
    odd = Transmit(count=3, interval_steps=7)  # as no recipe would choose it
    in_force = NodeSettings(relay=True, relay_retransmit=odd, network_transmit=odd, default_ttl=9)
    quick = Formula()

    propose(question_about(build_grid(settings=in_force)), quick, varySettings=0)

    near = [c for c in quick.asked if c.entries and {s.network_transmit for _, s in c.entries} == {odd}]
    assert near
    assert all(s.default_ttl == 9 for c in near for _, s in c.entries)


def test_search_proposes_nothing_without_a_fast_model(build_grid):
    assert propose(question_about(build_grid()), None) == []


def test_search_leaves_frozen_nodes_alone(build_grid):
    snapshot = build_grid(frozen=frozenset({2}), unable=frozenset({4}))
    for candidate in propose(question_about(snapshot), Formula()):
        assert 2 not in candidate.configuration.addresses
        assert candidate.configuration.get(4).relay == snapshot.configuration.get(4).relay


def test_search_keeps_to_the_number_of_evaluations(build_grid):
    quick = Formula()
    propose(question_about(build_grid()), quick, evaluations=20)
    assert len(quick.asked) <= 20 + 1  # and what is in force


def test_search_that_may_change_relays_only_leaves_settings(build_grid):
    question = question_about(build_grid())
    candidates = propose(question, Formula(), varySettings=0)
    starts = {(s.network_transmit, s.relay_retransmit.count) for c in candidates for _, s in c.configuration.entries}
    assert all(transmit.interval_steps == 1 for transmit, _ in starts)


def test_equal_trials_give_equal_proposals(build_grid):
    question = question_about(build_grid())
    assert propose(question, Formula()) == propose(question, Formula())


def candidates_of(question, count):
    capable = sorted(relay_capable(question))
    for number in range(count):
        relays = [a for bit, a in enumerate(capable) if number >> bit & 1]
        configuration = complete_configuration(question, design(relays, ttl=5))
        yield Candidate(configuration=configuration, recipe="test", reason=f"number {number}")


def test_sieve_keeps_the_promising_ones_and_tells_the_best(build_grid):
    question, told = question_about(build_grid()), []
    sieve = Sieve(
        question=question,
        quick=Formula(),
        seed=1,
        provisional=lambda prediction, about: told.append((prediction, about)),
    )
    candidates = list(candidates_of(question, 40))
    going = sieve.sift(candidates)

    assert len(going) == KEPT_PER_RECIPE
    assert len(sieve.pruned.judged) == 40 - KEPT_PER_RECIPE
    assert any({a for a, s in c.configuration.entries if s.relay} == {3, 5} for c in going)
    prediction, about = told[-1]
    assert prediction.provisional
    assert prediction.model == "formula"
    assert prediction.after.flows[0].on_time.estimate == 1.0
    assert about == "number 20"


def test_sieve_lets_pass_what_the_fast_model_declines(build_grid):
    question = question_about(build_grid())
    sieve = Sieve(question=question, quick=Formula(), seed=1, provisional=lambda *_: None)
    beyond = Candidate(
        configuration=complete_configuration(question, design({3}, ttl=100)), recipe="test", reason="declined"
    )
    assert beyond in sieve.sift([beyond, *candidates_of(question, 30)])


def test_sieve_without_a_fast_model_lets_everything_pass(build_grid):
    question = question_about(build_grid())
    candidates = list(candidates_of(question, 30))
    sieve = Sieve(question=question, quick=None, seed=1, provisional=lambda *_: None)
    assert sieve.sift(candidates) == candidates
    assert sieve.pruned is None


MERITS = st.builds(
    Merits,
    on_time=st.sampled_from([0.5, 0.9, 0.99]),
    spread_p95_ms=st.sampled_from([None, 20.0, 80.0]),
    airtime_ratio=st.sampled_from([0.001, 0.01, 0.05]),
    redundancy=st.sampled_from([None, 1, 2]),
    energy_mj_per_h=st.sampled_from([None, 10.0, 40.0]),
)


@given(st.lists(MERITS, max_size=12))
def test_pareto_set_holds_what_nothing_beats_and_something_that_beats_each_of_the_others(merits):
    chosen = pareto_indices(merits)
    costs = [m.as_costs() for m in merits]

    def covers(one, other):
        return all(a <= b for a, b in zip(costs[one], costs[other], strict=True))

    for i in chosen:
        assert not any(covers(j, i) and costs[j] != costs[i] for j in range(len(merits)))
    for i in set(range(len(merits))) - set(chosen):
        assert any(covers(j, i) for j in chosen)


def test_baselines_choose_among_capable_nodes(build_grid):
    question = question_about(build_grid(unable=frozenset({4})))
    capable = relay_capable(question)
    assert all_relays_design(question).relays == capable
    assert dominating_set_design(question).relays < capable
    half = betweenness_design(question, share=0.6)
    assert half.relays <= capable
    assert len(half.relays) == 3


def test_genetic_algorithm_finds_a_wanted_set_and_repeats_itself():
    wanted = frozenset({2, 5, 7})

    def fitness(designs):
        return [(float(len(d.relays ^ wanted)),) for d in designs]

    def run():
        return evolve(design(range(1, 11)), frozenset(range(1, 11)), fitness, seed=1, size=Evolution())

    best, value = run()
    assert best.relays == wanted
    assert value == (0.0,)
    assert run() == (best, value)
