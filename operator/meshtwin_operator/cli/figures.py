"""Key figures for people and for programs."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from meshtwin.mesh.kpis import Interval, NetworkKpis

__all__ = ["kpis_json", "print_kpis"]


def kpis_json(kpis: NetworkKpis) -> dict[str, Any]:
    """Flows and airtime as plain JSON; ratios 0..1, times in ms, intervals at their level."""
    return {
        "flows": [{**asdict(flow), "how_known": str(flow.how_known)} for flow in kpis.flows],
        "airtime_ratio": asdict(kpis.airtime_ratio),
    }


def print_kpis(title: str, kpis: NetworkKpis, losses: Mapping[str, int]) -> None:
    """A table on standard output."""
    from rich.table import Table

    from meshtwin_operator.cli.console import make_console

    console = make_console()
    table = Table("Flow", "Sent", "On time", "Delivery", "Latency p50/p95/p99", "Spread p95", title=title, box=None)
    for flow in kpis.flows:
        latencies = (flow.latency_p50_ms, flow.latency_p95_ms, flow.latency_p99_ms)
        table.add_row(
            flow.flow,
            str(flow.sent),
            _percent(flow.on_time),
            _percent(flow.delivery),
            "/".join(_ms(value) for value in latencies) + " ms",
            _ms(flow.spread_p95_ms) + " ms",
        )
    console.print(table)
    console.print(f"airtime on one channel: {_percent(kpis.airtime_ratio)}")
    if losses:
        console.print("losses: " + ", ".join(f"{cause} {count}" for cause, count in sorted(losses.items())))


def _percent(interval: Interval) -> str:
    return f"{interval.estimate:.1%} ({interval.low:.1%}–{interval.high:.1%})"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"
