"""Names of Services: CoreDNS as a process beside the API server, behind the Service `kube-dns`."""

import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.cluster import daemons
from tests.cluster.addresses import CLUSTER_DOMAIN, DNS_PORT, DNS_READY_PORT, DNS_SERVICE, NODE_ADDRESS
from tests.cluster.api import ApiServer
from tests.cluster.certificates import issue
from tests.cluster.state import State

__all__ = ["apply_dns_service", "is_dns_ready", "start_dns"]

USER: Final = "meshtwin-cluster:coredns"
RESOLV_CONF: Final = Path("/etc/resolv.conf")

COREFILE: Final = """\
.:{port} {{
  bind {address}
  errors
  ready {address}:{ready_port}
  kubernetes {domain} in-addr.arpa ip6.arpa {{
    kubeconfig {kubeconfig}
    pods insecure
    ttl 1
  }}
{forward}}}
"""


def start_dns(state: State, programs: Mapping[str, Path], api: ApiServer) -> None:
    """CoreDNS on the node's address; other names go to the machine's own resolvers."""
    issue(api.certificates, "coredns", user=USER)
    kubeconfig = api.write_kubeconfig(api.certificates / "coredns.kubeconfig", "coredns")
    corefile = state.folder / "Corefile"
    corefile.write_text(
        COREFILE.format(
            port=DNS_PORT,
            address=NODE_ADDRESS,
            ready_port=DNS_READY_PORT,
            domain=CLUSTER_DOMAIN,
            kubeconfig=kubeconfig,
            forward=f"  forward . {RESOLV_CONF}\n" if _has_resolvers() else "",
        )
    )
    daemons.start(state, "coredns", [programs["coredns"], "-conf", corefile])


def is_dns_ready() -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{NODE_ADDRESS}:{DNS_READY_PORT}/ready", timeout=2.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def apply_dns_service(api: ApiServer) -> None:
    """What CoreDNS may read, and the Service under which pods find it."""
    _apply_rights(api)
    protocols = {"dns": "UDP", "dns-tcp": "TCP"}
    ports = [{"name": name, "protocol": protocol} for name, protocol in protocols.items()]
    labels = {"k8s-app": "kube-dns"}
    api.apply(
        "/api/v1/namespaces/kube-system/services/kube-dns",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "labels": labels},
            "spec": {"clusterIP": DNS_SERVICE, "ports": [{**port, "port": 53} for port in ports]},
        },
    )
    api.apply(
        "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns-host",
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kube-dns-host",
                "labels": {
                    "kubernetes.io/service-name": "kube-dns",
                    "endpointslice.kubernetes.io/managed-by": "meshtwin-cluster",
                },
            },
            "addressType": "IPv4",
            "ports": [{**port, "port": DNS_PORT} for port in ports],
            "endpoints": [{"addresses": [NODE_ADDRESS], "conditions": {"ready": True}}],
        },
    )


def _apply_rights(api: ApiServer) -> None:
    rbac = "rbac.authorization.k8s.io"
    read = ["list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": read},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
    ]
    named = {"apiVersion": f"{rbac}/v1", "metadata": {"name": "meshtwin-cluster:coredns"}}
    role = {"apiGroup": rbac, "kind": "ClusterRole", "name": "meshtwin-cluster:coredns"}
    api.apply(
        f"/apis/{rbac}/v1/clusterroles/meshtwin-cluster:coredns",
        {**named, "kind": "ClusterRole", "rules": rules},
    )
    api.apply(
        f"/apis/{rbac}/v1/clusterrolebindings/meshtwin-cluster:coredns",
        {
            **named,
            "kind": "ClusterRoleBinding",
            "roleRef": role,
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": USER}],
        },
    )


def _has_resolvers() -> bool:
    return RESOLV_CONF.exists() and any(line.startswith("nameserver") for line in RESOLV_CONF.read_text().splitlines())
