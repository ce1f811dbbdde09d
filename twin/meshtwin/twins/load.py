"""How much of what is sent is lost by load rather than by the link: collisions, own sending, storms.

Two parts. Single transmissions are lost independently to a busy channel. And a flood keeps a channel busy for
longer than all copies of a notification take, so that now and then a whole notification is lost.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.nodes import Flow
from meshtwin.mesh.reporting import compute_message_s
from meshtwin.mesh.upkeep import UpkeepPart
from meshtwin.twins.state import LinkRecord, NodeRecord, TwinState

__all__ = ["Load", "Traffic", "estimate_load", "estimate_outage", "loss_by_load"]

PDU_AIRTIME_S: Final = 0.000376  # 47 bytes at 1 Mbit/s on one channel: a network PDU of 29 bytes
LOSS_MAX: Final = 0.9  # beyond it nothing can be inverted
BEST_SHARE: Final = 0.25  # of links: those that a quiet channel would never lose
BEST_LINKS_MIN: Final = 10  # fewer say nothing about rare losses
OUTAGE_COPIES: Final = 3  # of two copies a link of 0.9 loses both in 1 % by itself: that is no outage
OUTAGE_MAX: Final = 0.3  # more than this is not load but a fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Share of time in which the channel is busy at a node, where it comes from, and whole losses.

    ``outage_ratio``: share of notifications of which every copy is lost, however good the link.
    """

    busy_ratio: float
    source: Literal["measured", "monitoring"]
    outage_ratio: float = 0.0

    @property
    def loss_ratio(self) -> float:
        """Share of single transmissions lost by it."""
        return loss_by_load(self.busy_ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What is known to be sent: intervals of monitoring, application flows, upkeep, and how nodes repeat it.

    ``report_interval_s`` 0: nodes do not report by themselves. ``airtime_budget_ratio`` is what upkeep keeps to.
    """

    notification_interval_s: float
    report_interval_s: float
    flows: Sequence[Flow] = ()
    configuration: Configuration = field(default_factory=Configuration)
    upkeep: Sequence[UpkeepPart] = ()
    airtime_budget_ratio: float = 0.0


def loss_by_load(busy_ratio: float) -> float:
    """Share of transmissions that overlap another one, 0..0.9.

    Senders of equal packets at Poisson times destroy each other within two packet lengths:
    1 - exp(-2 busy). Capture makes it less, bursts make it more; both are left out.
    Source: Abramson (1970), pure ALOHA.
    """
    return min(LOSS_MAX, 1.0 - math.exp(-2.0 * max(0.0, busy_ratio)))


def estimate_load(state: TwinState, traffic: Traffic) -> Load:
    """The load as the gateway measured it, else that of notifications, reports, flows and upkeep as far as known.

    The measured figure is that of the gateway's node; a node in a crowd hears more (unverified on hardware; in
    the emulated office it is within about a quarter of the mean over nodes).
    """
    outage = estimate_outage(state)
    if state.airtime_ratio is not None:
        return Load(busy_ratio=state.airtime_ratio, source="measured", outage_ratio=outage)
    busy = min(1.0, _messages_heard_per_s(state, traffic) * PDU_AIRTIME_S)
    return Load(busy_ratio=busy, source="monitoring", outage_ratio=outage)


def estimate_outage(state: TwinState) -> float:
    """Share of notifications lost whole: what the best links miss although they are sent three times and more.

    The best are those with the strongest RSSI, or where it is not told with the largest share heard (which
    picks the lucky ones and makes the figure too small). 0 where too few links are known.
    """
    links = [
        record
        for node in state.nodes.values()
        for record in node.links.values()
        if record.evidence and record.evidence[-1][0] >= OUTAGE_COPIES
    ]
    told = [record for record in links if record.rssi_dbm is not None]
    ranked = sorted(told, key=_rssi) if len(told) * 2 > len(links) else sorted(links, key=_share_heard)
    best = ranked[-int(len(ranked) * BEST_SHARE) :] if len(ranked) * BEST_SHARE >= BEST_LINKS_MIN else []
    heard = sum(h for record in best for k, h, _ in record.evidence if k >= OUTAGE_COPIES)
    missed = sum(m for record in best for k, _, m in record.evidence if k >= OUTAGE_COPIES)
    return min(OUTAGE_MAX, missed / (heard + missed)) if heard + missed > 0 else 0.0


def _messages_heard_per_s(state: TwinState, traffic: Traffic) -> float:
    """PDUs per second that a node hears, mean over reporters: neighbours' own, and floods as they relay them."""
    reporters = [node for node in state.nodes.values() if node.links]
    if not reporters or traffic.notification_interval_s <= 0:
        return 0.0
    records = [record for node in reporters for record in node.links.values()]
    copies = [record.newest_transmissions for record in records if record.evidence]
    mean_copies = sum(copies) / max(1, len(copies))
    heard_neighbours = sum(map(_neighbours_heard, reporters)) / len(reporters)
    notifications = heard_neighbours * mean_copies / traffic.notification_interval_s
    sources = len(state.nodes.keys() | {source for node in reporters for source in node.links})
    reports_per_s = sources / traffic.report_interval_s if traffic.report_interval_s > 0 else 0.0
    floods_per_s = reports_per_s + sum(f.rate_per_minute / 60 for f in traffic.flows)
    message_s = compute_message_s((settings for _, settings in traffic.configuration.entries), heard_neighbours)
    for part in traffic.upkeep:
        floods_per_s += part.messages * part.compute_per_s(message_s, traffic.airtime_budget_ratio)
    return notifications + floods_per_s * heard_neighbours * _relayed_copies(traffic.configuration)


def _neighbours_heard(node: NodeRecord) -> float:
    """Number of neighbours, each by the share of its notifications that is heard."""
    return sum(_share_heard(record) for record in node.links.values())


def _relayed_copies(configuration: Configuration) -> float:
    """Copies that a node sends of a flooded message, mean over nodes; 0 while nothing is reported."""
    copies = [
        settings.relay_retransmit.transmissions if settings.relay and settings.relay_retransmit else 0
        for _, settings in configuration.entries
    ]
    return sum(copies) / len(copies) if copies else 0.0


def _share_heard(record: LinkRecord) -> float:
    heard = sum(h for _, h, _ in record.evidence)
    total = heard + sum(m for _, _, m in record.evidence)
    return heard / total if total > 0 else 0.0


def _rssi(record: LinkRecord) -> float:
    return -math.inf if record.rssi_dbm is None else record.rssi_dbm
