"""How often 90 % intervals of quantiles hold the true quantile, which a closed form tells; a second or two each.

Fresh draws, not those of the unit test. An interval without an upper bound holds what is above its lower one; how
many of those there are is told, too.
"""

import math
from random import Random

from tests.benchmarks.figures import Figure, at_least, told
from tests.unit.sim.test_sim_intervals import KNOWN, QUANTILES

from meshtwin.sim.intervals import compute_quantile_intervals

SEED = 77
SETS = 1000  # of replications; the deviation of a coverage of 0.9 is 0.009
SHAPES = ((8, 40), (4, 100), (16, 25))  # replications, values in each
LEAST = 0.85
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
    return figures
