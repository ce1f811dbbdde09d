"""From probes to figures and the no-harm verdict: on-time shares and reachability, before and after a commit."""

from collections.abc import Mapping, Sequence

from meshtwin.contract.configuration import CommandResult, NodeOutcome, Outcome
from meshtwin.contract.telemetry import FlowReport, LatencyHistogram
from meshtwin_operator.reconcile.no_harm import (
    CONFIDENCE,
    LOOKS_MAX,
    Counts,
    FlowVerdict,
    Judgement,
    judge_flow,
    judge_flows,
    wilson_interval,
)
from meshtwin_operator.resources.records import NoHarmVerdict, OutcomeCounts
from meshtwin_operator.resources.settings import FlowFigures, KpiFigures, NodeAirtime, PerMilleInterval

__all__ = [
    "answering_nodes",
    "count_outcomes",
    "describe_silence",
    "figures_of",
    "judge",
    "merge_figures",
    "silence_verdict",
    "silent_nodes",
    "unasked_nodes",
]

DECIDING = ("receiverCounted", "roundTrip")  # decisions are gated on these two ways of knowing only


def _per_mille(counts: Counts) -> PerMilleInterval:
    low, high = wilson_interval(counts)
    return PerMilleInterval(
        estimate_per_mille=round(1000 * counts.share) if counts.total else None,
        low_per_mille=round(1000 * low),
        high_per_mille=round(1000 * high),
    )


def _percentile_ms(histogram: LatencyHistogram | None, share: float) -> int | None:
    """Upper bound of the bucket that holds the percentile; the last bound for what is beyond it."""
    if histogram is None or not sum(histogram.counts):
        return None
    rank, seen = share * sum(histogram.counts), 0
    for upper, count in zip(histogram.upper_ms, histogram.counts, strict=False):
        seen += count
        if seen >= rank:
            return upper
    return histogram.upper_ms[-1]


def figures_of(
    reports: Sequence[FlowReport], airtime_ratio: float | None, gateway_address: str | None = None
) -> KpiFigures:
    """Figures of one probe; the newest report of each flow counts.

    ``airtime_ratio`` was measured at the node ``gateway_address``, and is told as such; None: nobody knows where.
    A report without a deadline counts messages that reached everybody at all: that is not "on time".
    """
    newest = {report.flow: report for report in reports}
    flows = []
    for flow in sorted(newest):
        report = newest[flow]
        on_time = report.on_time_presses
        known = report.presses and on_time is not None
        share = _per_mille(Counts(on_time or 0, report.presses)) if known else None
        flows.append(
            FlowFigures(
                flow=flow,
                messages=report.presses,
                on_time=None if report.deadline_ms is None else share,
                reached_all=share if report.deadline_ms is None else None,
                delivery=_per_mille(Counts(report.delivered_pairs, report.sent_pairs)),
                latency_p50_milliseconds=_percentile_ms(report.latency, 0.50),
                latency_p95_milliseconds=_percentile_ms(report.latency, 0.95),
                latency_p99_milliseconds=_percentile_ms(report.latency, 0.99),
                spread_p95_milliseconds=_percentile_ms(report.spread, 0.95),
                how_known=report.how_known,
            )
        )
    if airtime_ratio is None or gateway_address is None:
        return KpiFigures(flows=flows)
    here = NodeAirtime(node=gateway_address, per_mille=min(1000, round(1000 * airtime_ratio)))
    return KpiFigures(flows=flows, airtime_at=[here])


def _counts(figures: FlowFigures) -> Counts:
    """Messages on time, out of the share: exact up to 1,000 messages, within half a per mille above.

    Where nodes share no clock, messages that reached everybody.
    """
    told = figures.on_time or figures.reached_all
    share = (told.estimate_per_mille if told else None) or 0
    return Counts(min(figures.messages, round(share * figures.messages / 1000)), figures.messages)


def _merged_counts(first: PerMilleInterval, n: int, second: PerMilleInterval, m: int) -> Counts:
    good = sum(round((told.estimate_per_mille or 0) * count / 1000) for told, count in ((first, n), (second, m)))
    return Counts(min(good, n + m), n + m)


def _merged(first: PerMilleInterval | None, n: int, second: PerMilleInterval | None, m: int) -> PerMilleInterval | None:
    return None if first is None or second is None else _per_mille(_merged_counts(first, n, second, m))


def merge_figures(first: KpiFigures | None, second: KpiFigures) -> KpiFigures:
    """Both probes pooled. Percentiles cannot be pooled from percentiles: the larger one is kept."""
    if first is None:
        return second
    known = {flow.flow: flow for flow in first.flows}
    flows = []
    for flow in second.flows:
        old = known.get(flow.flow)
        if old is None:
            flows.append(flow)
            continue
        n, m = old.messages, flow.messages
        flows.append(
            flow.model_copy(
                update={
                    "messages": n + m,
                    "on_time": _merged(old.on_time, n, flow.on_time, m),
                    "reached_all": _merged(old.reached_all, n, flow.reached_all, m),
                    "delivery": _per_mille(_merged_counts(old.delivery, n, flow.delivery, m)),
                    **{name: _larger(old, flow, name) for name in PERCENTILES},
                }
            )
        )
    return second.model_copy(update={"flows": flows})


PERCENTILES = (
    "latency_p50_milliseconds",
    "latency_p95_milliseconds",
    "latency_p99_milliseconds",
    "spread_p95_milliseconds",
)


