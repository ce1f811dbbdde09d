"""What the gateway learned of its nodes: settings read back, hops, when they were last heard."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from meshtwin.gateway.foundation import NodeComposition
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Configuration, NodeSettings
from meshtwin.mesh.reporting import compute_flood_s

__all__ = ["NodeBook"]


@dataclass(slots=True)
class NodeBook:
    """Mutable notes of one run; ``known`` lacks a node as soon as its settings are in doubt."""

    known: dict[UnicastAddress, NodeSettings] = field(default_factory=dict)
    hops: dict[int, int] = field(default_factory=dict)
    last_heard: dict[UnicastAddress, datetime] = field(default_factory=dict)
    silence: dict[UnicastAddress, str] = field(default_factory=dict)  # why a node cannot answer, where it is known
    compositions: dict[UnicastAddress, NodeComposition] = field(default_factory=dict)

    def learn(self, node: UnicastAddress, said: NodeSettings) -> None:
        """Note what a Status said."""
        self.known[node] = self.known.get(node, NodeSettings()).overlaid(said)

    def forget(self, node: UnicastAddress) -> None:
        """A Set was sent and not answered: it may or may not have been applied."""
        self.known.pop(node, None)

    def hear(self, node: UnicastAddress, ttl: int | None, now: datetime) -> None:
        """Note a message of a node and its distance, if received and initial TTL are known.

        Hops as for heartbeats: initial TTL - received TTL + 1; the smallest ever seen counts.
        """
        self.last_heard[node] = now
        self.silence.pop(node, None)
        initial_ttl = self.known.get(node, NodeSettings()).default_ttl
        if ttl is not None and initial_ttl is not None and 0 <= initial_ttl - ttl < 127:
            hops = initial_ttl - ttl + 1
            self.hops[node] = min(hops, self.hops.get(node, hops))

    def why_silent(self, node: UnicastAddress) -> str:
        """For the outcome of a node that did not answer."""
        return self.silence.get(node, "no answer")

    def levels(self, nodes: Iterable[UnicastAddress], gateway_node: int) -> list[list[UnicastAddress]]:
        """Nodes by distance, the gateway's own first; nodes of unknown distance come last."""
        by_hops: dict[int, list[UnicastAddress]] = {}
        for node in sorted(nodes):
            distance = 0 if node == gateway_node else self.hops.get(node, 128)
            by_hops.setdefault(distance, []).append(node)
        return [by_hops[distance] for distance in sorted(by_hops)]

    def is_complete(self, node: UnicastAddress) -> bool:
        """Whether every setting of the node was read back."""
        s = self.known.get(node, NodeSettings())
        return None not in (s.relay, s.relay_retransmit, s.network_transmit, s.default_ttl)

    def flood_s(self, default_s: float) -> float:
        """How long one flood occupies the advertiser of the busiest relay known, in seconds."""
        flood_s = compute_flood_s(self.known.values())
        return default_s if flood_s is None else flood_s

    def configuration(self, nodes: Iterable[UnicastAddress]) -> Configuration:
        """What is known of ``nodes``; nodes in doubt are left out."""
        return Configuration.of({n: self.known[n] for n in nodes if n in self.known})

    def differs(self, node: UnicastAddress, wanted: NodeSettings) -> bool:
        """Whether the node is known not to be as ``wanted`` says."""
        return node in self.known and bool(self.known[node].differing(wanted))
