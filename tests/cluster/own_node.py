"""A cluster of our own on this machine, in the order that the pieces need each other; and its undoing.

`down` reads what is there rather than what `up` said it did, so it also serves after a crash of `up`.
"""

import os
from typing import Final

from tests.cluster import addresses, daemons
from tests.cluster.api import ApiServer
from tests.cluster.cgroups import end_members, make_cgroups, remove_cgroups
from tests.cluster.commands import say
from tests.cluster.control_plane import ApiServerPlace, start_control_plane
from tests.cluster.debian import CNI_FOLDER, find_or_install
from tests.cluster.dns import apply_dns_service, is_dns_ready, start_dns
from tests.cluster.errors import ClusterError
from tests.cluster.firewall import allow_pods, read_chains, remove_chains
from tests.cluster.leftovers import end_shims, remove_strays, unmount_below
from tests.cluster.network import (
    SETTINGS,
    make_bridge,
    read_settings,
    remove_bridge,
    write_settings,
)
from tests.cluster.node import is_node_ready, start_containerd, start_controllers, start_node
from tests.cluster.programs import NODE, find_programs
from tests.cluster.state import Record, State
from tests.cluster.volumes import apply_volumes, start_keeper

__all__ = ["bring_down", "bring_up", "own_api"]

NEEDS: Final = (
    *("etcd", "openssl", "containerd", "ctr", "runc", f"{CNI_FOLDER}/bridge"),
    *("ip", "iptables", "conntrack"),
)
READY_WITHIN_S = 120.0
ACCOUNTS: Final = ("default", "kube-system")


def own_api(state: State) -> ApiServer:
    return ApiServer(url=f"https://{addresses.NODE_ADDRESS}:{addresses.API_PORT}", certificates=state.certificates)


def bring_up(state: State, *, volumes: int) -> None:
    """Everything from etcd to DNS, and wait until pods can run.

    Raises `ClusterError` if the machine lacks a piece.
    """
    if os.geteuid() != 0:
        raise ClusterError("a node of our own needs root (or a Docker engine and kind; or --control-plane-only)")
    find_or_install(NEEDS)
    programs = find_programs(NODE)
    state.make()
    record = Record(driver="node", kubeconfig=str(state.kubeconfig), sysctls=read_settings(), chains=read_chains())
    state.write_record(record)

    _prepare_machine(state)
    start_containerd(state, programs)
    place = ApiServerPlace(
        address=addresses.NODE_ADDRESS,
        port=addresses.API_PORT,
        flags=(f"--advertise-address={addresses.NODE_ADDRESS}",),
    )
    api = start_control_plane(state, programs, place)
    start_controllers(state, programs, api)
    start_dns(state, programs, api)
    start_node(state, programs, api)
    apply_dns_service(api)
    apply_volumes(state, api, volumes)
    start_keeper(state)
    _wait_until_usable(state, api)

    record.is_ready = True
    state.write_record(record)


def bring_down(state: State, record: Record) -> None:
    """Take away all of it: programs, pods, mounts, control groups, bridge, rules, settings, files."""
    daemons.end_all(state, last="containerd")
    end_members()
    end_shims(state.containerd_socket)
    for folder in (state.folder, state.run_folder):
        unmount_below(folder)
    remove_cgroups()
    remove_bridge()
    remove_chains(record.chains)
    write_settings(record.sysctls)
    remove_strays(state)
    state.remove()


def _prepare_machine(state: State) -> None:
    make_bridge(state)
    write_settings({name: value for name, value in SETTINGS.items() if value is not None})
    allow_pods()
    make_cgroups()


def _wait_until_usable(state: State, api: ApiServer) -> None:
    def has_accounts() -> bool:
        paths = (f"/api/v1/namespaces/{namespace}/serviceaccounts/default" for namespace in ACCOUNTS)
        return all(api.fetch(path) is not None for path in paths)

    waits = {
        "service accounts": (has_accounts, ("kube-apiserver", "kube-controller-manager")),
        "ready node": (lambda: is_node_ready(api), ("kube-apiserver", "kubelet", "containerd")),
        "DNS": (is_dns_ready, ("kube-apiserver", "coredns", "kube-proxy")),
    }
    for what, (is_there, needs) in waits.items():
        daemons.wait_for(state, what, is_there, within_s=READY_WITHIN_S, needs=needs)
    say(f"Node {addresses.NODE} is ready, DNS answers")
