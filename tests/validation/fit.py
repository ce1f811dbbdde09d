"""``python -m tests.validation.fit chain``: the constants of the Zephyr profile out of hops 1 to 4 of the chain.

Two constants: the time between hearing a message and sending it on (``processing_ns``) and its jitter
(``jitter_ns``). The jitter comes from the published deviation at hop 1, of two sends: deviation / sqrt(2) * sqrt(12)
of a uniform one. The processing time is then the one with the least squares of relative errors of the mean over
hops 1 to 4, of all whole tenths of a millisecond. Hops 5 to 9 are simulated only when that is done.
"""

import sys
from dataclasses import replace
from statistics import fmean

from meshtwin.sim.profiles import get_profile
from meshtwin.sim.validation import ChainRow, read_table, run_chain
from meshtwin.sim.validation.chain import FITTED_HOPS

SEED = 77  # for fitting alone; `meshtwin validate` uses others
STEP_NS = 100_000
ROUGH_RUNS, FINE_RUNS = 8, 40


def main() -> int:
    """Fit what is asked for."""
    if sys.argv[1:] != ["chain"]:
        print("only the chain is fitted: python -m tests.validation.fit chain", file=sys.stderr)
        return 2
    table = read_table("chain")
    deviation_ms = table["round_trip_ms"]["standard_deviation"][0]
    jitter_ns = round(deviation_ms / 2**0.5 * 12**0.5 * 10) * 100_000
    rough = least_error(range(1_000_000, 5_500_000, 5 * STEP_NS), jitter_ns, ROUGH_RUNS)
    best = least_error(range(rough - 4 * STEP_NS, rough + 5 * STEP_NS, STEP_NS), jitter_ns, FINE_RUNS)
    print(f"jitter_ns={jitter_ns}  (deviation at hop 1: {deviation_ms} ms)")
    print(f"processing_ns={best}  (least squares over hops 1 to {FITTED_HOPS}, seed {SEED})")
    zephyr = get_profile("zephyr")
    print(f"the profile has processing_ns={zephyr.processing_ns}, jitter_ns={zephyr.jitter_ns}")
    rows = rows_of(best, jitter_ns, seed=SEED + 1, runs=FINE_RUNS)
    for name, part in (("fitted", rows[:FITTED_HOPS]), ("predicted", rows[FITTED_HOPS:])):
        print(f"{name}: mean absolute error {fmean(abs(row.relative_error) for row in part):.1%}")
    return 0


def least_error(choices: range, jitter_ns: int, runs: int) -> int:
    """The choice whose means over the fitted hops are nearest to the published ones."""
    return min(choices, key=lambda processing_ns: squares(rows_of(processing_ns, jitter_ns, seed=SEED, runs=runs)))


def squares(rows: list[ChainRow]) -> float:
    """Sum over the fitted hops."""
    return sum(row.relative_error**2 for row in rows if row.hops <= FITTED_HOPS)


def rows_of(processing_ns: int, jitter_ns: int, *, seed: int, runs: int) -> list[ChainRow]:
    """The chain under the Zephyr profile with these two constants."""
    profile = replace(get_profile("zephyr"), processing_ns=processing_ns, jitter_ns=jitter_ns)
    return run_chain(read_table("chain"), seed=seed, replications=runs, profile=profile)


if __name__ == "__main__":
    sys.exit(main())
