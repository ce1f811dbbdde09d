"""The mesh node of the MathWorks Bluetooth toolbox, the stack behind the published office table."""

from typing import Final

from meshtwin.sim.profiles.stack_profile import StackProfile
from meshtwin.sim.profiles.zephyr import ZEPHYR

__all__ = ["MATHWORKS"]

MATHWORKS: Final = StackProfile(
    name="mathworks",
    source=(
        "the toolbox's example classes (2020) as kept in github.com/phanvanhai/ble-mesh, commit 7f5f1ee: "
        "helperBLEMeshNetworkLayer.m (one message at a time, relay queue first, each handed to the link layer one "
        "transmit interval after it was taken, own ones 1 to 10 ms later; queues of 100, cache of 1000, into which "
        "own messages do not go), helperBLEMeshRetransmissions.m, helperBLEMeshLLGAPBearer.m (an event of 20 ms + "
        "0 to 10 whole ms begins at the end of a scan window and is deaf; first PDU after 1 to 7 ms, each next one 1 "
        "to 8 ms after the start of the one before, channels in random order, in which scanning goes on; all "
        "scanners begin together, in one channel order). Nothing is fitted. Not in these classes, so assumed: answers "
        "(the example sends unacknowledged messages alone, helperAppGeneric.m) leave at once, segmentation and replay "
        "protection are Zephyr's, TTL 1 is sent. Verification only: it is a simulator"
    ),
    processing_ns=0,
    jitter_ns=0,
    originated_extra_ns=1_000_000,
    originated_jitter_ns=9_000_000,  # in the source whole milliseconds
    response_ns=(0, 0),  # assumed
    response_to_group_ns=(0, 0),  # assumed
    first_send_after_interval=True,
    hands_over=True,
    relays_own_echo=True,
    start_at_scan_window_end=True,
    scan_restarts_after_event=True,
    scan_in_phase=True,
    advertising_delay_ns=0,
    event_window_ns=20_000_000,
    event_window_jitter_ns=10_000_000,
    event_window_step_ns=1_000_000,
    pdu_first_ns=(1_000_000, 6_000_000),
    pdu_next_ns=(1_000_000, 7_000_000),
    originated_sets=0,
    relay_sets=1,
    relay_buffer=100,
    originated_buffer=100,  # pNetworkTxQueue; enqueue refuses what does not fit
    message_cache=1000,
    replay_list_size=10,  # assumed, Zephyr's
    segmentation=ZEPHYR.segmentation,  # assumed
)
