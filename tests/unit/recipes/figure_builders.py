"""Figures of one flow, as a judge would give them."""

from meshtwin.mesh.kpis import FlowKpis, HowKnown, Interval, NetworkKpis


def sure(value):
    return Interval(estimate=value, low=value, high=value)


def kpis(on_time, airtime):
    flow = FlowKpis(
        flow="west",
        sent=64,
        on_time=sure(on_time),
        delivery=sure(on_time),
        latency_p50_ms=20.0,
        latency_p95_ms=50.0,
        latency_p99_ms=60.0,
        spread_p95_ms=30.0,
        how_known=HowKnown.PREDICTED,
    )
    return NetworkKpis(flows=(flow,), airtime_ratio=sure(airtime))
