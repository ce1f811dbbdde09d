"""A frozen view of a network: nodes, link estimates, configuration in force, flows."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import Configuration, compute_digest
from meshtwin.mesh.nodes import Flow, Node

__all__ = ["LinkEstimate", "SegmentView", "Snapshot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEstimate:
    """What is believed of one directed radio link.

    ``delivery_alpha`` and ``delivery_beta`` are the Beta posterior of the delivery of a *single
    transmission* on an otherwise quiet channel; ``last_heard`` is None for a link that was never heard.
    """

    source: UnicastAddress
    target: UnicastAddress
    delivery_alpha: float
    delivery_beta: float
    rssi_dbm: float | None = None  # None: the stack does not tell RSSI
    last_heard: datetime | None = None

    @property
    def delivery_mean(self) -> float:
        """Mean of the posterior, 0..1."""
        return self.delivery_alpha / (self.delivery_alpha + self.delivery_beta)

    @property
    def delivery_deviation(self) -> float:
        """Standard deviation of the posterior."""
        a, b = self.delivery_alpha, self.delivery_beta
        return float((a * b / ((a + b) ** 2 * (a + b + 1))) ** 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentView:
    """Facts of one segment inside a snapshot; ``revision`` is None before adoption.

    Its nodes report every ``report_interval_s`` (0: not at all) as far as ``airtime_budget_ratio`` allows.
    """

    name: str
    addresses: tuple[UnicastAddress, ...]
    inventory_hash: str
    revision: int | None
    newest_report: datetime | None
    gateway_address: UnicastAddress | None = None
    report_interval_s: float = 0.0
    airtime_budget_ratio: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One or more segments at one time, overlaid at their border nodes.

    Nodes ascend by address, links by (source, target). Links whose source or target is outside ``nodes``
    are border links to a neighbour that this snapshot does not hold.
    """

    taken_at: datetime
    nodes: tuple[Node, ...]
    links: tuple[LinkEstimate, ...]
    configuration: Configuration
    flows: tuple[Flow, ...]
    segments: tuple[SegmentView, ...]
    profile: str = "zephyr"  # name of the stack profile
    notification_interval_s: float = 0.0  # monitoring load; 0: none

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over everything a model reads; equal snapshots have equal fingerprints."""
        plain = {
            "configuration": compute_digest(self.configuration),
            "links": [
                [
                    format_address(link.source),
                    format_address(link.target),
                    round(float(link.delivery_alpha), 6),
                    round(float(link.delivery_beta), 6),
                ]
                for link in self.links
            ],
            "nodes": [[format_address(n.address), n.device_uuid, sorted(n.groups)] for n in self.nodes],
            "flows": [[f.name, f.source, f.destination, float(f.rate_per_minute), f.deadline_ms] for f in self.flows],
            "profile": self.profile,
            "monitoring": [
                round(float(self.notification_interval_s), 6),
                *(
                    [s.name, round(float(s.report_interval_s), 6), round(float(s.airtime_budget_ratio), 6)]
                    for s in self.segments
                ),
            ],
        }
        # every what-if waits for it: a canonical form for others to recompute would take four times as long
        return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]
