"""etcd and one API server: enough for CRDs, CEL, admission policies and RBAC, ready in seconds.

Alone it has no controllers: nothing is garbage-collected, no namespace ends its deletion, no pod is made,
and the aggregated roles `admin`, `edit` and `view` stay empty.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import addresses, daemons
from tests.cluster.api import ApiServer
from tests.cluster.certificates import issue, make_authority, make_service_account_key
from tests.cluster.debian import find_or_install
from tests.cluster.errors import ClusterError
from tests.cluster.programs import CONTROL_PLANE, find_programs
from tests.cluster.state import Record, State

__all__ = ["ApiServerPlace", "control_plane", "start_alone", "start_control_plane"]

READY_WITHIN_S = 60.0
NEEDS = ("etcd", "openssl")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServerPlace:
    """Where the API server listens, and what else is particular to it there."""

    address: str
    port: int
    flags: Sequence[str] = ()


@contextmanager
def control_plane(state_folder: Path) -> Iterator[Path]:
    """A control plane on free loopback ports while the block runs; gives the path of its kubeconfig.

    Any number of them may run at once, beside a full cluster too, each in a folder of its own.
    ``state_folder`` is removed at the end.
    """
    state = State.at(state_folder)
    if state.read_record() is not None:  # an earlier run was killed
        stop_alone(state)
    try:
        start_alone(state)
        yield state.kubeconfig
    finally:
        stop_alone(state)


def start_alone(state: State) -> None:
    """etcd and an API server on loopback, on free ports, nothing else."""
    find_or_install(NEEDS)
    programs = find_programs(CONTROL_PLANE)
    state.make()
    record = Record(driver="control-plane", kubeconfig=str(state.kubeconfig))
    state.write_record(record)
    place = ApiServerPlace(
        address=addresses.LOOPBACK,
        port=addresses.read_free_port(),
        flags=(
            "--endpoint-reconciler-type=none",  # a loopback address may not stand in Endpoints
            "--disable-admission-plugins=ServiceAccount",  # nobody here makes the default accounts
        ),
    )
    start_control_plane(state, programs, place)
    record.is_ready = True
    state.write_record(record)


def stop_alone(state: State) -> None:
    daemons.end_all(state, last="etcd")
    state.remove()


def start_control_plane(state: State, programs: Mapping[str, Path], place: ApiServerPlace) -> ApiServer:
    """Start both, wait until the API server is ready, write the administrator's kubeconfig."""
    _make_certificates(state.certificates, place)
    etcd_url = _start_etcd(state)
    daemons.start(state, "kube-apiserver", _api_server_command(state, programs, place, etcd_url))
    api = ApiServer(url=f"https://{place.address}:{place.port}", certificates=state.certificates)
    daemons.wait_for(state, "ready API server", api.is_ready, within_s=READY_WITHIN_S, needs=("etcd", "kube-apiserver"))
    api.write_kubeconfig(state.kubeconfig, "admin")
    return api


def _make_certificates(folder: Path, place: ApiServerPlace) -> None:
    if folder.exists():
        raise ClusterError(f"{folder} is left from an earlier cluster; run `down` with this state folder")
    make_authority(folder)
    make_service_account_key(folder)
    service = "DNS:kubernetes.default.svc"
    hosts = (
        *(f"IP:{address}" for address in dict.fromkeys((place.address, addresses.LOOPBACK))),
        f"IP:{addresses.API_SERVICE}",
        *("DNS:localhost", "DNS:kubernetes", "DNS:kubernetes.default", service),
        f"{service}.{addresses.CLUSTER_DOMAIN}",
    )
    issue(folder, "kube-apiserver", user="kube-apiserver", serves=hosts)
    issue(folder, "admin", user="admin", groups=["system:masters"])
    issue(folder, "kubelet-client", user="kube-apiserver", groups=["system:masters"])


def _start_etcd(state: State) -> str:
    url, peer_url = (f"http://{addresses.LOOPBACK}:{addresses.read_free_port()}" for _ in range(2))
    daemons.start(
        state,
        "etcd",
        [
            "etcd",
            f"--data-dir={state.folder / 'etcd'}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ],
    )
    return url


def _api_server_command(state: State, programs: Mapping[str, Path], place: ApiServerPlace, etcd_url: str) -> list[str]:
    keys = state.certificates
    return [
        str(programs["kube-apiserver"]),
        f"--etcd-servers={etcd_url}",
        f"--bind-address={place.address}",
        f"--secure-port={place.port}",
        f"--external-hostname={place.address}",
        f"--service-cluster-ip-range={addresses.SERVICE_CIDR}",
        f"--tls-cert-file={keys / 'kube-apiserver.crt'}",
        f"--tls-private-key-file={keys / 'kube-apiserver.key'}",
        f"--client-ca-file={keys / 'ca.crt'}",
        f"--kubelet-client-certificate={keys / 'kubelet-client.crt'}",
        f"--kubelet-client-key={keys / 'kubelet-client.key'}",
        "--kubelet-preferred-address-types=InternalIP",  # the node's name is in no DNS
        f"--service-account-issuer=https://kubernetes.default.svc.{addresses.CLUSTER_DOMAIN}",
        f"--service-account-key-file={keys / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={keys / 'service-accounts.key'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
        *place.flags,
    ]
