"""Results and comparisons in a few lines, for people who print them or end a notebook's cell with them."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

from meshtwin.sim.comparison_document import ComparisonDocument, DifferenceDocument, FlowDifferenceDocument
from meshtwin.sim.result_document import FlowDocument, IntervalDocument, ResultDocument

__all__ = ["tell_apart", "tell_comparison", "tell_model", "tell_result"]

FLOWS_MOST: Final = 20  # told one by one
Each = TypeVar("Each")


def tell_result(result: ResultDocument) -> Iterator[str]:
    """On time, delivery, answers, latency and spread of each flow, then airtime; intervals in brackets."""
    yield from _first(result.flows, _tell_flow)
    yield f"  airtime {_interval(result.totals.airtime_ratio, '.2f', 100.0, ' %')} of one channel, mean over nodes"


def tell_model(result: ResultDocument) -> str:
    """What figures of the fast model are of."""
    level = result.totals.airtime_ratio.level
    return (
        f"{result.engine} model, {result.states} states, {level:.0%} intervals of chance and the model's error, "
        f"profile {result.profile}"
    )


def tell_apart(first: str, second: str) -> tuple[str, str]:
    """Two names as they are, or marked as first and second where they are equal."""
    return (first, second) if first != second else (f"{first} (first)", f"{second} (second)")


def tell_comparison(comparison: ComparisonDocument) -> Iterator[str]:
    """What the second side has more than the first, per flow; intervals in brackets."""
    yield from _first(comparison.differences, _tell_difference)


def _first(flows: Sequence[Each], tell: Callable[[Each], Iterator[str]]) -> Iterator[str]:
    for flow in islice(flows, FLOWS_MOST):
        yield from tell(flow)
    if len(flows) > FLOWS_MOST:
        yield f"  … and {len(flows) - FLOWS_MOST} more flows: see .document"


def _tell_flow(flow: FlowDocument) -> Iterator[str]:
    yield (
        f"  {flow.name}: {flow.sent} sent, on time {_interval(flow.on_time_ratio, '.1f', 100.0, ' %')}, "
        f"delivery {_interval(flow.delivery_ratio, '.3f')}"
        + ("" if flow.answered_ratio is None else f", answered {_interval(flow.answered_ratio, '.3f')}")
    )
    if (times := flow.latency_milliseconds) is not None:
        told = (("p50", times.p50_interval), ("p95", times.p95_interval), ("p99", times.p99_interval))
        spread = flow.spread_p95_interval
        yield (
            "    latency, ms: "
            + ", ".join(f"{name} {_interval(value, '.1f')}" for name, value in told if value is not None)
            + ("" if spread is None else f"; spread p95 {_interval(spread, '.1f')}")
        )


def _tell_difference(difference: FlowDifferenceDocument) -> Iterator[str]:
    yield (
        f"  {difference.name}: on time {_interval(difference.on_time_ratio, '+.1f', 100.0, ' points')}, "
        f"delivery {_interval(difference.delivery_ratio, '+.3f')}"
        + ("" if difference.answered_ratio is None else f", answered {_interval(difference.answered_ratio, '+.3f')}")
    )
    told = (
        ("mean", difference.latency_milliseconds), ("p50", difference.latency_p50_milliseconds),
        ("p95", difference.latency_p95_milliseconds), ("p99", difference.latency_p99_milliseconds),
    )  # fmt: skip
    yield "    latency, ms: " + ", ".join(f"{name} {_interval(v, '+.1f')}" for name, v in told if v is not None)


def _interval(interval: IntervalDocument | DifferenceDocument, form: str, scale: float = 1.0, unit: str = "") -> str:
    """``98.5 % [97.0, 99.2]``, a question mark for a bound that is not known, no brackets if neither is."""
    if interval.estimate is None:
        return f"not known ({interval.open_because})"
    bounds = ["?" if bound is None else format(bound * scale, form) for bound in (interval.low, interval.high)]
    told = "" if bounds == ["?", "?"] else f" [{', '.join(bounds)}]"
    return f"{format(interval.estimate * scale, form)}{unit}{told}"
