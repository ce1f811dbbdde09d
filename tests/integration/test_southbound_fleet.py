"""The fleet against a real mosquitto, and runs against a real HTTP server."""

import asyncio
import json
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from meshtwin.connectors.mqtt import BrokerSettings, MqttLink
from meshtwin.contract.configuration import Command, Verb
from meshtwin.contract.topics import gateway_topic, twin_topic
from meshtwin.errors import Unavailable
from meshtwin.northbound.tokens import verify
from meshtwin_operator.reconcile.outcome import PublishCommand, StartRun
from meshtwin_operator.reconcile.world import ObjectKey
from meshtwin_operator.southbound.fleet import Fleet
from meshtwin_operator.southbound.runs import Runs

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
needs_mosquitto = pytest.mark.skipif(not MOSQUITTO, reason="mosquitto is not installed")
NS, ROOT, GATEWAY = "buildings", "office", "gw-north"


def now() -> datetime:
    return datetime.now(UTC)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # what is waited for lives behind a wire, it sets no event
            await asyncio.sleep(0.02)


class Broker:
    """A mosquitto of its own that can be stopped and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.configuration = folder / "mosquitto.conf"
        self.configuration.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([str(MOSQUITTO), "-c", str(self.configuration)])
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    @property
    def settings(self) -> BrokerSettings:
        return BrokerSettings(host="127.0.0.1", port=self.port)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
async def gateway(broker: Broker) -> AsyncIterator[MqttLink]:
    link = MqttLink(broker.settings, client_id="gw")
    link.subscribe(gateway_topic(GATEWAY, "configuration/command"))
    link.start()
    await link.wait_connected(10)
    yield link
    await link.stop()


def message(**more: Any) -> bytes:
    envelope = {"contract": 1, "session": "s1", "sequence": 1, "sentAt": now().isoformat()}
    return json.dumps({**envelope, **more}).encode()


def command(attempt: str = "a1", verb: Verb = Verb.ADOPT) -> PublishCommand:
    sent = Command(verb=verb, epoch=1, attempt_id=attempt, sent_at=now(), not_after=now() + timedelta(seconds=60))
    return PublishCommand(ROOT, GATEWAY, sent, NS)


@needs_mosquitto
async def test_what_gateways_and_twins_say_becomes_views_and_news(broker: Broker, gateway: MqttLink) -> None:
    news: list[ObjectKey] = []
    fleet = Fleet(changed=news.extend, now=now)
    fleet.connect(NS, ROOT, broker.settings)
    await until(lambda: fleet.is_connected(NS, ROOT))
    await gateway.publish(gateway_topic(GATEWAY, "state"), message(online=True), retain=True)
    summary = message(twin="north-segment", kind="Segment", online=True, ready=True)
    await gateway.publish(twin_topic(NS, "north-segment", "summary"), summary, retain=True)
    await gateway.publish(twin_topic("elsewhere", "north-segment", "summary"), summary, retain=True)
    await until(lambda: fleet.summary(NS, "north-segment") is not None)
    await until(lambda: fleet.gateway(NS, GATEWAY).state is not None)
    assert fleet.summary("elsewhere", "north-segment") is None
    assert {ObjectKey("Gateway", NS, GATEWAY), ObjectKey("Twin", NS, "north-segment")} <= set(news)
    await fleet.close()


@needs_mosquitto
async def test_retained_words_are_known_again_after_a_restart(broker: Broker, gateway: MqttLink) -> None:
    await gateway.publish(gateway_topic(GATEWAY, "state"), message(online=True), retain=True)
    reported = message(phase="idle", epoch=3, revision=7)
    await gateway.publish(gateway_topic(GATEWAY, "configuration/reported"), reported, retain=True)
    fleet = Fleet(changed=lambda keys: None, now=now)
    fleet.connect(NS, ROOT, broker.settings)
    await until(lambda: fleet.gateway(NS, GATEWAY).reported is not None)
    found = fleet.gateway(NS, GATEWAY).reported
    assert found is not None
    assert found.revision == 7
    await fleet.close()


@needs_mosquitto
async def test_unanswered_command_is_not_repeated_at_once_but_after_a_new_session(
    broker: Broker, gateway: MqttLink
) -> None:
    fleet = Fleet(changed=lambda keys: None, now=now)
    fleet.connect(NS, ROOT, broker.settings)
    await until(lambda: fleet.is_connected(NS, ROOT))
    for _ in range(5):
        await fleet.publish_command(command())
    await fleet.publish_command(command("a2"))
    attempts = [await received(gateway) for _ in range(2)]
    assert attempts == ["a1", "a2"]
    await gateway.publish(gateway_topic(GATEWAY, "state"), message(online=True))
    await until(lambda: fleet.gateway(NS, GATEWAY).state is not None)
    await fleet.publish_command(command())
    assert await received(gateway) == "a1"
    await fleet.close()


async def received(link: MqttLink) -> str:
    found = await asyncio.wait_for(link.messages.get(), 10)
    link.acknowledge(found)
    return str(json.loads(found.payload)["attemptId"])


@needs_mosquitto
async def test_bad_messages_are_left_out_and_good_ones_go_on(broker: Broker, gateway: MqttLink) -> None:
    fleet = Fleet(changed=lambda keys: None, now=now)
    fleet.connect(NS, ROOT, broker.settings)
    await until(lambda: fleet.is_connected(NS, ROOT))
    for payload in (b"{", b"[]", b"\xff", message(online="perhaps"), message(online=True)):
        await gateway.publish(gateway_topic(GATEWAY, "state"), payload)
    await until(lambda: fleet.gateway(NS, GATEWAY).state is not None)
    await fleet.close()


SUMMARY = twin_topic(NS, "north-segment", "summary")
NORTH = "twin.buildings.north-segment"


async def retained_at(broker: Broker) -> dict[str, bytes]:
    """What the broker keeps; a message of our own comes behind it."""
    link, found = MqttLink(broker.settings, client_id="late"), {}
    link.subscribe("meshtwin/#")
    link.start()
    await link.wait_connected(10)
    await link.publish("meshtwin/end", b"end")
    while "meshtwin/end" not in found:
        message = await asyncio.wait_for(link.messages.get(), 10)
        link.acknowledge(message)
        found[message.topic] = message.payload
    await link.stop()
    del found["meshtwin/end"]
    return found


async def fill_and_listen(broker: Broker, gateway: MqttLink) -> Fleet:
    """A fleet that heard the retained words of two gateways and a twin."""
    for name in (GATEWAY, "gw-south"):
        await gateway.publish(gateway_topic(name, "state"), message(online=True), retain=True)
        reported = message(phase="idle", epoch=3, revision=7)
        await gateway.publish(gateway_topic(name, "configuration/reported"), reported, retain=True)
    summary = message(twin="north-segment", kind="Segment", online=True, ready=True)
    await gateway.publish(SUMMARY, summary, retain=True)
    fleet = Fleet(changed=lambda keys: None, now=now)
    fleet.connect(NS, ROOT, broker.settings)
    await until(lambda: len(fleet.departed(NS, ROOT, [], [])) == 5)
    return fleet


@needs_mosquitto
async def test_what_a_departed_gateway_and_twin_said_last_is_cleared_and_nothing_else(
    broker: Broker, gateway: MqttLink
) -> None:
    fleet = await fill_and_listen(broker, gateway)
    departed = fleet.departed(NS, ROOT, ["gw-south"], [])
    assert departed == {gateway_topic(GATEWAY, "state"), gateway_topic(GATEWAY, "configuration/reported"), SUMMARY}
    await fleet.clear(NS, ROOT, departed)
    assert set(await retained_at(broker)) == {
        gateway_topic("gw-south", "state"),
        gateway_topic("gw-south", "configuration/reported"),
    }
    await until(lambda: not fleet.departed(NS, ROOT, ["gw-south"], []))
    assert fleet.gateway(NS, GATEWAY).state is None
    assert fleet.summary(NS, "north-segment") is None
    assert fleet.gateway(NS, "gw-south").reported is not None
    await fleet.close()


@needs_mosquitto
async def test_nothing_has_departed_while_all_are_named(broker: Broker, gateway: MqttLink) -> None:
    fleet = await fill_and_listen(broker, gateway)
    assert not fleet.departed(NS, ROOT, [GATEWAY, "gw-south"], [NORTH])
    await fleet.close()


@needs_mosquitto
async def test_clearing_at_a_broker_that_is_away_harms_nobody_and_is_done_later(
    broker: Broker, gateway: MqttLink
) -> None:
    fleet = await fill_and_listen(broker, gateway)
    broker.stop()
    await until(lambda: not fleet.is_connected(NS, ROOT))
    departed = fleet.departed(NS, ROOT, [], [NORTH])
    await fleet.clear(NS, ROOT, departed)
    assert fleet.departed(NS, ROOT, [], [NORTH]) == departed
    await fleet.close()


@needs_mosquitto
async def test_broker_that_is_gone_makes_commands_unavailable_and_its_return_is_news(broker: Broker) -> None:
    news: list[ObjectKey] = []
    fleet = Fleet(changed=news.extend, now=now)
    with pytest.raises(Unavailable):
        await fleet.publish_command(command())
    fleet.connect(NS, ROOT, broker.settings)
    await until(lambda: fleet.is_connected(NS, ROOT))
    broker.stop()
    await until(lambda: not fleet.is_connected(NS, ROOT))
    with pytest.raises(Unavailable):
        await fleet.publish_command(command())
    news.clear()
    broker.start()
    await until(lambda: fleet.is_connected(NS, ROOT))
    await until(lambda: ObjectKey("DigitalTwin", NS, ROOT) in news)
    await fleet.publish_command(command())
    await fleet.close()


KEY = b"k" * 32


class Twin:
    """A REST server with the routes of runs; it may be told to fail or to forget."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.posts: list[dict[str, Any]] = []
        self.gets = 0
        self.answers: list[tuple[int, dict[str, Any]]] = []
        self.app.add_api_route("/api/v1/whatifs", self._post, methods=["POST"])
        self.app.add_api_route("/api/v1/scorecard/pushes/{run_id}", self._post, methods=["PUT"])
        self.app.add_api_route("/api/v1/runs/{run_id}", self._get, methods=["GET"])

    async def _post(self, request: Request) -> Response:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        assert verify(KEY, token, now()).subject == "meshtwin-operator"
        body = await request.json()
        self.posts.append(body)
        return self._answer(body["runId"])

    async def _get(self, run_id: str) -> Response:
        self.gets += 1
        return self._answer(run_id)

    def _answer(self, run_id: str) -> Response:
        status, body = self.answers.pop(0) if self.answers else (200, {"state": "Done"})
        return JSONResponse({"runId": run_id, **body}, status)


