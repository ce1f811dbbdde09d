"""The search over configurations: what it loses against better searches, and how long an answer takes.

Regret is the share of on-time messages (mean over flows) that the chosen configuration lacks, of what the best one
found by anybody has, both on states that no search has seen. ``MESHTWIN_BENCH_SEARCH_SECONDS`` shortens the long
search, ``MESHTWIN_BENCH_SEARCH_LARGE`` says on how many networks of 300 nodes it is run: one, or two with ``--full``.
``python -m tests.benchmarks.bench_search small``, ``large`` or ``times`` measures a part. A configuration above the
airtime limit, or one that cuts a node off, has a regret of 1. Seeds 4001 to 4010 shaped the search and are not used
here.
"""

import os
import statistics
import sys
import time
from collections.abc import Mapping
from typing import Final

import psutil
from tests.benchmarks.figures import Figure, at_most, is_full, told
from tests.benchmarks.following import follow
from tests.benchmarks.search_contest import (
    AIRTIME_SHARES,
    FRESH,
    baselines,
    is_allowed,
    is_fair,
    look_at_all,
    pose_question,
    search,
    weigh,
)
from tests.benchmarks.search_networks import make_snapshot

from meshtwin.app.workers import PoolJudge
from meshtwin.mesh.configuration import Configuration
from meshtwin.ports import no_progress
from meshtwin.recipes.answers import answer_what_if
from meshtwin.recipes.baselines import Evolution
from meshtwin.recipes.messages import ObjectivesModel, PipelineRequest, RecipeUseModel, WhatIfRequest
from meshtwin.recipes.pipeline import run_pipeline
from meshtwin.recipes.values import Question

COMMAND: Final = "python -m tests.benchmarks search"
SMALL: Final = tuple((8 + i % 5, 4101 + i) for i in range(10))  # nodes, seed
LARGE_SEEDS: Final = (5001, 5002)[: int(os.environ.get("MESHTWIN_BENCH_SEARCH_LARGE", "2" if is_full() else "1"))]
LARGE_NODES: Final = 300
LONG_S: Final = float(os.environ.get("MESHTWIN_BENCH_SEARCH_SECONDS", "600"))
LONG_EVALUATIONS: Final = 1500
FEW, MANY = Evolution(population=16, generations=10), Evolution(population=24, generations=24)

Regrets = dict[str, list[float]]


def run() -> list[Figure]:
    """Figures of one run; some twenty minutes on two cores, half an hour with ``--full``."""
    with PoolJudge() as judge:
        return [*measure_small(judge), *measure_large(judge), *measure_times(judge)]


def measure_small(judge: PoolJudge) -> list[Figure]:
    """Against every relay set, other settings being equal."""
    regrets: Regrets = {}
    for nodes, seed in follow(SMALL, len(SMALL), "search, small networks"):
        snapshot = make_snapshot(nodes, seed, degree=3.5, rate_per_minute=60.0, flows=3, deadline_ms=60)
        for share in AIRTIME_SHARES:
            question = pose_question(judge, snapshot, share)
            looks = look_at_all(judge, question, 8)
            if looks:
                break
        found = {"search": search(judge, judge, question, seed, relays_only=True)}
        found |= baselines(judge, question, seed, FEW)
        found |= {f"look {i}": c for i, c in enumerate(looks)}
        _add_regrets(judge, question, found, regrets, f"{nodes} nodes, seed {seed}")
    return _figures(regrets, "every relay set, up to 12 nodes", 0.02)


def measure_large(judge: PoolJudge) -> list[Figure]:
    """Against as many longer searches as fit into the time."""
    regrets: Regrets = {}
    for seed in LARGE_SEEDS:
        snapshot = make_snapshot(LARGE_NODES, seed, degree=8.0, rate_per_minute=12.0, flows=3, deadline_ms=300)
        question = pose_question(judge, snapshot)
        found = {"search": search(judge, judge, question, seed)}
        found |= baselines(judge, question, seed, FEW)
        began_s = time.monotonic()
        while time.monotonic() - began_s < LONG_S:
            number = len(found)
            found[f"look {number}"] = search(judge, judge, question, seed + 1000 * number, evaluations=LONG_EVALUATIONS)
            spent_s = time.monotonic() - began_s
            print(f"search, seed {seed}: {spent_s:.0f} of {LONG_S:.0f} s", file=sys.stderr, flush=True)
        _add_regrets(judge, question, found, regrets, f"{LARGE_NODES} nodes, seed {seed}")
    return _figures(regrets, f"searches of {LONG_S:.0f} s, {LARGE_NODES} nodes", 0.05)


