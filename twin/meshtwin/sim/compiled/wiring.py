"""The links of a scenario as arrays."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.radio.reception import resize_delivery
from meshtwin.sim.air import AUDIBLE_DELIVERY, OCCUPYING_DELIVERY, link_airtime_ns, link_delivery, link_rx_power_dbm
from meshtwin.sim.array_draws import Keys, extend_all, extend_each
from meshtwin.sim.compiled import layout
from meshtwin.sim.compiled.layout import Records
from meshtwin.sim.draws import make_key
from meshtwin.sim.identity import Identity
from meshtwin.sim.profiles import StackProfile
from meshtwin.sim.scenario import ScenarioLink
from meshtwin.units import dbm_to_mw

__all__ = ["Wiring", "build_links", "keep_wiring", "wire"]

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Links between nodes that are on, in order of source; ``heard`` in order of target."""

    sources: Integers  # of links, by index
    targets: Integers
    rx_mw: Floats
    deliveries: Floats  # of PDUs of ``airtimes_ns``; NaN: each replication draws its own
    airtimes_ns: Integers
    drawn: tuple[int, ...]  # links that it draws
    links: tuple[ScenarioLink, ...]  # the scenario's, in this order
    heard: Records
    heard_from: Integers
    resized: dict[int, Floats] = field(
        default_factory=dict
    )  # ``deliveries`` of other times on the air; filled as asked


@lru_cache(maxsize=8)
def keep_wiring(
    links: Identity, addresses: tuple[UnicastAddress, ...], on: frozenset[UnicastAddress], profile: StackProfile
) -> Wiring:
    """`wire` for the links of a scenario; configurations of one network share them."""
    return wire(links.value, {address: i for i, address in enumerate(addresses)}, on, profile)


def wire(
    links: Sequence[ScenarioLink],
    index: Mapping[UnicastAddress, int],
    on: Collection[UnicastAddress],
    profile: StackProfile,
) -> Wiring:
    """The links as arrays; ``index`` of all nodes, ``on``: those that are switched on."""
    alive = [link for link in links if link.source in on and link.target in on]
    alive.sort(key=lambda link: index[link.source])
    sources = np.array([index[link.source] for link in alive], dtype=np.int64)
    targets = np.array([index[link.target] for link in alive], dtype=np.int64)
    rx_mw = np.array([dbm_to_mw(link_rx_power_dbm(link)) for link in alive], dtype=np.float64)
    is_drawn = [link.delivery is not None and link.delivery_deviation != 0.0 for link in alive]
    deliveries = [math.nan if drawn else link_delivery(link, 0) for link, drawn in zip(alive, is_drawn, strict=True)]
    by_target = np.argsort(targets, kind="stable")
    heard = np.zeros(len(alive), dtype=layout.HEARD)
    heard["rx_mw"], heard["source"] = rx_mw[by_target], sources[by_target]
    return Wiring(
        sources=sources,
        targets=targets,
        rx_mw=rx_mw,
        deliveries=np.array(deliveries, dtype=np.float64),
        airtimes_ns=np.array([link_airtime_ns(link, profile) for link in alive], dtype=np.int64),
        drawn=tuple(i for i, drawn in enumerate(is_drawn) if drawn),
        links=tuple(alive),
        heard=heard,
        heard_from=np.searchsorted(targets[by_target], np.arange(len(index) + 1)),
    )


def build_links(
    wiring: Wiring, addresses: Keys, root_key: int, nodes: Records, airtimes_ns: Integers
) -> tuple[Records, Floats]:
    """Links that deliver anything, by source, and their (airtimes, links) deliveries.

    ``nodes`` are told where theirs are, and whom they hear.
    """
    deliveries = wiring.deliveries
    if wiring.drawn:
        deliveries = deliveries.copy()
        for i in wiring.drawn:
            deliveries[i] = link_delivery(wiring.links[i], root_key)
    kept = np.flatnonzero(deliveries >= AUDIBLE_DELIVERY)
    sources, targets = wiring.sources[kept], wiring.targets[kept]
    links = np.zeros(len(kept), dtype=layout.LINK)
    by_source = extend_all(make_key(root_key, "link"), addresses[sources])
    links["key"] = extend_each(by_source, addresses[targets])
    links["rx_mw"], links["target"] = wiring.rx_mw[kept], targets
    links["occupies"] = deliveries[kept] >= OCCUPYING_DELIVERY
    links["group"] = np.where(nodes["friendship"][targets] >= 0, layout.TO_LOW_POWER, nodes["relay"][targets])
    starts = np.searchsorted(sources, np.arange(len(nodes) + 1))
    nodes["link_from"], nodes["link_to"] = starts[:-1], starts[1:]
    nodes["heard_from"], nodes["heard_to"] = wiring.heard_from[:-1], wiring.heard_from[1:]
    rows = [_resize(wiring, deliveries, airtime_ns)[kept] for airtime_ns in airtimes_ns.tolist()]
    return links, np.array(rows, dtype=np.float64).reshape(len(airtimes_ns), len(kept))


def _resize(wiring: Wiring, deliveries: Floats, airtime_ns: int) -> Floats:
    """(links,) delivery of PDUs of ``airtime_ns``; number by number, so that both engines find the same bits."""
    known = wiring.resized.get(airtime_ns)
    if known is None:
        pairs = zip(wiring.deliveries.tolist(), wiring.airtimes_ns.tolist(), strict=True)
        known = np.array([resize_delivery(delivery, told_ns, airtime_ns) for delivery, told_ns in pairs])
        wiring.resized[airtime_ns] = known
    if not wiring.drawn:
        return known
    known = known.copy()
    for i in wiring.drawn:
        known[i] = resize_delivery(float(deliveries[i]), int(wiring.airtimes_ns[i]), airtime_ns)
    return known
