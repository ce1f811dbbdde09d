"""Time to the first answer over REST: a real broker and segment twin of 300 nodes, a client that asks what-ifs.

From the moment the request is sent to the moment the client has the fast model's answer, each question about another
configuration. A client *waits* (one request with ``Prefer: wait=30``) or *looks* every 20 ms. *First*: nobody has asked
since the twin said that it is ready; of several starts. *Warm*: the twin answered one just now.
*After a pause*: the workers that simulate have left. *From idle*: all have, and the process with the models stays.
*Without models*: of a twin that is told not to keep them. The start of the twin is not counted.
Before each question nodes reported, and it is long enough ago that the twin has to estimate anew; *at once*: it keeps
its snapshot, as of a person who asks again right after an answer.
"""

import json
import math
import os
import statistics
import tempfile
import time
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psutil
from tests.benchmarks.bench_ingest import make_inventory
from tests.benchmarks.figures import Figure, at_most, is_full, percentile, told
from tests.integration.twin_processes import (
    Gateway,
    Twin,
    bearer,
    neighbour,
    running_broker,
    running_twin,
    wait_until,
)

from meshtwin.app.kept_snapshot import KEPT_S
from meshtwin.northbound.tokens import Role

NODES = 300
SIDE = 18
DEGREE = 8
WARM = 30
PAUSES, PAUSES_OF_FULL = 3, 10
STARTS = 5
IDLE_STARTS = 3
PAUSE_S = 32.0  # a little longer than workers idle
LIMIT_MS = 200.0
LOOK_EVERY_S = 0.02
GIVE_UP_S = 180.0  # the first one may compile
SEED = 4107
FOLDED = "meshtwin_observations_total"
COMMAND = "python -m tests.benchmarks first_answer"


