"""Neighbour reports into one segment twin through a real mosquitto: rate, delay, accounting, memory.

The twin is pinned to one processor; sender and broker run on the others. QoS 1, acknowledged by the twin only
when the state and its journal on disk have the message.
"""

import json
import multiprocessing
import os
import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from tests.benchmarks.figures import Figure, at_least, at_most, told
from tests.integration.twin_processes import Broker, Gateway, Twin, neighbour, running_broker, running_twin, wait_until

NODES = 300
NEIGHBOURS = 8  # per report: three unsegmented messages of a node, put together by the gateway
MESSAGES = 30_000
PACED_PER_S = 500
PACED_S = 10
GIVEN_BACK_S = 65.0  # free heap is given back once a minute
COMMAND = "python -m tests.benchmarks ingest"


def run() -> list[Figure]:
    """Figures of one run; about a minute on two cores."""
    with (
        tempfile.TemporaryDirectory() as text,
        running_broker(Path(text) / "broker") as broker,
        running_twin("segment_twin", Path(text) / "twin", broker, _config(Path(text))) as twin,
    ):
        _pin(twin, broker)
        _say_configuration(broker)
        wait_until(lambda: twin.get("/api/v1/links").status_code == 200)
        rate, share = _measure_rate(twin, broker)
        accounted = _count(twin)
        p99_s = _measure_delay(twin, broker)
        figures = _measure_idle(twin)
        assert twin.process is not None
        has_numba = any("numba" in m.path for m in psutil.Process(twin.process.pid).memory_maps())
    sent = MESSAGES + 2
    return [
        at_least("neighbour reports folded and durable", round(rate), 2000, "messages/s", COMMAND),
        at_most("processor used meanwhile", round(share, 2), 1.05, "cores", COMMAND),
        at_most("messages not accounted for", abs(sent - accounted), 0, "messages", COMMAND),
        at_most("broker to state, p99 at 500 messages/s", round(p99_s * 1000, 1), 100, "ms", COMMAND),
        *figures,
        at_most("numba loaded in the twin", float(has_numba), 0, "libraries", COMMAND),
    ]


def make_inventory(nodes: int) -> dict[str, Any]:
    """A Mesh Configuration Database of ``nodes`` nodes without keys."""
    mesh_uuid = str(uuid.UUID(int=0xBE5C))
    listed = [
        {"UUID": str(uuid.UUID(int=n)), "unicastAddress": f"{n:04X}", "elements": [{"models": []}]}
        for n in range(1, nodes + 1)
    ]
    return {"meshUUID": mesh_uuid, "nodes": listed}


def _config(folder: Path) -> dict[str, Any]:
    inventory = folder / "network.json"
    inventory.write_text(json.dumps(make_inventory(NODES)))
    # the worker for first answers leaves half a minute after the start, in place of ten
    return {"name": "bench", "gatewayId": "gw-bench", "inventoryPath": str(inventory), "keepModelsSeconds": 1}


def _pin(twin: Twin, broker: Broker) -> None:
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2 or twin.process is None:
        return
    for thread in psutil.Process(twin.process.pid).threads():
        os.sched_setaffinity(thread.id, {processors[0]})
    os.sched_setaffinity(broker.pid, set(processors[1:]))
    os.sched_setaffinity(0, set(processors[1:]))


def _say_configuration(broker: Broker) -> None:
    gateway = Gateway(broker, "gw-bench")
    gateway.say_online("0001")
    gateway.say_configuration([f"0001-{NODES:04x}"])
    gateway.stop()


def _measure_idle(twin: Twin) -> list[Figure]:
    """Memory after everything above, and REST asked for all nodes and links.

    First with the models, which stay; then without, as of a twin with ``keepModelsSeconds`` 0 that was asked once.
    """
    for path in ("/api/v1/snapshot", "/api/v1/nodes", "/metrics"):
        assert twin.get(path).status_code == 200
    assert twin.process is not None
    process = psutil.Process(twin.process.pid)
    wait_until(lambda: _servers(process) and not any(server.children() for server in _servers(process)), 60.0)
    time.sleep(GIVEN_BACK_S)
    idle = "idle segment twin, 300 nodes, with children"
    kept = [
        at_most(idle + ", models loaded, proportional", round(twin.proportional_mebibytes(), 1), 150, "MiB", COMMAND),
        at_most(idle + ", models loaded, if nothing else ran", round(twin.lone_mebibytes(), 1), 150, "MiB", COMMAND),
        told(idle + ", models loaded, sum of resident sizes", round(twin.resident_mebibytes(), 1), "MiB", COMMAND),
    ]
    for server in _servers(process):
        server.terminate()
    wait_until(lambda: not _servers(process), 60.0)
    return [*kept, at_most(idle, round(twin.resident_mebibytes(), 1), 150, "MiB", COMMAND)]