def _larger(first: FlowFigures, second: FlowFigures, name: str) -> int | None:
    values = [v for v in (getattr(first, name), getattr(second, name)) if v is not None]
    return max(values, default=None)


def silent_nodes(result: CommandResult) -> list[str]:
    """Nodes that did not answer the probe, or not all of it, ascending."""
    return sorted(outcome.node for outcome in result.outcomes if outcome.outcome is Outcome.UNKNOWN)


def answering_nodes(result: CommandResult) -> list[str]:
    """Nodes that answered the probe, ascending."""
    return sorted(outcome.node for outcome in result.outcomes if outcome.outcome is Outcome.APPLIED)


def unasked_nodes(result: CommandResult) -> list[str]:
    """Nodes that the probe had no time for, ascending."""
    return sorted(outcome.node for outcome in result.outcomes if outcome.outcome is Outcome.PENDING)


def count_outcomes(outcomes: Sequence[NodeOutcome]) -> OutcomeCounts:
    """How many nodes ended how, and up to 32 that are not as they should be."""
    numbers: Mapping[Outcome, int] = {kind: sum(1 for one in outcomes if one.outcome is kind) for kind in Outcome}
    others = [one for one in outcomes if one.outcome is not Outcome.APPLIED]
    names = [f"{one.node} {one.outcome.value}{': ' + one.reason if one.reason else ''}"[:64] for one in others]
    return OutcomeCounts(
        applied=numbers[Outcome.APPLIED],
        refused=numbers[Outcome.REFUSED],
        unknown=numbers[Outcome.UNKNOWN],
        pending=numbers[Outcome.PENDING],
        exceptions=sorted(names)[:32],
    )


def judge(
    before: KpiFigures,
    after: KpiFigures,
    *,
    margin_per_mille: int,
    newly_silent: Sequence[str],
    allowed_silent: int,
    unasked: Sequence[str] = (),
) -> tuple[Judgement, NoHarmVerdict]:
    """The no-harm test over all flows and the reachability of nodes, with what a reader needs to check it."""
    verdicts = _flow_verdicts(before, after, margin_per_mille)
    judgement = judge_flows(verdicts)
    missing = sorted({f.flow for f in before.flows} - {v.flow for v in verdicts})
    if (missing or unasked) and judgement is Judgement.HARMLESS:
        judgement = Judgement.UNDECIDED
    if len(newly_silent) > allowed_silent:
        judgement = Judgement.HARMFUL
    parts = [_describe(v, _counted(flow)) for v in verdicts for flow in before.flows if flow.flow == v.flow]
    if newly_silent:
        parts.append(describe_silence(newly_silent, allowed_silent))
    if unasked:
        parts.append(f"no time to ask: {', '.join(unasked[:16])}")
    if missing:
        parts.append(f"not measured after: {', '.join(missing)}")
    if not before.flows:
        parts.append("no flow is declared: reachability alone was judged")
    power = min((v.power for v in verdicts), default=None)
    return judgement, NoHarmVerdict(
        passed=judgement is Judgement.HARMLESS,
        margin_per_mille=margin_per_mille,
        confidence_per_mille=round(1000 * CONFIDENCE),
        power_per_mille=None if power is None else round(1000 * power),
        message="; ".join(parts)[:1024],
    )


def describe_silence(newly_silent: Sequence[str], allowed: int) -> str:
    """Which nodes answered before the commit and do not any more."""
    return f"silent since the commit: {', '.join(newly_silent[:16])} (allowed: {allowed})"


def silence_verdict(message: str, margin_per_mille: int) -> NoHarmVerdict:
    """The verdict where silent nodes alone decided, before any flow was measured."""
    return NoHarmVerdict(
        passed=False,
        margin_per_mille=margin_per_mille,
        confidence_per_mille=round(1000 * CONFIDENCE),
        power_per_mille=None,
        message=message[:1024],
    )


def _counted(flow: FlowFigures) -> str:
    """What a message had to be to count as good."""
    if flow.on_time is not None:
        return "on time"
    return "answered by everybody" if flow.how_known == "roundTrip" else "received by everybody"


def _describe(v: FlowVerdict, counted: str) -> str:
    text = (
        f"{v.flow}: {v.before.good} of {v.before.total} {counted} before, {v.after.good} of {v.after.total} after, "
        f"score {v.score:.2f}, {v.judgement.value}"
    )
    if v.judgement is Judgement.INCONCLUSIVE:
        text += f": so little was {counted} before that no harm could show"
    return text


def _are_alike(before: FlowFigures, after: FlowFigures) -> bool:
    """Whether both sides counted the same: within a deadline or however late, one way or until the answer."""
    if before.how_known != after.how_known:
        return False
    both_on_time = before.on_time is not None and after.on_time is not None
    return both_on_time or (before.reached_all is not None and after.reached_all is not None)


def _flow_verdicts(before: KpiFigures, after: KpiFigures, margin_per_mille: int) -> list[FlowVerdict]:
    known = {flow.flow: flow for flow in after.flows}
    verdicts = []
    for flow in before.flows:
        later = known.get(flow.flow)
        if later is None or flow.how_known not in DECIDING or later.how_known not in DECIDING:
            continue
        if flow.messages == 0 or later.messages == 0 or not _are_alike(flow, later):
            continue
        verdicts.append(
            judge_flow(
                flow.flow,
                _counts(flow),
                _counts(later),
                margin=margin_per_mille / 1000,
                looks_max=LOOKS_MAX,
            )
        )
    return verdicts
