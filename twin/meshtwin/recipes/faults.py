"""What a candidate may not do, whoever proposed it."""

from collections.abc import Mapping
from typing import Final

from meshtwin.graph.links import configured_graph, configured_relays
from meshtwin.graph.reach import hops_from, hops_to
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.nodes import Capabilities
from meshtwin.recipes.building import USABLE_DELIVERY
from meshtwin.recipes.values import Question

__all__ = ["find_fault", "find_managed"]

BEYOND: Final = 1_000  # hops of a node that no flood reaches; above any TTL
ASSUMED_TTL: Final = 7  # where a configuration is silent; Zephyr's default


def find_fault(question: Question, configuration: Configuration) -> str | None:
    """Why a candidate may not be judged, or None.

    It changes a frozen node or one of another segment, sets what a node can't do, or cuts off nodes that
    the gateway reaches now (it would lose the way by which it is configured). Built-in recipes avoid the
    first two; plug-ins may not.
    """
    settable = {n.address: n for n in question.settable}
    in_force = question.snapshot.configuration
    for address in in_force.changed_nodes(configuration):
        if address not in settable:
            return f"node {format_address(address)} is frozen or not of the segment"
        differing = in_force.get(address).differing(configuration.get(address))
        able = _able(settable[address].capabilities)
        if beyond := [name for name in differing if not able[name]]:
            return f"node {format_address(address)} can't be set {', '.join(beyond)}"
    lost = find_managed(question, in_force) - find_managed(question, in_force.overlaid(configuration))
    if lost:
        names = ", ".join(format_address(a) for a in sorted(lost)[:8])
        return f"{len(lost)} nodes are cut off from the gateway: {names}"
    return None


def find_managed(question: Question, configuration: Configuration) -> frozenset[UnicastAddress]:
    """Nodes of the segment that the gateway reaches, and that reach the gateway, at the TTLs configured.

    ``configuration`` is that of the whole snapshot. Empty where the gateway's address is not known.
    """
    gateway = question.segment.gateway_address
    if gateway is None:
        return frozenset()
    graph = configured_graph(question.snapshot, configuration, threshold=USABLE_DELIVERY)
    relays = configured_relays(question.snapshot, configuration)
    settings = configuration.as_dict()

    def hops_allowed(address: UnicastAddress) -> int:
        said = settings.get(address)
        ttl = said.default_ttl if said is not None and said.default_ttl is not None else ASSUMED_TTL
        return max(ttl, 1)  # TTL 0 and 1 reach neighbours

    there, back = hops_from(graph, relays, gateway), hops_to(graph, relays, gateway)
    return frozenset(
        a
        for a in question.segment.addresses
        if a != gateway and there.get(a, BEYOND) <= hops_allowed(gateway) and back.get(a, BEYOND) <= hops_allowed(a)
    )


def _able(capabilities: Capabilities) -> Mapping[str, bool]:
    return {
        "relay": capabilities.relay,
        "relay_retransmit": capabilities.relay,
        "network_transmit": capabilities.network_transmit,
        "default_ttl": capabilities.default_ttl,
    }
