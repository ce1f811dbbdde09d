"""A virtual Bluetooth Mesh, a broker and gateways as processes, with an operator's view of the broker."""

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

TOKEN = "test"
GATEWAY = "gw-test"
# Heard always up to 5 m, and not at all from 7 m on: who is whose neighbour is beyond doubt.
HARD_EDGE = {"shadowingDb": 0, "directionDb": 0, "channelDb": 0, "softnessDb": 0.3, "sensitivityDbm": -75}


def make_scenario(nodes: int, *, columns: int = 2, gateway_node: str = "0002", **more: Any) -> dict[str, Any]:
    """Nodes in a grid, 4 m apart one way and 3 m the other; members of group c001 are multiples of three."""
    return {
        "seed": 5,
        "meshUuid": "6f666669-6365-4d65-9368-00000000000c",
        "radio": {"shadowingDb": 1.0, "sensitivityDbm": -78},
        "gateways": [{"id": GATEWAY, "node": gateway_node, "reportGroup": "d001"}],
        "nodes": [
            {
                "address": f"{index + 1:04x}",
                "x": 4.0 * (index // columns),
                "y": 3.0 * (index % columns),
                "gateway": GATEWAY,
                "groups": ["c001"] if (index + 1) % 3 == 0 else [],
            }
            for index in range(nodes)
        ],
        **more,
    }


class BluezRig:
    """`start` boots the air; `start_broker` and `start_gateway` add what a test needs."""

    def __init__(self, folder: Path, scenario: dict[str, Any]) -> None:
        self.folder = folder
        self.scenario = scenario
        self.nodes = [node["address"] for node in scenario["nodes"]]
        self.processes: list[subprocess.Popen[bytes]] = []
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.reader: asyncio.Future[None] | None = None

    async def start(self) -> None:
        (self.folder / "mesh.yaml").write_text(yaml.safe_dump(self.scenario))
        settings = {"scenario": str(self.folder / "mesh.yaml"), "token": TOKEN}
        self.air_process = self.spawn("virtual_air", settings)
        self.air = await self.first_line(self.air_process)
        self.mesh = await MeshControl.connect("127.0.0.1", self.air["port"], TOKEN)

    async def start_broker(self) -> None:
        self.broker_port = free_port()
        program = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
        if program is not None:
            config = self.folder / "mosquitto.conf"
            config.write_text(f"listener {self.broker_port} 127.0.0.1\nallow_anonymous true\n")
            command = [program, "-c", str(config)]
        else:
            config = self.folder / "amqtt.yaml"
            listeners = {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.broker_port}"}}
            config.write_text(yaml.safe_dump({"listeners": listeners}))
            command = [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(config)]
        self.popen(command, "broker.log")
        await until(lambda: is_listening(self.broker_port))
        self.link = MqttLink(
            BrokerSettings(host="127.0.0.1", port=self.broker_port), client_id="operator", clean_session=False
        )
        self.link.subscribe("meshtwin/v1/gateways/#")
        self.link.start()
        await self.link.wait_connected(10)
        self.reader = asyncio.ensure_future(self.read())

    async def start_gateway(self, *, wait: bool = True) -> None:
        settings = {
            "gatewayId": GATEWAY,
            "broker": {"host": "127.0.0.1", "port": self.broker_port},
            "mesh": self.air["gateways"][GATEWAY],
            "dataFolder": str(self.folder / "gateway"),
        }
        self.gateway = self.spawn("gateway", settings)
        if wait:
            await self.first_line(self.gateway)

    def spawn(self, module: str, settings: dict[str, Any]) -> subprocess.Popen[bytes]:
        config = self.folder / f"{module}.json"
        config.write_text(json.dumps(settings))
        command = [sys.executable, "-m", f"meshtwin.app.{module}", str(config)]
        return self.popen(command, f"{module}.log", stdout=subprocess.PIPE)

    def popen(self, command: list[str], log_name: str, stdout: int | None = None) -> subprocess.Popen[bytes]:
        with (self.folder / log_name).open("ab") as log:
            process = subprocess.Popen(command, stdout=log if stdout is None else stdout, stderr=log)
        self.processes.append(process)
        return process

    async def first_line(self, process: subprocess.Popen[bytes]) -> Any:
        assert process.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 30)
        assert line, self.log_text()
        return json.loads(line)

    def log_text(self) -> str:
        return "\n".join(path.read_text()[-2000:] for path in sorted(self.folder.glob("*.log")))

    async def read(self) -> None:
        while True:
            message = await self.link.messages.get()
            self.link.acknowledge(message)
            split = split_gateway_topic(message.topic)
            if split is not None and split[1] != "configuration/command":
                self.seen.append((split[1], json.loads(message.payload)))

    def last(self, leaf: str) -> dict[str, Any]:
        return next((payload for seen, payload in reversed(self.seen) if seen == leaf), {})

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
        payload = Command.model_validate(values | said).to_payload()
        await self.link.publish(gateway_topic(GATEWAY, "configuration/command"), payload)

        def result() -> dict[str, Any] | None:
            for leaf, answer in self.seen:
                is_ours = leaf == "configuration/result" and answer["attemptId"] == attempt
                if is_ours and answer["status"] != "accepted":
                    return answer
            return None

        return await until(result)

    async def true_settings(self) -> dict[str, Any]:
        """What nodes without a gateway have, by their own Configuration Servers."""
        nodes = (await self.mesh.truth())["nodes"]
        return {name: {k: v for k, v in said.items() if k != "on"} for name, said in nodes.items() if "relay" in said}

    async def stop(self) -> None:
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
                process.wait(10)
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


async def until(condition: Callable[[], Any], timeout_s: float = 120.0) -> Any:
    """The first true value of ``condition``."""
    async with asyncio.timeout(timeout_s):
        while not (value := condition()):  # noqa: ASYNC110  # other processes have no asyncio.Event
            await asyncio.sleep(0.02)
        return value


def make_chain(nodes: int, *, gateway_node: str | None = None, relay: bool = True) -> dict[str, Any]:
    """Nodes in a row, each heard by its neighbours alone, always; relays and network transmit send three times."""
    scenario = make_scenario(nodes, columns=1, gateway_node=gateway_node or f"{nodes:04x}")
    transmit = {"count": 2, "intervalSteps": 1}
    switch = "Enabled" if relay else "Disabled"
    settings = {"relay": switch, "relayRetransmit": transmit, "networkTransmit": transmit, "defaultTtl": 20}
    return scenario | {"radio": HARD_EDGE, "initial": [{"nodes": [f"0001-{nodes:04x}"], **settings}]}
