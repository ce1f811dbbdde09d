"""BlueZ's bluetooth-meshd over a controller driven by HCI."""

from typing import Final

from meshtwin.sim.profiles.stack_profile import SegmentationTiming, StackProfile

__all__ = ["BLUEZ"]

BLUEZ: Final = StackProfile(
    name="bluez",
    source=(
        "mesh/net.c: send_relay_pkt delays a relayed PDU by a random time up to DEFAULT_MAX_DELAY (25 ms), "
        "send_msg_pkt an own one by DEFAULT_MIN_DELAY (0); mesh/mesh-io-generic.c and mesh-io-unit.c: one queue "
        "without a bound, the delay is drawn only when it is empty (tx_worker), after each copy the PDU goes to the "
        "tail and the next one has its turn one interval later (tx_to), passive scan with window = interval = 10 ms "
        "(scan_disable_rsp); mesh/net.h: MSG_CACHE_SIZE 70, SEG_TO 2 s, MSG_TO 60 s. Transmit count and interval "
        "appear on the air exactly as set, and TTL 1 is never sent (measured with meshd 5.66 on a virtual air). "
        "mesh/model.c, mesh/cfgmod-server.c: an answer is handed to the network layer in the handler; what an "
        "application on D-Bus takes for its own is not known here"
    ),
    processing_ns=0,
    jitter_ns=25_000_000,  # relayed PDUs, in send_relay_pkt; 0 to 25 ms also from the round trips measured
    # from request to air: half of a round trip of 1.2 ms over one hop, as measured; its spread was not, so daemons that
    # answer the same request overlap here more than they would
    own_delay_ns=(500_000, 0),
    response_ns=(0, 0),  # mesh_model_send; a round trip of 1.2 ms over one hop was measured
    response_to_group_ns=(0, 0),  # no other rule for groups
    delay_when_idle_only=True,
    copies_take_turns=True,
    one_queue=True,
    rests_after_last=True,
    relay_buffer=1_000_000,  # l_queue without a bound
    originated_buffer=None,  # the same queue
    advertising_delay_ns=0,  # a timer of the daemon spaces the copies
    scan_interval_ns=10_000_000,
    scan_window_ns=10_000_000,
    channel_gap_ns=150_000,  # assumed as for Zephyr's controller; the real one is the controller's affair
    event_overhead_ns=600_000,  # assumed likewise
    originated_sets=0,
    relay_sets=1,
    message_cache=70,
    replay_list_size=100,  # assumed: meshd takes it from the application (crpl of Join or Attach)
    allows_default_ttl_one=False,
    allows_flow_ttl_one=False,
    segmentation=SegmentationTiming(
        segment_interval_ns=0,  # all segments are queued at once
        retransmissions=30,  # every SEG_TO until MSG_TO
        retransmissions_without_progress=30,
        retransmission_ns=2_000_000_000,
        per_ttl_ns=0,
        multicast_retransmissions=0,
        multicast_interval_ns=0,
        ack_delay_segments=1.0,
        receiver_interval_ns=2_000_000_000,  # SEG_TO
        acks_last_segment=True,  # seg_rxed, friend_seg_rxed
        discard_ns=60_000_000_000,
    ),
)
