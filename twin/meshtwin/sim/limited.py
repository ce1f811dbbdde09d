"""Replications one after the other until enough, until time is up, or until interrupted; what is missing is told."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Generic, TypeVar

from meshtwin.errors import InvalidInput
from meshtwin.ports import Cancelled, Progress
from meshtwin.sim.cost import shorten
from meshtwin.sim.results import RunResult
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.watching import watched

__all__ = ["Limited", "Limits", "run_limited", "run_limited_shares", "tell_time"]

Run = TypeVar("Run")
RunOne = Callable[[Scenario, int], RunResult]  # of a scenario and the number of a replication
RunShare = Callable[[float, int], Run]  # of the share 0..1 of each flow's messages, and that number
# Two shortened replications, without which there is no interval, shall fit the time with something to spare: what a
# replication takes is judged by its first part.
USED_SHARE: Final = 0.7
REPLICATIONS_WANTED: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``within_s`` None: as long as it takes. ``now_s`` is a monotonic clock.

    ``may_shorten``: a replication that would leave no room for a second one is begun anew with fewer messages.
    """

    now_s: Callable[[], float]
    within_s: float | None = None
    may_shorten: bool = True

    def __post_init__(self) -> None:
        if self.within_s is not None and not 0.0 < self.within_s <= 1e7:
            raise InvalidInput(f"{self.within_s} s is not above 0 and at most 1e7 s", place="within")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited(Generic[Run]):
    """Finished replications; ``share`` 0..1 of each flow's messages is in them; ``gaps``: what is missing and why."""

    runs: tuple[Run, ...]
    share: float = 1.0
    gaps: tuple[str, ...] = ()


class _TimeUp(Exception):
    pass


class _TooLong(Exception):
    def __init__(self, expected_s: float) -> None:
        super().__init__(expected_s)
        self.expected_s = expected_s


class _Work(Generic[Run]):
    """The state of one `run_limited`."""

    def __init__(self, wanted: int, limits: Limits, progress: Progress) -> None:
        self.runs: list[Run] = []
        self.may_shorten = limits.may_shorten and limits.within_s is not None
        self._wanted = wanted
        self._now_s = limits.now_s
        self._progress = progress
        self.begun_s = self._now_s()
        self._end_s = None if limits.within_s is None else self.begun_s + limits.within_s

    @property
    def left_s(self) -> float:
        return float("inf") if self._end_s is None else self._end_s - self._now_s()

    def replicate(self, share: float, one: "RunShare[Run]") -> None:
        """Raises what ends the work early."""
        while len(self.runs) < self._wanted:
            if self.runs and self.left_s <= 0.0:
                raise _TimeUp
            begun_s, done = self._now_s(), len(self.runs)
            with watched(lambda part, begun_s=begun_s: self._look(part, begun_s)):  # type: ignore[misc]
                self.runs.append(one(share, done))
            self.may_shorten = False
            self._progress((done + 1) / self._wanted, f"{done + 1} of {self._wanted} replications")

    def _look(self, share: float, begun_s: float) -> None:
        done, passed_s = len(self.runs), self._now_s() - begun_s
        if self.left_s <= 0.0:
            raise _TimeUp
        if self.may_shorten and share > 0.0 and passed_s / share * REPLICATIONS_WANTED > self.left_s + passed_s:
            raise _TooLong(passed_s / share)
        stage = f"replication {done + 1} of {self._wanted}: {share:.1%}"
        if share > 0.0:
            stage += f", about {tell_time(passed_s / share * (self._wanted - done - share))} to go"
        self._progress((done + share) / self._wanted, stage)


def run_limited(
    scenario: Scenario, one: RunOne, *, wanted: int, limits: Limits, progress: Progress
) -> Limited[RunResult]:
    """Replications 0 .. ``wanted`` - 1, as far as ``limits``, ``progress`` (by `Cancelled`) and Ctrl-C let it come.

    If nothing is finished then, Ctrl-C is raised again, and `InvalidInput` (``TimeLimit``) where time was up.
    """

    @lru_cache
    def part(share: float) -> Scenario:  # one value for all replications: engines keep what they prepared for it
        return scenario if share == 1.0 else shorten(scenario, share)

    return run_limited_shares(
        scenario, lambda share, number: one(part(share), number), wanted=wanted, limits=limits, progress=progress
    )


def run_limited_shares(
    scenario: Scenario, one: "RunShare[Run]", *, wanted: int, limits: Limits, progress: Progress
) -> Limited[Run]:
    """Likewise, where a replication is anything that a share of the messages can be had of."""
    work, share, gaps = _Work[Run](wanted, limits, progress), 1.0, []
    try:
        try:
            work.replicate(1.0, one)
        except _TooLong as news:
            share = min(1.0, USED_SHARE * work.left_s / (REPLICATIONS_WANTED * news.expected_s))
            gaps.append(_shortened(scenario, share, news.expected_s, limits))
            work.may_shorten = False
            work.replicate(share, one)
    except (_TimeUp, Cancelled, KeyboardInterrupt) as end:
        why = f"{limits.within_s:g} s are over" if isinstance(end, _TimeUp) else "interrupted"
        if not work.runs:
            if isinstance(end, _TimeUp):
                raise InvalidInput(
                    f"not one replication was finished within {limits.within_s:g} s; allow more, or ask for fewer "
                    "messages per flow",
                    reason="TimeLimit",
                    place=scenario.name,
                ) from end
            raise
        gaps.append(f"replications {len(work.runs) + 1} to {wanted}: {why}")
    return Limited(runs=tuple(work.runs), share=share, gaps=tuple(gaps))


def _shortened(scenario: Scenario, share: float, expected_s: float, limits: Limits) -> str:
    kept = zip(scenario.flows, shorten(scenario, share).flows, strict=True)
    cut = [f"{short.count} of {flow.count} messages of {flow.name}" for flow, short in kept if short.count < flow.count]
    more = f" and {len(cut) - 3} more flows" if len(cut) > 3 else ""
    what = f"each replication has only {', '.join(cut[:3])}{more}" if cut else "each replication is shorter"
    return f"{what}: a whole one takes about {tell_time(expected_s)}, and {limits.within_s:g} s were allowed for all"


def tell_time(seconds: float) -> str:
    """For people: ``"40 s"``, ``"12 min"``, ``"3 h"``, ``"4 days"``."""
    for limit, unit, size in ((90.0, "s", 1.0), (5400.0, "min", 60.0), (172_800.0, "h", 3600.0)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400.0:.0f} days"
