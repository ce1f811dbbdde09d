"""Replications until enough, until time is up, or until interrupted; what is missing is told.

One after the other here, and in other processes as well, as soon as it is seen that these pay.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Generic, Protocol, TypeVar

from meshtwin.errors import InvalidInput
from meshtwin.ports import Cancelled, Progress
from meshtwin.sim.cost import shorten
from meshtwin.sim.results import RunResult
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.watching import watched

__all__ = ["PAYS_FROM_S", "Limited", "Limits", "Workforce", "run_limited", "run_limited_shares", "tell_time"]

Run = TypeVar("Run")
RunOne = Callable[[Scenario, int], RunResult]  # of a scenario and the number of a replication
RunShare = Callable[[float, int], Run]  # of the share 0..1 of each flow's messages, and that number
# Two shortened replications, without which there is no interval, shall fit the time with something to spare: what a
# replication takes is judged by its first part.
USED_SHARE: Final = 0.7
REPLICATIONS_WANTED: Final = 2
PAYS_FROM_S: Final = 4.0  # of work that is left: another process takes one to two seconds to start
CHUNK_S: Final = 1.0  # what an interruption may lose per process; long enough to amortise the way there and back
AHEAD: Final = 2  # chunks per process that are handed out: none waits for the next one
LOOK_S: Final = 0.25  # how often progress is told, and can interrupt, while the others alone work


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``within_s`` None: as long as it takes. ``now_s`` is a monotonic clock.

    ``begun_s``: when the time began by that clock; None: when the work does.
    ``may_shorten``: a replication that would leave no room for a second one is begun anew with fewer messages.
    ``pays_from_s``: of work that is left, from which on others are asked.
    """

    now_s: Callable[[], float]
    within_s: float | None = None
    begun_s: float | None = None
    may_shorten: bool = True
    pays_from_s: float = PAYS_FROM_S

    def __post_init__(self) -> None:
        if self.within_s is not None and not 0.0 < self.within_s <= 1e7:
            raise InvalidInput(f"{self.within_s} s is not above 0 and at most 1e7 s", place="within")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited(Generic[Run]):
    """Finished replications in order; ``share`` 0..1 of each flow's messages is in them.

    ``gaps``: what is missing and why. ``processes``: how many have worked.
    """

    runs: tuple[Run, ...]
    share: float = 1.0
    gaps: tuple[str, ...] = ()
    processes: int = 1


class Workforce(Protocol[Run]):
    """``count`` other processes, which start when they are first asked."""

    @property
    def count(self) -> int: ...

    def submit(self, share: float, numbers: Sequence[int]) -> "Future[Sequence[tuple[int, Run]]]":
        """Has the replications of these numbers run, with that share of each flow's messages."""
        ...

    def give_up(self) -> None:
        """Ends what they are at; asked again they start anew."""
        ...


class _TimeUp(Exception):
    pass


class _TooLong(Exception):
    def __init__(self, expected_s: float) -> None:
        super().__init__(expected_s)
        self.expected_s = expected_s


