"""Real parts for tests and benchmarks of twins: a broker, twin processes, tokens, a gateway's messages."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as paho
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from meshtwin.northbound.tokens import Role, mint

KEY = "k" * 48
NAMESPACE = "buildings"


def free_port() -> int:
    """A port of the loopback that nobody used a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(what: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    """The first true value of ``what``; a refused connection counts as not yet."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            value = what()
        except (httpx.HTTPError, AssertionError):
            value = None
        if value:
            return value
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {timeout_s} s; last value {value!r}")
        time.sleep(0.05)


class Broker:
    """mosquitto on a free port, with its queues on disk; may be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {folder}/\nmax_inflight_messages 1000\nmax_queued_messages 200000\n"
            f"user root\n"
        )

    def start(self) -> None:
        """Start, and wait for the port."""
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        command = [program, "-c", str(self._folder / "mosquitto.conf")]
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._answers, 10)

    def stop(self) -> None:
        """End it; queues are written to disk."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def running_broker(folder: Path) -> Iterator[Broker]:
    """A broker for the time of a test."""
    broker = Broker(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


class Twin:
    """A twin process with its REST interface."""

    def __init__(self, role: str, folder: Path, broker: Broker, config: dict[str, Any]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._role = role
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "key").write_text(KEY)
        whole = {
            "namespace": NAMESPACE,
            "broker": {"host": "127.0.0.1", "port": broker.port},
            "dataFolder": str(folder / "data"),
            "listen": {"host": "127.0.0.1", "port": self.port},
            "restKeyFile": str(folder / "key"),
            **config,
        }
        (folder / "config.json").write_text(json.dumps(whole))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, timeout_s: float = 30.0) -> None:
        """Start, and wait until it is ready."""
        command = [sys.executable, "-m", f"meshtwin.app.{self._role}", str(self._folder / "config.json")]
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(lambda: self.get("/readyz").status_code == 200, timeout_s)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; the exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(20)
        self.process = None
        return code

    def get(self, path: str, role: Role = Role.VIEWER) -> httpx.Response:
        """Ask with a token of ``role``."""
        return httpx.get(self.url + path, headers=bearer(role), timeout=20, trust_env=False)

    def post(self, path: str, body: dict[str, Any], role: Role = Role.ENGINEER) -> httpx.Response:
        """Likewise."""
        return httpx.post(self.url + path, json=body, headers=bearer(role), timeout=20, trust_env=False)

    def delete(self, path: str, role: Role = Role.ENGINEER) -> httpx.Response:
        """Likewise."""
        return httpx.delete(self.url + path, headers=bearer(role), timeout=20, trust_env=False)

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples of a metric with these labels; 0 if there is none."""
        total = 0.0
        for line in self.get("/metrics").text.splitlines():
            matches = line.startswith((name + "{", name + " "))
            if matches and all(f'{key}="{value}"' in line for key, value in labels.items()):
                total += float(line.rpartition(" ")[2])
        return total

    def resident_mebibytes(self) -> float:
        """Of the process and its children; what they share counts in each of them."""
        return sum(process.memory_info().rss for process in self._processes()) / 2**20

    def proportional_mebibytes(self) -> float:
        """Likewise; what n processes of the machine share counts as an nth in each."""
        return sum(process.memory_full_info().pss for process in self._processes()) / 2**20

    def lone_mebibytes(self) -> float:
        """Likewise, as if no other process of the machine shared anything with them: each page counts once.

        Pages of a file that several of them have are taken to be the same ones.
        """
        changed, files = 0, Counter[str]()
        for process in self._processes():
            for each in process.memory_maps(grouped=True):
                changed += each.pss if each.path.startswith("[") else each.anonymous
                if not each.path.startswith("["):
                    files[each.path] = max(files[each.path], each.rss - each.anonymous)
        return (changed + files.total()) / 2**20

    def _processes(self) -> list[psutil.Process]:
        assert self.process is not None
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def log_text(self) -> str:
        """What it logged."""
        return (self._folder / "log").read_text()


@contextmanager
def running_twin(role: str, folder: Path, broker: Broker, config: dict[str, Any]) -> Iterator[Twin]:
    """A twin for the time of a test."""
    twin = Twin(role, folder, broker, config)
    try:
        twin.start()
        yield twin
    except TimeoutError:
        print(twin.log_text())
        raise
    finally:
        twin.stop()


def bearer(role: Role) -> dict[str, str]:
    """The header of a caller with ``role``."""
    token = mint(KEY.encode(), "test", role, 600, datetime.now(UTC))
    return {"Authorization": f"Bearer {token}"}


class Gateway:
    """Speaks the contract of a gateway without a mesh behind it."""

    def __init__(self, broker: Broker, gateway_id: str, session: str = "s1") -> None:
        self.session = session
        self.sent = 0
        self._root = f"meshtwin/v1/gateways/{gateway_id}/"
        self._sequences: dict[str, int] = {}
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"gateway-{gateway_id}")
        self._client.max_queued_messages_set(0)
        self._client.max_inflight_messages_set(1000)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def envelope(self, leaf: str) -> dict[str, Any]:
        """The next one of a topic."""
        sequence = self._sequences.get(leaf, 0)
        self._sequences[leaf] = sequence + 1
        sent_at = datetime.now(UTC).isoformat()
        return {"contract": 1, "session": self.session, "sequence": sequence, "sentAt": sent_at}

    def send_raw(self, leaf: str, payload: bytes, *, retain: bool = False) -> paho.MQTTMessageInfo:
        """Any bytes."""
        self.sent += 1
        return self._client.publish(self._root + leaf, payload, qos=1, retain=retain)

    def send(self, leaf: str, body: dict[str, Any], *, retain: bool = False) -> None:
        """A message, and wait for the broker."""
        payload = json.dumps({**self.envelope(leaf), **body}).encode()
        self.send_raw(leaf, payload, retain=retain).wait_for_publish(10)

    def say_online(self, address: str) -> None:
        """The retained state; tells upkeep, as gateways do: reading back the settings of one node every 30 s."""
        upkeep = {"name": "settings", "perSecond": 1 / 30, "questions": 3, "questionBytes": 20, "answers": 3}
        observing = {"level": "notifications", "active": True, "upkeep": [upkeep]}
        body = {"online": True, "gatewayAddress": address, "stackProfile": "zephyr", "observing": observing}
        self.send("state", body, retain=True)

    def say_configuration(self, nodes: list[str], revision: int = 0, **changes: Any) -> None:
        """The retained configuration in force."""
        settings = {
            "nodes": nodes,
            "relay": "Enabled",
            "relayRetransmit": {"count": 1, "intervalSteps": 1},
            "networkTransmit": {"count": 2, "intervalSteps": 1},
            "defaultTtl": 7,
            **changes,
        }
        body = {"phase": "idle", "epoch": 1, "revision": revision, "settings": [settings]}
        self.send("configuration/reported", body, retain=True)

    def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


def neighbour(address: str, last: int, received: int, *, since: int = 0, transmissions: int = 3) -> dict[str, Any]:
    """One cumulative counter."""
    return {
        "neighbour": address,
        "epoch": 0,
        "sinceCounter": since,
        "lastCounter": last,
        "received": received,
        "transmissions": transmissions,
        "rssiMeanDbm": -71.0,
    }
