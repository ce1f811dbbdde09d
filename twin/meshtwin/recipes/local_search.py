"""Recipe: a search over relay sets, repeats and TTL with the fast model as its guide."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Final

from meshtwin.mesh.configuration import Configuration, Transmit
from meshtwin.mesh.kpis import NetworkKpis, Objectives
from meshtwin.ports import QuickJudge
from meshtwin.recipes.building import (
    TTL_LEAST,
    Design,
    complete_configuration,
    design_of,
    kept_relays,
    relay_capable,
    sufficient_ttl,
)
from meshtwin.recipes.climbing import Ascent, Looked, climb, climb_again
from meshtwin.recipes.faults import FaultFinder
from meshtwin.recipes.fewest_relays import FewestSufficientRelays
from meshtwin.recipes.moves import Space
from meshtwin.recipes.parameters import BUILT_IN_PARAMETERS, ParameterBounds
from meshtwin.recipes.pareto import Merits, merits_of, pareto_indices
from meshtwin.recipes.scoring import score, segment_redundancy
from meshtwin.recipes.values import Candidate, Question, Trial

__all__ = ["LocalSearch", "all_relays_design", "usual_evaluations"]

USUAL_NETWORK: Final = Transmit(count=2, interval_steps=1)  # what most stacks send by default
USUAL_RELAY: Final = Transmit(count=1, interval_steps=1)
TTL_MARGIN_HOPS: Final = 2
STRICTER_AIRTIME: Final = 0.9  # twice the error that the fast model's airtime has
# Nodes times evaluations: the fast model's cost grows with the nodes, and an answer is wanted within seconds (a
# tenth of a second each on 300 nodes). More must be asked for by the parameter ``evaluations``.
USUAL_WORK: Final = 45_000


class LocalSearch:
    """Climbs on the fast model's figures from the best candidates so far and what is in force, and proposes the best.

    Half of the questions are asked with a stricter objective: the fast model errs, and a candidate with a margin
    should be there when the simulator looks closer.
    """

    name: ClassVar[str] = "local-search"
    parameters: ClassVar[Mapping[str, ParameterBounds]] = BUILT_IN_PARAMETERS[name]

    def propose(self, trial: Trial) -> Iterable[Candidate]:
        """See `meshtwin.recipes.values.Recipe.propose`; nothing without a fast model."""
        if trial.quick is None:
            return
        found = _search(trial, trial.quick)
        for one in found[: trial.parameters["most"]]:
            worst = min((f.on_time.estimate for f in trial.question.touching(one.kpis)), default=0.0)
            yield Candidate(
                configuration=complete_configuration(trial.question, one.design),
                recipe=self.name,
                reason=f"{one.design}: the fast model expects {worst * 1000:.0f} per mille on time "
                f"for {one.kpis.own_airtime_ratio:.2%} of airtime",
            )


def all_relays_design(question: Question) -> Design:
    """Every node relays that may, with usual repeats and a TTL that suffices."""
    relays = relay_capable(question)
    ttl = sufficient_ttl(question, relays, transmissions=2, margin_hops=TTL_MARGIN_HOPS)
    return Design(relays=relays, network_transmit=USUAL_NETWORK, relay_retransmit=USUAL_RELAY, ttl=ttl)


def _search(trial: Trial, quick: QuickJudge) -> list[Looked]:
    question = trial.question
    base = question.snapshot.configuration
    (now,) = quick.estimate(question.snapshot, [Configuration()], seed=trial.seed)
    before = now.kpis
    if before is None:
        return []
    space = Space.of(relay_capable(question), vary_settings=bool(trial.parameters["varySettings"]))
    starts = _starts(trial)
    asked: dict[Design, NetworkKpis | None] = {}
    winners: list[Looked] = []
    for number, wanted in enumerate((question, _stricter(question))):
        ascent = _ascent(trial, wanted, quick, before, asked)
        winners += _climb_all(ascent, starts, space, usual_evaluations(trial) // 2, seed=2 * trial.seed + number)
    ranked = sorted(winners, key=lambda one: _score(question, before, one.design, one.kpis))
    return list(_distinct([*ranked, *_front(question, asked, before)], question, base))


def _climb_all(ascent: Ascent, starts: Sequence[Design], space: Space, asks: int, *, seed: int) -> list[Looked]:
    """What is reached from each start with half of ``asks``, and from the best of it with the rest."""
    winners: list[Looked] = []
    left = asks
    for start in starts:
        ascent.left = share = asks // 2 // len(starts)
        winner = climb(ascent, start, space, seed=seed)
        left -= share - ascent.left
        winners += [] if winner is None else [winner]
    ascent.left = left
    if not winners:
        return []
    return [*winners, climb_again(ascent, min(winners, key=lambda one: one.score), space, seed=seed)]


def _ascent(
    trial: Trial,
    wanted: Question,
    quick: QuickJudge,
    before: NetworkKpis,
    asked: dict[Design, NetworkKpis | None],
) -> Ascent:
    question = trial.question
    least_paths = _least_paths(question)
    faults = FaultFinder(question)

    def ask(designs: Sequence[Design]) -> Sequence[NetworkKpis | None]:
        configurations = [complete_configuration(question, d) for d in designs]
        return [a.kpis for a in quick.estimate(question.snapshot, configurations, seed=trial.seed)]

    def allow(design: Design) -> bool:
        configuration = complete_configuration(question, design)
        if faults.find(configuration) is not None:
            return False
        whole = question.snapshot.configuration.overlaid(configuration)
        return not least_paths or (segment_redundancy(question, whole) or 0) >= least_paths

    return Ascent(
        ask=ask,
        score=lambda design, kpis: _score(wanted, before, design, kpis),
        allow=allow,
        left=0,
        looked=asked,
    )


def _score(question: Question, before: NetworkKpis, design: Design, kpis: NetworkKpis) -> tuple[float, ...]:
    """Redundancy is not among the gaps here: it is asked of good designs only, by ``allow``."""
    wanted = replace(question, objectives=replace(question.objectives, redundancy_at_least=None))
    return score(wanted, kpis, before, len(design.relays))


def usual_evaluations(trial: Trial) -> int:
    """What is asked for; where nothing is (0), as many as usual for the size of the network."""
    return trial.parameters["evaluations"] or min(400, max(60, USUAL_WORK // len(trial.question.snapshot.nodes)))


def _least_paths(question: Question) -> int:
    """Disjoint paths that a step must leave; 0: none are asked for, or even all relays do not give them."""
    wanted = question.objectives.redundancy_at_least
    if wanted is None:
        return 0
    most = complete_configuration(question, all_relays_design(question))
    there = segment_redundancy(question, question.snapshot.configuration.overlaid(most)) or 0
    return min(wanted, there)


def _stricter(question: Question) -> Question:
    """Half of the lateness that the objective allows, and a tenth less airtime than the limit."""
    wanted = question.objectives
    least, most = wanted.on_time_at_least, wanted.airtime_at_most
    stricter: Objectives = replace(
        wanted,
        on_time_at_least=None if least is None else (1.0 + least) / 2.0,
        airtime_at_most=None if most is None else STRICTER_AIRTIME * most,
    )
    return replace(question, objectives=stricter)


def _starts(trial: Trial) -> list[Design]:
    """The best candidates so far; where there are none, backbones; and always what is in force, and all relays."""
    question = trial.question
    candidates: Iterable[Candidate] = [judged.candidate for judged in trial.best]
    if not trial.best:
        backbones = {name: bounds.default for name, bounds in FewestSufficientRelays.parameters.items()}
        candidates = FewestSufficientRelays().propose(replace(trial, parameters=backbones))
    designs: list[Design] = []
    for candidate in candidates:
        design = design_of(question, candidate.configuration)
        if design is not None and design not in designs:
            designs.append(replace(design, relays=design.relays | kept_relays(question)))
        if len(designs) >= trial.parameters["starts"]:
            break
    always = [_in_force_design(question), all_relays_design(question)]
    return list(dict.fromkeys([*designs, *(design for design in always if design is not None)]))


def _in_force_design(question: Question) -> Design | None:
    """The rule that is in force; None where nodes follow several, or where recipes may not propose its TTL.

    What is a step from it bears the troubles that it bears, and falls least; where it is lean, only such steps do.
    """
    mine = (node.address for node in question.settable)
    design = design_of(question, question.snapshot.configuration.restricted(mine))
    if design is None or design.ttl < TTL_LEAST:
        return None
    return replace(design, relays=design.relays | kept_relays(question))


def _front(question: Question, asked: Mapping[Design, NetworkKpis | None], before: NetworkKpis) -> list[Looked]:
    """Designs that no other beats in every respect, best score first."""
    answered = [(d, k) for d, k in asked.items() if k is not None]
    merits: list[Merits] = [merits_of(question, k, energy_mj_per_h=None) for _, k in answered]
    chosen = [answered[i] for i in pareto_indices(merits)]
    found = [Looked(d, k, _score(question, before, d, k)) for d, k in chosen]
    return sorted(found, key=lambda one: one.score)


def _distinct(found: Iterable[Looked], question: Question, base: Configuration) -> Iterator[Looked]:
    seen: set[Design] = set()
    for one in found:
        if one.design not in seen and base.changed_nodes(complete_configuration(question, one.design)):
            seen.add(one.design)
            yield one