@pytest.fixture
async def twin() -> AsyncIterator[tuple[Twin, str]]:
    twin, port = Twin(), free_port()
    server = uvicorn.Server(uvicorn.Config(twin.app, port=port, log_level="error", lifespan="off"))
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    yield twin, f"http://127.0.0.1:{port}"
    server.should_exit = True
    await task


def start(url: str) -> StartRun:
    return StartRun("office-parent", "/api/v1/whatifs", "r1", {"runId": "r1"}, NS, ROOT, url)


def make_runs(news: list[ObjectKey]) -> Runs:
    return Runs(operator_key=lambda *_: KEY, changed=news.append, now=now)


async def ended(runs: Runs) -> str:
    def is_over() -> bool:
        view = runs.view(NS, "r1")
        return view is not None and view.status is not None and view.status.state != "Running"

    await until(is_over)
    view = runs.view(NS, "r1")
    assert view is not None
    assert view.status is not None
    return view.status.state


async def test_run_is_asked_for_once_and_followed_to_its_end(twin: tuple[Twin, str]) -> None:
    server, url = twin
    server.answers = [(202, {"state": "Running"}), (200, {"state": "Running"})]
    news: list[ObjectKey] = []
    runs = make_runs(news)
    for _ in range(3):
        await runs.start(start(url))
    assert await ended(runs) == "Done"
    await runs.start(start(url))
    assert len(server.posts) == 1
    assert ObjectKey("Run", NS, "r1") in news
    await runs.close()


