"""Parent twins as processes: overlay, roll-up, partial answers, parents of parents, runs."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_twin_segment import ROUNDS, retained_summary
from tests.integration.twin_processes import Broker, Gateway, Twin, neighbour, running_broker, running_twin, wait_until

from meshtwin.northbound.tokens import Role

HALVES = {"north": range(1, 4), "south": range(4, 7)}


class Tree:
    """A site above an office above two segments, each filled by a gateway."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.broker: Broker = stack.enter_context(running_broker(folder / "broker"))
        self.segments: dict[str, Twin] = {}
        for name, addresses in HALVES.items():
            inventory = folder / f"{name}.json"
            inventory.write_text(json.dumps(database(addresses)))
            flow = {"name": f"lamps-{name}", "source": f"{addresses[0]:04x}", "destination": f"{addresses[2]:04x}"}
            config = {"name": name, "gatewayId": f"gw-{name}", "inventoryPath": str(inventory), "flows": [flow]}
            twin = running_twin("segment_twin", folder / name, self.broker, config)
            self.segments[name] = stack.enter_context(twin)
            fill(self.broker, name, addresses)
        children = [{"name": name, "url": twin.url} for name, twin in self.segments.items()]
        office = {"name": "office", "children": children}
        self.office = stack.enter_context(running_twin("parent_twin", folder / "office", self.broker, office))
        site = {"name": "site", "children": [{"name": "office", "url": self.office.url}]}
        self.site = stack.enter_context(running_twin("parent_twin", folder / "site", self.broker, site))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    with ExitStack() as stack:
        yield Tree(tmp_path_factory.mktemp("tree"), stack)


def database(addresses: range) -> dict[str, Any]:
    nodes = [
        {"UUID": f"{address:032x}", "unicastAddress": f"{address:04X}", "features": {"relay": 1}}
        for address in addresses
    ]
    return {"meshUUID": "0" * 32, "nodes": nodes}


def fill(broker: Broker, name: str, addresses: range) -> None:
    """Every node hears those one or two addresses away, across the border too."""
    gateway = Gateway(broker, f"gw-{name}")
    gateway.say_online(f"{addresses[0]:04x}")
    gateway.say_configuration([f"{addresses[0]:04x}-{addresses[-1]:04x}"])
    for count, address in product(range(1, ROUNDS + 1), addresses):
        near = [n for n in range(1, 7) if 0 < abs(n - address) <= 2]
        listed = [neighbour(f"{n:04x}", 10 * count, 10 * count) for n in near]
        gateway.send("telemetry/neighbours", {"node": f"{address:04x}", "neighbours": listed})
    gateway.stop()


def test_parent_overlays_segments_at_their_border(tree: Tree) -> None:
    topology = wait_until(lambda: (t := tree.office.get("/api/v1/topology").json()) and len(t["links"]) == 18 and t)

    assert topology["nodes"] == [f"{n:04x}" for n in range(1, 7)]
    assert topology["border"] == []
    assert ("0003", "0004") in {(link["source"], link["target"]) for link in topology["links"]}


def test_grandparent_rolls_up_and_answers_as_its_child_does(tree: Tree) -> None:
    summary = wait_until(lambda: (s := retained_summary(tree.broker, "site")) and s["ready"] and s)

    assert [segment["name"] for segment in summary["segments"]] == ["north", "south"]
    assert summary["childrenMissing"] == []
    site, office = tree.site.get("/api/v1/snapshot").json(), tree.office.get("/api/v1/snapshot").json()
    assert [node["address"] for node in site["nodes"]] == [node["address"] for node in office["nodes"]]


def test_pipeline_runs_at_the_parent_over_all_segments(tree: Tree) -> None:
    wait_until(lambda: len(tree.office.get("/api/v1/snapshot").json()["links"]) == 18)
    request = {
        "runId": "run-1",
        "pipeline": "lighting",
        "segment": "north",
        "recipes": [{"name": "relays", "uses": "fewest-sufficient-relays"}],
        "objectives": {"onTimeWithinMilliseconds": 150, "onTimeAtLeastPerMille": 900},
        "seed": 1,
        "messagesPerFlow": 5,
        "replications": 2,
    }

    accepted = tree.office.post("/api/v1/pipelines/lighting/runs", request)

    assert accepted.status_code == 202
    place = accepted.headers["location"]
    done = wait_until(lambda: (r := tree.office.get(place).json())["state"] != "Running" and r, 90)
    assert done["state"] == "Done", done
    assert done["pipelineResult"]["segment"] == "north"
    assert tree.office.delete(place, Role.ENGINEER).json()["state"] == "Done"


def test_what_if_is_answered_by_a_segment_for_itself(tree: Tree) -> None:
    north = tree.segments["north"]
    wait_until(lambda: len(north.get("/api/v1/snapshot").json()["links"]) == 9)
    request = {"runId": "w", "segment": "north", "failedNodes": ["0002"], "messagesPerFlow": 3, "replications": 1}

    place = north.post("/api/v1/whatifs", request).headers["location"]

    done = wait_until(lambda: (r := north.get(place).json())["state"] != "Running" and r, 60)
    assert done["state"] == "Done", done
    assert done["whatIfResult"]["prediction"]["seed"] >= 0


def test_missing_child_is_named_and_the_rest_answered(tree: Tree) -> None:
    wait_until(lambda: (s := retained_summary(tree.broker, "site")) and s["ready"])
    wait_until(lambda: len(tree.office.get("/api/v1/snapshot").json()["links"]) == 18)

    tree.segments["south"].stop()

    summary = wait_until(lambda: (s := retained_summary(tree.broker, "site")) and s["childrenMissing"] and s)
    assert summary["childrenMissing"] == ["office/south"]
    assert not summary["ready"]
    gaps = wait_until(lambda: tree.office.get("/api/v1/snapshot").json()["gaps"])
    assert gaps[0]["place"] == "south"
    assert "not reachable" in gaps[0]["reason"]

    tree.segments["south"].start()

    wait_until(lambda: tree.office.get("/api/v1/snapshot").json()["gaps"] == [])
