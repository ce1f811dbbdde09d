"""Zephyr's mesh stack on its own controller, with and without delayable messages."""

from dataclasses import replace
from typing import Final

from meshtwin.sim.profiles.stack_profile import SegmentationTiming, StackProfile

__all__ = ["ZEPHYR", "ZEPHYR_DELAYABLE"]

ZEPHYR: Final = StackProfile(
    name="zephyr",
    source=(
        "scan window = interval = 30 ms, message cache 32, relay buffers 32: Zephyr defaults "
        "(BT_MESH_MSG_CACHE_SIZE, BT_MESH_RELAY_BUF_COUNT); two relay advertising sets as in the published "
        "chain; jitter from hop 1 of that chain, processing from its hops 1 to 4 (python -m tests.validation.fit "
        "chain). Answers leave at once: CONFIG_BT_MESH_ACCESS_DELAYABLE_MSG is off by default "
        "(subsys/bluetooth/mesh/Kconfig), and a round trip of 10 ms over one hop of that chain leaves no room for it. "
        "net.c, bt_mesh_net_send: TTL 1 is refused with -EINVAL. SAR states: Kconfig.sar defaults. Own messages: "
        "BT_MESH_ADV_BUF_COUNT buffers (Kconfig, 6), each held until its PDU has been sent; transport.c, send_unseg: "
        "without a free one the send fails with -ENOBUFS, at once (BUF_TIMEOUT is K_NO_WAIT), and nobody tries again; "
        "seg_tx_send_unacked: a segment without one stays where it is and is tried again"
    ),
    processing_ns=3_100_000,  # fitted on hops 1 to 4 of the published chain, given jitter_ns; no meaning by itself
    jitter_ns=7_100_000,  # fitted on hop 1: 2.05 ms deviation times sqrt(12)
    response_ns=(0, 0),  # CONFIG_BT_MESH_ACCESS_DELAYABLE_MSG is off by default
    response_to_group_ns=(0, 0),
    scan_interval_ns=30_000_000,  # BT_MESH_SCAN_INTERVAL_MS (adv.h)
    scan_window_ns=30_000_000,  # BT_MESH_SCAN_WINDOW_MS (adv.h)
    advertising_delay_ns=10_000_000,  # advDelay, Bluetooth Core, Vol 6 Part B, 4.4.2.2.1
    channel_gap_ns=150_000,  # T_IFS; unverified for non-connectable events
    event_overhead_ns=600_000,  # radio prepare and tear-down around an event; unverified on hardware
    originated_sets=1,
    relay_sets=2,
    relay_buffer=32,  # BT_MESH_RELAY_BUF_COUNT
    # BT_MESH_ADV_BUF_COUNT 6, one of them on the air; beacons and proxy take from the same six, which is left out
    originated_buffer=5,
    message_cache=32,  # BT_MESH_MSG_CACHE_SIZE
    replay_list_size=10,  # BT_MESH_CRPL
    allows_default_ttl_one=False,  # the Configuration Server refuses it (subsys/bluetooth/mesh/cfg_srv.c)
    allows_flow_ttl_one=False,  # bt_mesh_net_send gives -EINVAL
    segmentation=SegmentationTiming(  # Kconfig.sar, BT_MESH_SAR_*
        segment_interval_ns=60_000_000,  # TX_SEG_INT_STEP 5
        retransmissions=2,  # TX_UNICAST_RETRANS_COUNT
        retransmissions_without_progress=2,  # TX_UNICAST_RETRANS_WITHOUT_PROG_COUNT
        retransmission_ns=200_000_000,  # TX_UNICAST_RETRANS_INT_STEP 7
        per_ttl_ns=50_000_000,  # TX_UNICAST_RETRANS_INT_INC 1
        multicast_retransmissions=2,  # TX_MULTICAST_RETRANS_COUNT
        multicast_interval_ns=250_000_000,  # TX_MULTICAST_RETRANS_INT 9
        ack_delay_segments=2.5,  # RX_ACK_DELAY_INC 1
        receiver_interval_ns=60_000_000,  # RX_SEG_INT_STEP 5
        acks_last_segment=False,
        discard_ns=10_000_000_000,  # RX_DISCARD_TIMEOUT 1
    ),
)

# Doubt: Zephyr delays four messages at most (CONFIG_BT_MESH_ACCESS_DELAYABLE_MSG_COUNT) and sends the oldest early when
# a fifth comes; here each waits its time.
ZEPHYR_DELAYABLE: Final = replace(
    ZEPHYR,
    name="zephyr-delayable",
    source=(
        "as zephyr, built with CONFIG_BT_MESH_ACCESS_DELAYABLE_MSG: subsys/bluetooth/mesh/delayable_msg.c, "
        "bt_mesh_delayable_msg_manage: an answer waits 20 ms and less than 30 more if the request came to a unicast "
        "address, less than 480 more if to a group (whole milliseconds there); Mesh Protocol 1.1, 3.7.3.1"
    ),
    response_ns=(20_000_000, 30_000_000),
    response_to_group_ns=(20_000_000, 480_000_000),
)
