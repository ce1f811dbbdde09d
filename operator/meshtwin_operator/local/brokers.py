"""The broker of each tree as a child process: mosquitto where it is installed, else amqtt.

On loopback without TLS, with a generated password per user and an ACL per account. Accounts change without
a restart: mosquitto reads its files again on SIGHUP, the amqtt broker looks at the file's time.
"""

import asyncio
import hashlib
import json
import os
import pwd
import shutil
import signal
import sys
from pathlib import Path
from typing import Final

from meshtwin_operator.local.access import acl_text, password_text
from meshtwin_operator.local.state import StateFolder, write_private
from meshtwin_operator.local.supervisor import ChildSpec, Supervisor
from meshtwin_operator.reconcile.naming import OPERATOR_IDENTITY, broker_workload, gateway_identity
from meshtwin_operator.reconcile.outcome import Workload
from meshtwin_operator.reconcile.world import BrokerView
from meshtwin_operator.southbound.accounts import Account, gateway_account, operator_account, twin_account

__all__ = ["LocalBrokers", "find_mosquitto", "gateway_secret_name", "secret_name"]

HOST: Final = "127.0.0.1"
SYSTEM_PLACES: Final = "/usr/sbin:/usr/local/sbin"  # Debian keeps mosquitto out of a user's PATH
ENVIRONMENT_SWITCH: Final = "MESHTWIN_BROKER"  # "amqtt": do not use mosquitto even where it is installed


def find_mosquitto() -> str | None:
    """Path of mosquitto; None if it is not installed or not wanted."""
    if os.environ.get(ENVIRONMENT_SWITCH) == "amqtt":
        return None
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=SYSTEM_PLACES)


def secret_name(namespace: str, root_twin: str, username: str) -> str:
    """Name of the secret that holds a user's MQTT password."""
    return f"{namespace}.{root_twin}.mqtt.{username}"


def gateway_secret_name(namespace: str, root_twin: str, gateway_id: str) -> str:
    """Name of the secret that holds a gateway's MQTT password."""
    return secret_name(namespace, root_twin, gateway_identity(gateway_id))


