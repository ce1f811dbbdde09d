"""Figures of simulations, for people and for programs."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshtwin.mesh.kpis import Interval
    from meshtwin.sim.differences import FlowDifference
    from meshtwin.sim.result_document import IntervalDocument, ResultDocument, TimesDocument

__all__ = ["difference_json", "print_differences", "print_result"]


def print_result(result: "ResultDocument") -> None:
    """A table on standard output."""
    from rich.table import Table

    from meshtwin_operator.cli.console import make_console

    console = make_console()
    trips = any(flow.round_trip_milliseconds for flow in result.flows)
    headers = ["Flow", "Sent", "On time", "Delivery", "Latency mean p50/p95/p99", "Hops", "Spread p95"]
    title = f"{result.scenario}: {result.replications} replications, profile {result.profile}, seed {result.seed}"
    table = Table(*headers, *(["Round trip mean p50/p95/p99"] if trips else []), title=title, box=None)
    for flow in result.flows:
        cells = [
            flow.name,
            str(flow.sent),
            _percent(flow.on_time_ratio),
            _percent(flow.delivery_ratio),
            _times(flow.latency_milliseconds),
            "–" if flow.mean_hops is None else f"{flow.mean_hops:.1f}",
            "–" if flow.spread_p95_milliseconds is None else f"{flow.spread_p95_milliseconds:.0f} ms",
        ]
        table.add_row(*cells, *([_times(flow.round_trip_milliseconds)] if trips else []))
    console.print(table)
    console.print(f"airtime on one channel: {_percent(result.totals.airtime_ratio)}")
    console.print(f"advertising events: {result.totals.transmissions}")
    if result.replications == 1:
        console.print("one replication: intervals know nothing of what differs between replications; ask for more")
    losses = {cause: count for cause, count in result.totals.losses_by_cause.items() if count}
    if losses:
        console.print("losses: " + ", ".join(f"{cause} {count}" for cause, count in losses.items()))


def print_differences(names: tuple[str, str], differences: Sequence["FlowDifference"], replications: int) -> None:
    """A table on standard output: the second scenario less the first."""
    from rich.table import Table

    from meshtwin_operator.cli.console import make_console

    title = f"{names[1]} less {names[0]}: {replications} replications on the same states, 90% intervals"
    table = Table("Flow", "On time", "Delivery", "Latency of what both delivered", title=title, box=None)
    for difference in differences:
        gap = difference.latency_ms
        table.add_row(
            difference.flow,
            _points(difference.on_time),
            _points(difference.delivery),
            "–" if gap is None else f"{gap.estimate:+.1f} ms ({gap.low:+.1f} to {gap.high:+.1f})",
        )
    make_console().print(table)


def difference_json(difference: "FlowDifference") -> dict[str, Any]:
    """As plain JSON; ratios as differences of ratios, latency in milliseconds."""
    return {
        "name": difference.flow,
        "onTimeRatio": asdict(difference.on_time),
        "deliveryRatio": asdict(difference.delivery),
        "latencyMilliseconds": None if difference.latency_ms is None else asdict(difference.latency_ms),
        "pairs": difference.pairs,
    }


def _percent(interval: "IntervalDocument") -> str:
    return f"{interval.estimate:.1%} ({interval.low:.1%}–{interval.high:.1%})"


def _points(interval: "Interval") -> str:
    return f"{100 * interval.estimate:+.1f} ({100 * interval.low:+.1f} to {100 * interval.high:+.1f}) points"


def _times(times: "TimesDocument | None") -> str:
    if times is None:
        return "–"
    return f"{times.mean.estimate:.1f} ms {times.p50:.0f}/{times.p95:.0f}/{times.p99:.0f}"