async def test_run_that_the_twin_has_lost_is_asked_for_again(twin: tuple[Twin, str]) -> None:
    server, url = twin
    server.answers = [(202, {"state": "Running"}), (404, {"title": "NotFound"})]
    runs = make_runs([])
    await runs.start(start(url))
    assert await ended(runs) == "Done"
    assert len(server.posts) == 2
    await runs.close()


async def test_question_that_the_twin_refuses_ends_as_a_failed_run(twin: tuple[Twin, str]) -> None:
    server, url = twin
    server.answers = [(422, {"title": "UnknownNode"})]
    runs = make_runs([])
    await runs.start(start(url))
    assert await ended(runs) == "Failed"
    assert len(server.posts) == 1
    await runs.close()


def handed(url: str) -> StartRun:
    path = "/api/v1/scorecard/pushes/r1"
    return StartRun("north-segment", path, "r1", {"runId": "r1"}, NS, ROOT, url, handed=True)


@pytest.mark.parametrize("status", [404, 422])
async def test_what_is_handed_over_and_refused_is_not_handed_over_again(twin: tuple[Twin, str], status: int) -> None:
    server, url = twin
    server.answers = [(status, {"title": "No"})]
    runs = make_runs([])
    await runs.start(handed(url))
    assert await ended(runs) == "Failed"
    await runs.start(handed(url))
    assert len(server.posts) == 1
    await runs.close()


@pytest.mark.parametrize("status", [401, 503])
async def test_what_is_handed_over_and_fails_for_the_moment_is_handed_over_again(
    twin: tuple[Twin, str], status: int
) -> None:
    server, url = twin
    server.answers = [(status, {"title": "Later"})]
    runs = make_runs([])
    await runs.start(handed(url))
    assert await ended(runs) == "Done"
    assert len(server.posts) == 2
    await runs.close()


async def test_twin_that_does_not_answer_is_a_problem_until_it_does(twin: tuple[Twin, str]) -> None:
    server, url = twin
    server.answers = [(503, {"title": "Unavailable"})]
    runs = make_runs([])
    await runs.start(start(url))

    def has_problem() -> bool:
        view = runs.view(NS, "r1")
        return view is not None and view.problem is not None

    await until(has_problem)
    assert await ended(runs) == "Done"
    await runs.close()
