"""Rules that hold for every recipe, and for what plug-ins may bring."""

from dataclasses import replace
from importlib.metadata import EntryPoint
from itertools import combinations
from types import MappingProxyType

import networkx as nx
import pytest
from tests.unit.recipes.figure_builders import kpis

from meshtwin.errors import InvalidInput
from meshtwin.mesh.configuration import Configuration, NodeSettings
from meshtwin.mesh.kpis import Objectives
from meshtwin.ports import QuickAnswer
from meshtwin.recipes import registry
from meshtwin.recipes.building import design_of, segment_graph, sufficient_ttl
from meshtwin.recipes.faults import find_fault, find_managed
from meshtwin.recipes.pipeline import ask_question
from meshtwin.recipes.registry import BUILT_IN, collect_recipes, find_recipe
from meshtwin.recipes.values import Trial, check_parameters


def question_about(snapshot, segment="office-west"):
    return ask_question(snapshot, segment, Objectives(on_time_within_ms=100))


def proposals(question, name="fewest-sufficient-relays", **parameters):
    recipe = find_recipe(name)
    return list(recipe.propose(Trial(question=question, parameters=check_parameters(recipe, parameters, "parameters"))))


SEARCHING = {"fewest-sufficient-relays", "end-to-end-latency", "path-redundancy", "local-search"}
BASELINES = {"all-relays", "connected-dominating-set", "betweenness-share", "genetic-algorithm"}


def test_built_in_recipes_are_known_by_name():
    assert set(BUILT_IN) == SEARCHING | BASELINES


class Plain:
    """A recipe that a package brings."""

    name = "plain"
    parameters = MappingProxyType({})

    def propose(self, trial):
        return ()


class Ugly(Plain):
    name = "ugly\x1b[31m"


PLAIN = Plain()
UGLY = Ugly()


def plug_in(value):
    return EntryPoint(name="x", value=value, group="meshtwin.recipes")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("meshtwin.nothing:here", "ModuleNotFoundError"),
        ("meshtwin.recipes.values:nothing", "AttributeError"),
        ("meshtwin.recipes.fewest_relays:FewestSufficientRelays", "takes the name 'fewest-sufficient-relays'"),
        ("meshtwin.recipes.values:check_parameters", "can't be loaded"),
        (f"{__name__}:UGLY", "'ugly\\x1b[31m' is not"),
        ("this is no entry point", "can't be loaded"),
    ],
)
def test_broken_plug_in_is_named_and_spoils_no_other_recipe(value, why):
    known = collect_recipes([plug_in(value), plug_in(f"{__name__}:PLAIN")])

    assert set(known.recipes) == {*BUILT_IN, "plain"}
    assert set(known.broken) == {value}
    assert why in known.broken[value]


def test_unknown_recipe_says_which_plug_ins_are_broken(monkeypatch):
    monkeypatch.setattr(registry, "known_recipes", lambda: collect_recipes([plug_in("meshtwin.nothing:here")]))

    assert find_recipe("local-search").name == "local-search"
    with pytest.raises(InvalidInput, match=r"known are: all-relays.*broken plug-ins: 'meshtwin\.nothing:here' can't"):
        find_recipe("magic")


@pytest.mark.parametrize("name", sorted(BASELINES - {"genetic-algorithm"}))
def test_baseline_proposes_one_relay_set_of_nodes_that_can(build_grid, name):
    question = question_about(build_grid(frozen=frozenset({2}), unable=frozenset({3})))
    (candidate,) = proposals(question, name)
    assert candidate.recipe == name
    relays = {a for a, s in candidate.configuration.entries if s.relay}
    assert relays
    assert relays - {3} <= {1, 4, 5, 6}  # what 3 does stays as it is


def test_genetic_algorithm_asks_no_more_than_it_may(build_grid):
    asked = []

    class Counting:
        quick_model = "counting"

        def estimate(self, snapshot, configurations, *, seed):
            asked.extend(configurations)
            return tuple(QuickAnswer(kpis=kpis(0.9, 0.01 * len(c.entries))) for c in configurations)

    recipe = find_recipe("genetic-algorithm")
    parameters = check_parameters(recipe, {"evaluations": 60, "population": 16}, "parameters")
    question = question_about(build_grid())
    found = list(recipe.propose(Trial(question=question, parameters=parameters, quick=Counting(), seed=1)))

    assert len(found) == 1
    assert len(asked) <= 61
    assert list(recipe.propose(Trial(question=question, parameters=parameters))) == []


def test_objective_replaces_the_deadline_of_touching_flows_only(build_grid):
    question = question_about(build_grid())
    assert {f.name: f.deadline_ms for f in question.snapshot.flows} == {"west": 100, "east": 150}