def run() -> list[Figure]:
    """Medians and 95th percentiles, in milliseconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            running_broker(folder / "broker") as broker,
            running_twin("segment_twin", folder / "twin", broker, _config(folder)) as twin,
        ):
            gateway = Gateway(broker, "gw-bench")
            _report(gateway)
            wait_until(lambda: twin.metric(FOLDED) >= NODES, 60.0)
            figures = _measure(twin, gateway)
            gateway.stop()
        with (
            running_broker(folder / "broker-2") as broker,
            running_twin("segment_twin", folder / "twin", broker, _config(folder) | {"keepModelsSeconds": 0}) as twin,
        ):
            bare = _measure_bare(twin)
        with (
            running_broker(folder / "broker-3") as broker,
            running_twin("segment_twin", folder / "twin", broker, _config(folder) | {"keepModelsSeconds": 1}) as twin,
        ):
            gateway = Gateway(broker, "gw-bench")
            idle = _measure_idle(twin, gateway)
            gateway.stop()
            return [*figures, *idle, *bare]


def _measure(twin: Twin, gateway: Gateway) -> list[Figure]:
    runs, random = count(), Random(SEED)

    def move_on() -> None:
        _report_one(gateway, 1 + random.randrange(NODES))
        time.sleep(KEPT_S + 0.2)

    pauses = PAUSES_OF_FULL if is_full() else PAUSES
    first_ms = []
    for _ in range(STARTS):
        twin.stop()
        twin.start()
        with _client(twin) as client:
            first_ms.append(_ask(client, random, next(runs), twin)[0])
    with _client(twin) as client:
        waited, looked_ms, again_ms = [], [], []
        for _ in range(WARM):
            move_on()
            waited.append(_ask(client, random, next(runs), twin))
            again_ms.append(_ask(client, random, next(runs), twin)[0])
        for _ in range(WARM // 2):
            move_on()
            looked_ms.append(_ask(client, random, next(runs), twin, waits=False)[0])
        after_ms = []
        for _ in range(pauses):
            time.sleep(PAUSE_S)
            after_ms.append(_ask(client, random, next(runs), twin)[0])
    waited_ms = [wall_ms for wall_ms, _ in waited]
    told_ms, most = ("first answer, 300 nodes, ", LIMIT_MS)
    return [
        at_most(told_ms + "first question to a twin, median", round(statistics.median(first_ms)), most, "ms", COMMAND),
        told(told_ms + "first question to a twin, longest", round(max(first_ms)), "ms", COMMAND),
        at_most(told_ms + "warm, client waits, median", round(statistics.median(waited_ms)), most, "ms", COMMAND),
        at_most(told_ms + "warm, client waits, p95", round(percentile(waited_ms, 95)), most, "ms", COMMAND),
        at_most(told_ms + "warm, at once, median", round(statistics.median(again_ms)), most, "ms", COMMAND),
        at_most(told_ms + "warm, at once, p95", round(percentile(again_ms, 95)), most, "ms", COMMAND),
        at_most(told_ms + "warm, client looks, median", round(statistics.median(looked_ms)), most, "ms", COMMAND),
        at_most(told_ms + "warm, client looks, p95", round(percentile(looked_ms, 95)), most, "ms", COMMAND),
        told(
            "processor time of it, client waits, mean", round(statistics.fmean(cpu for _, cpu in waited)), "ms", COMMAND
        ),
        at_most(told_ms + "after a pause, median", round(statistics.median(after_ms)), most, "ms", COMMAND),
        told(told_ms + "after a pause, longest", round(max(after_ms)), "ms", COMMAND),
        told("load of the machine over the last minute", round(os.getloadavg()[0], 1), "", COMMAND),
    ]


def _measure_idle(twin: Twin, gateway: Gateway) -> list[Figure]:
    """Of a twin whose last worker has left, which takes half a minute here and ten by default."""
    random, idle_ms = Random(SEED), []
    with _client(twin) as client:
        _ask(client, random, 2000, twin)
        for number in range(PAUSES_OF_FULL if is_full() else PAUSES):
            time.sleep(PAUSE_S)
            _report_one(gateway, 1 + random.randrange(NODES))
            time.sleep(KEPT_S + 0.2)
            idle_ms.append(_ask(client, random, 2001 + number, twin)[0])
    told_ms = "first answer, 300 nodes, from idle"
    return [
        at_most(f"{told_ms}, median", round(statistics.median(idle_ms)), LIMIT_MS, "ms", COMMAND),
        told(f"{told_ms}, longest", round(max(idle_ms)), "ms", COMMAND),
    ]


def _measure_bare(twin: Twin) -> list[Figure]:
    """Of a twin that keeps no models."""
    random, bare_ms = Random(SEED), []
    for number in range(IDLE_STARTS):
        twin.stop()
        twin.start()
        with _client(twin) as client:
            bare_ms.append(_ask(client, random, 1000 + number, twin)[0])
    return [told("first answer, 300 nodes, without models, median", round(statistics.median(bare_ms)), "ms", COMMAND)]


def _client(twin: Twin) -> httpx.Client:
    return httpx.Client(base_url=twin.url, headers=bearer(Role.ENGINEER), timeout=60.0, trust_env=False)


def _ask(client: httpx.Client, random: Random, number: int, twin: Twin, *, waits: bool = True) -> tuple[float, float]:
    """Milliseconds to the provisional answer, and of processor time that the twin took until then.

    Returns when the run is over, so that the next one meets none.
    """
    silent = sorted(random.sample(range(2, NODES), 20))
    question = {
        "runId": f"first-{number}",
        "segment": "bench",
        "settings": [{"nodes": [f"{n:04x}" for n in silent], "relay": "Disabled"}],
        "seed": number,
        "messagesPerFlow": 1,  # what is simulated after the first answer shall not be in the way of the next one
        "replications": 1,
    }
    headers = {"Prefer": "wait=30"} if waits else {}
    cpu_s, begun_s = _processor_s(twin), time.perf_counter()
    status = client.post("/api/v1/whatifs", json=question, headers=headers).raise_for_status().json()
    while not status.get("provisional"):
        passed_s = time.perf_counter() - begun_s
        if status["state"] != "Running" or passed_s > GIVE_UP_S:
            raise RuntimeError(f"no first answer: {json.dumps(status)[:500]}")
        time.sleep(LOOK_EVERY_S)
        status = client.get(f"/api/v1/runs/first-{number}").json()
    passed_s = time.perf_counter() - begun_s
    cpu_s = _processor_s(twin) - cpu_s
    wait_until(lambda: client.get(f"/api/v1/runs/first-{number}").json()["state"] != "Running", GIVE_UP_S)
    return passed_s * 1000.0, cpu_s * 1000.0


def _processor_s(twin: Twin) -> float:
    """Of the twin and its workers, those that have left included; told in steps of 10 ms."""
    assert twin.process is not None
    root = psutil.Process(twin.process.pid)
    return sum(sum(process.cpu_times()[:4]) for process in (root, *root.children(recursive=True)))


def _config(folder: Path) -> dict[str, Any]:
    """Two flows to single nodes and one to a group of every fifth node, reports as in a building."""
    inventory = make_inventory(NODES)
    for number, node in enumerate(inventory["nodes"]):
        if number % 5 == 0:
            node["elements"] = [{"models": [{"modelId": "1000", "subscribe": ["C000"], "bind": []}]}]
    path = folder / "network.json"
    path.write_text(json.dumps(inventory))
    flows = [
        {"name": "across", "source": "0001", "destination": f"{NODES:04x}"},
        {"name": "near", "source": "0014", "destination": "0030"},
        {"name": "lamps", "source": "0002", "destination": "c000"},
    ]
    return {"name": "bench", "gatewayId": "gw-bench", "inventoryPath": str(path), "flows": flows}


def _report(gateway: Gateway) -> None:
    """Every node tells of the eight nodes around it on a grid; links differ."""
    random = Random(SEED)
    gateway.say_online("0001")
    gateway.say_configuration([f"0001-{NODES:04x}"])
    for node in range(1, NODES + 1):
        heard = [neighbour(f"{n:04x}", 40, random.randint(12, 40)) for n in _around(node)]
        gateway.send("telemetry/neighbours", {"node": f"{node:04x}", "neighbours": heard})


def _report_one(gateway: Gateway, node: int) -> None:
    """``node`` counts its neighbours anew, as after a restart: the state of the twin moves on."""
    heard = [neighbour(f"{n:04x}", 46, 4, since=40) for n in _around(node)]
    gateway.send("telemetry/neighbours", {"node": f"{node:04x}", "neighbours": heard})


def _around(node: int) -> list[int]:
    x, y = (node - 1) % SIDE, (node - 1) // SIDE
    near = [
        1 + other
        for other in range(NODES)
        if other != node - 1 and math.hypot(other % SIDE - x, other // SIDE - y) < 1.5
    ]
    return near[:DEGREE]
