"""Which candidates no other beats in every respect."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from meshtwin.mesh.kpis import NetworkKpis
from meshtwin.recipes.values import Question

__all__ = ["Merits", "merits_of", "pareto_indices"]

# Two figures closer than this are equal here: simulated ones differ by as much between equal runs.
ON_TIME_GRAIN: Final = 0.005
SPREAD_GRAIN_MS: Final = 5.0
AIRTIME_GRAIN: Final = 0.03  # relative
ENERGY_GRAIN: Final = 0.01  # relative; computed, not simulated
SMALLEST: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Merits:
    """What a candidate is weighed by.

    ``on_time``: of the worst flow that touches the segment, 0..1; ``spread_p95_ms``: likewise, None: no message
    reached every member, or there is one member only; ``airtime_ratio``: without reports, but for the Pareto set of a
    run, which is told with them, as predictions are; ``redundancy``:
    disjoint relay paths from the gateway, None: not known; ``energy_mj_per_h``: of the low-power node that sends
    most, None: there is none.
    """

    on_time: float
    spread_p95_ms: float | None
    airtime_ratio: float
    redundancy: int | None
    energy_mj_per_h: float | None

    def as_costs(self) -> tuple[float, ...]:
        """The merits in grains, smaller is better; what is not known counts as worst of its kind."""
        energy = self.energy_mj_per_h
        return (
            -round(self.on_time / ON_TIME_GRAIN),
            math.inf if self.spread_p95_ms is None else round(self.spread_p95_ms / SPREAD_GRAIN_MS),
            _steps(self.airtime_ratio, AIRTIME_GRAIN),
            -(self.redundancy or 0),
            0 if energy is None else _steps(energy, ENERGY_GRAIN),
        )


def merits_of(question: Question, kpis: NetworkKpis, *, energy_mj_per_h: float | None) -> Merits:
    """The merits that ``kpis`` tell, of the flows that touch the segment."""
    flows = question.touching(kpis)
    spreads = [f.spread_p95_ms for f in flows if f.spread_p95_ms is not None]
    return Merits(
        on_time=min((f.on_time.estimate for f in flows), default=0.0),
        spread_p95_ms=max(spreads, default=None),
        airtime_ratio=kpis.own_airtime_ratio,
        redundancy=kpis.redundancy,
        energy_mj_per_h=energy_mj_per_h,
    )


def pareto_indices(merits: Sequence[Merits]) -> tuple[int, ...]:
    """Positions of those that no other beats: not worse in anything and better in something.

    Of equal ones the first is kept.

    >>> cheap = Merits(on_time=0.9, spread_p95_ms=None, airtime_ratio=0.01, redundancy=1, energy_mj_per_h=None)
    >>> good = Merits(on_time=1.0, spread_p95_ms=None, airtime_ratio=0.02, redundancy=1, energy_mj_per_h=None)
    >>> dear = Merits(on_time=0.9, spread_p95_ms=None, airtime_ratio=0.02, redundancy=1, energy_mj_per_h=None)
    >>> pareto_indices([cheap, good, dear])
    (0, 1)
    """
    costs = [m.as_costs() for m in merits]
    return tuple(
        i
        for i, mine in enumerate(costs)
        if not any(_beats(other, mine) or (other == mine and j < i) for j, other in enumerate(costs) if j != i)
    )


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _steps(value: float, grain: float) -> int:
    return round(math.log(max(value, SMALLEST)) / math.log1p(grain))