def test_relay_sets_are_proposed_once_each_and_never_faulty(build_grid):
    question = question_about(build_grid(frozen=frozenset({2}), unable=frozenset({3})))
    candidates = proposals(question)
    assert candidates
    assert len({c.configuration for c in candidates}) == len(candidates)
    for candidate in candidates:
        assert 2 not in candidate.configuration.addresses
        assert candidate.configuration.get(3).relay == question.snapshot.configuration.get(3).relay
        fault = find_fault(question, candidate.configuration)
        assert fault is None or "cut off" in fault


def test_relays_in_force_with_fewer_repeats_are_left_where_any_other_set_takes_a_spare_path_away(build_grid):
    question = question_about(build_grid())
    candidates = proposals(question, mostRelaysHeard=1)
    spared = [c for c in candidates if find_fault(question, c.configuration) is None]
    designs = [design_of(question, c.configuration) for c in spared]
    assert len(spared) < len(candidates)
    assert {d.relays for d in designs} == {frozenset(question.segment.addresses)}
    assert {d.network_transmit.count for d in designs} == {2, 3}


def test_relays_that_shall_bear_a_failure_hang_together_without_any_two_of_them(build_grid):
    question = question_about(build_grid())
    candidates = proposals(question, mostRelaysHeard=1, connected=3)
    promised = [c for c in candidates if c.reason.endswith("when any 2 of them fail")]
    assert promised
    for candidate in promised:
        relays = {a for a, s in candidate.configuration.entries if s.relay}
        graph = segment_graph(question, transmissions=2, threshold=0.5)
        for failed in combinations(relays, 2):
            assert nx.is_connected(graph.subgraph(relays - set(failed)))
    plain = proposals(question, mostRelaysHeard=1)
    assert {c.configuration for c in candidates} != {c.configuration for c in plain}


def test_change_of_a_frozen_node_is_a_fault(build_grid):
    question = question_about(build_grid(frozen=frozenset({2})))
    said = Configuration.of({2: NodeSettings(relay=False)})
    assert find_fault(question, said) == "node 0002 is frozen or not of the segment"


def test_change_of_a_foreign_node_is_a_fault(build_grid):
    question = question_about(build_grid())
    assert "not of the segment" in find_fault(question, Configuration.of({12: NodeSettings(relay=False)}))


def test_relay_on_a_node_that_can_not_is_a_fault(build_grid):
    question = question_about(build_grid(unable=frozenset({2})))
    said = Configuration.of({2: NodeSettings(relay=False)})
    assert find_fault(question, said) == "node 0002 can't be set relay"


def test_cutting_nodes_off_from_the_gateway_is_a_fault(build_grid):
    snapshot = build_grid()
    question = question_about(snapshot)
    silent = Configuration.of({a: NodeSettings(relay=False) for a in snapshot.segments[0].addresses})
    assert find_managed(question, snapshot.configuration) == {2, 3, 4, 5, 6}
    assert find_fault(question, silent) == "2 nodes are cut off from the gateway: 0005, 0006"


def test_taking_away_a_spare_path_is_a_fault_unless_one_path_is_wanted(build_grid):
    snapshot = build_grid()
    single = Configuration.of({a: NodeSettings(relay=False) for a in (1, 2, 4, 6)})
    wanting = Objectives(on_time_within_ms=100, redundancy_at_least=1)

    fault = find_fault(question_about(snapshot), single)

    assert fault is not None
    assert "would hang on a single relay, unlike now" in fault
    assert find_fault(ask_question(snapshot, "office-west", wanting), single) is None


def test_design_is_read_back_from_its_configuration(build_grid):
    question = question_about(build_grid())
    for candidate in proposals(question):
        design = design_of(question, candidate.configuration)
        assert design is not None
        assert str(design) in candidate.reason


def test_other_segments_are_drawn_together_into_one_node(build_grid):
    graph = segment_graph(question_about(build_grid()), transmissions=1, threshold=0.5)
    assert sorted(graph) == [-2, 1, 2, 3, 4, 5, 6]
    assert sorted(graph[-2]) == [5, 6]


def test_ttl_suffices_for_flows_and_for_the_gateway(build_grid):
    question = question_about(build_grid())
    assert sufficient_ttl(question, {3, 5}, transmissions=2, margin_hops=0) == 2
    assert sufficient_ttl(question, {3, 5}, transmissions=2, margin_hops=3) == 5


def test_ttl_is_the_largest_where_links_do_not_suffice(build_grid):
    assert sufficient_ttl(question_about(build_grid(near=0.1)), {3, 5}, transmissions=1, margin_hops=0) == 127


def test_low_power_nodes_never_become_relays(build_grid):
    snapshot = build_grid()
    nodes = tuple(
        replace(n, capabilities=replace(n.capabilities, low_power=True)) if n.address == 3 else n
        for n in snapshot.nodes
    )
    for candidate in proposals(question_about(replace(snapshot, nodes=nodes))):
        assert candidate.configuration.get(3).relay is False
