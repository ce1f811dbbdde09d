"""Packets for tests of single rules."""

from dataclasses import replace

from meshtwin.sim.packets import Instructions, Packet, Properties

PLAIN = Properties(
    key=1,
    flow_index=0,
    number=0,
    source_index=0,
    member_indices=frozenset({1}),
    initial_ttl=3,
    pdu_bytes=20,
    airtime_ns=304_000,
    started_ns=0,
)


def make_packet(key=1, *, instructions=None, **properties):
    """A message of the first node to the second, but for ``properties``; ``instructions`` None: none."""
    return Packet(replace(PLAIN, key=key, **properties), instructions or Instructions())
