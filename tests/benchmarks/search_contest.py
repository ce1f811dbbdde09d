"""Who finds the better configuration: the search, plain baselines, or one that looks at everything.

The question is the same for all: as many messages on time as possible, for at most a share of the airtime that all
relays with usual repeats take. A configuration that takes more than 5 % above the limit on fresh states has lost, and
so has one that cuts a node off from the gateway.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import ClassVar, Final

from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.kpis import Objectives
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.ports import Judge, JudgePlan, QuickJudge, no_progress
from meshtwin.recipes.baselines import Evolution, betweenness_design, dominating_set_design, evolve
from meshtwin.recipes.beliefs import Beliefs
from meshtwin.recipes.building import Design, complete_configuration, relay_capable
from meshtwin.recipes.faults import FaultFinder, find_fault
from meshtwin.recipes.local_search import LocalSearch, all_relays_design
from meshtwin.recipes.parameters import BUILT_IN_PARAMETERS, ParameterBounds
from meshtwin.recipes.pipeline import ask_question, find_best
from meshtwin.recipes.registry import find_recipe
from meshtwin.recipes.rounds import Rounds
from meshtwin.recipes.scoring import score
from meshtwin.recipes.values import Candidate, Judged, Question, RecipeUse, Trial, check_parameters

FRESH: Final = JudgePlan(seed=987_654_321, replications=16, messages_per_flow=50)
LOOK: Final = JudgePlan(seed=123_456_789, replications=2, messages_per_flow=20)
AIRTIME_SHARES: Final = (0.6, 0.75, 0.9)  # the next where nothing that is allowed keeps the limit
TOLERANCE: Final = 1.05
PIPELINE: Final = ("fewest-sufficient-relays", "local-search", "end-to-end-latency")


@dataclass(frozen=True, slots=True)
class Worth:
    """A configuration on states that nobody has searched on: mean of the flows' on-time shares, and airtime."""

    on_time: float
    airtime_ratio: float


@dataclass(frozen=True, slots=True)
class RelaysOnly:
    """The local search from all relays, over relay sets alone: so that every set can be compared with it."""

    name: ClassVar[str] = "relays-only"
    parameters: ClassVar[Mapping[str, ParameterBounds]] = BUILT_IN_PARAMETERS["local-search"]

    def propose(self, trial: Trial) -> Iterable[Candidate]:
        """What `LocalSearch` finds when all it knows is everybody."""
        everybody = candidate_of(trial.question, all_relays_design(trial.question))
        (now,) = trial.quick.estimate(trial.question.snapshot, [Configuration()], seed=trial.seed)
        return LocalSearch().propose(replace(trial, best=(Judged(candidate=everybody, kpis=now.kpis),)))


def candidate_of(question: Question, design: Design) -> Candidate:
    """The candidate of a design, whoever made it."""
    return Candidate(configuration=complete_configuration(question, design), recipe="contest", reason=str(design))


def pose_question(judge: Judge, snapshot: Snapshot, share: float = AIRTIME_SHARES[0]) -> Question:
    """As many on time as possible within ``share`` of the airtime that all relays take."""
    question = ask_question(snapshot, "all", Objectives(on_time_at_least=1.0))
    (worth,) = weigh(judge, question, [complete_configuration(question, all_relays_design(question))], LOOK)
    return replace(question, objectives=Objectives(on_time_at_least=1.0, airtime_at_most=share * worth.airtime_ratio))


def weigh(judge: Judge, question: Question, configurations: Sequence[Configuration], plan: JudgePlan) -> list[Worth]:
    """What ``configurations`` are worth on the states of ``plan``."""
    base = question.snapshot.configuration
    figures = judge.judge(question.snapshot, [base.overlaid(c) for c in configurations], plan, no_progress)
    return [Worth(fmean(f.on_time.estimate for f in k.flows), k.own_airtime_ratio) for k in figures]


def is_allowed(question: Question, configuration: Configuration) -> bool:
    """Whether no node is cut off from the gateway."""
    return find_fault(question, configuration) is None


def is_fair(question: Question, worth: Worth) -> bool:
    """Whether it keeps the airtime limit, give or take 5 %."""
    return worth.airtime_ratio <= TOLERANCE * (question.objectives.airtime_at_most or 1.0)


def search(
    judge: Judge, quick: QuickJudge, question: Question, seed: int, *, relays_only: bool = False, evaluations: int = 0
) -> Configuration:
    """What the product's own way finds, confirmed on fresh states."""
    recipes = [RelaysOnly()] if relays_only else [find_recipe(name) for name in PIPELINE]
    asked = {"evaluations": evaluations, "varySettings": 0 if relays_only else 1}
    uses = [
        RecipeUse(
            recipe=r,
            parameters=check_parameters(
                r, asked if r.parameters is BUILT_IN_PARAMETERS["local-search"] else {}, "contest"
            ),
        )
        for r in recipes
    ]
    rounds = Rounds(
        question=question,
        judge=judge,
        seed=seed,
        messages_per_flow=40,
        replications=8,
        progress=no_progress,
        quick=quick,
    )
    best = find_best(rounds, uses, Beliefs()).best_for(question)
    if best is None:
        return Configuration()
    return best.judged.candidate.configuration


def baselines(quick: QuickJudge, question: Question, seed: int, size: Evolution) -> dict[str, Configuration]:
    """What plain ways choose: none of them knows the limit but the genetic algorithm."""
    (now,) = quick.estimate(question.snapshot, [Configuration()], seed=seed)

    def fitness(designs: Sequence[Design]) -> list[tuple[float, ...]]:
        answers = quick.estimate(question.snapshot, [complete_configuration(question, d) for d in designs], seed=seed)
        return [
            (float("inf"),) if a.kpis is None else score(question, a.kpis, now.kpis, len(d.relays))
            for d, a in zip(designs, answers, strict=True)
        ]

    everybody = all_relays_design(question)
    evolved, _ = evolve(everybody, relay_capable(question), fitness, seed=seed, size=size)
    designs = {
        "all relays": everybody,
        "connected dominating set": dominating_set_design(question),
        "betweenness, 40 % of nodes": betweenness_design(question, share=0.4),
        "genetic algorithm": evolved,
    }
    return {name: complete_configuration(question, design) for name, design in designs.items()}


def look_at_all(judge: Judge, question: Question, keep: int) -> list[Configuration]:
    """The ``keep`` best of all relay sets with the settings of all relays, after two looks."""
    everybody = all_relays_design(question)
    capable = sorted(relay_capable(question))
    faults = FaultFinder(question)
    everything = [
        complete_configuration(
            question, replace(everybody, relays=frozenset(a for bit, a in enumerate(capable) if number >> bit & 1))
        )
        for number in range(2 ** len(capable))
    ]
    left = [c for c in everything if faults.find(c) is None]
    for plan, most in ((LOOK, 8 * keep), (replace(LOOK, seed=LOOK.seed + 1, replications=8), keep)):
        worths = weigh(judge, question, left, plan)
        fair = [(w.on_time, -w.airtime_ratio, i) for i, w in enumerate(worths) if is_fair(question, w)]
        left = [left[i] for _, _, i in sorted(fair, reverse=True)[:most]]
    return left
