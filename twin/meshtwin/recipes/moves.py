"""Small steps from one design to the next: a relay more, a relay less, one for another, repeats, TTL.

Which relays a step takes is decided by keyed draws: equal keys give equal steps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import TTL_MAX, Transmit
from meshtwin.recipes.building import TTL_LEAST, Design
from meshtwin.sim.draws import draw, make_key

__all__ = ["MOST_COUNT", "Space", "block_size", "iter_relay_moves", "iter_setting_moves", "shake"]

MOST_COUNT: Final = 7  # Mesh Protocol 1.1, 4.2.20 (Network Transmit Count)
INTERVAL_CHOICES: Final = (0, 1, 2, 4)  # 10, 20, 30, 50 ms; beyond that a repeat misses a lighting deadline
TTL_STEPS: Final = (-1, 1, 3)
# A step takes so many parts of the relays at once: from a big bite to a single relay. A network of hundreds would
# else need as many steps as it has relays too many.
BLOCK_PARTS: Final = (4, 10, 30, 0)  # 0: one relay


SHAKEN_PART: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Where a search may go: the nodes that may relay, and whether settings other than relay may change."""

    capable: tuple[UnicastAddress, ...]  # ascending
    vary_settings: bool = True

    @classmethod
    def of(cls, capable: frozenset[UnicastAddress], *, vary_settings: bool = True) -> "Space":
        """The space of the nodes given in any order."""
        return cls(capable=tuple(sorted(capable)), vary_settings=vary_settings)


def iter_setting_moves(design: Design) -> Iterator[Design]:
    """Designs that differ in one number: counts first, then intervals, then TTL."""
    network, relay = design.network_transmit, design.relay_retransmit
    for step in (-1, 1):
        if 0 <= network.count + step <= MOST_COUNT:
            yield replace(design, network_transmit=replace(network, count=network.count + step))
        if 0 <= relay.count + step <= MOST_COUNT:
            yield replace(design, relay_retransmit=replace(relay, count=relay.count + step))
    for steps in INTERVAL_CHOICES:
        if steps != network.interval_steps:
            yield replace(design, network_transmit=Transmit(count=network.count, interval_steps=steps))
        if steps != relay.interval_steps:
            yield replace(design, relay_retransmit=Transmit(count=relay.count, interval_steps=steps))
    for step in TTL_STEPS:
        if TTL_LEAST <= design.ttl + step <= TTL_MAX:
            yield replace(design, ttl=design.ttl + step)


def iter_relay_moves(design: Design, space: Space, *, block: int, key: int, most: int) -> Iterator[Design]:
    """At most ``most`` designs with other relays: by turns fewer, exchanged and more, ``block`` at a time.

    With a block of 1 and ``most`` large enough every relay is left out once and every other node added once;
    otherwise a sample by ``key``.
    """
    relays = [a for a in space.capable if a in design.relays]
    others = [a for a in space.capable if a not in design.relays]
    fewer, more = _shuffled(relays, key, "fewer"), _shuffled(others, key, "more")
    exchanged = list(zip(_shuffled(relays, key, "out"), _shuffled(others, key, "in"), strict=False))
    walks: list[Iterator[frozenset[UnicastAddress]]] = [
        (design.relays - set(part) for part in _blocks(fewer, block)),
        (design.relays - {old} | {new} for old, new in exchanged),
        (design.relays | set(part) for part in _blocks(more, block)),
    ]
    given = 0
    while walks and given < most:
        for walk in list(walks):
            relayed = next(walk, None)
            if relayed is None:
                walks.remove(walk)
            elif given < most:
                given += 1
                yield replace(design, relays=relayed)


def shake(design: Design, space: Space, *, key: int) -> Design:
    """The design with some of its relays and other nodes turned round: an eighth of them, two at least."""
    flipped = _shuffled(space.capable, key, "shake")[: max(2, len(space.capable) // SHAKEN_PART)]
    return replace(design, relays=design.relays ^ frozenset(flipped))


def block_size(design: Design, stage: int) -> int:
    """Relays that a step of this stage takes at once; stages beyond the last are like the last."""
    parts = BLOCK_PARTS[min(stage, len(BLOCK_PARTS) - 1)]
    return max(1, len(design.relays) // parts) if parts else 1


def _blocks(addresses: Sequence[UnicastAddress], block: int) -> Iterator[Sequence[UnicastAddress]]:
    return (addresses[i : i + block] for i in range(0, len(addresses), block))


def _shuffled(addresses: Sequence[UnicastAddress], key: int, purpose: str) -> list[UnicastAddress]:
    own = make_key(key, purpose)
    return sorted(addresses, key=lambda a: (draw(own, a), a))