class _Work(Generic[Run]):
    """The state of one `run_limited`: ``runs`` by number, those still waiting, and those asked of workforce."""

    def __init__(self, wanted: int, limits: Limits, progress: Progress, workforce: Workforce[Run] | None) -> None:
        self.runs: dict[int, Run] = {}
        self.may_shorten = limits.may_shorten and limits.within_s is not None
        self.is_shared = False
        self._wanted = wanted
        self._now_s = limits.now_s
        self._pays_from_s = limits.pays_from_s
        self._progress = progress
        self._workforce = workforce
        self._waiting: deque[int] = deque()
        self._asked: dict[Future[Sequence[tuple[int, Run]]], list[int]] = {}
        self._share = 1.0
        self._pace_s: float | None = None  # of one replication; the first one's loading is not in it
        self._seen: tuple[float, float] | None = None  # first look at the replication that runs here: when, how far
        begun_s = self._now_s() if limits.begun_s is None else limits.begun_s
        self._end_s = None if limits.within_s is None else begun_s + limits.within_s

    @property
    def left_s(self) -> float:
        return float("inf") if self._end_s is None else self._end_s - self._now_s()

    def replicate(self, share: float, one: "RunShare[Run]") -> None:
        """Raises what ends the work early."""
        self._share = share
        self._waiting = deque(number for number in range(self._wanted) if number not in self.runs)
        while self._waiting or self._asked:
            if self.runs and self.left_s <= 0.0:
                raise _TimeUp
            if not self._waiting:
                self._wait()  # which may take something back, to be run here
            if self._waiting:
                self._run_here(self._waiting.popleft(), one)
            self._collect()
            self._hand_out()
            self._progress(len(self.runs) / self._wanted, f"{len(self.runs)} of {self._wanted} replications")

    def give_up(self) -> None:
        """What the others have not finished is dropped."""
        self._collect()
        self._asked.clear()
        if self._workforce is not None and self.is_shared:
            self._workforce.give_up()

    def _run_here(self, number: int, one: "RunShare[Run]") -> None:
        begun_s, is_first, self._seen = self._now_s(), not self.runs, None
        with watched(lambda part: self._look(part, begun_s)):
            self.runs[number] = one(self._share, number)
        self.may_shorten = False
        if not is_first:
            self._pace_s = self._now_s() - begun_s

    def _look(self, share: float, begun_s: float) -> None:
        """At the replication that runs here, and has come so far."""
        done, now_s = len(self.runs), self._now_s()
        passed_s = now_s - begun_s
        if self.left_s <= 0.0:
            raise _TimeUp
        if self.may_shorten and share > 0.0 and passed_s / share * REPLICATIONS_WANTED > self.left_s + passed_s:
            raise _TooLong(passed_s / share)
        if self._seen is None:
            self._seen = now_s, share
        elif self._pace_s is None and share > self._seen[1]:
            self._pace_s = (now_s - self._seen[0]) / (share - self._seen[1])
        self._collect()
        self._hand_out()
        stage = f"replication {done + 1} of {self._wanted}: {share:.1%}"
        if share > 0.0:
            left = (self._wanted - done - share) / self._processes
            stage += f", about {tell_time(passed_s / share * left)} to go"
        self._progress((done + share) / self._wanted, stage)

    @property
    def _processes(self) -> int:
        return 1 if self._workforce is None or not self.is_shared else 1 + self._workforce.count

    def _hand_out(self) -> None:
        """Chunks of a second or so, and ever smaller ones towards the end."""
        workforce, pace_s = self._workforce, self._pace_s
        if (
            workforce is None
            or pace_s is None
            or not (self.is_shared or pace_s * len(self._waiting) > self._pays_from_s)
        ):
            return
        self.is_shared = True
        while self._waiting and len(self._asked) < AHEAD * workforce.count:
            most = len(self._waiting) // (2 * self._processes)
            size = max(1, min(most, int(CHUNK_S / max(pace_s, 1e-6))))
            numbers = [self._waiting.popleft() for _ in range(size)]
            self._asked[workforce.submit(self._share, numbers)] = numbers

    def _wait(self) -> None:
        """For the others; what none of them has begun is taken back."""
        for future, numbers in self._asked.items():
            if future.cancel():
                self._waiting.extend(numbers)
                del self._asked[future]
                return
        wait(self._asked, timeout=min(LOOK_S, max(0.0, self.left_s)), return_when=FIRST_COMPLETED)
        if self.left_s <= 0.0:
            raise _TimeUp

    def _collect(self) -> None:
        for future in [future for future in self._asked if future.done()]:
            del self._asked[future]
            self.runs.update(future.result())
            self.may_shorten = False


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
    scenario: Scenario,
    one: "RunShare[Run]",
    *,
    wanted: int,
    limits: Limits,
    progress: Progress,
    workforce: Workforce[Run] | None = None,
    after: Limited[Run] | None = None,
) -> Limited[Run]:
    """Likewise, where a replication is anything that a share of the messages can be had of.

    ``workforce`` work, too, from when it is seen that more than some seconds are left; ending them is the caller's.
    ``after``: what is finished already, all of the first replications; these come along in what is returned.
    """
    work, gaps = _Work(wanted, limits, progress, workforce), [] if after is None else list(after.gaps)
    share = 1.0
    if after is not None:
        share, work.may_shorten, work.is_shared = after.share, False, after.processes > 1
        work.runs.update(enumerate(after.runs))
    try:
        try:
            work.replicate(share, one)
        except _TooLong as news:
            work.give_up()
            share = min(1.0, USED_SHARE * work.left_s / (REPLICATIONS_WANTED * news.expected_s))
            gaps.append(_shortened(scenario, share, news.expected_s, limits))
            work.may_shorten = False
            work.replicate(share, one)
    except (_TimeUp, Cancelled, KeyboardInterrupt) as end:
        work.give_up()
        if not work.runs:
            if isinstance(end, _TimeUp):
                raise InvalidInput(
                    f"not one replication was finished within {limits.within_s:g} s; allow more, or ask for fewer "
                    "messages per flow",
                    reason="TimeLimit",
                    place=scenario.name,
                ) from end
            raise
        why = f"{limits.within_s:g} s are over" if isinstance(end, _TimeUp) else "interrupted"
        gaps += _missing(sorted(work.runs), wanted, why)
    runs = tuple(work.runs[number] for number in sorted(work.runs))
    processes = 1 if workforce is None or not work.is_shared else 1 + workforce.count
    return Limited(runs=runs, share=share, gaps=tuple(gaps), processes=processes)


def _missing(finished: Sequence[int], wanted: int, why: str) -> list[str]:
    """Of several processes' replications not always the last ones are missing."""
    if len(finished) == wanted:
        return []
    if finished[-1] == len(finished) - 1:
        return [f"replications {len(finished) + 1} to {wanted}: {why}"]
    return [f"{why} after {len(finished)} of {wanted} replications"]


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
