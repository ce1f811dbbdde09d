"""How often 90 % intervals of quantiles, and of differences of quantiles, hold the truth, which a closed form tells.

Fresh draws, not those of the unit tests. An interval without an upper bound holds what is above its lower one; how
many of those there are is told, too. On the simulator itself the truth is a comparison of many more replications, on
other seeds. About three minutes.
"""

import math
from pathlib import Path
from random import Random

from tests.benchmarks.figures import Figure, at_least, told
from tests.unit.sim.test_quantile_differences import KNOWN as KNOWN_PAIRS
from tests.unit.sim.test_quantile_differences import covered
from tests.unit.sim.test_sim_intervals import KNOWN, QUANTILES

from meshtwin import library
from meshtwin.sim.intervals import compute_quantile_intervals

SEED = 77
CORRIDOR = Path(__file__).parents[2] / "manifests/samples/scenarios/corridor.yaml"
LAST_RELAY = '"0016", positionM: [36, 0], groups: [c000], relay: true'
TRUTH_SEED, TRUTH_REPLICATIONS = 99_991, 600
COMPARISONS = 300  # the deviation of a coverage of 0.9 is 0.017
SETS = 1000  # of replications; the deviation of a coverage of 0.9 is 0.009
SHAPES = ((8, 40), (4, 100), (16, 25))  # replications, values in each
LEAST = 0.85
PAIRED_SHAPES = (*SHAPES, (8, 300))
PAIRED_SETS = 600  # the deviation of a coverage of 0.9 is 0.012
USUAL = 8  # replications, where nothing else is asked for: what fewer give is told alone
COMMAND = "python -m tests.benchmarks intervals"


def run() -> list[Figure]:
    """Coverage per distribution, shape and quantile, and the share of intervals without an upper bound."""
    figures: list[Figure] = []
    for make, truths in KNOWN:
        for replications, values in SHAPES:
            random, hits, opened = Random(SEED), [0] * len(QUANTILES), [0] * len(QUANTILES)
            for _ in range(SETS):
                intervals = compute_quantile_intervals(make(random, replications, values), QUANTILES)
                for place, (interval, truth) in enumerate(zip(intervals, truths, strict=True)):
                    hits[place] += interval.low <= truth <= interval.high
                    opened[place] += interval.high == math.inf
            name = f"{make.__name__}, {replications} replications of {values}"
            for p, hit, count in zip(QUANTILES, hits, opened, strict=True):
                coverage = (f"coverage, {name}, p{p * 100:.0f}", hit / SETS)
                is_usual = replications >= USUAL
                figures.append(at_least(*coverage, LEAST, "", COMMAND) if is_usual else told(*coverage, "", COMMAND))
                figures.append(told(f"no upper bound, {name}, p{p * 100:.0f}", count / SETS, "", COMMAND))
    return figures + _differences() + _on_the_simulator()


def _differences() -> list[Figure]:
    """Of two sides that share their luck; of replications that differ as much as their values, told alone."""
    figures: list[Figure] = []
    for make, truths in KNOWN_PAIRS:
        for replications, values in PAIRED_SHAPES:
            hits, opened = covered(make, truths, replications=replications, values=values, sets=PAIRED_SETS, seed=SEED)
            for p, hit, count in zip(QUANTILES, hits, opened, strict=True):
                name = f"difference, {make.__name__}, {replications} replications of {values}, p{p * 100:.0f}"
                coverage = (f"coverage, {name}", hit / PAIRED_SETS)
                is_judged = replications >= USUAL and make.__name__ != "shifted"
                figures.append(at_least(*coverage, LEAST, "", COMMAND) if is_judged else told(*coverage, "", COMMAND))
                figures.append(told(f"open, {name}", count / PAIRED_SETS, "", COMMAND))
    return figures


def _on_the_simulator() -> list[Figure]:
    """Corridor without its last relay and with a TTL of 3, less the corridor as it is: a difference in the tail."""
    text = CORRIDOR.read_text(encoding="utf-8")
    without = text.replace(LAST_RELAY, LAST_RELAY.removesuffix(", relay: true")).replace("ttl: 5", "ttl: 3")
    sides = [library.read_scenario(side) for side in (text, without)]
    (truth,) = library.compare(*sides, replications=TRUTH_REPLICATIONS, seed=TRUTH_SEED).differences
    names = ("latency_ms", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms")
    figures: list[Figure] = []
    for is_selective in (False, True):
        hits = dict.fromkeys(names, 0)
        for seed in range(5000, 5000 + COMPARISONS):
            (found,) = library.compare(*sides, seed=seed, is_selective=is_selective).differences
            for name in names:
                hits[name] += getattr(found, name).low <= getattr(truth, name).estimate <= getattr(found, name).high
        states = "preset states" if is_selective else "drawn states"
        figures += [
            told(f"coverage, corridor, {states}, {name}", hits[name] / COMPARISONS, "", COMMAND) for name in names
        ]
    return figures
