"""Airtime of the whole network, and how full the advertising sets of nodes are."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from meshtwin.fast.arrays import Air, Floats, Ints, Rules, SettingsTable
from meshtwin.fast.reusing import FlowRun
from meshtwin.fast.traffic import Stream
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.traffic import compute_mean_rate_per_s, find_run_s

__all__ = ["compute_airtime_ratio", "compute_busiest", "compute_reporting_ratio"]

EXTERNAL_AIRTIME_S: Final = 304e-6  # as in sim.results: a foreign PDU of 20 bytes


def _share_left(scenario: Scenario, streams: Sequence[Stream], busy_s: Floats) -> float:
    """What overlap with others leaves of a message's airtime: of two that overlap, the earlier one counts."""
    on = max(1, sum(node.is_on for node in scenario.nodes))
    raw = sum(stream.rate_per_s * taken for stream, taken in zip(streams, busy_s, strict=True)) / on
    return -float(np.expm1(-raw)) / raw if raw > 0.0 else 1.0


def compute_airtime_ratio(
    scenario: Scenario,
    streams: Sequence[Stream],
    busy_s: Floats,
    runs: Sequence[FlowRun],
    answers_s: Mapping[str, float],
) -> float:
    """As `RunResult.airtime_ratio`; ``busy_s``: seconds of a channel per message of each stream."""
    on = [node for node in scenario.nodes if node.is_on]
    if not on:
        return 0.0
    ratio, run_s = 0.0, find_run_s(scenario)
    for run in runs:
        flow = run.flow
        if not flow.count:
            continue
        arrived = float((run.latency_ns >= 0).mean()) if run.latency_ns.size else 0.0
        taken_s = float(run.busy_ns.mean()) * 1e-9 + answers_s.get(flow.name, 0.0) * arrived
        ratio += taken_s * compute_mean_rate_per_s(flow, run_s)
    for background, taken in zip(scenario.background, busy_s, strict=False):
        ratio += scenario.sending_rate_per_s(background) * float(taken) if background.is_counted else 0.0
    external = sum(node.external_pdus_per_s for node in on) * EXTERNAL_AIRTIME_S
    return min(1.0, (ratio * _share_left(scenario, streams, busy_s) + external) / len(on))


def compute_reporting_ratio(scenario: Scenario, streams: Sequence[Stream], busy_s: Floats) -> float:
    """As `RunResult.reporting_airtime_ratio`."""
    on = max(1, sum(node.is_on for node in scenario.nodes))
    ratio = sum(
        scenario.sending_rate_per_s(b) * float(taken)
        for b, taken in zip(scenario.background, busy_s, strict=False)
        if b.is_counted and b.is_reporting
    )
    return min(1.0, ratio * _share_left(scenario, streams, busy_s) / on)


def compute_busiest(rules: Rules, air: Air, settings: SettingsTable, span_s: float) -> tuple[float, float]:
    """Share of time that messages hold the advertising sets of the busiest node, waiting not counted; may pass 1.

    Of relayed messages, and of a node's own where those have sets of their own.
    """
    airtime_ns = float(air.event_airtime_ns[: int(air.counts[0])].mean()) if air.counts[0] else 0.0
    length_ns = rules.window_ns + rules.window_jitter_ns / 2.0
    if not rules.window_ns:
        length_ns = 3.0 * airtime_ns + 2.0 * rules.gap_ns + rules.overhead_ns
    sends = _send_ns(rules, settings.relay_count, settings.relay_interval_ns, length_ns)
    own_sends = _send_ns(rules, settings.own_count, settings.own_interval_ns, length_ns)
    delays = _delay_ns(rules, settings.relay_interval_ns, is_own=False)
    own_delays = _delay_ns(rules, settings.own_interval_ns, is_own=True)
    rates = air.job_count.reshape(-1, 2) / (span_s * 1e9 * np.asarray([rules.relay_sets, max(1, rules.own_sets)]))
    # without sets of their own, own messages stand in the relayed messages' row and hold about as long
    relay_ratio = _taken_ratio(rules, rates[:, 0], sends, delays)
    own_ratio = _taken_ratio(rules, rates[:, 1], own_sends, own_delays)
    return relay_ratio, own_ratio


def _taken_ratio(rules: Rules, rate_per_ns: Floats, send_ns: Floats, delay_ns: Floats) -> float:
    """Share of time in which the sets of the busiest node are taken by sends, and by first delays that hold one.

    Where only a message that finds its set idle has a first delay, fewer have one the busier the set is.
    """
    sends, delays = rate_per_ns * send_ns, rate_per_ns * delay_ns
    taken = (sends + delays) / (1.0 + delays) if rules.idle_only else sends + delays
    return float(taken.max(initial=0.0))


def _send_ns(rules: Rules, count: Ints, interval_ns: Ints, length_ns: float) -> Floats:
    """(nodes,) mean time from the begin of a message's first copy to when its set is free again."""
    step_ns = interval_ns + rules.advertising_delay_ns / 2.0
    if rules.at_window_end:
        step_ns = step_ns + rules.scan_interval_ns / 2.0
    last_ns = step_ns if rules.rests else length_ns
    return np.asarray((count - 1) * step_ns + last_ns)


def _delay_ns(rules: Rules, interval_ns: Ints, *, is_own: bool) -> Floats:
    """(nodes,) mean time from getting a set to the begin of the first copy."""
    delay_ns = np.full(len(interval_ns), rules.processing_ns + rules.jitter_ns / 2.0)
    if rules.first_after_interval:
        delay_ns += interval_ns
    if is_own:
        delay_ns += rules.extra_ns + rules.extra_jitter_ns / 2.0
    if rules.queue_after_delay:
        delay_ns[:] = 0.0
    return delay_ns + (rules.scan_interval_ns / 2.0 if rules.at_window_end else 0.0)