class LocalBrokers:
    """Brokers by (namespace, root twin)."""

    def __init__(self, *, state: StateFolder, supervisor: Supervisor) -> None:
        self._state, self._supervisor = state, supervisor
        self._roots: dict[tuple[str, str], Workload] = {}

    async def apply(self, workload: Workload) -> None:
        """Let the broker run with the accounts that the workload names."""
        namespace, root = workload.namespace, workload.root_twin
        self._roots[namespace, root] = workload
        folder = self._state.child(namespace, workload.name)
        accounts = [
            operator_account(OPERATOR_IDENTITY),
            *(gateway_account(gateway_identity(gateway), gateway) for gateway in workload.gateways),
            *(twin_account(twin) for twin in workload.twins),
        ]
        changed = self._write_access(namespace, root, folder, accounts)
        started = await self._supervisor.apply(self._child(namespace, workload.name, folder))
        pid = self._supervisor.view(f"{namespace}.{workload.name}").pid
        if changed and not started and pid is not None and find_mosquitto():
            os.kill(pid, signal.SIGHUP)

    def refresh(self) -> list[Workload]:
        """Brokers whose accounts should be written again: a password was rotated."""
        return [w for w in self._roots.values() if self._is_stale(w)]

    def view(self, namespace: str, root_twin: str) -> BrokerView | None:
        """Where a broker is; None before it was asked for."""
        if (namespace, root_twin) not in self._roots:
            return None
        port = self._port(namespace, root_twin)
        child = self._supervisor.view(f"{namespace}.{broker_workload(root_twin)}")
        return BrokerView(
            host=HOST,
            port=port,
            tls=False,
            external_address=f"mqtt://{HOST}:{port}",
            connected=child.ready,
            problem=None if child.ready else child.problem,
        )

    def password_file(self, namespace: str, root_twin: str, username: str) -> Path:
        """File with a user's password."""
        return self._state.secret(secret_name(namespace, root_twin, username))

    def workloads(self) -> tuple[Workload, ...]:
        """All brokers, with the accounts that they should have."""
        return tuple(self._roots.values())

    def roots(self) -> tuple[tuple[str, str], ...]:
        """All (namespace, root twin) that have a broker."""
        return tuple(sorted(self._roots))

    def forget(self, namespace: str, workload_name: str) -> None:
        """A broker's owner is gone, or wants none any more; nothing happens for the name of another workload."""
        for (found, root), workload in list(self._roots.items()):
            if found == namespace and workload.name == workload_name:
                del self._roots[found, root]

    def _port(self, namespace: str, root_twin: str) -> int:
        return self._state.port(f"{namespace}.{broker_workload(root_twin)}")

    def _passwords(self, workload: Workload) -> list[tuple[str, str]]:
        names = [
            OPERATOR_IDENTITY,
            *(gateway_identity(gateway) for gateway in workload.gateways),
            *workload.twins,
        ]
        files = [self.password_file(workload.namespace, workload.root_twin, name) for name in names]
        return [(name, path.read_text().strip()) for name, path in zip(names, files, strict=True)]

    def _is_stale(self, workload: Workload) -> bool:
        folder = self._state.child(workload.namespace, workload.name)
        digest = _digest(self._passwords(workload))
        return not (folder / "passwords.sha256").exists() or ((folder / "passwords.sha256").read_text() != digest)

    def _write_access(self, namespace: str, root: str, folder: Path, accounts: list[Account]) -> bool:
        passwords = self._passwords(self._roots[namespace, root])
        changed = write_private(folder / "acl", acl_text(accounts).encode())
        if find_mosquitto() is None:  # only amqtt reads it, and it holds passwords
            acl = {a.username: {"publish": a.publish, "receive": a.receive} for a in accounts}
            access = json.dumps({"passwords": dict(passwords), "acl": acl})
            changed |= write_private(folder / "access.json", access.encode())
        if write_private(folder / "passwords.sha256", _digest(passwords).encode()):
            salts = [os.urandom(12) for _ in passwords]
            write_private(folder / "passwords", password_text(passwords, salts).encode())
            changed = True
        return changed

    def _child(self, namespace: str, name: str, folder: Path) -> ChildSpec:
        port = self._state.port(f"{namespace}.{name}")
        mosquitto = find_mosquitto()
        if mosquitto is None:
            script = "meshtwin_operator.local.amqtt_broker"
            command: tuple[str, ...] = (sys.executable, "-m", script, str(port), str(folder / "access.json"))
        else:
            write_private(folder / "mosquitto.conf", _configuration(folder, port).encode())
            command = (mosquitto, "-c", str(folder / "mosquitto.conf"))
        return ChildSpec(name=f"{namespace}.{name}", command=command, probe=lambda: _answers(port), is_last=True)


def _configuration(folder: Path, port: int) -> str:
    data = folder / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    user = pwd.getpwuid(os.getuid()).pw_name if os.getuid() == 0 else None
    lines = [
        f"listener {port} {HOST}",
        "allow_anonymous false",
        f"password_file {folder / 'passwords'}",
        f"acl_file {folder / 'acl'}",
        "persistence true",
        f"persistence_location {data}/",
        "autosave_interval 30",
        "max_inflight_messages 1000",
        "max_queued_messages 20000",
        "message_size_limit 4194304",  # a result of 2000 nodes with values read back takes about 0.5 MB
        "log_dest stdout",
        "connection_messages false",  # readiness is probed by connecting
        "log_type error",
        "log_type warning",
        "log_type notice",
    ]
    if user is not None:
        lines.append(f"user {user}")  # as root mosquitto would change its user, and lose its tether to us
    return "\n".join(lines) + "\n"


async def _answers(port: int) -> bool:
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection(HOST, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _digest(passwords: list[tuple[str, str]]) -> str:
    return hashlib.sha256(json.dumps(passwords).encode()).hexdigest()
