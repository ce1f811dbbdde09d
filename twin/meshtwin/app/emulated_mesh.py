"""The process of the emulated mesh: ``python -m meshtwin.app.emulated_mesh CONFIG.json``.

It prints one line of JSON with the port it serves, then runs until it is told to stop.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from pydantic import Field

from meshtwin.app.running import run_device
from meshtwin.app.settings_files import SettingsModel, read_secret, read_settings
from meshtwin.emulation.scenario import read_scenario
from meshtwin.emulation.server import LINE_LIMIT, MeshServer
from meshtwin.emulation.world import World
from meshtwin.errors import Unavailable

__all__ = ["EmulatedMeshSettings", "run_emulated_mesh"]

log = structlog.get_logger(__name__)


class EmulatedMeshSettings(SettingsModel):
    """What the process needs; ``port`` 0 takes a free one, ``seed`` replaces that of the scenario."""

    scenario: Path
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65_535)
    token: str = Field(default="", max_length=256, repr=False)
    token_file: Path | None = None  # read instead of ``token``
    speed: float = Field(default=1.0, gt=0, le=100)  # mesh seconds per second
    seed: int | None = None

    def read_token(self) -> str:
        """The token that clients must say; raises `Unavailable` if its file cannot be read."""
        return self.token if self.token_file is None else read_secret(self.token_file, "token")


async def run_emulated_mesh(settings: EmulatedMeshSettings, *, on_ready: Callable[[int], None] | None = None) -> None:
    """Serve the scenario until cancelled; ``on_ready`` gets the port.

    Raises `InvalidInput` for a bad scenario, `Unavailable` if the port is taken.
    """
    scenario = read_scenario(settings.scenario)
    world = World(scenario, scenario.seed if settings.seed is None else settings.seed)
    mesh = MeshServer(world, token=settings.read_token(), speed=settings.speed, monotonic=time.monotonic)
    try:
        server = await asyncio.start_server(mesh.serve_client, settings.host, settings.port, limit=LINE_LIMIT)
    except OSError as error:
        place = f"{settings.host}:{settings.port}"
        raise Unavailable(f"port not free: {error.strerror}", place=place) from error
    port: int = server.sockets[0].getsockname()[1]
    log.info("Serving emulated mesh", nodes=len(scenario.nodes), port=port, speed=settings.speed)
    if on_ready is not None:
        on_ready(port)
    try:
        await mesh.run_time()
    finally:
        mesh.close()
        server.close()


def load_settings(path: Path) -> EmulatedMeshSettings:
    """Settings in a JSON file; raises `InvalidInput` with the field's place."""
    return read_settings(EmulatedMeshSettings, path)


def main(arguments: list[str]) -> int:
    """Exit code 0 after a signal, 2 for bad input, 1 if something is not available."""

    def say(port: int) -> None:
        print(json.dumps({"port": port}), flush=True)

    async def run() -> None:
        await run_emulated_mesh(load_settings(Path(arguments[0])), on_ready=say)

    return run_device(run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
