"""A snapshot as RFC 8345 ``ietf-network`` / ``ietf-network-topology`` JSON.

Each segment is a network of the underlay; the twin's own network supports on them (RFC 8345, section 4.1).
"""

from typing import Any

from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.snapshots import LinkEstimate, Snapshot

__all__ = ["to_rfc8345"]


def to_rfc8345(snapshot: Snapshot, network_id: str) -> dict[str, Any]:
    """The document; neighbours that the snapshot does not hold are left out with their links."""
    known = {node.address for node in snapshot.nodes}
    owners = {address: view.name for view in snapshot.segments for address in view.addresses}
    inner = [link for link in snapshot.links if link.source in known and link.target in known]
    whole = {
        "network-id": network_id,
        "network-types": {},
        "supporting-network": [{"network-ref": view.name} for view in snapshot.segments],
        "node": [
            {
                **_node(address),
                "supporting-node": [{"network-ref": owners[address], "node-ref": format_address(address)}]
                if address in owners
                else [],
            }
            for address in sorted(known)
        ],
        "ietf-network-topology:link": [_link(link) for link in inner],
    }
    segments = [
        {
            "network-id": view.name,
            "network-types": {},
            "node": [_node(address) for address in view.addresses],
            "ietf-network-topology:link": [
                _link(link) for link in inner if owners.get(link.source) == owners.get(link.target) == view.name
            ],
        }
        for view in snapshot.segments
        if view.name != network_id
    ]
    return {"ietf-network:networks": {"network": [whole, *segments]}}


def _node(address: UnicastAddress) -> dict[str, Any]:
    point = {"tp-id": "adv"}  # the advertising bearer: one termination point per node
    return {"node-id": format_address(address), "ietf-network-topology:termination-point": [point]}


def _link(link: LinkEstimate) -> dict[str, Any]:
    source, target = format_address(link.source), format_address(link.target)
    return {
        "link-id": f"{source}-{target}",
        "source": {"source-node": source, "source-tp": "adv"},
        "destination": {"dest-node": target, "dest-tp": "adv"},
    }
