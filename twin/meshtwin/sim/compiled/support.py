"""What the compiled engine can do."""

from dataclasses import MISSING, fields
from typing import Any, Final

from meshtwin.sim.profiles import SegmentationTiming, StackProfile
from meshtwin.sim.scenario import Scenario, ScenarioBackground, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.scenario_features import LowPower, PublishRetransmit, Retries, Segmentation

__all__ = ["unsupported"]

NODES_MOST: Final = 1 << 24  # bits that a tie has for node, flow or background

# Fields that this engine obeys, by type. One that is not here has to hold its default: a feature that only the
# reference engine knows can then never be left out in silence.
KNOWN: Final[dict[type, str]] = {
    Scenario: """
        name nodes links flows background profile capture duration_s is_traced interference start_of_day_s changes
        watched gaps
    """,
    ScenarioNode: """
        address relay ttl network_transmit relay_retransmit external_pdus_per_s is_on
        replay_list_size replay_list_used friend_queue_size low_power position
    """,
    ScenarioLink: "source target rx_power_dbm delivery delivery_deviation delivery_pdu_bytes",
    ScenarioFlow: """
        name source members count period_s deadline_ms start_s spread_in_period spread_s pdu_bytes response_pdu_bytes
        ttl rate_per_s relays segmentation publish_retransmit retries
    """,
    ScenarioBackground: "name sources rate_per_s ttl pdu_bytes is_reporting is_counted destinations",
    # the last line: read when a scenario is read, and when it is prepared
    StackProfile: """
        name source processing_ns jitter_ns originated_extra_ns originated_jitter_ns own_delay_ns queue_after_delay
        response_ns response_to_group_ns first_send_after_interval start_at_scan_window_end scan_interval_ns
        scan_window_ns scan_restarts_after_event scan_in_phase advertising_delay_ns channel_gap_ns event_overhead_ns
        pdu_airtime_ns event_window_ns event_window_jitter_ns event_window_step_ns pdu_first_ns pdu_next_ns
        originated_sets relay_sets one_queue hands_over relays_own_echo rests_after_last relay_buffer originated_buffer
        message_cache delay_when_idle_only copies_take_turns scan_sample_ns capture_db
        allows_default_ttl_one allows_flow_ttl_one replay_list_size segmentation
    """,
    Segmentation: "access_bytes mic_bytes",
    SegmentationTiming: """
        segment_interval_ns retransmissions retransmissions_without_progress retransmission_ns per_ttl_ns
        multicast_retransmissions multicast_interval_ns ack_delay_segments receiver_interval_ns acks_last_segment
        discard_ns
    """,
    LowPower: "friend poll_interval_s receive_delay_s receive_window_s poll_retries",
    PublishRetransmit: "count interval_steps",
    Retries: "count after_s",
}


def unsupported(scenario: Scenario) -> str | None:
    """Why the compiled engine can't run ``scenario``: the feature that it lacks; None: it can."""
    if max(len(scenario.nodes), len(scenario.flows), len(scenario.background)) >= NODES_MOST:
        return f"more than {NODES_MOST - 1} nodes, flows or backgrounds"
    details = [(f.segmentation, f.publish_retransmit, f.retries) for f in scenario.flows]
    parts = (
        scenario.nodes, scenario.links, scenario.flows, scenario.background,
        *(tuple(value for value in column if value is not None) for column in zip(*details, strict=True)),
        tuple(node.low_power for node in scenario.nodes if node.low_power is not None),
    )  # fmt: skip
    for values in ((scenario,), (scenario.profile,), (scenario.profile.segmentation,), *parts):
        unknown = unknown_fields(type(values[0])) if values else ()
        for value in values if unknown else ():
            for name, default in unknown:
                if getattr(value, name) != default:
                    return f"{type(value).__name__}.{name}"
    return None


def unknown_fields(kind: type) -> tuple[tuple[str, Any], ...]:
    """Fields of the dataclass ``kind`` that the engine does not read, with their defaults."""
    known = frozenset(name for each in kind.__mro__ for name in KNOWN.get(each, "").split())
    return tuple(
        (f.name, f.default if f.default_factory is MISSING else f.default_factory())
        for f in fields(kind)
        if f.name not in known
    )
