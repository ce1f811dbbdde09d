"""Addresses that a model may not be asked at: who names a URL should not reach through us what they can't reach.

Pure. A cluster's services and private networks are legitimate places of a model; what is refused are addresses that
mean the asking machine itself, its link, many receivers, nobody, or the keepers of a cluster's or a cloud's secrets.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

__all__ = ["Destinations", "Refusal"]

Address = IPv4Address | IPv6Address
Refusal = Callable[[str], str | None]

# Metadata services of clouds outside the link-local ranges, as their vendors document them: they hand credentials of
# the machine to whoever asks from it. Azure's is its WireServer, which also serves DNS.
CLOUD_METADATA: Final = frozenset(
    ip_address(text)
    for text in (
        "fd00:ec2::254",  # AWS, IMDS over IPv6
        "fd20:ce::254",  # Google Cloud, over IPv6
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle Cloud, classic
    )
)
NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052: the IPv4 address is in the last 32 bits
KINDS: Final[tuple[tuple[str, Callable[[Address], bool]], ...]] = (
    ("an unspecified address", lambda address: address.is_unspecified or _is_this_network(address)),
    ("a link-local address", lambda address: address.is_link_local),
    ("a multicast address", lambda address: address.is_multicast),
    ("a reserved address", lambda address: address.is_reserved),
    ("a cloud's metadata service", lambda address: address in CLOUD_METADATA),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destinations:
    """Which addresses are refused, besides those that always are; an instance's `refusal` is a `Refusal`."""

    loopback: bool = False  # allowed: where the one who names the URL is the one who runs the process
    refused: frozenset[str] = field(default_factory=frozenset)  # such as the API server's

    def refusal(self, text: str) -> str | None:
        """What ``text``, an address of IPv4 or IPv6, is that nothing may be asked there; None: it may.

        An IPv4 address inside an IPv6 address (mapped, NAT64, 6to4, Teredo) counts as itself.

        >>> Destinations().refusal("::ffff:169.254.169.254")
        'a link-local address'
        """
        address = _unwrapped(ip_address(text))
        if address.is_loopback:
            return None if self.loopback else "a loopback address"
        if address in {_unwrapped(ip_address(one)) for one in self.refused}:
            return "the API server's address"
        return next((name for name, holds in KINDS if holds(address)), None)


def _unwrapped(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None) or address


def _is_this_network(address: Address) -> bool:
    """0.0.0.0/8 (RFC 1122, 3.2.1.3): Linux takes 0.0.0.0 for itself."""
    return isinstance(address, IPv4Address) and int(address) >> 24 == 0
