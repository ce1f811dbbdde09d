"""Where things are in the cluster of our own. One node, one bridge: one such cluster on a machine."""

import socket
from typing import Final

__all__ = [
    "API_PORT",
    "API_SERVICE",
    "BRIDGE",
    "CLUSTER_CIDR",
    "CLUSTER_DOMAIN",
    "DNS_PORT",
    "DNS_READY_PORT",
    "DNS_SERVICE",
    "LOOPBACK",
    "NODE",
    "NODE_ADDRESS",
    "POD_CIDR",
    "SERVICE_CIDR",
    "read_free_port",
]

LOOPBACK: Final = "127.0.0.1"
BRIDGE: Final = "meshtwin0"
NODE: Final = "meshtwin-node"
CLUSTER_CIDR: Final = "10.244.0.0/16"
POD_CIDR: Final = "10.244.0.0/24"  # what the controller manager gives its first node out of CLUSTER_CIDR
NODE_ADDRESS: Final = "10.244.0.1"  # the bridge's own: seen alike from the machine and from every pod
SERVICE_CIDR: Final = "10.96.0.0/16"
API_SERVICE: Final = "10.96.0.1"  # Service `kubernetes`: always the first address of SERVICE_CIDR
DNS_SERVICE: Final = "10.96.0.10"
CLUSTER_DOMAIN: Final = "cluster.local"
API_PORT: Final = 6443
DNS_PORT: Final = 1053  # on NODE_ADDRESS; pods see DNS_SERVICE:53
DNS_READY_PORT: Final = 8181


def read_free_port(address: str = LOOPBACK) -> int:
    """A TCP port nobody listens on now; somebody else may still take it before its user does."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
    return port
