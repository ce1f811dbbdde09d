"""Where the fast model is out of its range: what it does not know, by name, and how full the air may be.

What it leaves out of an answer that it gives all the same is told by `find_gaps`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, Final

import numpy as np

from meshtwin.fast.arrays import Ints
from meshtwin.fast.traffic import APART_S, TOGETHER_S, find_together, overlapping
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.radio.reception import NETWORK_PDU_MAX_BYTES, compute_airtime_ns
from meshtwin.sim.profiles import StackProfile
from meshtwin.sim.scenario import (
    Scenario,
    ScenarioBackground,
    ScenarioFlow,
    ScenarioLink,
    ScenarioNode,
)
from meshtwin.sim.traffic import count_due, find_run_s
from meshtwin.sim.waits import compute_flow_load
from meshtwin.wording import counted

__all__ = ["QUEUE_MOST", "find_crowding", "find_cut", "find_gaps", "find_links_reason", "find_overload", "find_reason"]

# Where the model ends, set on the development networks. Queues without a bound: share of time in which the advertising
# sets of one node are taken; above it the waits are those of queues that grow for as long as the run lasts, and errors
# of p95 latency pass 50 %. Queues with a bound: share of the messages to be relayed that a full queue refuses; those
# networks whose simulated nodes drop less than one transmission in a hundred had 0 to 0.019, all others 0.026 or more.
BUSIEST_RATIO_MOST: Final = 0.90
BUSIEST_RATIO_MOST_BOUNDED: Final = 1.10  # in sets that own messages share these are never refused here
REFUSED_RATIO_MOST: Final = 0.04
BOUNDED_MOST: Final = 64  # messages; longer queues do not fill within a run
# Share of time in which the messages of one flow may hold the sets of its source. A judged message is sent at any time,
# as if it came on top of its flow's own, which in truth leave it room. Three nodes in a row, four stacks, a message
# every 0.1 to 2 s: nothing of it shows up to 0.21, and p95 is 5 % too long at 0.36, 55 % at 0.5, twice at 0.7.
OWN_FLOW_MOST: Final = 0.25
# Likewise of flows whose messages begin anywhere in their periods: share of judged messages that meet one of their own
# flow, which in truth a message does far more rarely, since each period has one. Nine hops (zephyr), a message in 0.5
# to 8 s: p95 is 2 % and p99 13 % too long at 0.05, 5 and 26 % at 0.1, 9 and 31 % at 0.2.
OWN_MET_MOST: Final = 0.05
CUT_SHARE_MOST: Final = 0.01  # share of a flow's messages that the end of the run may cut off
CUT_S: Final = 1.0  # messages that begin so late are told of, cut off or not
CUT_POINTS: Final = 8  # of the time by which chance may put off a message's begin
# Share of a source's messages that may meet another one of it within `APART_S`, and so overtake it or be overtaken:
# a replay protection list refuses the older one wherever it comes second. Nothing measured stands behind the number:
# few of those that meet do so, hop for hop within some 20 ms, and the share of delivery that goes with them is smaller.
OVERTAKING_MOST: Final = 0.10
QUEUE_MOST: Final = 256  # messages ahead in a queue that the kernel looks at; sets of a node, of which each holds one


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Fields of the scenario that the model knows, or that change nothing in what it answers. Anything else must have
# its default value.
KNOWN: Final[Mapping[type, frozenset[str]]] = {
    Scenario: _names(
        "name nodes links flows background profile capture duration_s is_traced start_of_day_s watched gaps"
    ),
    ScenarioNode: _names(
        """address relay ttl network_transmit relay_retransmit external_pdus_per_s is_on position replay_list_size
        replay_list_used"""
    ),
    ScenarioLink: _names("source target rx_power_dbm delivery delivery_deviation delivery_pdu_bytes"),
    ScenarioFlow: _names(
        """name source members count period_s deadline_ms start_s spread_in_period spread_s pdu_bytes
        response_pdu_bytes ttl rate_per_s"""
    ),
    ScenarioBackground: _names("name sources rate_per_s ttl pdu_bytes is_reporting is_counted destinations"),
    StackProfile: _names(
        """name source processing_ns jitter_ns originated_extra_ns originated_jitter_ns own_delay_ns
        queue_after_delay response_ns response_to_group_ns first_send_after_interval start_at_scan_window_end
        scan_interval_ns scan_window_ns scan_restarts_after_event scan_in_phase advertising_delay_ns channel_gap_ns
        event_overhead_ns pdu_airtime_ns event_window_ns event_window_jitter_ns event_window_step_ns pdu_first_ns
        pdu_next_ns originated_sets relay_sets one_queue hands_over relays_own_echo rests_after_last relay_buffer
        originated_buffer message_cache replay_list_size allows_default_ttl_one allows_flow_ttl_one delay_when_idle_only
        copies_take_turns scan_sample_ns segmentation capture_db"""
    ),
}


def find_reason(scenario: Scenario) -> str | None:
    """Why the model declines ``scenario`` before it reckons anything, naming the feature; None: it does not."""
    return next(_iter_reasons(scenario), None)


def find_links_reason(scenario: Scenario) -> str | None:
    """As `find_reason`, of the links alone."""
    return next(_unknown(scenario.links, "links"), None)


def find_overload(
    profile: StackProfile, relays_ratio: float, *, own_ratio: float = 0.0, lost: int = 0, refused_ratio: float = 0.0
) -> str | None:
    """Why the model declines where relayed messages hold the sets of some node for ``relays_ratio`` of the time.

    ``own_ratio``: likewise of messages that nodes originate, where those have sets of their own.
    ``lost``: events that found no place on the air; a single one means that queues grew beyond what is modelled.
    ``refused_ratio``: share of the messages to be sent or relayed that met a full queue.
    """
    is_bounded = profile.relay_buffer <= BOUNDED_MOST
    relays_most = BUSIEST_RATIO_MOST_BOUNDED if is_bounded else BUSIEST_RATIO_MOST
    for ratio, most in ((relays_ratio, relays_most), (own_ratio, BUSIEST_RATIO_MOST)):
        if ratio > most:
            return (
                f"other messages take {ratio:.0%} of the time of the advertising sets of a node, more than "
                f"{most:.0%}: queues fill up"
            )
    if lost:
        return f"{lost} events of other messages have no place on the air: a queue of more than {QUEUE_MOST} messages"
    if refused_ratio > REFUSED_RATIO_MOST:
        return (
            f"full queues refuse {refused_ratio:.1%} of the messages that are to be sent or relayed, more than "
            f"{REFUSED_RATIO_MOST:.0%}"
        )
    return None


def _iter_reasons(scenario: Scenario) -> Iterator[str]:
    yield from _unknown((scenario,), "scenario")
    yield from _unknown((scenario.profile,), f"profile {scenario.profile.name}")
    yield from _beyond(scenario.profile)
    yield from _unknown(scenario.nodes, "nodes")
    yield from _unknown(scenario.links, "links")
    yield from _unknown(scenario.flows, "flows")
    yield from _unknown(scenario.background, "background")
    for flow in scenario.flows:
        if flow.response_pdu_bytes and len(flow.members) > 1:
            yield f"flow {flow.name}: {len(flow.members)} members answer at once; only one answer is modelled"
    yield from _replay_lists(scenario)
    yield from _crowded_sources(scenario)
    if pair := find_together(scenario):
        yield f"flows {pair[0]} and {pair[1]} begin within {TOGETHER_S * 1e3:g} ms of each other without chance"


def _crowded_sources(scenario: Scenario) -> Iterator[str]:
    nodes = {node.address: node for node in scenario.nodes}
    times = 2 if scenario.profile.relays_own_echo else 1  # each is sent again when a neighbour relays it
    for flow in scenario.flows:
        load = times * compute_flow_load(scenario.profile, nodes[flow.source], flow)
        if load > OWN_FLOW_MOST:
            yield (
                f"flow {flow.name}: its messages take {load:.0%} of the time of the advertising sets of node "
                f"{format_address(flow.source)}, more than {OWN_FLOW_MOST:.0%}: "
                "how they wait for each other is not modelled"
            )


def _unknown(parts: Sequence[Any], place: str) -> Iterator[str]:
    if not parts:
        return
    for field in fields(parts[0]):
        if field.name in KNOWN[type(parts[0])]:
            continue
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if any(getattr(part, field.name) != default for part in parts):
            yield f"{field.name} of the {place} is not known to the fast model"


def _beyond(profile: StackProfile) -> Iterator[str]:
    """Numbers of a profile for which the kernel has no room, or an event no place for its PDUs."""
    for name, sets, least in (("relay", profile.relay_sets, 1), ("originated", profile.originated_sets, 0)):
        if not least <= sets <= QUEUE_MOST:
            yield f"profile {profile.name}: {sets} {name} sets are outside {least}..{QUEUE_MOST}"
    window_ns, most_ns = (
        profile.event_window_ns,
        3 * (profile.pdu_airtime_ns or compute_airtime_ns(NETWORK_PDU_MAX_BYTES)),
    )
    if window_ns and profile.pdu_first_ns is None and window_ns < most_ns:
        yield f"profile {profile.name}: event window of {window_ns} ns has no place for three PDUs of {most_ns} ns"


def _replay_lists(scenario: Scenario) -> Iterator[str]:
    """Lists that may fill, or refuse what was overtaken; those with room for every sender change nothing else."""
    listed = [node for node in scenario.nodes if node.replay_list_size is not None]
    if not listed:
        return
    senders = _find_senders(scenario)
    for node in listed:
        free, needed = (node.replay_list_size or 0) - node.replay_list_used, len(senders - {node.address})
        if free < needed:
            yield (
                f"node {format_address(node.address)}: {counted(free, 'free entry', 'free entries')} in its replay "
                f"protection list for {counted(needed, 'source')}"
            )
    rates = _sum_meeting_rates(scenario)
    address = max(rates, key=lambda a: rates[a], default=None)
    if address is not None and rates[address] * APART_S > OVERTAKING_MOST:
        yield (
            f"node {format_address(address)}: {rates[address] * APART_S:.0%} of its messages may meet others of it, "
            f"more than {OVERTAKING_MOST:.0%}; what is overtaken is refused by replay protection lists"
        )


def _find_senders(scenario: Scenario) -> set[UnicastAddress]:
    senders = {flow.source for flow in scenario.flows}
    senders.update(a for flow in scenario.flows if flow.response_pdu_bytes for a in flow.members)
    senders.update(a for background in scenario.background for a in background.sources)
    return senders


def _sum_meeting_rates(scenario: Scenario) -> dict[UnicastAddress, float]:
    """Messages a second of each source that others of it may meet: background, and flows that do not keep apart."""
    rates: dict[UnicastAddress, float] = {}
    for background in scenario.background:
        each = background.rate_per_s / max(1, len(background.sources))
        for address in background.sources:
            rates[address] = rates.get(address, 0.0) + each
    for flow in scenario.flows if overlapping(scenario) else ():
        for address in (flow.source, *(flow.members if flow.response_pdu_bytes else ())):
            rates[address] = rates.get(address, 0.0) + 1.0 / flow.period_s
    return rates


def find_cut(scenario: Scenario, latencies_ns: Sequence[Ints]) -> str | None:
    """Why the model declines since the run ends before its messages arrive; None: it cuts off next to nothing.

    ``latencies_ns``: of each flow (states, members), -1: not reached.
    """
    if scenario.duration_s is None:
        return None
    for flow, latency_ns in zip(scenario.flows, latencies_ns, strict=True):
        left_ns = _list_left_s(scenario, flow) * 1e9
        last_ns = np.sort(latency_ns.max(axis=1, initial=-1))
        last_ns = last_ns[last_ns >= 0]
        if flow.count and not len(left_ns):
            return f"flow {flow.name}: no message of it begins before the run ends at {scenario.duration_s:g} s"
        if not len(left_ns) or not len(last_ns):
            continue
        share = float(1.0 - np.searchsorted(last_ns, left_ns, side="right").mean() / len(last_ns))
        if share > CUT_SHARE_MOST:
            return (
                f"flow {flow.name}: the end of the run at {scenario.duration_s:g} s comes before {share:.0%} of its "
                f"messages are there, more than {CUT_SHARE_MOST:.0%}; let the run last longer"
            )
    return None


def find_crowding(scenario: Scenario, latencies_ns: Sequence[Ints]) -> str | None:
    """Why the model declines since messages of one flow, at drawn times, would meet each other; None: hardly any do.

    ``latencies_ns``: of each flow (states, members), -1: not reached.
    """
    for flow, latency_ns in zip(scenario.flows, latencies_ns, strict=True):
        if not flow.spread_in_period or flow.count < 2 or not latency_ns.size:
            continue
        under_way_s = float(np.median(latency_ns.max(axis=1))) * 1e-9
        share = 2.0 * under_way_s / flow.period_s
        if share > OWN_MET_MOST:
            return (
                f"flow {flow.name}: its messages are under way for {under_way_s * 1e3:.0f} ms and begin anywhere in "
                f"periods of {flow.period_s:g} s: {share:.0%} would meet each other here, more than "
                f"{OWN_MET_MOST:.0%}, which in truth hardly any do; give it a longer period, or fixed times"
            )
    return None


def _list_left_s(scenario: Scenario, flow: ScenarioFlow) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Seconds from a message's begin to the end of the run, of those that begin before it, chance in steps."""
    spread_s = flow.period_s if flow.spread_in_period else flow.spread_s
    offsets = spread_s * (np.arange(CUT_POINTS) + 0.5) / CUT_POINTS if spread_s else np.zeros(1)
    begins = flow.start_s + flow.period_s * np.arange(flow.count, dtype=np.float64)
    left = (scenario.duration_s or 0.0) - (begins[:, np.newaxis] + offsets).ravel()
    return np.asarray(left[left > 0.0], np.float64)


def find_gaps(scenario: Scenario) -> tuple[str, ...]:
    """What an answer for ``scenario`` leaves out, for those who read it."""
    gaps = []
    if scenario.duration_s is not None:
        run_s = find_run_s(scenario)
        unsent = [flow.name for flow in scenario.flows if count_due(flow, run_s) < flow.count]
        if unsent:
            gaps.append(
                f"messages of {counted(len(unsent), 'flow')} that fall due after the run ends at "
                f"{scenario.duration_s:g} s take no airtime; of those sent before, all other figures are"
            )
        late = [flow.name for flow in scenario.flows if (_list_left_s(scenario, flow) < CUT_S).any()]
        if late:
            gaps.append(
                f"messages of {counted(len(late), 'flow')} may begin less than {CUT_S:g} s before the run ends at "
                f"{scenario.duration_s:g} s; they are told as if it went on"
            )
    if any(node.replay_list_size is not None for node in scenario.nodes):
        gaps.append("replay protection lists have room for all sources, but refuse what was overtaken: left out")
    if any(flow.response_pdu_bytes for flow in scenario.flows):
        gaps.append("answers are on the air, but how many come back, and when, is not told by the fast model")
    return tuple(gaps)
