"""``python -m tests.benchmarks stack_fit``: could measured pushes name the stack profile of a segment's nodes?

Networks of the emulated mesh as in `bench_scorecards`: three configurations at random each, every flow measured, and
predicted under each stack profile on the same links. The fit of a profile is the mean square of its residuals: 1 is
what its prior takes for usual. Links are those that the twin estimates under the right profile.
``MESHTWIN_BENCH_STACK_FIT`` is the number of networks, ``MESHTWIN_BENCH_STACK_FIT_SEED`` the first one.
"""

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Final

from tests.benchmarks.bench_calibration import draw_configuration
from tests.benchmarks.bench_scorecards import MINUTES, PRESSES, ask, measure
from tests.benchmarks.figures import Figure, told
from tests.benchmarks.following import follow
from tests.truth.network import make_network
from tests.truth.places import KINDS

from meshtwin.mesh.kpis import Interval
from meshtwin.mesh.priors import SIMULATION
from meshtwin.mesh.scorecards import FigureKind, residual
from meshtwin.mesh.stacks import STACKS
from meshtwin.recipes.figures import KpiFiguresModel, PerMilleModel

COMMAND = "python -m tests.benchmarks stack_fit"
TRUE: Final = "emulated"
NETWORKS: Final = int(os.environ.get("MESHTWIN_BENCH_STACK_FIT", "24"))
# 91,000–91,015 were looked at when the rule below was chosen.
FIRST_SEED: Final = int(os.environ.get("MESHTWIN_BENCH_STACK_FIT_SEED", "92000"))
PUSHES: Final = 3
# A declared profile is in doubt if it fits worse than usual, and so many times worse than another one.
USUAL: Final = 1.0
WORSE: Final = 2.0


def run() -> list[Figure]:
    """How often each profile fits best, and how often each would be doubted if it were the declared one."""
    seeds = follow(range(FIRST_SEED, FIRST_SEED + NETWORKS), NETWORKS, "stack_fit, networks")
    fits = [fit_network(seed) for seed in seeds]
    best = [min(fit, key=lambda name: (fit[name], name)) for fit in fits]
    figures = [
        told("stack_fit: networks", NETWORKS, "networks", COMMAND),
        told(f"stack_fit: the true profile ({TRUE}) fits best", best.count(TRUE) / NETWORKS, "ratio", COMMAND),
    ]
    for name in STACKS:
        fit = fmean(fit[name] for fit in fits)
        doubted = fmean(fit[name] > max(USUAL, WORSE * min(fit.values())) for fit in fits)
        figures.append(told(f"stack_fit, {name}: mean square of residuals", fit, "", COMMAND))
        figures.append(told(f"stack_fit, {name}: doubted if declared", doubted, "ratio", COMMAND))
    return figures


def fit_network(seed: int) -> Mapping[str, float]:
    """Mean square of residuals of one network's flows, by profile."""
    chance = random.Random(f"stack-fit/{seed}")
    network = make_network(chance.choice(sorted(KINDS)), nodes=chance.randrange(12, 21), seed=seed)
    snapshot = network.observe(minutes=MINUTES)
    residuals: dict[str, list[float]] = {name: [] for name in STACKS}
    for turn in range(PUSHES):
        configuration = draw_configuration(network, chance)
        measured = measure(network, configuration, turn)
        for name in STACKS:
            prediction = ask(replace(snapshot, profile=name), configuration, seed + turn)
            residuals[name] += _residuals(prediction.after, measured)
    return {name: fmean(r * r for r in found) for name, found in residuals.items()}


def _residuals(said: KpiFiguresModel, seen: KpiFiguresModel) -> Sequence[float]:
    found = []
    for flow, counted in zip(said.flows, seen.flows, strict=True):
        for kind, interval, figure in (
            (FigureKind.ON_TIME, flow.on_time, counted.on_time),
            (FigureKind.DELIVERY, flow.delivery, counted.delivery),
        ):
            if interval is not None and figure is not None and figure.estimate_per_mille is not None:
                share = figure.estimate_per_mille / 1000
                found.append(residual(SIMULATION[kind], _interval(interval), share, PRESSES))
    return found


def _interval(said: PerMilleModel) -> Interval:
    return Interval(
        estimate=(said.estimate_per_mille or 0) / 1000, low=said.low_per_mille / 1000, high=said.high_per_mille / 1000
    )
