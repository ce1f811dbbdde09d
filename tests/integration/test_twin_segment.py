"""A segment twin as a process, behind a real broker."""

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from tests.benchmarks.bench_ingest import make_inventory
from tests.integration.twin_processes import Broker, Gateway, Twin, neighbour, running_broker, running_twin, wait_until

NODES = 4
ROUNDS = 10  # reports of each node
FILL = NODES * ROUNDS + 2  # messages of `fill`
OBSERVATIONS = "meshtwin_observations_total"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running_broker(tmp_path / "broker") as found:
        yield found


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "network.json").write_text(json.dumps(make_inventory(NODES)))
    flow = {"name": "lamps", "source": "0001", "destination": "0002"}
    return {
        "name": "north",
        "gatewayId": "gw",
        "inventoryPath": str(tmp_path / "network.json"),
        "flows": [flow],
        "configHash": "sha256:abc",
    }


@pytest.fixture
def twin(tmp_path: Path, broker: Broker, config: dict[str, Any]) -> Iterator[Twin]:
    with running_twin("segment_twin", tmp_path / "twin", broker, config) as found:
        yield found


@pytest.fixture
def gateway(broker: Broker) -> Iterator[Gateway]:
    found = Gateway(broker, "gw")
    yield found
    found.stop()


def fill(gateway: Gateway) -> None:
    gateway.say_online("0001")
    gateway.say_configuration(["0001-0004"])
    for count in range(1, ROUNDS + 1):
        for node in range(1, NODES + 1):
            others = [n for n in range(1, NODES + 2) if n != node]  # node 5 is foreign
            listed = [neighbour(f"{n:04x}", 10 * count, 9 * count) for n in others]
            gateway.send("telemetry/neighbours", {"node": f"{node:04x}", "neighbours": listed})


def wait_folded(twin: Twin, count: int) -> None:
    """Until ``count`` observations are folded; snapshots may be kept for some seconds more."""
    wait_until(lambda: twin.metric(OBSERVATIONS) >= count)


def wait_links(twin: Twin) -> list[dict[str, Any]]:
    """The links, when all are told."""
    return wait_until(lambda: len(links := twin.get("/api/v1/links").json()["links"]) == NODES * NODES and links)


def retained_summary(broker: Broker, name: str = "north") -> dict[str, Any] | None:
    found: list[bytes] = []
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _c, _d, message: found.append(message.payload)
    client.connect("127.0.0.1", broker.port)
    client.subscribe(f"meshtwin/v1/twins/buildings.{name}/summary", 1)
    client.loop_start()
    try:
        wait_until(lambda: found, 2)
    except TimeoutError:
        return None
    finally:
        client.disconnect()
        client.loop_stop()
    return dict(json.loads(found[-1]))


def test_twin_fills_up_and_answers(twin: Twin, gateway: Gateway, broker: Broker) -> None:
    fill(gateway)
    wait_folded(twin, FILL)
    wait_links(twin)

    snapshot = twin.get("/api/v1/snapshot").json()

    assert len(snapshot["links"]) == NODES * NODES
    assert snapshot["segments"][0]["revision"] == 0
    assert snapshot["configuration"][0]["defaultTtl"] == 7
    assert snapshot["gaps"] == []
    summary = wait_until(lambda: (s := retained_summary(broker)) and s["ready"] and s)
    assert summary["configHash"] == "sha256:abc"
    assert summary["segments"][0]["borderNodes"] == ["0005"]


