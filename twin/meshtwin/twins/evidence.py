"""What the state of a twin says of each directed pair, as it counts now: one row per link, and per unheard pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.nodes import Position
from meshtwin.twins.delivery_grid import Array, Counts
from meshtwin.twins.exposure import Exposure
from meshtwin.twins.folding import EVIDENCE_HALF_LIFE_S
from meshtwin.twins.link_line import Rows
from meshtwin.twins.silence import SilentLink, find_silent_links
from meshtwin.twins.state import LinkRecord, TwinState

__all__ = ["Evidence", "Pair", "Places", "find_unheard", "gather_evidence"]

EVIDENCE_FLOOR: Final = 4.0  # notifications: what old evidence still weighs, so that its direction remains
NEAREST_M: Final = 0.3  # closer places are not told apart
TELLING_LENGTHS: Final = 1.2  # of the longest link heard; a pair beyond it says no more by its silence
ASSUMED_TRANSMISSIONS: Final = 3  # of a source that nobody heard; count 2 is Zephyr's default

Pair = tuple[int, int]  # source, target
Places = Mapping[UnicastAddress, Position]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Directed pairs in ascending order, with what was counted of each, decayed to now."""

    pairs: Sequence[Pair]
    counts: Sequence[Counts]
    decades: Array  # of metres, (pairs,), NaN where a place is not known
    rssi_dbm: Array  # (pairs,), NaN where it is not told

    def reverse(self) -> Rows:
        """Row of the other direction of each pair, -1 where there is none."""
        rows = {pair: row for row, pair in enumerate(self.pairs)}
        return np.array([rows.get((target, source), -1) for source, target in self.pairs], dtype=np.intp)


def gather_evidence(
    state: TwinState, exposure: Exposure, places: Places, *, now_s: float, report_interval_s: float
) -> Evidence:
    """All links that were ever reported.

    Evidence decays with a half-life of `EVIDENCE_HALF_LIFE_S` down to `EVIDENCE_FLOOR` notifications. Links that fell
    silent while both ends are known to be alive count what was missed since (see `silence`), and all links what was
    missed before they were heard first (see `exposure`).
    """
    silent = find_silent_links(state, report_interval_s=report_interval_s)
    links = sorted((s, t, record) for t, node in state.nodes.items() for s, record in node.links.items())
    pairs = [(source, target) for source, target, _ in links]
    counts = [
        _aged(record, silent.get((source, target)), exposure.missing(source, target), now_s)
        for source, target, record in links
    ]
    rssi = np.array([np.nan if r.rssi_dbm is None else r.rssi_dbm for _, _, r in links], dtype=np.float64)
    return Evidence(pairs=pairs, counts=counts, decades=_decades(pairs, places), rssi_dbm=rssi)


def find_unheard(state: TwinState, exposure: Exposure, places: Places, heard: Evidence) -> Evidence:
    """Pairs of placed nodes that are known to be alive, of which the one was never told to hear the other.

    Those much longer than any link are left out: nobody expects anything of them.
    """
    known = set(heard.pairs)
    alive = {node for pair in known for node in pair} | {a for a, n in state.nodes.items() if n.reported_s is not None}
    longest = float(np.nanmax(heard.decades, initial=-np.inf)) + float(np.log10(TELLING_LENGTHS))
    placed = [a for a in sorted(places) if a in alive]
    pairs: list[Pair] = []
    if placed and np.isfinite(longest):
        near = _lengths_m(placed, places) <= 10**longest
        pairs = [
            (int(placed[i]), int(placed[j]))
            for i, j in zip(*np.nonzero(near), strict=True)
            if i != j and (placed[i], placed[j]) not in known
        ]
    counts = [
        ((exposure.transmissions.get(source, ASSUMED_TRANSMISSIONS), 0.0, exposure.missing(source, target)),)
        for source, target in pairs
    ]
    return Evidence(pairs=pairs, counts=counts, decades=_decades(pairs, places), rssi_dbm=np.full(len(pairs), np.nan))


def _aged(record: LinkRecord, silent: SilentLink | None, missing: float, now_s: float) -> Counts:
    """Evidence as it counts at ``now_s``, with notifications of which no counter tells."""
    total = record.notifications
    if total <= 0.0:
        factor = 1.0
    else:
        decay = 0.5 ** (max(0.0, now_s - record.evidence_s) / EVIDENCE_HALF_LIFE_S)
        factor = max(decay, min(1.0, EVIDENCE_FLOOR / total))
    untold = missing if silent is None else max(missing, silent.missed)
    newest = record.newest_transmissions
    if len(record.evidence) == 1:  # the common case, kept fast
        ((k, heard, missed),) = record.evidence
        return ((k, heard * factor, missed * factor + (untold if k == newest else 0.0)),)
    return tuple((k, h * factor, m * factor + (untold if k == newest else 0.0)) for k, h, m in record.evidence)


def _decades(pairs: Sequence[Pair], places: Places) -> Array:
    unknown = (np.nan,) * 3
    known = {int(a): (place.x_m, place.y_m, place.z_m) for a, place in places.items()}
    ends = np.array([(known.get(s, unknown), known.get(t, unknown)) for s, t in pairs]).reshape(-1, 2, 3)
    lengths_m = np.sqrt(((ends[:, 0] - ends[:, 1]) ** 2).sum(axis=1))
    return np.asarray(np.log10(np.maximum(lengths_m, NEAREST_M)))


def _lengths_m(placed: Sequence[UnicastAddress], places: Places) -> Array:
    """(placed, placed): distance between all of them in metres."""
    points = np.array([(places[a].x_m, places[a].y_m, places[a].z_m) for a in placed])
    return np.asarray(np.sqrt(((points[:, None, :] - points[None, :, :]) ** 2).sum(axis=2)))
