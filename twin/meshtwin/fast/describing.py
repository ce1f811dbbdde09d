"""An answer of the fast model as a document of the simulator's format, with nothing in it that the model can't tell."""

from collections.abc import Sequence

import numpy as np

from meshtwin.fast.answer import MODEL_NAME
from meshtwin.fast.arrays import Ints
from meshtwin.fast.asking import Estimated
from meshtwin.mesh.kpis import FlowKpis, Interval
from meshtwin.sim.result_document import (
    CURVE_POINTS,
    FlowDocument,
    IntervalDocument,
    RatioDocument,
    ResultDocument,
    TimesDocument,
    TotalsDocument,
)
from meshtwin.sim.scenario import Scenario, ScenarioFlow

__all__ = ["MEAN_OPEN", "describe_estimated"]

MEAN_OPEN = "by how much the fast model errs in means was not measured"


def describe_estimated(scenario: Scenario, told: Estimated, *, gaps: Sequence[str] = ()) -> ResultDocument:
    """The document of ``told``; ``sent`` counts floods, ``replications`` are 0, ``states`` how many of each flow.

    Hops, round trips, answers, advertising events and losses are not told, and neither are bounds of the mean and
    of the distribution. ``gaps``: beside those of ``told``.
    """
    kpis = told.kpis
    flows = zip(scenario.flows, kpis.flows, told.latencies_ns, strict=True)
    return ResultDocument(
        scenario=scenario.name,
        profile=told.answer.profile,
        engine=MODEL_NAME,
        seed=told.answer.seed,
        replications=0,
        replications_asked=0,
        states=told.answer.states,
        gaps=[*gaps, *told.gaps],
        flows=[_describe_flow(*flow) for flow in flows],
        totals=TotalsDocument(
            messages=sum(flow.sent for flow in kpis.flows),
            transmissions=None,
            airtime_ratio=IntervalDocument.from_value(kpis.airtime_ratio, most=1.0),
            losses_by_cause={},
        ),
    )


def _describe_flow(flow: ScenarioFlow, kpis: FlowKpis, latency_ns: Ints) -> FlowDocument:
    reached_ns = latency_ns[latency_ns >= 0]
    return FlowDocument(
        name=flow.name,
        source=f"{flow.source:04x}",
        members=len(flow.members),
        sent=kpis.sent,
        delivered=len(reached_ns),
        delivery_ratio=RatioDocument.from_value(kpis.delivery, most=1.0),
        on_time_ratio=RatioDocument.from_value(kpis.on_time, most=1.0),
        deadline_milliseconds=flow.deadline_ms,
        latency_milliseconds=_describe_times(kpis, reached_ns),
        round_trip_milliseconds=None,
        spread_p95_milliseconds=kpis.spread_p95_ms,
        mean_hops=None,
        spread_p95_interval=None if kpis.spread_p95 is None else IntervalDocument.from_value(kpis.spread_p95),
    )


def _describe_times(kpis: FlowKpis, reached_ns: Ints) -> TimesDocument | None:
    quantiles = kpis.latency_p50, kpis.latency_p95, kpis.latency_p99
    if not len(reached_ns) or None in quantiles:
        return None
    p50, p95, p99 = (IntervalDocument.from_value(interval) for interval in quantiles if interval is not None)
    mean = Interval(estimate=float(reached_ns.mean()) / 1e6, low=0.0, high=float("inf"), open_because=MEAN_OPEN)
    curve = np.quantile(reached_ns, np.arange(CURVE_POINTS) / (CURVE_POINTS - 1)) / 1e6
    return TimesDocument(
        mean=IntervalDocument.from_value(mean),
        p50=p50.estimate or 0.0,
        p95=p95.estimate or 0.0,
        p99=p99.estimate or 0.0,
        p50_interval=p50,
        p95_interval=p95,
        p99_interval=p99,
        curve=[float(point) for point in curve],
    )