def test_bad_messages_are_counted_by_reason_and_the_good_ones_folded(
    twin: Twin, gateway: Gateway, broker: Broker
) -> None:
    leaf = "telemetry/neighbours"
    fill(gateway)
    future = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    good = {**gateway.envelope(leaf), "node": "0001", "neighbours": []}
    for payload in (
        b"no json",
        b"x" * 200_000,
        json.dumps({**good, "contract": 2}).encode(),
        json.dumps({**good, "surprise": 1}).encode(),
        json.dumps({**good, "sentAt": future}).encode(),
        json.dumps({**good, "node": "0777"}).encode(),
        json.dumps({**good, "session": "before", "sentAt": past}).encode(),
    ):
        for _ in range(2):
            gateway.send_raw(leaf, payload).wait_for_publish(10)
    gateway.send_raw(leaf, json.dumps(good).encode()).wait_for_publish(10)
    wait_folded(twin, FILL + 1)

    expected = dict.fromkeys(
        ("NotJson", "Oversized", "WrongContract", "WrongSchema", "FromFuture", "UnknownNode", "OtherSession"), 2
    )
    name = "meshtwin_observations_dropped_total"
    assert {reason: twin.metric(name, reason=reason) for reason in expected} == expected
    assert twin.metric(OBSERVATIONS) == FILL + 1
    logged = twin.log_text()
    assert all(logged.count(f"reason={reason}") == 1 for reason in expected)
    wait_until(lambda: (s := retained_summary(broker)) and s["segments"][0].get("dropped") == expected)


def test_killed_twin_has_everything_that_was_acknowledged_after_its_restart(twin: Twin, gateway: Gateway) -> None:
    fill(gateway)
    wait_folded(twin, FILL)
    before = wait_links(twin)

    twin.stop(signal.SIGKILL)
    twin.start()

    after = wait_links(twin)
    assert [(link["source"], link["target"]) for link in after] == [(link["source"], link["target"]) for link in before]
    assert twin.metric(OBSERVATIONS) >= FILL


def test_twin_that_was_down_catches_up_with_what_the_broker_kept(twin: Twin, gateway: Gateway) -> None:
    fill(gateway)
    wait_folded(twin, FILL)
    assert twin.stop() == 0
    for number in range(1, 6):
        listed = [neighbour("0002", 10 * (ROUNDS + number), 9 * (ROUNDS + number))]
        gateway.send("telemetry/neighbours", {"node": "0001", "neighbours": listed})

    twin.start()

    wait_folded(twin, FILL + 5)
    assert twin.metric("meshtwin_observation_gaps_total") == 0


def test_twin_goes_on_after_the_broker_was_restarted(twin: Twin, broker: Broker, tmp_path: Path) -> None:
    first = Gateway(broker, "gw")
    fill(first)
    wait_folded(twin, FILL)
    first.stop()
    broker.stop()
    wait_until(lambda: twin.metric("meshtwin_broker_connected") == 0)
    assert twin.get("/healthz").status_code == 200
    assert twin.get("/api/v1/links").status_code == 200

    broker.start()

    wait_until(lambda: twin.metric("meshtwin_broker_connected") == 1)
    second = Gateway(broker, "gw", session="s2")
    fill(second)
    second.stop()
    wait_until(lambda: twin.metric(OBSERVATIONS) >= 2 * FILL)


def test_killed_twin_is_offline_by_its_last_will(twin: Twin, broker: Broker) -> None:
    wait_until(lambda: (s := retained_summary(broker)) and s["online"])

    twin.stop(signal.SIGKILL)

    wait_until(lambda: (s := retained_summary(broker)) and not s["online"])


def test_stopped_twin_says_goodbye_and_leaves_nobody_behind(twin: Twin, broker: Broker) -> None:
    wait_until(lambda: (s := retained_summary(broker)) and s["online"])

    assert twin.stop() == 0

    summary = retained_summary(broker)
    assert summary is not None
    assert summary["online"] is False


def test_fresh_twin_without_a_broker_answers_and_names_its_gaps(
    tmp_path: Path, broker: Broker, config: dict[str, Any]
) -> None:
    broker.stop()
    with running_twin("segment_twin", tmp_path / "alone", broker, config) as alone:
        gaps = alone.get("/api/v1/snapshot").json()["gaps"]

        assert {"place": "north", "reason": "gateway never heard"} in gaps
        assert alone.get("/healthz").status_code == 200


def test_twin_with_a_broken_inventory_ends_with_the_place(
    tmp_path: Path, broker: Broker, config: dict[str, Any]
) -> None:
    (tmp_path / "network.json").write_text('{"nodes": [{"deviceKey": "00"}]}')
    twin = Twin("segment_twin", tmp_path / "bad", broker, config)

    with pytest.raises(TimeoutError):
        twin.start(timeout_s=3)

    assert twin.process is not None
    assert twin.process.wait(10) == 2
    assert "nodes[0].deviceKey" in twin.log_text()