def _servers(twin: psutil.Process) -> list[psutil.Process]:
    """The process that has the models, from which workers are forked."""
    return [child for child in twin.children() if "forkserver" in _command(child)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # a zombie
        return ""


def _measure_rate(twin: Twin, broker: Broker) -> tuple[float, float]:
    """Messages per second from the first to the last, and processor seconds per second."""
    assert twin.process is not None
    process = psutil.Process(twin.process.pid)
    before = twin.metric("meshtwin_observations_total")
    used_s = sum(process.cpu_times()[:2])
    sender = multiprocessing.get_context("spawn").Process(target=_send, args=(broker.port, MESSAGES, 0))
    sender.start()
    first = wait_until(lambda: (count := twin.metric("meshtwin_observations_total")) > before and count)
    start_s = time.perf_counter()
    wait_until(lambda: twin.metric("meshtwin_observations_total") >= before + MESSAGES, 120)
    took_s = time.perf_counter() - start_s
    sender.join()
    return (before + MESSAGES - first) / took_s, (sum(process.cpu_times()[:2]) - used_s) / took_s


def _count(twin: Twin) -> float:
    return twin.metric("meshtwin_observations_total") + twin.metric("meshtwin_observations_dropped_total")


def _measure_delay(twin: Twin, broker: Broker) -> float:
    """Upper bound of the bucket in which the 99th percentile of the delay lies, seconds."""
    before = _buckets(twin)
    count = PACED_PER_S * PACED_S
    folded = twin.metric("meshtwin_observations_total")
    sender = multiprocessing.get_context("spawn").Process(target=_send, args=(broker.port, count, PACED_PER_S))
    sender.start()
    wait_until(lambda: twin.metric("meshtwin_observations_total") >= folded + count, 60)
    sender.join()
    after = _buckets(twin)
    for bound, total in after.items():
        if total - before.get(bound, 0.0) >= 0.99 * count:
            return bound
    return float("inf")


def _buckets(twin: Twin) -> dict[float, float]:
    found: dict[float, float] = {}
    for line in twin.get("/metrics").text.splitlines():
        if line.startswith("meshtwin_observation_delay_seconds_bucket"):
            labels, _, value = line.rpartition(" ")
            found[float(labels.partition('le="')[2].partition('"')[0])] = float(value)
    return found


class _Port:
    def __init__(self, port: int) -> None:
        self.port = port


def _send(port: int, count: int, per_s: int) -> None:
    """Send as fast as the broker takes them, or ``per_s``; counters go on from message to message."""
    gateway = Gateway(_Port(port), "gw-bench", session=f"bench-{per_s}")  # type: ignore[arg-type]  # only its port
    start_s = time.perf_counter()
    last = None
    for index in range(count):
        node = index % NODES
        base = (index // NODES + 1) * 6 + per_s * 1000
        listed = [neighbour(f"{(node + k) % NODES + 1:04x}", base, base - base // 10) for k in range(1, NEIGHBOURS + 1)]
        body = {
            "contract": 1,
            "session": gateway.session,
            "sequence": index,
            "sentAt": datetime.now(UTC).isoformat(),
            "node": f"{node + 1:04x}",
            "neighbours": listed,
        }
        last = gateway.send_raw("telemetry/neighbours", json.dumps(body).encode())
        if per_s:
            time.sleep(max(0.0, start_s + index / per_s - time.perf_counter()))
        elif index % 500 == 499:
            last.wait_for_publish(30)
    if last is not None:
        last.wait_for_publish(30)
    gateway.stop()
