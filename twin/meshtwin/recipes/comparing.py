"""In what one candidate is worse than another on the same states, in words with figures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from meshtwin.mesh.kpis import FlowKpis, NetworkKpis
from meshtwin.recipes.pareto import AIRTIME_GRAIN, ON_TIME_GRAIN, SPREAD_GRAIN_MS
from meshtwin.recipes.scoring import count_doubtful
from meshtwin.recipes.values import Question
from meshtwin.wording import counted

__all__ = ["Duel", "find_worse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """Figures of a loser and of a rival.

    ``relays`` and ``rival_relays``: how many either has; ``believed``: of both, with intervals by what predictions
    were worth; None: those of the figures count.
    """

    question: Question
    kpis: NetworkKpis
    rival: NetworkKpis
    relays: int
    rival_relays: int
    believed: tuple[NetworkKpis, NetworkKpis] | None = None


def find_worse(duel: Duel) -> list[str]:
    """Everything in which it is worse by more than equal runs differ, with the difference in brackets.

    What decides a round first comes first (`meshtwin.recipes.scoring.score`); then on-time share and spread, of which
    that asks no more than the objectives do, and redundancy, where both are told. Relays count if all else is equal.
    """
    worse = [
        *_doubt(duel),
        *_airtime(duel),
        *_slower(duel, "latency p99", lambda f: f.latency_p99_ms),
        *_later(duel),
        *_slower(duel, "spread p95", lambda f: f.spread_p95_ms),
        *_fewer_paths(duel),
    ]
    return worse or list(_more_relays(duel))


def _doubt(duel: Duel) -> Iterator[str]:
    mine, theirs = duel.believed or (duel.kpis, duel.rival)
    if count_doubtful(duel.question, mine) > count_doubtful(duel.question, theirs):
        least = duel.question.objectives.on_time_at_least or 0.0
        lowest = min(duel.question.touching(mine), key=lambda f: f.on_time.low)
        yield f"onTime of {lowest.flow} may be {lowest.on_time.low * 1000:.0f} per mille, below {least * 1000:.0f}"


def _airtime(duel: Duel) -> Iterator[str]:
    """What rounds compare is without reports, which differ a little, too: told where the whole is not more."""
    own, rival = duel.kpis.own_airtime_ratio * 1000, duel.rival.own_airtime_ratio * 1000
    if own <= rival * (1 + AIRTIME_GRAIN):
        return
    whole, other = duel.kpis.airtime_ratio.estimate * 1000, duel.rival.airtime_ratio.estimate * 1000
    if whole > other:
        yield f"airtime {whole:.1f} per mille (+{whole - other:.1f})"
    else:
        yield f"airtime without reports {own:.1f} per mille (+{own - rival:.1f})"


def _slower(duel: Duel, what: str, time_of: Callable[[FlowKpis], float | None]) -> Iterator[str]:
    theirs = {f.flow: time_of(f) for f in duel.rival.flows}
    slow = [
        (mine - other, mine, f.flow)
        for f in duel.question.touching(duel.kpis)
        if (mine := time_of(f)) is not None and (other := theirs.get(f.flow)) is not None
    ]
    by, mine, flow = max(slow, default=(0.0, 0.0, ""))
    if by > SPREAD_GRAIN_MS:
        yield f"{what} of {flow} {mine:.0f} ms (+{by:.0f})"


def _later(duel: Duel) -> Iterator[str]:
    theirs = {f.flow: f.on_time.estimate for f in duel.rival.flows}
    late = [
        (theirs[f.flow] - f.on_time.estimate, f.on_time.estimate, f.flow)
        for f in duel.question.touching(duel.kpis)
        if f.flow in theirs
    ]
    by, mine, flow = max(late, default=(0.0, 0.0, ""))
    if by > ON_TIME_GRAIN:
        yield f"onTime of {flow} {mine * 1000:.0f} per mille (-{by * 1000:.0f})"


def _fewer_paths(duel: Duel) -> Iterator[str]:
    mine, theirs = duel.kpis.redundancy, duel.rival.redundancy
    if mine is not None and theirs is not None and mine < theirs:
        yield f"{mine} disjoint path{'' if mine == 1 else 's'} (-{theirs - mine})"


def _more_relays(duel: Duel) -> Iterator[str]:
    is_cheaper = duel.kpis.own_airtime_ratio * (1 + AIRTIME_GRAIN) < duel.rival.own_airtime_ratio
    if duel.relays > duel.rival_relays and not is_cheaper:
        yield f"{counted(duel.relays, 'relay')} (+{duel.relays - duel.rival_relays})"
