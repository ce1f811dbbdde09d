"""The scorecard through real processes: handed in, killed at any moment, and seen in the parent's intervals."""

import asyncio
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.test_twin_parent import database, fill
from tests.integration.twin_processes import (
    KEY,
    NAMESPACE,
    Broker,
    Twin,
    bearer,
    running_broker,
    running_twin,
    wait_until,
)
from tests.unit.app.test_scoring import make_push

from meshtwin.northbound.tokens import Role
from meshtwin_operator.reconcile.outcome import StartRun
from meshtwin_operator.reconcile.world import ObjectKey
from meshtwin_operator.southbound.runs import Runs

ADDRESSES = range(1, 4)
KILLED_AFTER = (1, 4, 9)  # answers that have arrived when the twin is killed


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running_broker(tmp_path / "broker") as found:
        yield found


@pytest.fixture
def twin(tmp_path: Path, broker: Broker) -> Iterator[Twin]:
    with running_twin("segment_twin", tmp_path / "north", broker, segment_config(tmp_path)) as found:
        yield found


def segment_config(folder: Path) -> dict[str, Any]:
    inventory = folder / "north.json"
    inventory.write_text(json.dumps(database(ADDRESSES)))
    flow = {"name": "lights", "source": "0001", "destination": "0003"}
    return {"name": "north", "gatewayId": "gw-north", "inventoryPath": str(inventory), "flows": [flow]}


def body(on_time: int = 880) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(make_push(on_time=on_time).to_payload())
    return told


def put(twin: Twin, attempt: str, on_time: int = 880) -> httpx.Response:
    url = f"{twin.url}/api/v1/scorecard/pushes/{attempt}"
    return httpx.put(url, json=body(on_time), headers=bearer(Role.OPERATOR), timeout=20, trust_env=False)


def entered(twin: Twin) -> list[str]:
    found: list[str] = twin.get("/api/v1/scorecard").json()["pushes"]
    return found


def test_killed_twin_has_every_push_that_it_answered_and_counts_none_twice(twin: Twin) -> None:
    asked, answered = 0, []
    for limit in KILLED_AFTER:
        killer = threading.Event()
        threading.Thread(target=lambda event=killer: (event.wait(), twin.process and twin.process.kill())).start()
        try:
            while True:
                attempt = f"a{asked}"
                asked += 1
                assert put(twin, attempt).status_code == 200
                answered.append(attempt)
                if len(answered) >= limit:
                    killer.set()  # the next ones race with it
        except httpx.HTTPError:
            pass
        assert twin.process is not None
        assert twin.process.wait(10) == -signal.SIGKILL
        twin.start()
        assert set(answered) <= set(entered(twin))
        for number in range(asked):  # an operator that did not note the answers hands all of them over again
            assert put(twin, f"a{number}").status_code == 200
        answered = [f"a{number}" for number in range(asked)]
        assert sorted(entered(twin)) == sorted(answered)
        assert len(twin.get("/api/v1/scorecard").json()["entries"]) == min(200, 2 * asked)


async def test_operators_courier_waits_for_a_twin_that_is_away_and_hands_over_once(twin: Twin) -> None:
    told: list[ObjectKey] = []
    twin.stop(signal.SIGKILL)
    runs = Runs(operator_key=lambda *_: KEY.encode(), changed=told.append, now=lambda: datetime.now(UTC))
    action = StartRun(
        workload="north-segment",
        path="/api/v1/scorecard/pushes/a1",
        run_id="score-a1",
        body=body(),
        namespace=NAMESPACE,
        root_twin="office",
        url=twin.url,
        handed=True,
    )
    try:
        await runs.start(action)
        await until(lambda: (view := runs.view(NAMESPACE, "score-a1")) is not None and view.problem is not None)
        await asyncio.to_thread(twin.start)
        await until(lambda: (view := runs.view(NAMESPACE, "score-a1")) is not None and view.status is not None)
        await runs.start(action)
    finally:
        await runs.close()
    view = runs.view(NAMESPACE, "score-a1")
    assert view is not None
    assert view.status is not None
    assert view.status.state == "Done"
    assert told[-1] == ObjectKey("Run", NAMESPACE, "score-a1")
    assert await asyncio.to_thread(entered, twin) == ["a1"]


async def test_push_of_another_segment_ends_refused(twin: Twin) -> None:
    runs = Runs(operator_key=lambda *_: KEY.encode(), changed=lambda _key: None, now=lambda: datetime.now(UTC))
    wrong = {**body(), "segment": "south"}
    action = StartRun("north-segment", "/api/v1/scorecard/pushes/a1", "score-a1", wrong, NAMESPACE, "o", twin.url, True)
    try:
        await runs.start(action)
        await until(lambda: (view := runs.view(NAMESPACE, "score-a1")) is not None and view.status is not None)
        view = runs.view(NAMESPACE, "score-a1")
    finally:
        await runs.close()
    assert view is not None
    assert view.status is not None
    assert view.status.error is not None
    assert "this is the twin of 'north'" in view.status.error.message


def test_parents_later_intervals_know_what_the_segments_earlier_ones_were_worth(
    tmp_path: Path, broker: Broker, twin: Twin
) -> None:
    fill(broker, "north", ADDRESSES)
    with ExitStack() as stack:
        config = {"name": "office", "children": [{"name": "north", "url": twin.url}]}
        office = stack.enter_context(running_twin("parent_twin", tmp_path / "office", broker, config))
        wait_until(lambda: office.get("/api/v1/snapshot").json().get("links"))

        before = ask(office, "w1")
        for number in range(12):
            assert put(twin, f"good{number}", on_time=900).status_code == 200
        wait_until(lambda: office.get("/api/v1/scorecards").json()["scorecards"])
        good = ask(office, "w2")
        for number in range(40):
            assert put(twin, f"bad{number}", on_time=100 + 890 * (number % 2)).status_code == 200
        wait_until(lambda: office.get("/api/v1/scorecards").json()["scorecards"][0]["standings"][0]["entries"] == 52)
        bad = ask(office, "w3")

    assert before["scorecard"]["predictions"] == 0
    assert (good["scorecard"]["predictions"], good["scorecard"]["segment"]) == (12, "north")
    assert good["scorecard"]["since"] == "2026-05-01T13:00:00Z"
    assert width(good) < width(before) < width(bad)
    for told in (before, good, bad):
        assert told["before"]["flows"][0]["onTimeByModel"] == before["before"]["flows"][0]["onTimeByModel"]


def ask(parent: Twin, run_id: str) -> dict[str, Any]:
    """The prediction of a what-if, on the same seed each time."""
    request = {
        "runId": run_id,
        "segment": "north",
        "settings": [{"nodes": ["0002"], "relayRetransmit": {"count": 0, "intervalSteps": 1}}],
        "messagesPerFlow": 5,
        "replications": 2,
        "seed": 1,
    }
    place = parent.post("/api/v1/whatifs", request).headers["location"]
    done = wait_until(lambda: (r := parent.get(place).json())["state"] != "Running" and r, 240)
    assert done["state"] == "Done", done
    found: dict[str, Any] = done["whatIfResult"]["prediction"]
    return found


def width(prediction: dict[str, Any]) -> int:
    said = prediction["before"]["flows"][0]["onTime"]
    return int(said["highPerMille"] - said["lowPerMille"])


async def until(what: Any, timeout_s: float = 30.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not what():  # noqa: ASYNC110  # what comes of it is in another process
            await asyncio.sleep(0.05)
