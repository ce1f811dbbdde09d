"""Figures of simulations, for people and for programs."""

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING

from meshtwin.wording import counted

if TYPE_CHECKING:
    from rich.table import Table

    from meshtwin.mesh.kpis import Interval
    from meshtwin.sim.differences import FlowDifference
    from meshtwin.sim.result_document import IntervalDocument, ResultDocument

__all__ = ["print_differences", "print_result"]


def print_result(result: "ResultDocument") -> None:
    """Tables on standard output: shares, then times, every estimate with its interval."""
    from meshtwin_operator.cli.console import make_console

    console = make_console()
    console.print(_headline(result))
    console.print(_shares_table(result))
    if any(flow.latency_milliseconds for flow in result.flows):
        console.print(_times_table(result))
    totals = result.totals
    console.print(f"airtime on one channel: {_percent(totals.airtime_ratio)}")
    each = totals.transmissions_per_replication
    if totals.transmissions is not None:
        console.print(
            f"advertising events: {totals.transmissions}" + (f", {_number(each)} per replication" if each else "")
        )
    losses = {cause: count for cause, count in totals.losses_by_cause.items() if count}
    if losses:
        console.print("losses per replication: " + ", ".join(_loss(result, cause) for cause in losses))
    for line in _gaps(result):
        console.print(line)


def _headline(result: "ResultDocument") -> str:
    from meshtwin.sim.summaries import tell_model

    if result.states is not None:
        return f"{result.scenario}: {tell_model(result)}, seed {result.seed}"
    level = result.totals.airtime_ratio.level
    what = ("scramble of preset states", "scrambles of preset states") if result.is_selective else ("replication",)
    of = counted(result.replications, *what)
    intervals = f", {level:.0%} intervals over them" if result.replications > 1 else ""
    return f"{result.scenario}: {of}{intervals}, profile {result.profile}, seed {result.seed}"


def _shares_table(result: "ResultDocument") -> "Table":
    from rich.table import Table

    asks = any(flow.answered_ratio is not None for flow in result.flows)
    table = Table("Flow", "Sent", "On time", "Delivery", *(["Answered"] if asks else []), "Hops", box=None)
    for flow in result.flows:
        hops = flow.mean_hops_interval
        known = "–" if flow.mean_hops is None else f"{flow.mean_hops:.1f}"
        table.add_row(
            flow.name,
            str(flow.sent),
            _percent(flow.on_time_ratio),
            _percent(flow.delivery_ratio),
            *([_percent(flow.answered_ratio) if flow.answered_ratio is not None else ""] if asks else []),
            known if hops is None else _number(hops),
        )
    return table


def _times_table(result: "ResultDocument") -> "Table":
    """A row per flow and kind of time, in milliseconds."""
    from rich.table import Table

    table = Table("Flow", "Milliseconds", "Mean", "p50", "p95", "p99", box=None)
    for flow in result.flows:
        for what, times in (("latency", flow.latency_milliseconds), ("round trip", flow.round_trip_milliseconds)):
            if times is not None:
                points = (
                    (times.p50_interval, times.p50),
                    (times.p95_interval, times.p95),
                    (times.p99_interval, times.p99),
                )
                table.add_row(flow.name, what, _number(times.mean), *(_point(*point) for point in points))
        if flow.spread_p95_milliseconds is not None:
            spread = _point(flow.spread_p95_interval, flow.spread_p95_milliseconds)
            table.add_row(flow.name, "spread", "", "", spread, "")
    return table


def _gaps(result: "ResultDocument") -> list[str]:
    """Why an interval is open, each reason once, and what was asked for and is missing."""
    intervals = [result.totals.airtime_ratio]
    for flow in result.flows:
        intervals += [flow.on_time_ratio, flow.delivery_ratio]
        intervals += [] if flow.answered_ratio is None else [flow.answered_ratio]
        for times in (flow.latency_milliseconds, flow.round_trip_milliseconds):
            if times is not None:
                every = (times.mean, times.p50_interval, times.p95_interval, times.p99_interval)
                intervals += [i for i in every if i is not None]
        intervals += [] if flow.spread_p95_interval is None else [flow.spread_p95_interval]
    lines = [f"{_what_is_open(i)}: {i.open_because}" for i in intervals if i.open_because]
    what = "missing" if result.states is None else "left out"
    return [*dict.fromkeys(lines), *(f"{what}: {gap}" for gap in result.gaps)]


