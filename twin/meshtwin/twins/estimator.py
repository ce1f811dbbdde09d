"""From counters to the delivery of a single transmission: one Beta posterior per directed link, and its received power.

A notification is sent ``k`` times and heard if one copy arrives, and the channel is busy part of the time,
so with single-transmission delivery ``p`` on a quiet channel and loss by load ``u`` (collision, or the
receiver sending itself)

    q_k(p) = (1 - c) (1 - B_k(1 - p (1 - u)))

where ``B_k`` is the chance that all copies are lost, ``x^k`` for independent ones and more for copies that
share their fate in part (see `bursts`), and ``c`` the share of notifications of which all copies are lost to load
(see `load`).

The posterior of ``p`` given heard and missed notifications per ``k`` is computed on a grid and written as
the Beta distribution of equal mean and variance. The prior is learned from all links of the network: from RSSI
where links tell it, else from distance and the other direction; it is uniform where there are too few
(see `delivery_prior` and `link_line`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import numpy as np

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.snapshots import LinkEstimate
from meshtwin.radio.survivors import estimate_received_powers
from meshtwin.twins.delivery_grid import (
    CHUNK,
    DELIVERY,
    LOG_WEIGHT,
    Array,
    Counts,
    Tables,
    log_likelihood,
    to_beta,
    to_tables,
)
from meshtwin.twins.delivery_prior import LOG_ODDS, RSSI_DBM, ScoreKind, fit_delivery_prior
from meshtwin.twins.evidence import Evidence, Places, find_unheard, gather_evidence
from meshtwin.twins.exposure import measure_exposure
from meshtwin.twins.link_line import Expectation, LinkLine, Pairs, Rows, fit_link_line, log_normal_mass
from meshtwin.twins.load import Load
from meshtwin.twins.state import LinkRecord, TwinState

__all__ = ["LinkQuestion", "estimate_all", "estimate_links", "estimate_unheard", "fit_beta"]

QUIET: Final = Load(busy_ratio=0.0, source="monitoring")
UNIFORM: Final = (1.0, 1.0)  # alpha and beta of the prior where nothing else is known
MODEL_TRIALS: Final = 50.0
# A link is never believed to be known better than by so many single transmissions: how copies share their fate, load
# and fading are modelled roughly, and counting longer does not mend that. Fitted so that 90 % intervals held the truth
# in 88 to 91 % of the links of 44 emulated networks after 6, 30 and 120 minutes (without it: in 73 to 85 %).
LINE_LINKS: Final = 400  # in the fit of the line; more change it little
LINE_UNHEARD: Final = 400
RSSI_READINGS: Final = 16  # over which nodes take the mean; see `meshtwin.gateway.bluez.neighbour_counts`
UNHEARD_LEAST: Final = 0.05  # expected delivery; an unheard pair below it neither helps nor disturbs


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkQuestion:
    """A state at a time, and what is known beside it.

    ``notification_interval_s`` 0: not known, and nothing is concluded from notifications that no counter tells of.
    """

    state: TwinState
    now_s: float
    load: Load
    report_interval_s: float
    notification_interval_s: float = 0.0
    places: Places = field(default_factory=dict)


def estimate_links(question: LinkQuestion) -> tuple[LinkEstimate, ...]:
    """Estimates of all links that were ever reported, ascending by (source, target)."""
    heard, unheard = _gather(question)
    line = _fit_line(heard, unheard, question.load) if np.isnan(heard.rssi_dbm).any() else None
    return _estimate_heard(question, heard, line)


def estimate_all(question: LinkQuestion) -> tuple[LinkEstimate, ...]:
    """Links that were reported, and unheard pairs that may deliver, ascending by (source, target)."""
    heard, unheard = _gather(question)
    needs_line = bool(unheard.pairs) or bool(np.isnan(heard.rssi_dbm).any())  # else it would take 7 ms on 300 nodes
    line = _fit_line(heard, unheard, question.load) if needs_line else None
    found = (
        *_estimate_heard(question, heard, line),
        *_estimate_unheard(question, heard, unheard, line, UNHEARD_LEAST),
    )
    return tuple(sorted(found, key=lambda link: (link.source, link.target)))


def estimate_unheard(question: LinkQuestion, least: float = UNHEARD_LEAST) -> tuple[LinkEstimate, ...]:
    """Estimates of pairs that were never told to hear each other and may do so, ascending by (source, target).

    From their distance, what they were exposed to in vain, and the other direction. Only pairs that are expected to
    deliver at least ``least``; none where places are not known or links too few.
    """
    heard, unheard = _gather(question)
    return _estimate_unheard(question, heard, unheard, _fit_line(heard, unheard, question.load), least)


def _estimate_heard(question: LinkQuestion, heard: Evidence, line: LinkLine | None) -> tuple[LinkEstimate, ...]:
    """``line``: None where nothing is known of it, or RSSI is told of all links."""
    priors = _choose_priors(heard, line, question.load)
    posteriors = _weakened(fit_beta(heard.counts, question.load, priors))
    records = [question.state.nodes[target].links[source] for source, target in heard.pairs]
    powers = _powers(heard.rssi_dbm, records, posteriors)
    return tuple(
        LinkEstimate(
            source=UnicastAddress(source),
            target=UnicastAddress(target),
            delivery_alpha=alpha,
            delivery_beta=beta,
            rssi_dbm=record.rssi_dbm,
            last_heard=datetime.fromtimestamp(record.heard_s, UTC),
            rx_power_dbm=None if record.rssi_dbm is None else power_dbm,
            rx_power_deviation_db=None if record.rssi_dbm is None else deviation_db,
        )
        for (source, target), record, (alpha, beta), (power_dbm, deviation_db) in zip(
            heard.pairs, records, posteriors.tolist(), powers, strict=True
        )
    )


def _powers(rssi_dbm: Array, records: Sequence[LinkRecord], posteriors: Array) -> list[list[float]]:
    """Power that arrives over each link, its RSSI less what survivors look too strong by, and its deviation.

    NaN without RSSI. Hundredths of a dB, which say nothing, stand in every snapshot.
    """
    alpha, beta = posteriors.T
    whole = alpha + beta
    deviation = np.sqrt(alpha * beta / (whole**2 * (whole + 1)))
    readings = np.array([min(record.received + 1, RSSI_READINGS) for record in records], dtype=np.float64)
    pairs = np.stack(estimate_received_powers(rssi_dbm, alpha / whole, deviation, readings), axis=1)
    rounded: list[list[float]] = np.round(pairs, 2).tolist()
    return rounded


def _estimate_unheard(
    question: LinkQuestion, heard: Evidence, unheard: Evidence, line: LinkLine | None, least: float
) -> tuple[LinkEstimate, ...]:
    if line is None or not unheard.pairs:
        return ()
    both = _joined(heard, unheard)
    pairs = _to_pairs(both)
    expected = line.expect_both_ways(pairs, question.load)
    found: list[LinkEstimate] = []
    for start in range(len(heard.pairs), len(both.pairs), CHUNK):
        rows = slice(start, start + CHUNK)
        prior = log_normal_mass(Expectation(expected.mean[rows], expected.deviation[rows]))
        posterior = to_beta(prior + log_likelihood(pairs.tables, rows, question.load))
        found += [
            LinkEstimate(
                source=UnicastAddress(source), target=UnicastAddress(target), delivery_alpha=alpha, delivery_beta=beta
            )
            for (source, target), (alpha, beta) in zip(both.pairs[rows], posterior, strict=True)
            if alpha >= least * (alpha + beta)
        ]
    return tuple(found)


def _weakened(posteriors: Sequence[tuple[float, float]]) -> Array:
    """(links, 2): the posteriors with what the model does not know: same mean, worth less than `MODEL_TRIALS`."""
    table = np.array(posteriors, dtype=np.float64).reshape(-1, 2)
    return np.asarray(table * (MODEL_TRIALS / (MODEL_TRIALS + table.sum(axis=1, keepdims=True))))


def fit_beta(counts: Sequence[Counts], load: Load = QUIET, priors: Array | None = None) -> list[tuple[float, float]]:
    """Alpha and beta of the single-transmission delivery for each link's counts.

    ``priors``: (links, 2), alpha and beta; None: uniform for all.
    """
    before = np.array([UNIFORM] * len(counts)).reshape(-1, 2) if priors is None else priors
    tables = to_tables(counts)
    fitted: list[tuple[float, float]] = []
    for start in range(0, len(counts), CHUNK):
        rows = slice(start, start + CHUNK)
        alpha, beta = before[rows, :1] - 1, before[rows, 1:] - 1
        log_prior = alpha * np.log(DELIVERY) + beta * np.log1p(-DELIVERY) + LOG_WEIGHT
        fitted.extend(to_beta(log_prior + log_likelihood(tables, rows, load)))
    return fitted


def _gather(question: LinkQuestion) -> tuple[Evidence, Evidence]:
    """Links heard, and pairs unheard."""
    exposure = measure_exposure(
        question.state,
        now_s=question.now_s,
        report_interval_s=question.report_interval_s,
        notification_interval_s=question.notification_interval_s,
    )
    heard = gather_evidence(
        question.state,
        exposure,
        question.places,
        now_s=question.now_s,
        report_interval_s=question.report_interval_s,
    )
    return heard, find_unheard(question.state, exposure, question.places, heard)


def _choose_priors(heard: Evidence, line: LinkLine | None, load: Load) -> Array:
    """(links, 2): from RSSI where it is told, else from the line, else uniform."""
    priors = np.array([UNIFORM] * len(heard.pairs)).reshape(-1, 2)
    tables = to_tables(heard.counts)
    told = np.flatnonzero(~np.isnan(heard.rssi_dbm))
    _set_priors(priors, told, heard.rssi_dbm, RSSI_DBM, (tables, load))
    untold = np.flatnonzero(np.isnan(heard.rssi_dbm))
    if line is not None and len(untold):
        expected = line.expect_both_ways(_to_pairs(heard), load)
        _set_priors(priors, untold, expected.mean, LOG_ODDS, (tables, load))
    return priors


def _set_priors(priors: Array, rows: Rows, score: Array, kind: ScoreKind, told: tuple[Tables, Load]) -> None:
    tables, load = told
    prior = fit_delivery_prior(score[rows], {k: table[rows] for k, table in tables.items()}, load, kind)
    if prior is not None:
        priors[rows] = prior.at(score[rows])


def _fit_line(heard: Evidence, unheard: Evidence, load: Load) -> LinkLine | None:
    """The line through a sample of heard links and unheard pairs, each standing for its kind."""
    links, link_weight = _sample(heard, LINE_LINKS)
    silent, silent_weight = _sample(unheard, LINE_UNHEARD)
    weights = np.concatenate([np.full(len(links.pairs), link_weight), np.full(len(silent.pairs), silent_weight)])
    return fit_link_line(_to_pairs(_joined(links, silent)), weights, load)


def _sample(evidence: Evidence, most: int) -> tuple[Evidence, float]:
    """Both directions of every n-th pair, about ``most`` rows, and how many rows each stands for."""
    step = -(-len(evidence.pairs) // most) if evidence.pairs else 1
    if step == 1:
        return evidence, 1.0
    undirected = sorted({(min(pair), max(pair)) for pair in evidence.pairs})
    chosen = set(undirected[::step])
    rows = [row for row, pair in enumerate(evidence.pairs) if (min(pair), max(pair)) in chosen]
    return _rows(evidence, rows), len(evidence.pairs) / len(rows)


def _rows(evidence: Evidence, rows: Sequence[int]) -> Evidence:
    return Evidence(
        pairs=[evidence.pairs[row] for row in rows],
        counts=[evidence.counts[row] for row in rows],
        decades=evidence.decades[rows],
        rssi_dbm=evidence.rssi_dbm[rows],
    )


def _joined(first: Evidence, second: Evidence) -> Evidence:
    return Evidence(
        pairs=[*first.pairs, *second.pairs],
        counts=[*first.counts, *second.counts],
        decades=np.concatenate([first.decades, second.decades]),
        rssi_dbm=np.concatenate([first.rssi_dbm, second.rssi_dbm]),
    )


def _to_pairs(evidence: Evidence) -> Pairs:
    return Pairs(decades=evidence.decades, tables=to_tables(evidence.counts), reverse=evidence.reverse())
