"""``python -m tests.benchmarks office``: the prediction that an approver sees beside what probes then measure.

The emulated building in simulated time, through the product's own adoption, monitoring, estimation, pipeline, push and
probes (`tests.integration.test_prediction_on_emulated_office`): 300 s of filling, then one half is pushed, then the
other; 200 presses per flow and side. ``MESHTWIN_BENCH_OFFICE_SEEDS`` names other buildings, as in ``2001,2002``.
Verification against a stand-in of our own, which says nothing about hardware.
"""

import logging
import os
from collections.abc import Iterator
from typing import Final

import structlog
from tests.benchmarks.figures import Figure, at_most, told
from tests.benchmarks.following import follow
from tests.integration.test_prediction_on_emulated_office import (
    AIRTIME_TOLERANCE,
    ON_TIME_TOLERANCE,
    Comparison,
    Side,
    compare,
)

COMMAND: Final = "python -m tests.benchmarks office"
# They chose nothing in the models; 101, 102, 1001 and 1002 shaped profile, background traffic and search.
SEEDS: Final = tuple(int(s) for s in os.environ.get("MESHTWIN_BENCH_OFFICE_SEEDS", "2001,2002,2003,2004").split(","))
SIDES: Final = ("before", "after")


def run() -> list[Figure]:
    """Prints a row per building and side; the figures are the largest gaps."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))  # gateways tell much
    found = [_tell(compare(seed)) for seed in follow(SEEDS, len(SEEDS), "office, buildings")]
    on_time = max(gap for one in found for gap in _on_time_gaps(one))
    airtime = max(abs(p.airtime / m.airtime - 1.0) for one in found for p, m in _pairs(one))
    missed = min(share for one in found for share in one.measured[1].on_time.values())
    return [
        at_most("office: predicted on-time share off by, largest", on_time, ON_TIME_TOLERANCE, "share", COMMAND),
        at_most("office: predicted airtime off by, largest", airtime, AIRTIME_TOLERANCE, "share of it", COMMAND),
        told("office: least on-time share measured after a push", missed, "share", COMMAND),
    ]


def _pairs(one: Comparison) -> Iterator[tuple[Side, Side]]:
    return zip(one.predicted, one.measured, strict=True)


def _on_time_gaps(one: Comparison) -> Iterator[float]:
    for predicted, measured in _pairs(one):
        yield from (abs(predicted.on_time[flow] - share) for flow, share in measured.on_time.items())


def _tell(one: Comparison) -> Comparison:
    for side, (predicted, measured) in zip(SIDES, _pairs(one), strict=True):
        flows = sorted(measured.on_time)
        on_time = " / ".join(f"{predicted.on_time[f]:.3f}" for f in flows)
        counted = " / ".join(f"{measured.on_time[f]:.3f}" for f in flows)
        spread = " / ".join(f"{predicted.spread_ms[f] or 0:.0f}" for f in flows)
        bound = " / ".join(f"{measured.spread_ms[f] or 0:.0f}" for f in flows)
        print(
            f"{one.seed} {side} ({', '.join(flows)}): on time {on_time}, measured {counted}; spread p95 {spread} ms, "
            f"measured {bound}; airtime {predicted.airtime:.2%}, measured {measured.airtime:.2%}",
            flush=True,
        )
    return one
