"""One gateway, its mesh and a broker as processes, with an operator's view of the broker: what all rigs share."""

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from meshtwin.connectors.mqtt import BrokerSettings, MqttLink
from meshtwin.contract.configuration import Command, Verb
from meshtwin.contract.topics import gateway_topic, split_gateway_topic
from meshtwin.emulation.control import MeshControl

GATEWAY = "gw-test"
TOKEN = "test"  # of a mesh's control port, on this machine alone
END_S = 10.0  # for a process to end by itself


class GatewayRig:
    """Subclasses say which mesh: they spawn it, set ``mesh``, and say ``mesh_settings`` of the gateway."""

    mesh: MeshControl

    def __init__(self, folder: Path, scenario: dict[str, Any]) -> None:
        self.folder = folder
        self.scenario = scenario
        self.nodes = [node["address"] for node in scenario["nodes"]]
        self.processes: list[subprocess.Popen[bytes]] = []
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.reader: asyncio.Future[None] | None = None
        self.broker_port = 0

    def mesh_settings(self) -> dict[str, Any]:
        """The part ``mesh`` of the gateway's configuration."""
        raise NotImplementedError

    async def start_mesh(self, module: str, **more: Any) -> tuple[subprocess.Popen[bytes], Any]:
        """The process of the mesh, and what it said first; ``mesh`` is connected to it, and to no earlier one."""
        (self.folder / "mesh.yaml").write_text(yaml.safe_dump(self.scenario))
        process = self.spawn(module, {"scenario": str(self.folder / "mesh.yaml"), "token": TOKEN, **more})
        said = await self.first_line(process)
        if hasattr(self, "mesh"):
            self.mesh.close()
        self.mesh = await MeshControl.connect("127.0.0.1", said["port"], TOKEN)
        return process, said

    # Broker

    async def start_broker(self) -> None:
        """Start the broker, at the same port as before if there was one."""
        self.broker_port = self.broker_port or free_port()
        program = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
        if program is not None:
            config = self.folder / "mosquitto.conf"
            config.write_text(
                f"listener {self.broker_port} 127.0.0.1\nallow_anonymous true\n"
                f"persistence true\npersistence_location {self.folder}/\n"
            )
            command = [program, "-c", str(config)]
        else:
            config = self.folder / "amqtt.yaml"
            listeners = {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.broker_port}"}}
            config.write_text(yaml.safe_dump({"listeners": listeners}))
            command = [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(config)]
        self.broker = self.popen(command, "broker.log")
        await until(lambda: is_listening(self.broker_port))

    async def follow(self) -> None:
        """Read what gateways say, as the operator does."""
        self.link = MqttLink(
            BrokerSettings(host="127.0.0.1", port=self.broker_port), client_id="operator", clean_session=False
        )
        self.link.subscribe("meshtwin/v1/gateways/#")
        self.link.start()
        await self.link.wait_connected(10)
        self.reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        while True:
            message = await self.link.messages.get()
            self.link.acknowledge(message)
            split = split_gateway_topic(message.topic)
            if split is not None and split[1] != "configuration/command":
                self.seen.append((split[1], json.loads(message.payload)))

    def last(self, leaf: str) -> dict[str, Any]:
        """The newest message under a topic's leaf; empty before the first."""
        return next((payload for seen, payload in reversed(self.seen) if seen == leaf), {})

    @property
    def observing(self) -> dict[str, Any]:
        """How the gateway says that it observes the mesh; empty before it says so."""
        found: dict[str, Any] = self.last("state").get("observing", {})
        return found

    # Gateway

    async def copy_armed_memory(self, pinned: dict[str, Any]) -> tuple[bytes, datetime]:
        """Commit what ``pinned`` names; what is on disk while the rollback timer runs, and when it ends."""
        await self.command(Verb.COMMIT, **pinned, confirm_within_seconds=6)
        told = await until(lambda: self.last("configuration/reported").get("rollbackAt"), 6)
        return (self.folder / "gateway" / "gateway.json").read_bytes(), datetime.fromisoformat(told)

    async def start_gateway(self, *, wait: bool = True) -> None:
        """Start the gateway; without ``wait`` it may fail."""
        settings = {
            "gatewayId": GATEWAY,
            "broker": {"host": "127.0.0.1", "port": self.broker_port},
            "mesh": self.mesh_settings(),
            "dataFolder": str(self.folder / "gateway"),
        }
        self.gateway = self.spawn("gateway", settings)
        if wait:
            await self.first_line(self.gateway)

    async def publish(self, payload: bytes) -> None:
        """Send anything to the gateway."""
        await self.link.publish(gateway_topic(GATEWAY, "configuration/command"), payload)

    async def command(self, verb: Verb, **said: Any) -> dict[str, Any]:
        """Send a command and wait for its last result."""
        now, attempt = datetime.now(UTC), uuid.uuid4().hex[:8]
        values = {
            "verb": verb,
            "epoch": 1,
            "attempt_id": attempt,
            "sent_at": now,
            "not_after": now + timedelta(seconds=60),
        }
        await self.publish(Command.model_validate(values | said).to_payload())

        def result() -> dict[str, Any] | None:
            for leaf, payload in self.seen:
                is_ours = leaf == "configuration/result" and payload["attemptId"] == attempt
                if is_ours and payload["status"] != "accepted":
                    return payload
            return None

        answer: dict[str, Any] = await until(result)
        return answer

    # Processes

    def spawn(self, module: str, settings: dict[str, Any]) -> subprocess.Popen[bytes]:
        """Start a process of ours with its settings in a file."""
        config = self.folder / f"{module}.json"
        config.write_text(json.dumps(settings))
        command = [sys.executable, "-m", f"meshtwin.app.{module}", str(config)]
        return self.popen(command, f"{module}.log", stdout=subprocess.PIPE)

    def popen(self, command: list[str], log_name: str, stdout: int | None = None) -> subprocess.Popen[bytes]:
        """Start any process; what it says on stderr goes into a log file."""
        with (self.folder / log_name).open("ab") as log:
            process = subprocess.Popen(command, stdout=log if stdout is None else stdout, stderr=log)
        self.processes.append(process)
        return process

    async def first_line(self, process: subprocess.Popen[bytes]) -> Any:
        """What a process says when it is ready."""
        assert process.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 30)
        assert line, self.log_text()
        return json.loads(line)

    def log_text(self) -> str:
        """The ends of all logs."""
        return "\n".join(path.read_text()[-2000:] for path in sorted(self.folder.glob("*.log")))

    async def stop(self) -> None:
        """End everything, the mesh last."""
        if self.reader is not None:
            self.reader.cancel()
            with contextlib.suppress(Exception):
                await self.link.stop()
        if hasattr(self, "mesh"):
            self.mesh.close()
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


async def until(condition: Callable[[], Any], timeout_s: float = 150.0) -> Any:
    """The first true value of ``condition``."""
    async with asyncio.timeout(timeout_s):
        while not (value := condition()):  # noqa: ASYNC110  # other processes have no asyncio.Event
            await asyncio.sleep(0.02)
        return value
