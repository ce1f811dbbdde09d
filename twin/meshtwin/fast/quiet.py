"""Floods alone on the air: what airtime a message takes where nothing else is on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from meshtwin.fast.arrays import Air, Floats, Links, Rules, SettingsTable, Work
from meshtwin.fast.traffic import Stream, compute_airtime
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.sim.draws import extend_key, make_key
from meshtwin.sim.scenario import Scenario

__all__ = ["QUIET_START_NS", "Flood", "QuietFloods"]

QUIET_FLOODS: Final = 8  # of each stream, for the airtime they take; the same ones for all configurations
QUIET_START_NS: Final = 1_000_000_000  # of a flood alone on the air; any instant gives the same, seen at three


class Flood(NamedTuple):
    """``destination``: the one node that it is for; None: several. ``ttl`` None: the source's."""

    source: UnicastAddress
    destination: UnicastAddress | None
    ttl: int | None
    airtime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietFloods:
    """Runs floods of one network; equal arguments give equal figures."""

    links: Links
    rules: Rules
    work: Work
    air: Air  # with nothing on it
    index: dict[UnicastAddress, int]
    seed: int

    def compute_streams_busy_s(self, scenario: Scenario, settings: SettingsTable, streams: Sequence[Stream]) -> Floats:
        """(streams,) seconds of a channel that one message of each takes."""
        return np.asarray([self.compute_stream_busy_s(scenario, settings, stream) for stream in streams], np.float64)

    def compute_stream_busy_s(
        self, scenario: Scenario, settings: SettingsTable, stream: Stream, floods: int = QUIET_FLOODS
    ) -> float:
        """Mean seconds of a channel that a message of ``stream`` takes; 0 where nobody sends any."""
        pairs = _choose_pairs(stream, floods)
        key, airtime_ns = make_key(self.seed, "fast/quiet", stream.name), compute_airtime(scenario, stream.pdu_bytes)
        each = [
            self.compute_busy_s(
                settings,
                Flood(source, destination, stream.ttl, airtime_ns),
                extend_key(key, place) if len(stream.destinations) > 1 else key,
                floods // len(pairs),
            )
            for place, (source, destination) in enumerate(pairs)
        ]
        return sum(each) / max(1, len(each))

    def compute_busy_s(self, settings: SettingsTable, flood: Flood, key: int, floods: int) -> float:
        """Mean seconds of a channel that ``flood`` takes, over ``floods`` of them."""
        from meshtwin.fast.runner import run_states  # deferred: numba

        source, nodes = self.index[flood.source], len(self.index)
        busy_ns, nobody = np.zeros(floods, np.int64), np.zeros(nodes, np.uint8)
        member = [] if flood.destination is None else [self.index[flood.destination]]
        run_states(
            self.links, self.rules, settings, self.air, self.work, np.uint64(key),
            np.full(floods, QUIET_START_NS, np.int64), source,
            int(settings.ttl[source]) if flood.ttl is None else flood.ttl, flood.airtime_ns, 0, nobody,
            np.asarray(member, np.int64), np.ones(floods, np.uint8), np.zeros((floods, len(member)), np.int64),
            np.zeros((floods, nodes), np.uint8), busy_ns,
        )  # fmt: skip
        return float(busy_ns.mean()) * 1e-9


def _choose_pairs(stream: Stream, most: int) -> list[tuple[UnicastAddress, UnicastAddress | None]]:
    """At most ``most`` senders with whom each sends to, spread evenly over both."""
    sources = stream.sources[:: -(-len(stream.sources) // most) or 1]
    found = stream.destinations
    if len(found) <= 1:
        return [(source, found[0] if found else None) for source in sources]
    return [
        (sources[place % len(sources)], found[place * len(found) // most]) for place in range(most if sources else 0)
    ]
