"""What a wanted precision is of: a figure of every flow, of one scenario or of the difference between two."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import numpy as np

from meshtwin.sim.differences import compute_common_latencies_ms, find_shared_flows
from meshtwin.sim.message_table import flow_columns
from meshtwin.sim.results import RunResult
from meshtwin.sim.scenario import Scenario, ScenarioFlow
from meshtwin.sim.stopping import FIRST_STAGE, Goal, share_on_time
from meshtwin.sim.traffic import count_due, find_run_s

__all__ = ["FIGURES", "least_replications", "make_goals"]

ROUNDING: Final = 1e-9  # of a message
NORMAL_90: Final = 1.645  # quantile of a 90 % interval
Results = tuple[RunResult, ...]  # of one replication, a result per side


def make_goals(scenarios: Sequence[Scenario], precision: float, figure: str) -> list[Goal[Results]]:
    """One for each flow that sends; of two scenarios the second less the first, for each that sends on both."""
    unit = " ms" if figure == "latency" else ""
    what = f"{figure} of" if len(scenarios) == 1 else f"difference of {figure} of"
    return [
        Goal(figure=_figure_of(sides, figure), half_width=precision, name=f"{what} {name} within ±{precision:g}{unit}")
        for name, sides in _flows(scenarios)
    ]


def least_replications(scenarios: Sequence[Scenario], precision: float, figure: str, share: float = 1.0) -> int:
    """Replications without which a share is not known so well, however alike they are (Wilson's interval).

    ``share`` 0..1 of each flow's messages is in them. A difference's interval lies to both sides of its estimate,
    that of a share of 1 to one side alone, which halves it.
    """
    counts = [max(1, math.floor(flow.count * share)) for _, sides in _flows(scenarios) for flow in sides]
    if figure == "latency" or not counts:
        return FIRST_STAGE
    width = 2.0 * precision if len(scenarios) == 1 else precision
    return math.ceil(NORMAL_90**2 * (1.0 / width - 1.0) / min(counts))


def _flows(scenarios: Sequence[Scenario]) -> list[tuple[str, tuple[ScenarioFlow, ...]]]:
    """By name, as each side has it with the messages that fall due, where there are any."""
    shared = scenarios[0].flows if len(scenarios) == 1 else find_shared_flows(*scenarios)
    known = [{flow.name: _cut(flow, find_run_s(scenario)) for flow in scenario.flows} for scenario in scenarios]
    sides = [(flow.name, tuple(its[flow.name] for its in known)) for flow in shared]
    return [(name, flows) for name, flows in sides if all(flow.count > 0 for flow in flows)]


def _cut(flow: ScenarioFlow, run_s: float) -> ScenarioFlow:
    return replace(flow, count=math.floor(count_due(flow, run_s) + ROUNDING))


def _figure_of(sides: tuple[ScenarioFlow, ...], figure: str) -> Callable[[Results], float]:
    if len(sides) == 1:
        alone = FIGURES[figure](sides[0])
        return lambda results: alone(results[0])
    if figure == "latency":
        return lambda results: _latency_difference(sides[0].name, results)
    before, after = (FIGURES[figure](flow) for flow in sides)
    return lambda results: after(results[1]) - before(results[0])


def _latency_difference(flow: str, results: Results) -> float:
    """Of what both sides delivered, as comparisons tell it."""
    (before, after), _ = compute_common_latencies_ms(*(flow_columns(result.messages, flow) for result in results))
    return float((after - before).mean()) if len(before) else math.nan


def _on_time(flow: ScenarioFlow) -> Callable[[RunResult], float]:
    return share_on_time(flow.name, flow.deadline_ms)


def _delivery(flow: ScenarioFlow) -> Callable[[RunResult], float]:
    def delivered(result: RunResult) -> float:
        told = flow_columns(result.messages, flow.name)
        return float(np.mean(told.arrived / np.maximum(1, told.member_count))) if len(told.number) else math.nan

    return delivered


def _latency(flow: ScenarioFlow) -> Callable[[RunResult], float]:
    def latency_ms(result: RunResult) -> float:
        times_ns = flow_columns(result.messages, flow.name).latency_ns
        return float(np.mean(times_ns)) / 1e6 if len(times_ns) else math.nan

    return latency_ms


FIGURES: Final[Mapping[str, Callable[[ScenarioFlow], Callable[[RunResult], float]]]] = MappingProxyType(
    {"on-time": _on_time, "delivery": _delivery, "latency": _latency}  # shares 0..1; mean latency in ms
)
