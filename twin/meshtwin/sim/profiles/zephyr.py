"""Zephyr's mesh stack on its own controller."""

from typing import Final

from meshtwin.sim.profiles.stack_profile import StackProfile

__all__ = ["ZEPHYR"]

ZEPHYR: Final = StackProfile(
    name="zephyr",
    source=(
        "scan window = interval = 30 ms, message cache 32, relay buffers 32: Zephyr defaults "
        "(BT_MESH_MSG_CACHE_SIZE, BT_MESH_RELAY_BUF_COUNT); two relay advertising sets as in the published "
        "chain; jitter from hop 1 of that chain, processing from its hops 1 to 4 (python -m tests.validation.fit chain)"
    ),
    processing_ns=3_100_000,  # fitted on hops 1 to 4 of the published chain, given jitter_ns; no meaning by itself
    jitter_ns=7_100_000,  # fitted on hop 1: 2.05 ms deviation times sqrt(12)
    channel_gap_ns=150_000,  # T_IFS; unverified for non-connectable events
    event_overhead_ns=600_000,  # radio prepare and tear-down around an event; unverified on hardware
    originated_sets=1,
    relay_sets=2,
    replay_list_size=10,  # BT_MESH_CRPL
    allows_default_ttl_one=False,  # the Configuration Server refuses it (subsys/bluetooth/mesh/cfg_srv.c)
)
