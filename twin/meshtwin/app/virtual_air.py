"""The process of a virtual Bluetooth Mesh: ``python -m meshtwin.app.virtual_air CONFIG.json``.

It boots one bluetooth-meshd per node of a scenario, checks the stack, prints one line of JSON with the port of its
control connection and, per gateway, what its configuration needs; then runs until it is told to stop. All that it
started dies with it, also when it is killed.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import Field

from meshtwin.app.running import run_device
from meshtwin.app.settings_files import SettingsModel, read_secret, read_settings
from meshtwin.emulation.scenario import GatewayModel, read_scenario
from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.gateway.bluez.credentials import Credentials, to_document
from meshtwin.virtual_air.folders import hold_temporary_folder
from meshtwin.virtual_air.network import VirtualNetwork
from meshtwin.virtual_air.plan import AirPlan, plan_network
from meshtwin.virtual_air.processes import OPEN_POLICY
from meshtwin.virtual_air.programs import find_programs
from meshtwin.virtual_air.self_check import check_stack
from meshtwin.virtual_air.server import LINE_LIMIT, ControlServer
from meshtwin.virtual_air.traffic import run_traffic

__all__ = ["VirtualAirSettings", "run_virtual_air"]

log = structlog.get_logger(__name__)

# bytes: a UNIX socket's path has at most 107 (unix(7)), and "/" with a gateway's id and ".socket" comes behind
FOLDER_PATH_MAX: Final = 107 - 1 - 20 - len(".socket")


class VirtualAirSettings(SettingsModel):
    """What the process needs; ``folder`` None: a temporary one, removed at the end
    (or, where the process was killed, by the next one). ``port`` 0 takes a free one.

    ``ready_file`` gets what is also printed once the network runs; it is not there before.
    """

    scenario: Path
    folder: Path | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65_535)
    token: str = Field(default="", max_length=256, repr=False)
    token_file: Path | None = None  # read instead of ``token``
    seed: int | None = None
    self_check: bool = True
    ready_file: Path | None = None
    gateway_policy_file: Path | None = None  # <policy> elements for the buses of gateways; None: all is allowed

    def read_policy(self) -> str:
        """Who may do what on the buses of gateways; raises `Unavailable` if the file cannot be read."""
        if self.gateway_policy_file is None:
            return OPEN_POLICY
        try:
            return self.gateway_policy_file.read_text(encoding="utf-8")
        except OSError as error:
            place = str(self.gateway_policy_file)
            raise Unavailable(f"policy not readable: {error.strerror}", place=place) from error

    def read_token(self) -> str:
        """The token that clients must say; raises `Unavailable` if its file cannot be read."""
        return self.token if self.token_file is None else read_secret(self.token_file, "token")


async def run_virtual_air(
    settings: VirtualAirSettings, *, on_ready: Callable[[dict[str, Any]], None] | None = None
) -> None:
    """Run the network until cancelled; ``on_ready`` gets port and gateways.

    Raises `InvalidInput` for a bad scenario or folder, `Unavailable` if a program is missing, the self-check
    fails, or a daemon dies by itself.
    """
    plan = plan_network(read_scenario(settings.scenario), settings.seed)
    programs = find_programs()
    if settings.ready_file is not None:
        settings.ready_file.unlink(missing_ok=True)  # of an earlier network
    wanted = settings.folder
    with hold_temporary_folder() if wanted is None else contextlib.nullcontext(_make_folder(wanted)) as folder:
        network = await VirtualNetwork.boot(plan, programs, folder, gateway_policy=settings.read_policy())
        try:
            if settings.self_check:
                await check_stack(network)
            await _serve(settings, plan, network, folder, on_ready)
        finally:
            await network.stop()


async def _serve(
    settings: VirtualAirSettings,
    plan: AirPlan,
    network: VirtualNetwork,
    folder: Path,
    on_ready: Callable[[dict[str, Any]], None] | None,
) -> None:
    control = ControlServer(network, settings.read_token())
    try:
        server = await asyncio.start_server(control.serve_client, settings.host, settings.port, limit=LINE_LIMIT)
    except OSError as error:
        place = f"{settings.host}:{settings.port}"
        raise Unavailable(f"port not free: {error.strerror}", place=place) from error
    port = server.sockets[0].getsockname()[1]
    gateways = {gateway.id: _tell_gateway(plan, network, folder, gateway) for gateway in plan.scenario.gateways}
    log.info("Serving virtual air", nodes=len(plan.nodes), port=port, folder=str(folder))
    ready = {"port": port, "gateways": gateways}
    if settings.ready_file is not None:
        _write_whole(settings.ready_file, json.dumps(ready))
    if on_ready is not None:
        on_ready(ready)
    traffic = asyncio.ensure_future(run_traffic(network))
    try:
        raise Unavailable(await network.ended, reason="DaemonDied")
    finally:
        traffic.cancel()
        await asyncio.gather(traffic, return_exceptions=True)
        control.close()
        server.close()


def _tell_gateway(plan: AirPlan, network: VirtualNetwork, folder: Path, gateway: GatewayModel) -> dict[str, Any]:
    """The part ``mesh`` of a gateway's configuration; the keys of the network are written beside it."""
    keys_file = folder / f"{gateway.id}-keys.json"
    keys = {n.address: n.keys for n in plan.nodes}
    first = next(n.settings for n in plan.nodes if n.gateway_id == gateway.id)
    keys_file.touch(mode=0o600)
    keys_file.write_bytes(to_document(Credentials(mesh_uuid=plan.scenario.mesh_uuid, nodes=keys)))
    return {
        "kind": "bluez",
        "keysFile": str(keys_file),
        "address": gateway.node,
        "reportGroup": gateway.report_group,
        "busAddress": network.gateway_bus(gateway.id),
        "firstSettings": {"nodes": [gateway.node], **first.to_json()},
    }


def _write_whole(path: Path, text: str) -> None:
    """Another process sees all of it or nothing."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def _make_folder(wanted: Path) -> Path:
    """An empty folder; the storage of an earlier network in it would belong to nodes that heard more since."""
    folder = wanted.resolve()
    size = len(os.fsencode(folder))
    if size > FOLDER_PATH_MAX:
        raise InvalidInput(
            f"path of {size} bytes is longer than {FOLDER_PATH_MAX}: sockets are in it", place=str(wanted)
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            message = "folder is not empty; the air makes its network anew, so give it an empty one"
            raise InvalidInput(message, reason="NotEmpty", place=str(wanted))
    except OSError as error:
        raise InvalidInput(f"folder not usable: {error.strerror}", place=str(wanted)) from error
    return folder


def load_settings(path: Path) -> VirtualAirSettings:
    """Settings in a JSON file; raises `InvalidInput` with the field's place."""
    return read_settings(VirtualAirSettings, path)


def main(arguments: list[str]) -> int:
    """Exit code 0 after a signal, 2 for bad input, 1 if something is not available."""

    def say(ready: dict[str, Any]) -> None:
        print(json.dumps(ready), flush=True)

    async def run() -> None:
        await run_virtual_air(load_settings(Path(arguments[0])), on_ready=say)

    return run_device(run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
