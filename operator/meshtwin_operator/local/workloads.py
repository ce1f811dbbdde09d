"""Workloads as child processes: files, ports and secrets filled in, then handed to the supervisor."""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx

from meshtwin.errors import Unavailable
from meshtwin_operator.inventories import config_map_bytes
from meshtwin_operator.local.brokers import LocalBrokers
from meshtwin_operator.local.state import StateFolder, write_private
from meshtwin_operator.local.supervisor import ChildSpec, Supervisor
from meshtwin_operator.reconcile.outcome import Workload, WorkloadRole
from meshtwin_operator.reconcile.world import ObjectKey, WorkloadView

__all__ = ["LocalWorkloads", "child_name", "rest_key_name"]

PROBE_TIMEOUT_S: Final = 2.0


def child_name(namespace: str, name: str) -> str:
    """Name of a child process: unique over namespaces, also the name of its folder and log."""
    return f"{namespace}.{name}"


def rest_key_name(namespace: str, root_twin: str) -> str:
    """Name of the secret under which a tree's REST tokens are signed."""
    return f"{namespace}.{root_twin}.rest-key"


class LocalWorkloads:
    """Makes children be as `Workload` values describe them."""

    def __init__(
        self,
        *,
        state: StateFolder,
        supervisor: Supervisor,
        brokers: LocalBrokers,
        config_map: Callable[[ObjectKey], Mapping[str, Any] | None],
    ) -> None:
        self._state, self._supervisor, self._brokers = state, supervisor, brokers
        self._config_map = config_map
        self._client = httpx.AsyncClient(timeout=PROBE_TIMEOUT_S, trust_env=False)
        self._owners: dict[str, ObjectKey] = {}

    async def apply(self, workload: Workload) -> None:
        """Write its files and let it run; nothing is done when it already does."""
        name = child_name(workload.namespace, workload.name)
        self._owners[name] = workload.owner
        if workload.role is WorkloadRole.BROKER:
            await self._brokers.apply(workload)
            return
        folder = self._state.child(workload.namespace, workload.name)
        config = self._fill_in(workload, folder)
        text = json.dumps(config, sort_keys=True, indent=1).encode()
        write_private(folder / "config.json", text)
        url = self._url(name)
        await self._supervisor.apply(
            ChildSpec(
                name=name,
                command=(sys.executable, "-m", f"meshtwin.app.{workload.role.value}", str(folder / "config.json")),
                token=hashlib.sha256(text + workload.restart_on.encode()).hexdigest()[:16],
                probe=lambda: self._is_ready(f"{url}/readyz"),
            )
        )

    async def delete(self, namespace: str, name: str) -> None:
        """End a child; its data stays."""
        self._owners.pop(child_name(namespace, name), None)
        self._brokers.forget(namespace, name)
        await self._supervisor.remove(child_name(namespace, name))

    async def keep_only(self, owners: set[ObjectKey]) -> list[str]:
        """End children whose owner is gone, as the garbage collector of a cluster does; returns their names."""
        gone = [name for name, owner in self._owners.items() if owner not in owners]
        for name in gone:
            namespace, _, child = name.partition(".")
            await self.delete(namespace, child)
        return gone

    def view(self, namespace: str, name: str) -> WorkloadView:
        """How a child is."""
        seen = self._supervisor.view(child_name(namespace, name))
        if not seen.exists:
            return WorkloadView(exists=False)
        problem = None if seen.ready or seen.problem is None else ("ChildEnded", seen.problem)
        url = self._url(child_name(namespace, name))
        return WorkloadView(exists=True, ready=seen.ready, url=url, problem=problem)

    def owner(self, name: str) -> ObjectKey | None:
        """Whom a child belongs to."""
        return self._owners.get(name)

    async def close(self) -> None:
        """End the connections of the probes."""
        await self._client.aclose()

    def _fill_in(self, workload: Workload, folder: Path) -> dict[str, Any]:
        config: dict[str, Any] = dict(workload.config)
        view = self._brokers.view(workload.namespace, workload.root_twin)
        if view is None:
            raise Unavailable(f"broker of {workload.root_twin} is not there yet", reason="BrokerMissing")
        data = folder / "data"
        data.mkdir(mode=0o700, exist_ok=True)
        password = self._brokers.password_file(workload.namespace, workload.root_twin, workload.identity)
        config["broker"] = {
            "host": view.host,
            "port": view.port,
            "username": workload.identity,
            "passwordFile": str(password),
        }
        config["dataFolder"] = str(data)
        config["listen"] = f"127.0.0.1:{self._state.port(child_name(workload.namespace, workload.name))}"
        config["restKeyFile"] = str(self._state.secret(rest_key_name(workload.namespace, workload.root_twin)))
        if workload.inventory is not None:
            config |= self._write_inventory(workload, folder)
        if (http := (config.get("model") or {}).get("http")) is not None:
            files = {} if workload.model_secret is None else self._model_files(workload)
            config["model"] = {**config["model"], "http": {**http, **files, "allowLoopback": True}}
        return config

    def _model_files(self, workload: Workload) -> dict[str, str]:
        """Files of somebody else's model: put into the state folder by its owner, since there are no Secrets here."""
        stem = f"{workload.namespace}.{workload.model_secret}"
        token, authority = (self._state.secrets / f"{stem}.{part}" for part in ("model-token", "model-ca.crt"))
        if not token.is_file():
            message = f"no token of the model (spec.model.http.secretRef): put it into {token}"
            raise Unavailable(message, reason="ModelCredentials")
        return {"tokenFile": str(token), **({"caFile": str(authority)} if authority.is_file() else {})}

    def _write_inventory(self, workload: Workload, folder: Path) -> dict[str, str]:
        assert workload.inventory is not None  # noqa: S101  # the caller looked
        name, key, placement_key = workload.inventory
        raw = self._config_map(ObjectKey("ConfigMap", workload.namespace, name))
        paths: dict[str, str] = {}
        for field, wanted in (("inventoryPath", key), ("placementPath", placement_key)):
            if wanted is None:
                continue
            content = None if raw is None else config_map_bytes(raw, wanted)
            if content is None:
                raise Unavailable(f"ConfigMap {workload.namespace}/{name} has no key {wanted}")
            target = folder / f"{field.removesuffix('Path')}.json"
            write_private(target, content)
            paths[field] = str(target)
        return paths

    def _url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._state.port(name)}"

    async def _is_ready(self, url: str) -> bool:
        try:
            return (await self._client.get(url)).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False