def measure_times(judge: PoolJudge) -> list[Figure]:
    """From the question to the fast answer and to the refined one, workers being up."""
    snapshot = make_snapshot(LARGE_NODES, 5003, degree=8.0, rate_per_minute=12.0, flows=2, deadline_ms=300)
    first_s: list[float] = []
    whole_s: list[float] = []
    for number in range(6):
        request = WhatIfRequest.model_validate(
            {
                "runId": f"w{number}",
                "segment": "all",
                "settings": [{"nodes": [f"{10 + number:04x}-{60 + number:04x}"], "relay": "Disabled"}],
            }
        )
        began_s = time.monotonic()
        answer_what_if(
            request,
            snapshot,
            judge,
            seed=number,
            progress=no_progress,
            quick=judge,
            provisional=lambda *_, began_s=began_s: first_s.append(time.monotonic() - began_s),
        )
        whole_s.append(time.monotonic() - began_s)
    used_s = _processor_s()
    told_s, decided_s = _time_pipeline(judge, snapshot)
    used_s = _processor_s() - used_s
    return [
        at_most(
            "what-if on 300 nodes: time to the fast answer, median",
            1e3 * statistics.median(first_s),
            200,
            "ms",
            COMMAND,
        ),
        told("the same, the first one", 1e3 * first_s[0], "ms", COMMAND),
        told("what-if on 300 nodes: time to the refined answer, median", statistics.median(whole_s), "s", COMMAND),
        told("pipeline on 300 nodes: time to the first provisional proposal", told_s, "s", COMMAND),
        at_most("pipeline on 300 nodes: time to the decision", decided_s, 30, "s", COMMAND),
        told("the same: processor time, all processes", used_s, "s", COMMAND),
        told("load of the machine over the last minute", os.getloadavg()[0], "", COMMAND),
    ]


def _time_pipeline(judge: PoolJudge, snapshot) -> tuple[float, float]:
    names = ("fewest-sufficient-relays", "local-search", "end-to-end-latency")
    request = PipelineRequest(
        run_id="p",
        pipeline="bench",
        segment="all",
        recipes=[RecipeUseModel(name=name, uses=name) for name in names],
        objectives=ObjectivesModel(on_time_within_milliseconds=300, on_time_at_least_per_mille=900),
    )
    told_s: list[float] = []
    began_s = time.monotonic()
    result = run_pipeline(
        request,
        snapshot,
        judge,
        seed=1,
        progress=no_progress,
        quick=judge,
        provisional=lambda *_: told_s.append(time.monotonic() - began_s),
    )
    print(result.outcome.value, result.message)
    return told_s[0], time.monotonic() - began_s


def _processor_s() -> float:
    """Used by this process and its workers; other work on the machine is not in it."""
    own = psutil.Process()
    return sum(sum(p.cpu_times()[:2]) for p in (own, *own.children(recursive=True)))


def _add_regrets(
    judge: PoolJudge, question: Question, found: Mapping[str, Configuration], regrets: Regrets, about: str
) -> None:
    worths = dict(zip(found, weigh(judge, question, list(found.values()), FRESH), strict=True))
    fair = {n for n, w in worths.items() if is_fair(question, w) and is_allowed(question, found[n])}
    top = max((worths[name].on_time for name in fair), default=1.0)
    limit = question.objectives.airtime_at_most or 1.0
    for name, worth in worths.items():
        if not name.startswith("look"):
            regret = (top - worth.on_time) / top if name in fair else 1.0
            regrets.setdefault(name, []).append(regret)
            print(
                f"{about}: {name} {worth.on_time:.3f} at {worth.airtime_ratio / limit:.0%} of the limit, best {top:.3f}"
            )


def _figures(regrets: Regrets, against: str, limit: float) -> list[Figure]:
    ours = regrets.pop("search")
    return [
        at_most(
            f"search: regret against {against}, mean of {len(ours)}", statistics.fmean(ours), limit, "share", COMMAND
        ),
        told("the same, worst network", max(ours), "share", COMMAND),
        *(told(f"{n}: the same, mean", statistics.fmean(v), "share", COMMAND) for n, v in regrets.items()),
    ]


if __name__ == "__main__":
    parts = {"small": measure_small, "large": measure_large, "times": measure_times}
    with PoolJudge() as pool:
        for part in sys.argv[1:] or parts:
            for figure in parts[part](pool):
                print(f"{figure.name}: {figure.value:.4g} {figure.unit}")
