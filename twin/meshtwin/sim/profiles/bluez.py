"""BlueZ's bluetooth-meshd over a controller driven by HCI."""

from typing import Final

from meshtwin.sim.profiles.stack_profile import StackProfile

__all__ = ["BLUEZ"]

BLUEZ: Final = StackProfile(
    name="bluez",
    source=(
        "mesh/net.c: a relayed PDU is sent after a random delay of 20 to 50 ms (msg_min_delay, "
        "msg_max_delay), message cache of 70 entries; mesh/mesh-io-generic.c: one transmission at a time, "
        "passive scan; recalled from its source, neither looked up again nor measured"
    ),
    processing_ns=20_000_000,  # lower end of BlueZ's relay delay
    jitter_ns=30_000_000,
    advertising_delay_ns=10_000_000,
    channel_gap_ns=150_000,
    event_overhead_ns=600_000,  # assumed as for Zephyr's controller
    originated_sets=0,
    relay_sets=1,
    message_cache=70,
)
