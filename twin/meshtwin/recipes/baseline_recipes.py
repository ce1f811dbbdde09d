"""Recipes: plain ways to choose relays, so that a pipeline can weigh them against the search.

Each proposes one relay set with usual repeats and a TTL that suffices. What it proposes is checked, judged and held
against troubles like anybody's; that it breaks a constraint stands in the warnings of the run.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from meshtwin.mesh.configuration import Configuration
from meshtwin.ports import QuickJudge
from meshtwin.recipes.baselines import Evolution, Fitness, betweenness_design, dominating_set_design, evolve
from meshtwin.recipes.building import Design, complete_configuration, relay_capable
from meshtwin.recipes.local_search import all_relays_design, usual_evaluations
from meshtwin.recipes.parameters import BUILT_IN_PARAMETERS, ParameterBounds
from meshtwin.recipes.scoring import score
from meshtwin.recipes.values import Candidate, Trial

__all__ = ["AllRelays", "BetweennessShare", "ConnectedDominatingSet", "GeneticAlgorithm"]

NEVER = (float("inf"),)  # the fast model declines: nobody knows what it is worth


class AllRelays:
    """Proposes that every node relays that can."""

    name: ClassVar[str] = "all-relays"
    parameters: ClassVar[Mapping[str, ParameterBounds]] = BUILT_IN_PARAMETERS[name]

    def propose(self, trial: Trial) -> Iterable[Candidate]:
        """See `meshtwin.recipes.values.Recipe.propose`."""
        yield _candidate(trial, self.name, all_relays_design(trial.question), "every node that can")


class ConnectedDominatingSet:
    """Proposes a small connected set of relays that every node hears one of."""

    name: ClassVar[str] = "connected-dominating-set"
    parameters: ClassVar[Mapping[str, ParameterBounds]] = BUILT_IN_PARAMETERS[name]

    def propose(self, trial: Trial) -> Iterable[Candidate]:
        """See `meshtwin.recipes.values.Recipe.propose`."""
        yield _candidate(trial, self.name, dominating_set_design(trial.question), "a connected dominating set")


class BetweennessShare:
    """Proposes the nodes that most shortest paths go through."""

    name: ClassVar[str] = "betweenness-share"
    parameters: ClassVar[Mapping[str, ParameterBounds]] = BUILT_IN_PARAMETERS[name]

    def propose(self, trial: Trial) -> Iterable[Candidate]:
        """See `meshtwin.recipes.values.Recipe.propose`."""
        percent = trial.parameters["sharePercent"]
        why = f"{percent}% of the nodes, those that most shortest paths go through"
        yield _candidate(trial, self.name, betweenness_design(trial.question, share=percent / 100), why)


class GeneticAlgorithm:
    """Proposes the best relay set that evolves from chance on the fast model's figures."""

    name: ClassVar[str] = "genetic-algorithm"
    parameters: ClassVar[Mapping[str, ParameterBounds]] = BUILT_IN_PARAMETERS[name]

    def propose(self, trial: Trial) -> Iterable[Candidate]:
        """See `meshtwin.recipes.values.Recipe.propose`; nothing without a fast model, or where it declines."""
        fitness = None if trial.quick is None else _fitness(trial, trial.quick)
        if fitness is None:
            return
        size = _size(usual_evaluations(trial), trial.parameters["population"])
        capable = relay_capable(trial.question)
        best, value = evolve(all_relays_design(trial.question), capable, fitness, seed=trial.seed, size=size)
        if value != NEVER:
            why = f"evolved in {size.generations} generations of {size.population}"
            yield _candidate(trial, self.name, best, why)


def _size(evaluations: int, population: int) -> Evolution:
    """As many generations as the evaluations allow, one at least; of few, the population is smaller."""
    population = max(Evolution().elite + 1, min(population, evaluations))
    return Evolution(
        population=population, generations=1 + max(0, evaluations - population) // (population - Evolution().elite)
    )


def _fitness(trial: Trial, quick: QuickJudge) -> Fitness | None:
    """The score of the search, smaller is better; None: the fast model declines what is in force."""
    question = trial.question
    (now,) = quick.estimate(question.snapshot, [Configuration()], seed=trial.seed)
    if (before := now.kpis) is None:
        return None

    def fitness(designs: Sequence[Design]) -> Sequence[tuple[float, ...]]:
        configurations = [complete_configuration(question, design) for design in designs]
        answers = quick.estimate(question.snapshot, configurations, seed=trial.seed)
        return [
            NEVER if a.kpis is None else score(question, a.kpis, before, len(d.relays))
            for d, a in zip(designs, answers, strict=True)
        ]

    return fitness


def _candidate(trial: Trial, recipe: str, design: Design, why: str) -> Candidate:
    return Candidate(
        configuration=complete_configuration(trial.question, design), recipe=recipe, reason=f"{design}: {why}"
    )
