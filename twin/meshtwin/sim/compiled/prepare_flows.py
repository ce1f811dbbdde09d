"""Flows and backgrounds of a scenario as arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.sim.compiled import layout
from meshtwin.sim.compiled.layout import Records
from meshtwin.sim.profiles import StackProfile
from meshtwin.sim.scenario import Scenario, ScenarioFlow
from meshtwin.sim.traffic import compute_pdu_airtime_ns
from meshtwin.units import s_to_ns

__all__ = ["prepare_backgrounds", "prepare_flows"]

Indices = npt.NDArray[np.int32]


def prepare_flows(scenario: Scenario, index: Mapping[UnicastAddress, int]) -> tuple[Records, Indices, Indices]:
    """Flows, their members and their relays, each sorted by index."""
    array = np.zeros(len(scenario.flows), dtype=layout.FLOW)
    switched_on = {change.node for change in scenario.changes if change.is_on}
    members: list[int] = []
    relays: list[int] = []
    for row, flow in zip(array, scenario.flows, strict=True):
        source = scenario.nodes[index[flow.source]]
        row["start_ns"], row["period_ns"] = s_to_ns(flow.start_s), s_to_ns(flow.period_s)
        row["spread_ns"] = row["period_ns"] if flow.spread_in_period else s_to_ns(flow.spread_s)
        pdu_bytes = flow.pdu_bytes if flow.segmentation is None else flow.segmentation.segment_pdu_bytes[0]
        row["airtime_ns"] = compute_pdu_airtime_ns(scenario.profile, pdu_bytes)
        answer = flow.response_pdu_bytes
        row["response_airtime_ns"] = compute_pdu_airtime_ns(scenario.profile, answer) if answer else -1
        row["source"] = index[flow.source]
        row["count"] = flow.count if source.is_on or flow.source in switched_on else 0
        row["ttl"] = source.ttl if flow.ttl is None else flow.ttl
        if flow.publish_retransmit is not None:
            row["repeats"], row["repeat_s"] = flow.publish_retransmit.count, flow.publish_retransmit.interval_s
        if flow.retries is not None:
            row["retries"], row["retry_s"] = flow.retries.count, flow.retries.after_s
        row["member_from"] = len(members)
        members += sorted({index[a] for a in flow.members if a != flow.source})
        row["member_to"] = len(members)
        _prepare_segments(row, scenario.profile, flow)
        row["relay_from"] = -1 if flow.relays is None else len(relays)
        relays += sorted(index[a] for a in flow.relays or ())
        row["relay_to"] = len(relays)
    return array, np.array(members, dtype=np.int32), np.array(relays, dtype=np.int32)


def prepare_backgrounds(scenario: Scenario) -> Records:
    array = np.zeros(len(scenario.background), dtype=layout.BACKGROUND)
    for row, background in zip(array, scenario.background, strict=True):
        row["airtime_ns"] = compute_pdu_airtime_ns(scenario.profile, background.pdu_bytes)
        row["ttl"] = -1 if background.ttl is None else background.ttl
    return array


def _prepare_segments(row: Any, profile: StackProfile, flow: ScenarioFlow) -> None:
    """Writes how the flow's messages are segmented into its ``row``, whose members and TTL are known."""
    sizes = (flow.pdu_bytes,) if flow.segmentation is None else flow.segmentation.segment_pdu_bytes
    timing, count = profile.segmentation, len(sizes)
    row["segments"] = count
    row["last_airtime_ns"] = compute_pdu_airtime_ns(profile, sizes[-1])
    row["ack_delay_ns"] = int(min(count - 0.5, timing.ack_delay_segments) * timing.receiver_interval_ns)
    if row["member_to"] - row["member_from"] == 1:
        row["resends"] = timing.retransmissions
        row["resend_ns"] = timing.retransmission_ns + timing.per_ttl_ns * max(0, int(row["ttl"]) - 1)
    else:
        row["resends"], row["resend_ns"] = timing.multicast_retransmissions, timing.multicast_interval_ns
