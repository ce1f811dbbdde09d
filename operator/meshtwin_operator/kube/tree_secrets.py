"""Secrets of each tree of twins: authority, broker certificate, passwords, REST key; and the operator's use of them.

Secrets are the record: what a broker knows follows from them. A password is changed by removing or rewriting
the Secret. They are read by name, never listed; the authority's key is mounted nowhere.
"""

import asyncio
import hashlib
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from meshtwin.connectors.mqtt import BrokerSettings
from meshtwin.errors import Unavailable
from meshtwin_operator.kube.render import BROKER_PORT, DATA_MOUNT
from meshtwin_operator.kube.secret_store import Data, SecretStore
from meshtwin_operator.reconcile.naming import OPERATOR_IDENTITY, broker_workload, gateway_identity
from meshtwin_operator.reconcile.outcome import Workload, WorkloadRole
from meshtwin_operator.reconcile.world import BrokerView
from meshtwin_operator.resources.hosting import EmbeddedBroker
from meshtwin_operator.resources.twins import DigitalTwin
from meshtwin_operator.southbound.accounts import gateway_account, operator_account, twin_account
from meshtwin_operator.southbound.broker_files import initial_security, mosquitto_configuration
from meshtwin_operator.southbound.certificates import (
    KeyPair,
    is_certificate_due,
    issue_server_certificate,
    make_authority,
)
from meshtwin_operator.southbound.fleet import Fleet
from meshtwin_operator.southbound.security_sync import Credential, sync_accounts

__all__ = ["OWN_KEY", "TreeSecrets", "gateway_secret", "outside_address"]

log = structlog.get_logger(__name__)

SYNC_AGAIN_AFTER: Final = timedelta(minutes=10)  # accounts changed at the broker by somebody else are mended
READS_AT_ONCE: Final = 8  # at the first look: a tree of 1,000 gateways has 2,000 Secrets
CREDENTIALS_LABEL: Final = "meshtwin.dev/broker-credentials"  # set by who may read the Secret: a twin may use it
MODEL_LABEL: Final = "meshtwin.dev/model-credentials"  # likewise, for somebody else's model
TREE_KEYS: Final = ("rest-key", "ca.crt")
OWN_KEY: Final = "own-key"  # in a twin's account: signs tokens of engineers and of the operator for that twin alone
PLUGIN: Final = "/usr/lib/mosquitto_dynamic_security.so"  # the image links it there on every architecture


class SyncAccounts(Protocol):
    """See `meshtwin_operator.southbound.security_sync.sync_accounts`."""

    async def __call__(self, settings: BrokerSettings, wanted: Sequence[Credential], *, client_id: str) -> int:
        """Number of commands sent."""
        ...


def gateway_secret(gateway_id: str) -> str:
    """Name of the Secret with a gateway's credentials; ids may hold what object names may not."""
    plain = gateway_id.lower().replace("_", "-").strip("-.")
    digest = "" if plain == gateway_id else "-" + hashlib.sha256(gateway_id.encode()).hexdigest()[:6]
    return f"{plain}{digest}-gateway"


@dataclass(frozen=True, slots=True)
class _Tree:
    """What is known of one tree's broker."""

    view: BrokerView
    settings: BrokerSettings
    hosting: EmbeddedBroker | None = None  # None: somebody else's


