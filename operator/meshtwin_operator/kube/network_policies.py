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
    root_twin: str, *, port: int, operator_namespace: str, foreign_broker: tuple[str, int] | None
) -> dict[str, Any]:
    """Only the tree and the operator reach the REST interface of its twins; these reach their tree and DNS.

    ``foreign_broker``: host and port of somebody else's broker; None: the broker is the tree's own.
    """
    tree = {"podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "meshtwin", "meshtwin.dev/twin": root_twin}}}
    operator = {"matchLabels": {"kubernetes.io/metadata.name": operator_namespace}}
    way_in = {
        "ports": [{"port": port, "protocol": "TCP"}],
        "from": [tree, {"namespaceSelector": operator}],
    }
    ways_out: list[dict[str, Any]] = [{"ports": DNS_PORTS}, {"to": [tree]}]
    if foreign_broker is not None:
        host, foreign_port = foreign_broker
        ways_out += [{"to": [peer]} for peer in _pods_behind(host)]
        ports = [{"port": foreign_port, "protocol": "TCP"}]
        ways_out.append({"to": [{"ipBlock": block} for block in OUTSIDE], "ports": ports})
    twins = {
        "matchLabels": {"meshtwin.dev/twin": root_twin},
        "matchExpressions": [{"key": "app.kubernetes.io/name", "operator": "In", "values": list(TWINS)}],
    }
    return _spec(twins, way_in, ways_out)


def _pods_behind(host: str) -> list[dict[str, Any]]:
    """Pods of the namespace that the name of a Service tells (``name``, ``name.namespace``, ``name.namespace.svc…``).

    Of a pod the policy sees the port behind its Service, which nobody told us: any port. Other hosts are outside.
    """
    match host.lower().rstrip(".").split("."):
        case [_]:
            return [{"podSelector": {}}]
        case [_, namespace] | [_, namespace, "svc", *_]:
            return [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}]
    return []


def _spec(pods: dict[str, Any], way_in: dict[str, Any], ways_out: list[dict[str, Any]]) -> dict[str, Any]:
    return {"podSelector": pods, "policyTypes": ["Ingress", "Egress"], "ingress": [way_in], "egress": ways_out}
