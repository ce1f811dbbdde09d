"""The links of a scenario as arrays."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.sim.air import AUDIBLE_DELIVERY, OCCUPYING_DELIVERY, link_delivery, link_rx_power_dbm
from meshtwin.sim.compiled import layout
from meshtwin.sim.compiled.keys import Keys, extend_all, extend_each
from meshtwin.sim.compiled.layout import Records
from meshtwin.sim.draws import make_key
from meshtwin.sim.identity import Identity
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
    deliveries: Floats  # NaN: each replication draws its own
    drawn: tuple[int, ...]  # links that it draws
    links: tuple[ScenarioLink, ...]  # the scenario's, in this order
    heard: Records
    heard_from: Integers


@lru_cache(maxsize=8)
def keep_wiring(links: Identity, addresses: tuple[UnicastAddress, ...], on: frozenset[UnicastAddress]) -> Wiring:
    """`wire` for the links of a scenario; configurations of one network share them."""
    return wire(links.value, {address: i for i, address in enumerate(addresses)}, on)


def wire(links: Sequence[ScenarioLink], index: Mapping[UnicastAddress, int], on: Collection[UnicastAddress]) -> Wiring:
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
        drawn=tuple(i for i, drawn in enumerate(is_drawn) if drawn),
        links=tuple(alive),
        heard=heard,
        heard_from=np.searchsorted(targets[by_target], np.arange(len(index) + 1)),
    )


def build_links(wiring: Wiring, addresses: Keys, root_key: int, nodes: Records) -> Records:
    """Links that deliver anything, by source; ``nodes`` are told where theirs are, and whom they hear."""
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
    links["delivery"], links["rx_mw"], links["target"] = deliveries[kept], wiring.rx_mw[kept], targets
    links["occupies"] = deliveries[kept] >= OCCUPYING_DELIVERY
    links["group"] = np.where(nodes["friendship"][targets] >= 0, layout.TO_LOW_POWER, nodes["relay"][targets])
    starts = np.searchsorted(sources, np.arange(len(nodes) + 1))
    nodes["link_from"], nodes["link_to"] = starts[:-1], starts[1:]
    nodes["heard_from"], nodes["heard_to"] = wiring.heard_from[:-1], wiring.heard_from[1:]
    return links
