"""How far attenuation would be off if delivery told it where RSSI does not: why it is not told there.

Power from delivery is sensitivity + softness * log-odds of delivery, with the softness that the truth's receivers have
on average. Sensitivities of the truth are drawn from -90 to -72 dBm (`tests.truth.hidden`), what is left of a receiver
in a case, in a room with other traffic; that no twin knows them is the point, the numbers are of these draws.
Nothing of it is in the product, and no figure has a bound.
"""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma
from tests.benchmarks.bench_links import hide_rssi
from tests.benchmarks.figures import Figure, told
from tests.benchmarks.following import follow
from tests.truth.network import TruthNetwork, make_network
from tests.truth.places import KINDS

from meshtwin.emulation.world import World
from meshtwin.mesh.snapshots import LinkEstimate, Snapshot

__all__ = ["run"]

COMMAND: Final = "python -m tests.benchmarks attenuation_from_delivery"
FIRST_SEED: Final = int(os.environ.get("MESHTWIN_BENCH_ATTENUATION_SEED", "980000"))  # plus 1000 per minute
NETWORKS: Final = int(os.environ.get("MESHTWIN_BENCH_ATTENUATION_NETWORKS", "10"))  # per age
SIZES: Final = (14, 20, 30, 40, 52)
MINUTES: Final = (6, 30)
BANDS: Final = {"0.1-0.8": (0.1, 0.8), "0.8-0.9": (0.8, 0.9), "0.9-1": (0.9, 1.01)}  # of true delivery
SOFTNESS_DB: Final = 1.4  # mean of what `tests.truth.hidden.draw_radio` draws
DATA_SHEET_DBM: Final = -95.0  # LE 1M: nRF52840 product specification
FIT_BAND: Final = (0.1, 0.85)  # deliveries that say something of the power
FIT_LEAST: Final = 5  # links
WITHIN_90_PERCENT: Final = 1.645

Array = NDArray[np.float64]


@dataclass
class Found:
    """Errors in dB by what was assumed; of unheard pairs the deviations, too."""

    errors_db: dict[str, list[float]] = field(default_factory=dict)
    unheard_db: list[float] = field(default_factory=list)
    unheard_deviation_db: list[float] = field(default_factory=list)


def run() -> list[Figure]:
    """Root mean square errors, and the coverage for unheard pairs."""
    figures: list[Figure] = []
    for minutes in MINUTES:
        found = Found()
        for network in follow(_networks(FIRST_SEED + 1000 * minutes), NETWORKS, f"from delivery, {minutes} min"):
            state = network.observe_state(minutes)
            _add_blind(found, network, network.snapshot(hide_rssi(state), minutes))
            _add_unheard(found, network, network.snapshot(state, minutes))
        for name, errors_db in found.errors_db.items():
            what = f"attenuation from delivery, {minutes} min, {name}, {len(errors_db)} links: error, root mean square"
            figures.append(told(what, _rms(errors_db), "dB", COMMAND))
        if found.unheard_db:
            figures += _tell_unheard(found, f"attenuation from delivery, {minutes} min, unheard pairs")
    return figures


def _tell_unheard(found: Found, where: str) -> list[Figure]:
    error_db, deviation_db = np.array(found.unheard_db), np.array(found.unheard_deviation_db)
    share = 100.0 * float((np.abs(error_db) <= WITHIN_90_PERCENT * deviation_db).mean())
    return [
        told(f"{where}, {len(error_db)}: error, root mean square", _rms(found.unheard_db), "dB", COMMAND),
        told(f"{where}: truth inside the 90 % interval", share, "%", COMMAND),
    ]


def _networks(first: int) -> Iterator[TruthNetwork]:
    for seed in range(first, first + NETWORKS):
        yield make_network(sorted(KINDS)[seed % len(KINDS)], random.Random(f"size/{seed}").choice(SIZES), seed)


def _add_blind(found: Found, network: TruthNetwork, snapshot: Snapshot) -> None:
    """Links that were heard, without any RSSI."""
    heard = [link for link in snapshot.links if link.last_heard is not None]
    above_db, _ = _above_sensitivity_db(heard)
    true_dbm, delivery = _truth(network, heard)
    known_dbm = network.scenario.radio.sensitivity_dbm
    for band, (low, high) in BANDS.items():
        rows = (delivery >= low) & (delivery < high)
        for name, sensitivity_dbm in (("known", known_dbm), ("of a data sheet", DATA_SHEET_DBM)):
            errors_db = (true_dbm - above_db - sensitivity_dbm)[rows]
            found.errors_db.setdefault(f"{band}, sensitivity {name}", []).extend(errors_db.tolist())


def _add_unheard(found: Found, network: TruthNetwork, snapshot: Snapshot) -> None:
    """Pairs that were never heard, by the sensitivity that the network's own links with RSSI show."""
    low, high = FIT_BAND
    fit = [link for link in snapshot.links if link.rx_power_dbm is not None and low < link.delivery_mean < high]
    pairs = [link for link in snapshot.links if link.last_heard is None]
    if len(fit) < FIT_LEAST or not pairs:
        return
    fit_db, _ = _above_sensitivity_db(fit)
    seen_dbm = np.array([link.rx_power_dbm for link in fit], dtype=np.float64) - fit_db
    sensitivity_dbm = float(np.median(seen_dbm))
    spread_db = 1.4826 * float(np.median(np.abs(seen_dbm - sensitivity_dbm)))  # as a standard deviation
    above_db, deviation_db = _above_sensitivity_db(pairs)
    true_dbm, _ = _truth(network, pairs)
    found.unheard_db += (true_dbm - above_db - sensitivity_dbm).tolist()
    found.unheard_deviation_db += np.hypot(deviation_db, spread_db).tolist()


def _above_sensitivity_db(links: list[LinkEstimate]) -> tuple[Array, Array]:
    """Mean and deviation of log-odds under each link's Beta posterior, as dB."""
    alpha = np.array([link.delivery_alpha for link in links])
    beta = np.array([link.delivery_beta for link in links])
    spread = np.sqrt(polygamma(1, alpha) + polygamma(1, beta))
    return SOFTNESS_DB * (digamma(alpha) - digamma(beta)), SOFTNESS_DB * spread


def _truth(network: TruthNetwork, links: list[LinkEstimate]) -> tuple[Array, Array]:
    """Power that arrives in dBm, mean of the channels, and delivery of each link."""
    power_dbm, delivery = World(network.scenario, network.seed).power_dbm, network.true_delivery()
    arrives = [sum(power_dbm[link.source - 1][link.target - 1]) / 3.0 for link in links]
    return np.array(arrives), np.array([delivery[link.source, link.target] for link in links])


def _rms(errors_db: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(errors_db))))
