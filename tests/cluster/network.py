"""The bridge that all pods hang on, and the machine's settings that routing between them needs."""

import json
from pathlib import Path
from typing import Final

from tests.cluster.addresses import BRIDGE, CLUSTER_CIDR, NODE_ADDRESS, POD_CIDR
from tests.cluster.commands import answers, run
from tests.cluster.errors import ClusterError
from tests.cluster.state import State

__all__ = [
    "NETWORK",
    "SETTINGS",
    "make_bridge",
    "read_bridge_owner",
    "read_settings",
    "remove_bridge",
    "write_network_plugin",
    "write_settings",
]

SETTINGS: Final = {
    "net/ipv4/ip_forward": "1",
    "net/bridge/bridge-nf-call-iptables": "1",  # Services between pods of one bridge
    "net/ipv4/conf/all/route_localnet": None,  # kube-proxy may set it
    "net/netfilter/nf_conntrack_max": None,
    "net/netfilter/nf_conntrack_tcp_timeout_established": None,
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait": None,
    "vm/overcommit_memory": None,  # the kubelet sets these four
    "vm/panic_on_oom": None,
    "kernel/panic": None,
    "kernel/panic_on_oops": None,
}
NETWORK: Final = "meshtwin"  # its name among the CNI plugins
SYSCTL: Final = Path("/proc/sys")
INTERFACES: Final = Path("/sys/class/net")


def read_settings() -> dict[str, str]:
    """The machine's values of everything in `SETTINGS` that this kernel has."""
    return {name: (SYSCTL / name).read_text().strip() for name in SETTINGS if (SYSCTL / name).exists()}


def write_settings(values: dict[str, str]) -> None:
    for name, value in values.items():
        path = SYSCTL / name
        if path.exists() and path.read_text().strip() != value:
            path.write_text(value)


def read_bridge_owner() -> Path | None:
    """The state folder of the cluster whose bridge is up on this machine, or None.

    Raises `ClusterError` if a bridge of that name is somebody else's.
    """
    try:
        owner = (INTERFACES / BRIDGE / "ifalias").read_text().strip()
    except FileNotFoundError:
        return None
    if not owner.startswith("/"):
        raise ClusterError(f"a network interface {BRIDGE} exists that is not ours")
    return Path(owner)


def make_bridge(state: State) -> None:
    """The bridge with the node's address; its alias says whose it is."""
    for network in json.loads(run(["ip", "-json", "route", "show", "root", CLUSTER_CIDR]) or "[]"):
        raise ClusterError(f"{CLUSTER_CIDR} is in use on this machine: {network}")
    if not (SYSCTL / "net/bridge").exists():
        raise ClusterError("the kernel has no bridge netfilter; run `modprobe br_netfilter`")
    run(["ip", "link", "add", BRIDGE, "type", "bridge"])
    run(["ip", "link", "set", BRIDGE, "alias", str(state.folder)])
    prefix = POD_CIDR.rpartition("/")[2]
    run(["ip", "address", "add", f"{NODE_ADDRESS}/{prefix}", "dev", BRIDGE])
    run(["ip", "link", "set", BRIDGE, "up"])


def remove_bridge() -> None:
    """Remove the bridge and the pods' ends that still hang on it."""
    if read_bridge_owner() is None:
        return
    for link in json.loads(run(["ip", "-json", "link", "show", "master", BRIDGE]) or "[]"):
        answers(["ip", "link", "delete", link["ifname"]])  # or the kernel was faster: its pod is gone
    run(["ip", "link", "delete", BRIDGE])


def write_network_plugin(state: State) -> Path:
    """The folder with the CNI configuration: bridge, addresses from `POD_CIDR`, host ports."""
    folder = state.folder / "cni"
    folder.mkdir()
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "hairpinMode": True,  # a pod reaches itself through its Service
        "ipam": {
            "type": "host-local",
            "dataDir": str(state.run_folder / "addresses"),
            "ranges": [[{"subnet": POD_CIDR, "gateway": NODE_ADDRESS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    (folder / "10-meshtwin.conflist").write_text(
        json.dumps({"cniVersion": "0.4.0", "name": NETWORK, "plugins": plugins}, indent=2)
    )
    return folder