def _what_is_open(interval: "IntervalDocument") -> str:
    if interval.estimate is None:
        return "not known (–)"
    return "no interval" if interval.low is None and interval.high is None else "? for a bound"


def _loss(result: "ResultDocument", cause: str) -> str:
    each = result.totals.losses_per_replication.get(cause)
    count = result.totals.losses_by_cause[cause]
    return f"{cause} {count} in all" if each is None else f"{cause} {_number(each)}"


def print_differences(
    names: tuple[str, str], differences: Sequence["FlowDifference"], replications: int, model: str | None = None
) -> None:
    """A table on standard output: the second scenario less the first; ``model``: which told it without replications."""
    from rich.table import Table

    from meshtwin_operator.cli.console import make_console

    intervals = ", 90% intervals over them" if replications > 1 else ""
    what = f"{counted(replications, 'replication')} on the same states{intervals}"
    title = f"{names[1]} less {names[0]}: {what if model is None else f'{model}, on the same states'}"
    asks = any(difference.answered is not None for difference in differences)
    shares = Table("Flow", "On time, points", "Delivery, points", *(["Answered, points"] if asks else []), box=None)
    times = Table("Flow", "Milliseconds", "Mean", "p50", "p95", "p99", box=None)
    for difference in differences:
        told = [] if difference.answered is None else [_points(difference.answered)]
        shares.add_row(difference.flow, _points(difference.on_time), _points(difference.delivery), *told)
        times.add_row(difference.flow, "latency of what both delivered", *map(_gap, _times_of(difference)))
    console = make_console()
    for part in (title, shares, times):
        console.print(part)
    every = [i for d in differences for i in (d.on_time, d.delivery, d.answered, *_times_of(d)) if i is not None]
    whys = dict.fromkeys((i.is_estimated, i.open_because) for i in every if i.open_because)
    for is_estimated, why in whys:
        console.print(f"{'no interval' if is_estimated else 'not known (–)'}: {why}")


def _times_of(difference: "FlowDifference") -> tuple["Interval", ...]:
    return difference.latency_ms, difference.latency_p50_ms, difference.latency_p95_ms, difference.latency_p99_ms


def _percent(interval: "IntervalDocument") -> str:
    return "–" if interval.estimate is None else f"{interval.estimate:.1%}{_bounds(interval, '.1%')}"


def _gap(interval: "Interval") -> str:
    return f"{interval.estimate:+.1f}{_bounds(interval, '+.1f')}" if interval.is_estimated else "–"


def _points(interval: "Interval") -> str:
    scaled = replace(
        interval, estimate=100 * interval.estimate, low=100 * interval.low, high=100 * interval.high
    )  # fmt: skip
    return _gap(scaled)


def _number(interval: "IntervalDocument") -> str:
    """``12.3 ±0.4`` where the interval lies evenly about its estimate, else ``12.3 [11.9, 13.0]``."""
    low, high, estimate = interval.low, interval.high, interval.estimate
    if estimate is None:
        return "–"
    form = ".1f" if abs(estimate) < 1000 else ".0f"
    if low is None or high is None or format(estimate - low, form) != format(high - estimate, form):
        return f"{estimate:{form}}{_bounds(interval, form)}"
    return f"{estimate:{form}} ±{high - estimate:{form}}"


def _point(interval: "IntervalDocument | None", estimate: float) -> str:
    return f"{estimate:.1f}" if interval is None else _number(interval)


def _bounds(interval: "IntervalDocument | Interval", form: str) -> str:
    """`` [low, high]``, with a question mark for one that is not known; nothing if neither is."""
    low, high = (
        "?" if bound is None or not isfinite(bound) or _is_widest(interval) else format(bound, form)
        for bound in (interval.low, interval.high)
    )
    return "" if low == high == "?" else f" [{low}, {high}]"


def _is_widest(interval: "IntervalDocument | Interval") -> bool:
    """Of a difference of shares nothing is known: -1 to 1, here in points."""
    return interval.open_because is not None and (interval.low, interval.high) in ((-1.0, 1.0), (-100.0, 100.0))
