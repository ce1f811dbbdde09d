"""The machine as a Kubernetes node: containerd, kubelet, kube-proxy, scheduler and controllers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.cluster import daemons
from tests.cluster.addresses import (
    CLUSTER_CIDR,
    CLUSTER_DOMAIN,
    DNS_SERVICE,
    NODE,
    NODE_ADDRESS,
)
from tests.cluster.api import ApiServer
from tests.cluster.certificates import issue
from tests.cluster.cgroups import CGROUP
from tests.cluster.commands import answers, run
from tests.cluster.debian import CNI_FOLDER
from tests.cluster.network import write_network_plugin
from tests.cluster.sandbox_image import SANDBOX_IMAGE, write_image
from tests.cluster.state import State

__all__ = ["import_image", "is_node_ready", "start_containerd", "start_controllers", "start_node"]

CONTAINERD_READY_S = 30.0
STORE_NEEDS_KIB = 12 * 2**20  # free memory from which on images are kept there; they take 1 or 2 GiB

CONTAINERD_CONFIG: Final = """\
version = 2
root = "{folder}/containerd"
state = "{run}/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = "{socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox}"
  restrict_oom_score_adj = true  # a machine may forbid negative scores, and every sandbox would fail
  netns_mounts_under_state_dir = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{network}"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{run}/runc"
"""


def start_containerd(state: State, programs: Mapping[str, Path]) -> None:
    """containerd, with the sandbox image in it."""
    _mount_store(state.folder / "containerd")
    config = state.folder / "containerd.toml"
    config.write_text(
        CONTAINERD_CONFIG.format(
            folder=state.folder,
            run=state.run_folder,
            socket=state.containerd_socket,
            sandbox=SANDBOX_IMAGE,
            plugins=CNI_FOLDER,
            network=write_network_plugin(state),
        )
    )
    daemons.start(state, "containerd", ["containerd", "--config", config])
    daemons.wait_for(
        state,
        "containerd",
        lambda: answers(["ctr", "--address", state.containerd_socket, "version"]),
        within_s=CONTAINERD_READY_S,
        needs=["containerd"],
    )
    archive = state.folder / "pause.tar"
    write_image(programs["pause"], archive)
    import_image(state, archive)


def import_image(state: State, archive: Path) -> None:
    """Every image in ``archive`` (OCI or Docker) becomes one that pods can use."""
    run(["ctr", "--address", state.containerd_socket, "-n", "k8s.io", "images", "import", archive])


def start_controllers(state: State, programs: Mapping[str, Path], api: ApiServer) -> None:
    keys = state.certificates
    manager = _write_user(api, "controller-manager", "system:kube-controller-manager")
    daemons.start(
        state,
        "kube-controller-manager",
        [
            programs["kube-controller-manager"],
            f"--kubeconfig={manager}",
            f"--bind-address={NODE_ADDRESS}",
            "--leader-elect=false",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={keys / 'service-accounts.key'}",
            f"--root-ca-file={keys / 'ca.crt'}",
            f"--cluster-signing-cert-file={keys / 'ca.crt'}",
            f"--cluster-signing-key-file={keys / 'ca.key'}",
            "--allocate-node-cidrs=true",
            f"--cluster-cidr={CLUSTER_CIDR}",
        ],
    )
    scheduler = _write_user(api, "scheduler", "system:kube-scheduler")
    daemons.start(
        state,
        "kube-scheduler",
        [
            programs["kube-scheduler"],
            f"--kubeconfig={scheduler}",
            f"--bind-address={NODE_ADDRESS}",
            "--leader-elect=false",
        ],
    )


def start_node(state: State, programs: Mapping[str, Path], api: ApiServer) -> None:
    """kubelet and kube-proxy; containerd has to run."""
    kubelet = _write_user(api, "kubelet", f"system:node:{NODE}", "system:nodes")
    daemons.start(
        state,
        "kubelet",
        [
            programs["kubelet"],
            f"--config={_write_config(state, 'kubelet', _kubelet_config(state))}",
            f"--kubeconfig={kubelet}",
            f"--root-dir={state.folder / 'kubelet'}",
            f"--cert-dir={state.folder / 'kubelet' / 'pki'}",
            f"--hostname-override={NODE}",
            f"--node-ip={NODE_ADDRESS}",
        ],
    )
    proxy = _write_user(api, "kube-proxy", "system:kube-proxy")
    config = _write_config(state, "kube-proxy", _proxy_config(proxy))
    daemons.start(state, "kube-proxy", [programs["kube-proxy"], f"--config={config}"])


def is_node_ready(api: ApiServer) -> bool:
    node = api.fetch(f"/api/v1/nodes/{NODE}")
    conditions = node["status"].get("conditions", []) if node else []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _mount_store(folder: Path) -> None:
    """Images in memory where there is plenty: loading them is several times faster, and so is `down`."""
    folder.mkdir()
    meminfo = Path("/proc/meminfo").read_text()
    available_kib = int(meminfo.partition("MemAvailable:")[2].split()[0])
    if available_kib >= STORE_NEEDS_KIB:
        size = f"size={available_kib // 2}k"
        run(["mount", "-t", "tmpfs", "-o", size, "meshtwin-images", folder])


def _kubelet_config(state: State) -> Mapping[str, Any]:
    return {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": NODE_ADDRESS,
        "healthzBindAddress": NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(state.certificates / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "failSwapOn": False,
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": CLUSTER_DOMAIN,
        "containerRuntimeEndpoint": f"unix://{state.containerd_socket}",
        "podLogsDir": str(state.folder / "pod-logs"),
        "volumePluginDir": str(state.folder / "volume-plugins"),
        "makeIPTablesUtilChains": False,
        "imageGCHighThresholdPercent": 100,  # a loaded image that is collected cannot be pulled again
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
    }


def _proxy_config(kubeconfig: Path) -> Mapping[str, Any]:
    return {
        "kind": "KubeProxyConfiguration",
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "mode": "iptables",
        "clusterCIDR": CLUSTER_CIDR,
        "hostnameOverride": NODE,
        "healthzBindAddress": f"{NODE_ADDRESS}:10256",
        "metricsBindAddress": f"{NODE_ADDRESS}:10249",
        "conntrack": {"maxPerCore": 0},  # leaves the machine's limit alone
        "iptables": {"localhostNodePorts": False, "minSyncPeriod": "100ms"},
    }


def _write_user(api: ApiServer, name: str, user: str, *groups: str) -> Path:
    issue(api.certificates, name, user=user, groups=groups)
    return api.write_kubeconfig(api.certificates / f"{name}.kubeconfig", name)


def _write_config(state: State, name: str, config: Mapping[str, Any]) -> Path:
    path = state.folder / f"{name}.json"
    path.write_text(json.dumps(config, indent=2))
    return path
