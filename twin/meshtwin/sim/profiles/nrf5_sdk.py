"""Nordic's nRF5 SDK for Mesh on nRF52 silicon."""

from typing import Final

from meshtwin.sim.profiles.stack_profile import SegmentationTiming, StackProfile

__all__ = ["NRF5_SDK"]

NRF5_SDK: Final = StackProfile(
    name="nrf5-sdk",
    source=(
        "nRF5-SDK-for-Mesh: mesh/bearer/src/core_tx_adv.c (one advertiser for own, one for relayed PDUs), "
        "mesh/bearer/src/advertiser.c (schedule_first_time: 20 ms plus 0 to 10 ms before the first event of an idle "
        "advertiser; setup_next_timeout: interval plus 0 to 10 ms before each further one, and before it looks into "
        "an empty queue), mesh/bearer/api/nrf_mesh_config_bearer.h (scan interval = window = 2 s), "
        "mesh/core/api/nrf_mesh_config_core.h (message cache 32, replay cache 40, relay queue of 128 bytes), "
        "mesh/core/src/transport.c (SAR timers), mesh/access/src/access.c and models/*_server.c (a model answers in "
        "its handler, access_model_reply goes to packet_tx without a timer), mesh/core/src/core_tx_adv.c (no TTL is "
        "looked at: packets with TTL 1 go out; packet_alloc: without room in the originator's 256 bytes a packet gives "
        "NRF_ERROR_NO_MEM, mesh/core/api/nrf_mesh_config_core.h). Read, not measured"
    ),
    # BEARER_ADV_INT_MIN_MS and ADVERTISER_INTERVAL_RANDOMIZATION_US; from an interval of 30 ms on, the first
    # delay grows with it in the SDK (interval - 10 ms more jitter), which is left out here.
    processing_ns=20_000_000,
    jitter_ns=10_000_000,
    response_ns=(0, 0),  # access_model_reply
    response_to_group_ns=(0, 0),
    delay_when_idle_only=True,
    rests_after_last=True,
    advertising_delay_ns=10_000_000,
    scan_interval_ns=2_000_000_000,
    scan_window_ns=2_000_000_000,
    channel_gap_ns=150_000,  # radio ramp-up between channels, 140 us on nRF51; unverified
    event_overhead_ns=300_000,  # switching from scanning and back; assumed
    originated_sets=1,
    relay_sets=1,
    # 128 bytes hold two PDUs of 48 to 56 bytes with their headers, that on the air included (counted by hand from
    # packet_buffer_packet_t and adv_packet_t)
    relay_buffer=1,
    # 256 bytes (CORE_TX_QUEUE_BUFFER_SIZE_ORIGINATOR): four PDUs of 52 or 56 bytes, counted likewise; five short ones
    originated_buffer=3,
    message_cache=32,
    replay_list_size=40,
    allows_default_ttl_one=False,  # the Configuration Server refuses it
    allows_flow_ttl_one=True,  # nrf_mesh_packet_send refuses what is above 127 alone
    segmentation=SegmentationTiming(
        segment_interval_ns=0,  # queued as fast as the originator's buffer takes them
        retransmissions=4,  # TRANSPORT_SAR_TX_RETRIES_DEFAULT
        retransmissions_without_progress=4,
        retransmission_ns=550_000_000,  # 500 ms + 50 ms, here counted from TTL 1 on
        per_ttl_ns=50_000_000,
        multicast_retransmissions=4,
        multicast_interval_ns=500_000_000,
        ack_delay_segments=1.0,
        receiver_interval_ns=550_000_000,  # 150 ms + 50 ms for each of 8 hops (TRANSPORT_SAR_SEGACK_TTL_DEFAULT)
        acks_last_segment=False,
        discard_ns=10_000_000_000,  # TRANSPORT_SAR_RX_TIMEOUT
    ),
)