class TreeSecrets:
    """Makes missing Secrets, keeps accounts at embedded brokers, tells the fleet where to connect."""

    def __init__(
        self,
        store: SecretStore,
        fleet: Fleet,
        *,
        now: Callable[[], datetime],
        service: Callable[[str, str], Mapping[str, Any] | None] = lambda _namespace, _name: None,
        sync: SyncAccounts = sync_accounts,
    ) -> None:
        """``service`` gives a Service of ours by namespace and name: its node port is chosen by Kubernetes."""
        self._sync_accounts = sync
        self._store, self._fleet, self._now, self._service = store, fleet, now, service
        self._trees: dict[tuple[str, str], _Tree] = {}
        self._synced: dict[tuple[str, str], tuple[str, datetime]] = {}
        self._looked: dict[tuple[str, str], tuple[tuple[object, ...], datetime]] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="meshtwin-"))  # CA certificates for the MQTT client

    def broker(self, namespace: str, root_twin: str) -> BrokerView | None:
        """Where a tree's broker is; None before its Secrets were seen."""
        tree = self._trees.get((namespace, root_twin))
        if tree is None:
            return None
        outside = tree.view.external_address
        if tree.hosting is not None and tree.hosting.service_type != "ClusterIP":
            service = self._service(namespace, broker_workload(root_twin))
            outside = (service and outside_address(tree.hosting, service)) or outside
        return replace(
            tree.view,
            external_address=outside,
            connected=self._fleet.is_connected(namespace, root_twin),
            problem=self._fleet.refusal(namespace, root_twin),
        )

    async def forget(self, namespace: str, root_twin: str, *, only_embedded: bool = False) -> None:
        """The twin is gone, or (``only_embedded``) has no broker of its own any more: end the connection to it.

        What its gateways said goes too, or it would stand for what they say at another tree's broker.
        """
        tree = self._trees.get((namespace, root_twin))
        if tree is None or (only_embedded and tree.hosting is None):
            return
        for known in (self._trees, self._synced, self._looked):
            known.pop((namespace, root_twin), None)
        self._ca_path(namespace, root_twin).unlink(missing_ok=True)
        await self._fleet.disconnect(namespace, root_twin)

    async def operator_key(self, namespace: str, root_twin: str, workload: str) -> bytes:
        """The key that signs the operator's tokens for one twin; raises `Unavailable` before it exists."""
        data = await self._store.read(namespace, f"{workload}-account", root_twin)
        if data is None or OWN_KEY not in data:
            raise Unavailable(f"no key yet of twin {workload}", place=f"Secret {namespace}/{workload}-account")
        return data[OWN_KEY]

    async def ensure(self, workload: Workload) -> str:
        """Make the Secrets a workload needs; gives a hash of those it reads only at its start."""
        if workload.role is WorkloadRole.BROKER:
            return await self._ensure_broker(workload)
        tree = await self._store.read(workload.namespace, f"{workload.root_twin}-tree", workload.root_twin)
        if tree is None:
            raise Unavailable(f"waiting for the broker of twin {workload.root_twin}")
        account = await self._store.ensure(
            workload,
            f"{workload.name}-account",
            ("password",),
            lambda: {"username": workload.identity.encode(), "password": _password(), OWN_KEY: _password()},
        )
        if OWN_KEY not in account:  # taken out for a new one, or made by an operator that knew of no such key
            name = f"{workload.name}-account"
            account = await self._store.write(workload, name, {**account, OWN_KEY: _password()})
        if workload.model_secret is not None:
            await self._check_model_secret(workload, workload.model_secret)
        return _hash(tree) + _hash(account)

    async def _check_model_secret(self, workload: Workload, name: str) -> None:
        """Raises `Unavailable` unless who may read the Secret has labelled it for this use: see `ensure_external`.

        The twin reads its files at every question, so that a new token needs no restart.
        """
        data = await self._store.read(workload.namespace, name, workload.root_twin)
        place = f"Secret {workload.namespace}/{name}"
        if data is None or not self._store.has_label(workload.namespace, name, MODEL_LABEL):
            message = f'no Secret with the label {MODEL_LABEL}: "true" (spec.model.http)'
            raise Unavailable(message, reason="ModelCredentials", place=place)
        if "token" not in data:
            raise Unavailable("the model's credentials lack token", reason="ModelCredentials", place=place)

    async def ensure_external(self, twin: DigitalTwin, workload: Workload) -> None:
        """Use a broker that somebody else runs: its Secret holds ca.crt, username and password."""
        assert twin.spec.broker is not None and twin.spec.broker.external is not None  # noqa: S101, PT018
        external, namespace = twin.spec.broker.external, workload.namespace
        data = await self._store.read(namespace, external.credentials_secret_ref.name, workload.root_twin)
        place = f"Secret {namespace}/{external.credentials_secret_ref.name}"
        # Who writes a DigitalTwin need not be one who reads Secrets: without this they could have any Secret of
        # the namespace, our own among them, sent to a host of their choice.
        if data is None or not self._store.has_label(
            namespace, external.credentials_secret_ref.name, CREDENTIALS_LABEL
        ):
            message = f'no Secret with the label {CREDENTIALS_LABEL}: "true" (spec.broker.external)'
            raise Unavailable(message, reason="BrokerCredentials", place=place)
        needed = {"username", "password", *(("ca.crt",) if external.tls else ())}
        if missing := sorted(needed - data.keys()):
            message = f"the broker's credentials lack {', '.join(missing)}"
            raise Unavailable(message, reason="BrokerCredentials", place=place)
        await self._store.ensure(
            workload,
            f"{workload.root_twin}-tree",
            TREE_KEYS,
            lambda: {"rest-key": _password(), "ca.crt": data.get("ca.crt", b"")},
        )
        view = BrokerView(host=external.host, port=external.port, tls=external.tls)
        ca_file = self._ca_file(namespace, workload.root_twin, data["ca.crt"]) if external.tls else None
        username, password = data["username"].decode(), data["password"].decode()
        settings = BrokerSettings(host=view.host, port=view.port, username=username, password=password, ca_file=ca_file)
        await self._connect(namespace, workload.root_twin, view, settings)

    async def _ensure_broker(self, workload: Workload) -> str:
        namespace, root = workload.namespace, workload.root_twin
        authority = await self._store.ensure(
            workload, f"{root}-broker-authority", ("tls.crt", "tls.key"), lambda: self._authority(root)
        )
        await self._store.ensure(
            workload, f"{root}-tree", TREE_KEYS, lambda: {"rest-key": _password(), "ca.crt": authority["tls.crt"]}
        )
        account = await self._store.ensure(
            workload,
            f"{root}-operator-account",
            ("username", "password"),
            lambda: {"username": OPERATOR_IDENTITY.encode(), "password": _password()},
        )
        names = self._names(workload)
        broker = await self._store.ensure(
            workload,
            f"{root}-broker",
            ("tls.crt", "tls.key", "dynamic-security.json", "mosquitto.conf"),
            lambda: self._broker_files(authority, account, names),
        )
        pair = KeyPair(authority["tls.crt"], authority["tls.key"])
        if is_certificate_due(broker["tls.crt"], pair.certificate, names, self._now()):
            broker |= _server_files(issue_server_certificate(pair, names, self._now()))
            await self._store.write(workload, f"{root}-broker", broker)
        host = f"{broker_workload(root)}.{namespace}.svc"
        view = BrokerView(host=host, port=BROKER_PORT, tls=True, external_address=f"mqtts://{host}:{BROKER_PORT}")
        ca_file = self._ca_file(namespace, root, authority["tls.crt"])
        settings = BrokerSettings(
            host=host,
            port=BROKER_PORT,
            username=account["username"].decode(),
            password=account["password"].decode(),
            ca_file=ca_file,
        )
        await self._connect(namespace, root, view, settings, workload.broker)
        await self._sync(workload)
        return _hash({key: broker[key] for key in ("tls.crt", "mosquitto.conf")})

    async def _sync(self, workload: Workload) -> None:
        """Bring the accounts at the broker in step with the Secrets, and empty what those who left said last.

        Quietly later if the broker is away.
        """
        tree = (workload.namespace, workload.root_twin)
        departed = self._fleet.departed(*tree, workload.gateways, workload.twins)
        seen = (
            workload.gateways, workload.twins, self._store.changes_total, self._fleet.is_connected(*tree), departed
        )  # fmt: skip
        last = self._looked.get(tree)
        if last is not None and last[0] == seen and self._now() - last[1] < SYNC_AGAIN_AFTER:
            return  # 2,000 Secrets are not gone through for nothing
        await self._sync_credentials(workload)
        if self._fleet.is_connected(*tree):
            await self._fleet.clear(*tree, departed)  # their accounts are gone: nobody says it anew
        self._looked[tree] = (seen, self._now())  # what changed meanwhile is seen at the next look

    async def _sync_credentials(self, workload: Workload) -> None:
        tree = (workload.namespace, workload.root_twin)
        credentials = await self._credentials(workload)
        fingerprint = "".join(sorted(c.fingerprint + c.account.username for c in credentials))
        known = self._synced.get(tree)
        if known is not None and known[0] == fingerprint and self._now() - known[1] < SYNC_AGAIN_AFTER:
            return
        if not self._fleet.is_connected(*tree):
            return
        sent = await self._sync_accounts(
            self._trees[tree].settings, credentials, client_id=f"meshtwin-accounts-{secrets.token_hex(4)}"
        )
        self._synced[tree] = (fingerprint, self._now())
        log.info("Keeping broker accounts", tree=tree, accounts=len(credentials), commands=sent)

    async def _credentials(self, workload: Workload) -> Sequence[Credential]:
        gate = asyncio.Semaphore(READS_AT_ONCE)
        found = await asyncio.gather(
            *(self._gateway_credential(workload, gateway, gate) for gateway in workload.gateways),
            *(self._twin_credential(workload, identity, gate) for identity in workload.twins),
        )
        return [credential for credential in found if credential is not None]

    async def _gateway_credential(
        self, workload: Workload, gateway_id: str, gate: asyncio.Semaphore
    ) -> Credential | None:
        """A gateway's account; its Secret holds all that a device outside needs to connect."""
        identity = gateway_identity(gateway_id)
        view = self._trees[(workload.namespace, workload.root_twin)].view
        async with gate:
            tree = await self._store.read(workload.namespace, f"{workload.root_twin}-tree", workload.root_twin) or {}
            data = await self._store.ensure(
                workload,
                gateway_secret(gateway_id),
                ("password",),
                lambda: {
                    "username": identity.encode(),
                    "password": _password(),
                    "ca.crt": tree["ca.crt"],
                    "host": view.host.encode(),
                    "port": str(view.port).encode(),
                },
            )
        return Credential(account=gateway_account(identity, gateway_id), password=data["password"].decode())

    async def _twin_credential(self, workload: Workload, identity: str, gate: asyncio.Semaphore) -> Credential | None:
        """A twin's account; None while the twin's own reconciliation has not made its Secret."""
        async with gate:
            name = f"{identity.removeprefix(f'twin.{workload.namespace}.')}-account"
            data = await self._store.read(workload.namespace, name, workload.root_twin)
        if data is None or "password" not in data:
            return None
        return Credential(account=twin_account(identity), password=data["password"].decode())

    async def _connect(
        self,
        namespace: str,
        root: str,
        view: BrokerView,
        settings: BrokerSettings,
        hosting: EmbeddedBroker | None = None,
    ) -> None:
        await self._fleet.connect(namespace, root, settings)
        self._trees[(namespace, root)] = _Tree(view, settings, hosting)

    def _authority(self, root: str) -> Data:
        pair = make_authority(f"meshtwin {root}", self._now())
        return {"tls.crt": pair.certificate, "tls.key": pair.key}

    def _names(self, workload: Workload) -> list[str]:
        base = broker_workload(workload.root_twin)
        namespace = workload.namespace
        names = [f"{base}.{namespace}.svc", f"{base}.{namespace}.svc.cluster.local", base, "localhost", "127.0.0.1"]
        return [*names, *(workload.broker.host_names if workload.broker else ())]

    def _broker_files(self, authority: Data, account: Data, names: Sequence[str]) -> Data:
        server = issue_server_certificate(KeyPair(authority["tls.crt"], authority["tls.key"]), names, self._now())
        security = initial_security(
            operator_account(account["username"].decode()), account["password"].decode(), secrets.token_bytes(12)
        )
        configuration = mosquitto_configuration(
            port=BROKER_PORT, certificate_folder="/etc/meshtwin/broker", data_folder=DATA_MOUNT, plugin=PLUGIN
        )
        return {
            **_server_files(server),
            "dynamic-security.json": security.encode(),
            "mosquitto.conf": configuration.encode(),
        }

    def _ca_path(self, namespace: str, root: str) -> Path:
        return self._folder / f"{namespace}.{root}.crt"

    def _ca_file(self, namespace: str, root: str, certificate: bytes) -> str:
        path = self._ca_path(namespace, root)
        if not path.exists() or path.read_bytes() != certificate:
            path.write_bytes(certificate)
        return str(path)


def outside_address(hosting: EmbeddedBroker, service: Mapping[str, Any]) -> str | None:
    """URL of the broker for a device outside the cluster; None while it is not known.

    The host is the first of ``hostNames``: the certificate holds it, and the operator may not look at nodes.
    """
    host = hosting.host_names[0] if hosting.host_names else None
    port: int | None = BROKER_PORT
    if hosting.service_type == "NodePort":
        port = service["spec"]["ports"][0].get("nodePort")
    elif host is None:
        ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or [{}]
        host = ingress[0].get("hostname") or ingress[0].get("ip")
    if host is None or port is None:
        return None
    return f"mqtts://[{host}]:{port}" if ":" in host else f"mqtts://{host}:{port}"


def _server_files(server: KeyPair) -> Data:
    return {"tls.crt": server.certificate, "tls.key": server.key}


def _password() -> bytes:
    """256 bits, in letters that need no quoting."""
    return secrets.token_urlsafe(32).encode()


def _hash(data: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(data.items()):
        digest.update(key.encode() + b"\0" + value + b"\0")
    return digest.hexdigest()[:8]
