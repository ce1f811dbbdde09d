"""A twin with long runs under way: it goes on answering, and it ends when it is told to."""

import json
import signal
from pathlib import Path

import psutil
from tests.benchmarks.bench_ingest import make_inventory
from tests.integration.test_twin_segment import FILL, NODES, fill, wait_folded
from tests.integration.twin_processes import Gateway, running_broker, running_twin, wait_until

LONG = {"segment": "north", "messagesPerFlow": 2000, "replications": 1000, "seed": 1}


def test_twin_ends_in_time_with_exit_code_0_and_without_its_workers(tmp_path: Path) -> None:
    inventory = tmp_path / "network.json"
    inventory.write_text(json.dumps(make_inventory(NODES)))
    flow = {"name": "lamps", "source": "0001", "destination": "0002"}
    config = {"name": "north", "gatewayId": "gw", "inventoryPath": str(inventory), "flows": [flow]}
    with (
        running_broker(tmp_path / "broker") as broker,
        running_twin("segment_twin", tmp_path / "t", broker, config) as twin,
    ):
        gateway = Gateway(broker, "gw")
        fill(gateway)
        gateway.stop()
        wait_folded(twin, FILL)
        assert twin.post("/api/v1/whatifs", {**LONG, "runId": "w1", "failedNodes": ["0003"]}).status_code == 202
        assert twin.process is not None
        process = psutil.Process(twin.process.pid)
        wait_until(lambda: "asking the models" in twin.get("/api/v1/runs/w1").text and process.children())
        children = process.children(recursive=True)

        assert twin.get("/healthz").status_code == 200
        assert twin.stop(signal.SIGTERM) == 0  # waits 20 s at most

    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
