"""Who reaches a tree's pods, and whom they reach: specs of NetworkPolicies. Pure.

Somebody else's model is not among the ways out: who writes a `DigitalTwin` should not open the network by that. A
policy of the cluster's own lets the parent twin out to it (``manifests/model-egress``); policies add up.
"""

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["broker_spec", "twins_spec"]

# Policies look at a pod's own port, behind its Service: CoreDNS listens at 53, that of OpenShift at 5353.
# To any address: caches of DNS on a node and resolvers of clouds have link-local ones.
DNS_PORTS: Final = [{"port": port, "protocol": protocol} for port in (53, 5353) for protocol in ("UDP", "TCP")]
# What no broker of somebody else's is: the link, with a cloud's metadata service; the same for IPv6, AWS's besides.
OUTSIDE: Final = (
    {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]},
    {"cidr": "::/0", "except": ["fd00:ec2::254/128", "fe80::/10"]},
)
TWINS: Final = ("meshtwin-parent-twin", "meshtwin-segment-twin")


def broker_spec(selector: Mapping[str, str], port: int) -> dict[str, Any]:
    """Anybody may come to the broker's one port, since gateways are outside the cluster; it goes nowhere itself."""
    return _spec({"matchLabels": dict(selector)}, {"ports": [{"port": port, "protocol": "TCP"}]}, [])


def twins_spec(
    root_twin: str, *, port: int, operator_namespace: str, foreign_broker_port: int | None
) -> dict[str, Any]:
    """Only twins and the operator reach the REST interface of a tree's twins; these reach their tree and DNS.

    ``foreign_broker_port``: of somebody else's broker, which may be anywhere; None: the broker is the tree's own.
    """
    operator = {"matchLabels": {"kubernetes.io/metadata.name": operator_namespace}}
    way_in = {
        "ports": [{"port": port, "protocol": "TCP"}],
        "from": [
            {"podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "meshtwin"}}},
            {"namespaceSelector": operator},
        ],
    }
    tree = {"app.kubernetes.io/part-of": "meshtwin", "meshtwin.dev/twin": root_twin}
    ways_out: list[dict[str, Any]] = [{"ports": DNS_PORTS}, {"to": [{"podSelector": {"matchLabels": tree}}]}]
    if foreign_broker_port is not None:
        # Of a pod the policy sees the port behind its Service, which nobody told us.
        ways_out.append({"to": [{"namespaceSelector": {}}]})
        ports = [{"port": foreign_broker_port, "protocol": "TCP"}]
        ways_out.append({"to": [{"ipBlock": block} for block in OUTSIDE], "ports": ports})
    twins = {
        "matchLabels": {"meshtwin.dev/twin": root_twin},
        "matchExpressions": [{"key": "app.kubernetes.io/name", "operator": "In", "values": list(TWINS)}],
    }
    return _spec(twins, way_in, ways_out)


def _spec(pods: dict[str, Any], way_in: dict[str, Any], ways_out: list[dict[str, Any]]) -> dict[str, Any]:
    return {"podSelector": pods, "policyTypes": ["Ingress", "Egress"], "ingress": [way_in], "egress": ways_out}
