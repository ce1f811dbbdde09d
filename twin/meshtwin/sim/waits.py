"""Flows whose messages wait longer the later they are sent: a queue on their way is asked for more than it can send.

Where queues have no bound, figures of such a run tell how long it was, not how the network does. Pure.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.message_table import MessageTable, flow_columns
from meshtwin.sim.profiles import StackProfile
from meshtwin.sim.run_result import RunResult
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioNode
from meshtwin.sim.traffic import compute_pdu_airtime_ns, network_pdu_bytes, places_of_senders
from meshtwin.units import s_to_ns
from meshtwin.wording import counted

__all__ = ["compute_flow_load", "compute_own_load", "tell_waits"]

# Of the first and the last quarter of a flow's messages: nine of ten of the last wait longer than nine of ten of the
# first. Two quarters of 8 with equal waits are so far apart by chance in 8 flows of 10,000 (200,000 drawn).
QUARTER_LEAST: Final = 8  # messages in a quarter, over all replications; fewer tell nothing
LOW, HIGH = 0.1, 0.9
BOUNDED_MOST: Final = 64  # PDUs; a wait in so short a queue soon ends to grow
NAMED_MOST: Final = 3  # flows told one by one


def tell_waits(scenario: Scenario, runs: Sequence[RunResult]) -> tuple[str, ...]:
    """What to say of flows whose messages wait ever longer; () if there are none.

    A wait counts if it grows by more than the pause between two messages of the flow, or is longer than the flow
    itself. Where a short buffer bounds it nothing is told: what does not fit is lost, with its cause.
    """
    if _is_bounded(scenario.profile):
        return ()
    tables = [MessageTable.of(run.messages) for run in runs]
    told = [
        _describe(scenario, flow, *growth)
        for flow in (scenario.flows[place] for place in places_of_senders(scenario))
        if (growth := _find_growth(flow, tables)) is not None
    ]
    more = len(told) - NAMED_MOST
    rest = (f"{counted(more, 'more flow waits', 'more flows wait')} ever longer",) if more > 0 else ()
    return (*told[:NAMED_MOST], *rest)


def compute_own_load(scenario: Scenario, node: ScenarioNode) -> float:
    """Share of time in which what ``node`` originates would hold its advertising sets; more than 1 can't be sent.

    Without answers, acknowledgments and what it relays: of what its flows and backgrounds ask for alone.
    """
    profile = scenario.profile
    load = sum(compute_flow_load(profile, node, flow) for flow in scenario.flows if flow.source == node.address)
    for background in scenario.background:
        if node.address in background.sources:
            held_s = _held_s(profile, node.network_transmit, background.pdu_bytes)
            load += background.rate_per_s / len(background.sources) * held_s / _sets(profile)
    return load


def compute_flow_load(profile: StackProfile, node: ScenarioNode, flow: ScenarioFlow) -> float:
    """Share of time in which the messages of ``flow`` would hold the advertising sets of ``node``, its source."""
    if not flow.count:
        return 0.0
    times = 1 if flow.publish_retransmit is None else 1 + flow.publish_retransmit.count
    held_s = sum(_held_s(profile, node.network_transmit, size) for size in network_pdu_bytes(flow))
    return held_s * times / flow.period_s / _sets(profile)


def _sets(profile: StackProfile) -> int:
    """Advertising sets for own messages."""
    return profile.originated_sets or profile.relay_sets


def _find_growth(flow: ScenarioFlow, tables: Sequence[MessageTable]) -> tuple[float, float] | None:
    """Medians of the first and the last quarter in seconds; None: the wait does not grow."""
    firsts = [_first_arrivals_s(table, flow) for table in tables]
    early = [wait_s for run in firsts for wait_s in run[: len(run) // 4]]
    late = [wait_s for run in firsts for wait_s in run[len(run) - len(run) // 4 :]]
    if len(early) < QUARTER_LEAST:
        return None
    before_s, after_s = float(np.median(early)), float(np.median(late))
    grows = np.quantile(late, LOW) > np.quantile(early, HIGH) and after_s - before_s > flow.period_s
    outlives = max(map(max, filter(None, firsts))) > flow.count * flow.period_s
    return (before_s, after_s) if grows or outlives else None


def _is_bounded(profile: StackProfile) -> bool:
    most = profile.relay_buffer if profile.one_queue else profile.originated_buffer
    return most is not None and most <= BOUNDED_MOST


def _first_arrivals_s(table: MessageTable, flow: ScenarioFlow) -> list[float]:
    """Until a first member has it, of each message of the flow that arrived anywhere, in the order of sending."""
    columns = flow_columns(table, flow.name)
    firsts, arrived = np.cumsum(columns.arrived) - columns.arrived, columns.arrived > 0
    order = np.argsort(columns.number[arrived], kind="stable")
    told: list[float] = (columns.latency_ns[firsts[arrived]][order] * 1e-9).tolist()
    return told


def _describe(scenario: Scenario, flow: ScenarioFlow, early_s: float, late_s: float) -> str:
    node = next(node for node in scenario.nodes if node.address == flow.source)
    load = compute_own_load(scenario, node)
    which = f"a queue on the way of {flow.name} was asked for more than it can send"
    if load > 1.0:
        which = (
            f"node {node.address:04x} was asked for more than it can send, "
            f"its messages taking its time {load:.1f} times"
        )
    return (
        f"a steady state of {flow.name}: {which}; messages are {early_s:.3g} s under way in the first quarter of the "
        f"run and {late_s:.3g} s in the last, and would be longer if more were sent"
    )


def _held_s(profile: StackProfile, transmit: Transmit, pdu_bytes: int) -> float:
    """Mean time for which one PDU of its own holds an advertising set, in seconds."""
    step_ns = s_to_ns(transmit.interval_s) + profile.advertising_delay_ns / 2.0
    event_ns = profile.event_window_ns + profile.event_window_jitter_ns / 2.0
    if not profile.event_window_ns:
        airtime_ns = compute_pdu_airtime_ns(profile, pdu_bytes)
        event_ns = 3.0 * airtime_ns + 2.0 * profile.channel_gap_ns + profile.event_overhead_ns
    last_ns = step_ns if profile.rests_after_last else 0.0 if profile.hands_over else event_ns
    return ((transmit.transmissions - 1) * step_ns + last_ns + _delay_ns(profile, transmit)) * 1e-9


def _delay_ns(profile: StackProfile, transmit: Transmit) -> float:
    """Mean first delay that holds a set which has another PDU waiting."""
    if profile.queue_after_delay or profile.delay_when_idle_only:
        return 0.0
    if profile.own_delay_ns is not None:
        return profile.own_delay_ns[0] + profile.own_delay_ns[1] / 2.0
    # the delay of what waited began when it was asked for, and is over; of what is handed over it begins with the set
    if not profile.hands_over:
        return 0.0
    interval_ns = s_to_ns(transmit.interval_s) if profile.first_send_after_interval else 0
    own_ns = profile.originated_extra_ns + profile.originated_jitter_ns / 2.0
    return profile.processing_ns + profile.jitter_ns / 2.0 + interval_ns + own_ns
