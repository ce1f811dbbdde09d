"""Proposals that harm: pipelines on networks whose truth has physics that the twin lacks.

Each network (`tests.truth`: the emulated mesh's physics with hidden shadowing, fading, interference, dead relays) is
observed as a twin observes it; what the pipeline proposes is then measured in the truth against what was in force.
A proposal harms if a flow's on-time share falls by more than 50 per mille, the margin below which the operator's
own verification takes a push for harmless. Measured with as many presses as stand below, so some harm is luck.

``MESHTWIN_BENCH_HARM_NETWORKS`` sets the number of networks, ``MESHTWIN_BENCH_HARM_SEED`` the first seed,
``MESHTWIN_BENCH_HARM_RECORD`` a file that gets a line of JSON for each network. Seeds 7000 to 7099 and 9000 to 9099
shaped the rules of `meshtwin.recipes.doubts`, 33000 to 33099 where the search starts; others from 31000 on nothing.
"""

import json
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from tests.benchmarks.figures import Figure, at_most, told
from tests.benchmarks.following import follow
from tests.truth.network import TruthNetwork, make_network
from tests.truth.places import KINDS

from meshtwin.mesh.configuration import Configuration
from meshtwin.ports import no_progress
from meshtwin.recipes.messages import ObjectivesModel, PipelineRequest, RecipeUseModel
from meshtwin.recipes.pipeline import run_pipeline
from meshtwin.recipes.results import Outcome, PipelineResult
from meshtwin.sim.intervals import compute_ratio_interval
from meshtwin.whatif.judging import InProcessJudge
from meshtwin.whatif.quick import InProcessQuickJudge

COMMAND: Final = "python -m tests.benchmarks harm"
NETWORKS: Final = int(os.environ.get("MESHTWIN_BENCH_HARM_NETWORKS", "100"))
FIRST_SEED: Final = int(os.environ.get("MESHTWIN_BENCH_HARM_SEED", "31000"))
SIZES: Final = (12, 16, 20, 24)
MINUTES: Final = 15.0
PRESSES: Final = 200
HARM: Final = 0.05
RECIPES: Final = {
    "fewest-sufficient-relays": {},
    "local-search": {"evaluations": 120},
    "end-to-end-latency": {"most": 12},
}
OBJECTIVE_PER_MILLE: Final = 950
PROCESSES: Final = 2
RECORD: Final = os.environ.get("MESHTWIN_BENCH_HARM_RECORD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One network and what became of it; shares by flow, in order."""

    kind: str
    nodes: int
    seed: int
    outcome: str
    reason: str = ""
    trouble: str = ""
    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()
    expected_before: tuple[float, ...] = ()
    expected: tuple[float, ...] = ()
    saved: float = 0.0  # relative airtime, as predicted, reports left out

    @property
    def loss(self) -> float:
        """On-time share that the flow which loses most has lost."""
        return max((b - a for b, a in zip(self.before, self.after, strict=True)), default=0.0)

    @property
    def is_harm(self) -> bool:
        """Whether that is more than the margin."""
        return self.loss > HARM + 1e-9  # 5 of 100 are not above 50 per mille


def run() -> list[Figure]:
    """Figures of one run; some ten minutes on two cores."""
    numbers = range(NETWORKS)
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as executor:
        tried = list(follow(executor.map(try_network, numbers, chunksize=1), NETWORKS, "harm, networks"))
    if RECORD:
        Path(RECORD).write_text("".join(json.dumps(asdict(one)) + "\n" for one in tried))
    for one in tried:
        if one.is_harm:
            print("HARM", one)
    proposed = [t for t in tried if t.outcome == Outcome.PROPOSED.value]
    harming = [t for t in proposed if t.is_harm]
    share = compute_ratio_interval([(len(harming), len(proposed))], 0.9)
    gains = sorted(min(a - b for a, b in zip(t.after, t.before, strict=True)) for t in proposed)
    print(f"{len(proposed)} proposals for {len(tried)} networks, {len(harming)} harm")
    for reason, count in Counter(f"{t.outcome}: {t.reason}" for t in tried if t not in proposed).most_common():
        print(f"{count} without: {reason}")
    return [
        at_most("proposals that harm on the hidden truth", share.estimate, 0.05, "share", COMMAND),
        told("the same, upper bound at 90 %", share.high, "share", COMMAND),
        told("networks with a proposal", len(proposed) / len(tried), "share", COMMAND),
        told("proposals with a flow below the objective in truth", _share_below(proposed), "share", COMMAND),
        told("mean change of the worst flow on time", sum(gains) / len(gains) if gains else 0.0, "share", COMMAND),
        told(
            "airtime saved by a proposal, as predicted, mean",
            sum(t.saved for t in proposed) / len(proposed) if proposed else 0.0,
            "share",
            COMMAND,
        ),
        told("median change of the worst flow on time", gains[len(gains) // 2] if gains else 0.0, "share", COMMAND),
    ]


def _share_below(proposed: Sequence[Tried]) -> float:
    below = [t for t in proposed if min(t.after) < OBJECTIVE_PER_MILLE / 1000 - 1e-9]
    return len(below) / len(proposed) if proposed else 0.0


def try_network(number: int) -> Tried:
    """Observes, asks, and measures network ``number``."""
    kind, nodes = sorted(KINDS)[number % len(KINDS)], SIZES[number // len(KINDS) % len(SIZES)]
    seed = FIRST_SEED + number
    network = make_network(kind, nodes, seed)
    # The segment declares its stack, as an operator does; the rest is what was heard.
    snapshot = replace(network.observe(MINUTES), profile="emulated")
    asked = PipelineRequest(
        run_id="harm",
        pipeline="harm",
        segment="truth",
        recipes=[RecipeUseModel(name=name, uses=name, parameters=said) for name, said in RECIPES.items()],
        objectives=ObjectivesModel(on_time_at_least_per_mille=OBJECTIVE_PER_MILLE),
    )
    result = run_pipeline(
        asked, snapshot, InProcessJudge(), seed=seed, progress=no_progress, quick=InProcessQuickJudge()
    )
    base = Tried(kind=kind, nodes=nodes, seed=seed, outcome=result.outcome.value, reason=result.message)
    if result.outcome is not Outcome.PROPOSED or result.configuration is None:
        return base
    return _measured(base, network, result, result.configuration)


def _measured(tried: Tried, network: TruthNetwork, result: PipelineResult, configuration: Configuration) -> Tried:
    before = network.measure(network.configuration, PRESSES, tried.seed)
    after = network.measure(configuration, PRESSES, tried.seed)
    hidden = network.hidden
    prediction = result.prediction
    return replace(
        tried,
        before=tuple(f.on_time_ratio for f in before),
        after=tuple(f.on_time_ratio for f in after),
        expected_before=() if prediction is None else tuple(f.on_time.estimate for f in prediction.before.flows),
        expected=() if prediction is None else tuple(f.on_time.estimate for f in prediction.after.flows),
        saved=0.0
        if prediction is None
        else 1.0 - prediction.after.own_airtime_ratio / prediction.before.own_airtime_ratio,
        trouble=f"fading {hidden.fading_db:.1f} dB, {len(hidden.interference)} interferers, {len(network.dead)} dead",
    )
