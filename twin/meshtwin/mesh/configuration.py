"""What is set on the nodes of one segment: settings per node, ranges of them, digests, differences.

A `Configuration` lists every node it speaks of, so that its digest never covers a node added later.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final, Self

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, compress_addresses, expand_ranges, format_address

__all__ = [
    "Configuration",
    "NodeSettings",
    "SettingsRange",
    "Transmit",
    "compress_settings",
    "compute_digest",
    "expand_settings",
]

TTL_MAX: Final = 127  # Mesh Protocol 1.1, 4.2.8 (Default TTL)
RANGES_MAX: Final = 256  # of one entry, as the schemas of resources and wire say


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Transmit:
    """Network Transmit or Relay Retransmit state: ``count`` repeats after the first transmission.

    Raises `InvalidInput` outside count 0..7 and interval_steps 0..31.
    Source: Mesh Protocol 1.1, 4.2.20 (Network Transmit) and 4.2.21 (Relay Retransmit).
    """

    count: int
    interval_steps: int

    def __post_init__(self) -> None:
        if not 0 <= self.count <= 7:
            raise InvalidInput(f"transmit count {self.count} is outside 0..7")
        if not 0 <= self.interval_steps <= 31:
            raise InvalidInput(f"interval steps {self.interval_steps} is outside 0..31")

    @property
    def transmissions(self) -> int:
        """Number of times a PDU is sent, the first included."""
        return self.count + 1

    @property
    def interval_s(self) -> float:
        """Time between two transmissions of one PDU: (steps + 1) x 10 ms."""
        return (self.interval_steps + 1) * 0.010


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """Settings of one node; ``None`` means: not said here, leave as it is."""

    relay: bool | None = None
    relay_retransmit: Transmit | None = None
    network_transmit: Transmit | None = None
    default_ttl: int | None = None

    def __post_init__(self) -> None:
        ttl = self.default_ttl
        if ttl is not None and (ttl == 1 or not 0 <= ttl <= TTL_MAX):
            raise InvalidInput(f"default ttl {ttl} is outside 0, 2..{TTL_MAX}")

    def overlaid(self, other: "NodeSettings") -> "NodeSettings":
        """These settings with everything that ``other`` says put on top."""
        return NodeSettings(  # field by field: asked for every node of every candidate
            relay=self.relay if other.relay is None else other.relay,
            relay_retransmit=self.relay_retransmit if other.relay_retransmit is None else other.relay_retransmit,
            network_transmit=self.network_transmit if other.network_transmit is None else other.network_transmit,
            default_ttl=self.default_ttl if other.default_ttl is None else other.default_ttl,
        )

    def differing(self, other: "NodeSettings") -> tuple[str, ...]:
        """Names of the settings that ``other`` says differently."""
        return tuple(
            f.name
            for f in fields(self)
            if (said := getattr(other, f.name)) is not None and said != getattr(self, f.name)
        )

    def to_json(self) -> dict[str, object]:
        """Canonical plain form with the field names of the resources; unsaid settings are left out."""
        out: dict[str, object] = {}
        if self.relay is not None:
            out["relay"] = "Enabled" if self.relay else "Disabled"
        for name, value in (
            ("relayRetransmit", self.relay_retransmit),
            ("networkTransmit", self.network_transmit),
        ):
            if value is not None:
                out[name] = {"count": value.count, "intervalSteps": value.interval_steps}
        if self.default_ttl is not None:
            out["defaultTtl"] = self.default_ttl
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsRange:
    """One entry of a resource's ``settings``: node ranges and what holds for them; later entries win."""

    nodes: tuple[str, ...]
    settings: NodeSettings


@dataclass(frozen=True, slots=True)
class Configuration:
    """Settings per node, ascending by address; a value, compared by content."""

    entries: tuple[tuple[UnicastAddress, NodeSettings], ...] = ()

    @classmethod
    def of(cls, settings: Mapping[UnicastAddress, NodeSettings]) -> Self:
        """The configuration that says exactly ``settings``."""
        return cls(tuple(sorted(settings.items(), key=lambda item: item[0])))

    def as_dict(self) -> dict[UnicastAddress, NodeSettings]:
        """A fresh mapping from address to settings."""
        return dict(self.entries)

    @property
    def addresses(self) -> tuple[UnicastAddress, ...]:
        """The nodes this configuration speaks of, ascending."""
        return tuple(address for address, _ in self.entries)

    @property
    def relays(self) -> frozenset[UnicastAddress]:
        """The nodes that it has relay."""
        return frozenset(address for address, settings in self.entries if settings.relay)

    def get(self, address: UnicastAddress) -> NodeSettings:
        """Settings of one node; empty settings where nothing is said."""
        return self.as_dict().get(address, NodeSettings())

    def overlaid(self, other: "Configuration") -> "Configuration":
        """This configuration with ``other`` put on top, node by node."""
        merged = self.as_dict()
        for address, settings in other.entries:
            merged[address] = merged.get(address, NodeSettings()).overlaid(settings)
        return Configuration.of(merged)

    def changed_nodes(self, other: "Configuration") -> tuple[UnicastAddress, ...]:
        """Nodes for which ``other`` says something else than this configuration, ascending."""
        mine = self.as_dict()
        return tuple(
            address for address, settings in other.entries if mine.get(address, NodeSettings()).differing(settings)
        )

    def restricted(self, addresses: Iterable[UnicastAddress]) -> "Configuration":
        """The part that speaks of ``addresses``."""
        wanted = set(addresses)
        return Configuration(tuple(entry for entry in self.entries if entry[0] in wanted))


def compute_digest(configuration: Configuration) -> str:
    """``sha256:`` and 64 hexadecimal digits over the canonical JSON (RFC 8785) of the node list.

    Names are ASCII and numbers small integers, for which sorted names without spaces are the canonical form: a test
    holds it to the rfc8785 package, which takes five times as long, and a search asks for hundreds.
    """
    plain = [{"node": format_address(a), **s.to_json()} for a, s in configuration.entries]
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode("ascii")).hexdigest()


def expand_settings(
    ranges: Sequence[SettingsRange], inventory: Iterable[UnicastAddress], place: str = "spec.settings"
) -> Configuration:
    """The per-node configuration that ``ranges`` say, later entries on top of earlier ones.

    Raises `InvalidInput` with the entry's place for a range that names no node of ``inventory``.
    """
    known = tuple(inventory)
    merged: dict[UnicastAddress, NodeSettings] = {}
    for index, entry in enumerate(ranges):
        for address in expand_ranges(entry.nodes, known, f"{place}[{index}].nodes"):
            merged[address] = merged.get(address, NodeSettings()).overlaid(entry.settings)
    return Configuration.of(merged)


def compress_settings(configuration: Configuration, inventory: Iterable[UnicastAddress]) -> tuple[SettingsRange, ...]:
    """Ranges that expand to ``configuration`` within ``inventory``: one entry per distinct settings and 256 ranges.

    Entries with other settings are ordered by their first node; no node is named twice.
    """
    known = tuple(inventory)
    by_settings: dict[NodeSettings, list[UnicastAddress]] = {}
    for address, settings in configuration.entries:
        by_settings.setdefault(settings, []).append(address)
    ranges_of = ((settings, compress_addresses(addresses, known)) for settings, addresses in by_settings.items())
    return tuple(
        SettingsRange(nodes=ranges[first : first + RANGES_MAX], settings=settings)
        for settings, ranges in ranges_of
        for first in range(0, len(ranges), RANGES_MAX)
    )
