"""A frozen view of a network: nodes, link estimates, configuration in force, flows."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import Configuration, compute_digest
from meshtwin.mesh.nodes import Flow, Node
from meshtwin.mesh.upkeep import UpkeepPart

__all__ = ["LinkEstimate", "SegmentView", "Snapshot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEstimate:
    """What is believed of one directed radio link.

    ``delivery_alpha`` and ``delivery_beta`` are the Beta posterior of the delivery of a *single
    transmission* on an otherwise quiet channel; ``last_heard`` is None for a link that was never heard.
    ``rssi_dbm`` is the mean over what was received, ``rx_power_dbm`` over all that was sent, with the standard
    deviation of its error; None where RSSI is not told, since delivery alone says no more than on which side of a
    sensitivity that nobody tells. Attenuation is the sender's transmit power, if somebody stated it, less it: see
    `meshtwin.radio.attenuation`.
    """

    source: UnicastAddress
    target: UnicastAddress
    delivery_alpha: float
    delivery_beta: float
    rssi_dbm: float | None = None  # None: the stack does not tell RSSI
    last_heard: datetime | None = None
    rx_power_dbm: float | None = None  # None: RSSI is not told, or the snapshot is older than this field
    rx_power_deviation_db: float | None = None

    @property
    def delivery_mean(self) -> float:
        """Mean of the posterior, 0..1."""
        return self.delivery_alpha / (self.delivery_alpha + self.delivery_beta)

    @property
    def delivery_deviation(self) -> float:
        """Standard deviation of the posterior."""
        a, b = self.delivery_alpha, self.delivery_beta
        return float((a * b / ((a + b) ** 2 * (a + b + 1))) ** 0.5)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """As `pickle` asks: in a third of the time of the way that slots have; thousands go to a worker."""
        return _restore_link, (
            self.source,
            self.target,
            self.delivery_alpha,
            self.delivery_beta,
            self.rssi_dbm,
            self.last_heard,
            self.rx_power_dbm,
            self.rx_power_deviation_db,
        )


_PUT_LINK = tuple(getattr(LinkEstimate, name).__set__ for name in LinkEstimate.__slots__)


def _restore_link(*values: Any) -> LinkEstimate:
    link: LinkEstimate = object.__new__(LinkEstimate)
    for put, value in zip(_PUT_LINK, values, strict=True):
        put(link, value)
    return link


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentView:
    """Facts of one segment inside a snapshot; ``revision`` is None before adoption.

    Its nodes report every ``report_interval_s`` (0: not at all) as far as ``airtime_budget_ratio`` allows.
    ``upkeep``: what its gateway sends by itself; None: it does not say. ``notification_transmissions``: copies of
    each notification; None: as many as network transmit says.
    """

    name: str
    addresses: tuple[UnicastAddress, ...]
    inventory_hash: str
    revision: int | None
    newest_report: datetime | None
    gateway_address: UnicastAddress | None = None
    report_interval_s: float = 0.0
    airtime_budget_ratio: float = 0.0
    upkeep: tuple[UpkeepPart, ...] | None = None
    notification_transmissions: int | None = None


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
    # Worked out once, 5 ms on 300 nodes; goes with the snapshot to the workers, which need it, too.
    _fingerprint: str | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over everything a model reads; equal snapshots have equal fingerprints."""
        if self._fingerprint is None:
            object.__setattr__(self, "_fingerprint", self._work_out_fingerprint())
        return str(self._fingerprint)

    def _work_out_fingerprint(self) -> str:
        plain = {
            "configuration": compute_digest(self.configuration),
            "links": [
                [
                    format_address(link.source),
                    format_address(link.target),
                    round(float(link.delivery_alpha), 6),
                    round(float(link.delivery_beta), 6),
                    *(() if link.rx_power_dbm is None else (round(float(link.rx_power_dbm), 6),)),
                ]
                for link in self.links
            ],
            "nodes": [[format_address(n.address), n.device_uuid, sorted(n.groups)] for n in self.nodes],
            "flows": [_describe_flow(f) for f in self.flows],
            "profile": self.profile,
            "monitoring": [
                round(float(self.notification_interval_s), 6),
                *(
                    [s.name, round(float(s.report_interval_s), 6), round(float(s.airtime_budget_ratio), 6)]
                    for s in self.segments
                ),
            ],
        }
        # what gateways began to tell later: snapshots without it keep the fingerprint that they had
        told = [_describe_upkeep(s) for s in self.segments if (s.upkeep, s.notification_transmissions) != (None, None)]
        if told:
            plain["upkeep"] = told
        # every what-if waits for it: a canonical form for others to recompute would take four times as long
        return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def _describe_flow(flow: Flow) -> list[object]:
    told: list[object] = [flow.name, flow.source, flow.destination, float(flow.rate_per_minute), flow.deadline_ms]
    return [*told, "acknowledged"] if flow.is_acknowledged else told  # others keep the fingerprint that they had


def _describe_upkeep(segment: SegmentView) -> list[object]:
    parts = segment.upkeep
    rows = (
        None
        if parts is None
        else [
            [
                p.name,
                round(float(p.per_s), 9),
                p.budget_share,
                p.questions,
                p.question_bytes,
                p.answers,
                p.answer_bytes,
                p.ttl,
            ]
            for p in parts
        ]
    )
    return [segment.name, segment.gateway_address, segment.notification_transmissions, rows]
