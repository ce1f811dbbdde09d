"""Somebody else's model in a twin: plug-ins in a process of their own, faults told apart, the fallback that says so."""

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tests.contract.test_foreign_models import PLAN, make_snapshot
from tests.integration.test_twin_parent import database, fill
from tests.integration.twin_processes import Twin, running_broker, running_twin, wait_until

from meshtwin.app.foreign_judge import ModelAtFault, PluginJudge, judge_with, open_judge
from meshtwin.app.settings import ModelConfig
from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.foreign import serve_judge
from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.kpis import FlowKpis, HowKnown, Interval, NetworkKpis
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.ports import Cancelled, Judge, JudgePlan, Progress, no_progress
from meshtwin.whatif.judging import InProcessJudge

THEIRS = """
import os, time
from meshtwin.whatif.judging import InProcessJudge

class Theirs:
    model = "theirs 1.0"
    def judge(self, snapshot, configurations, plan, progress):
        {does}

def make():
    return Theirs()
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Installs a package whose model does what is given; its name."""

    def make(does: str) -> str:
        (tmp_path / "theirs_for_tests.py").write_text(THEIRS.format(does=does))
        info = tmp_path / "theirs_for_tests-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs-for-tests\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[meshtwin.models]\ntheirs = theirs_for_tests:make\n")
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])  # what is spawned inherits it
        return "theirs"

    return make


def config(**changes: object) -> ModelConfig:
    return ModelConfig.model_validate({"plugin": "packet-simulator", **changes})


def http(url: str, **more: object) -> dict[str, object]:
    """A model on this machine, as in local mode."""
    return {"url": url, "allowLoopback": True, **more}


def dead_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def ask(judge: Judge) -> tuple[str, float]:
    snapshot = make_snapshot()
    (kpis,) = judge.judge(snapshot, (snapshot.configuration,), PLAN, no_progress)
    return judge.model, kpis.flows[0].delivery.estimate


def test_plug_in_answers_from_a_process_of_its_own_as_in_ours(install: Callable[[str], str]) -> None:
    install("return InProcessJudge().judge(snapshot, configurations, plan, progress)")
    with open_judge(config(plugin="theirs")) as judge:
        told = ask(judge)
    assert told == ("theirs 1.0", ask(InProcessJudge())[1])


@pytest.mark.parametrize(
    ("does", "reason", "text"),
    [
        ("raise RuntimeError('out of dice')", "ModelFailed", "RuntimeError: out of dice"),
        ("os._exit(1)", "ModelFailed", "its process died"),
        ("return ()", "ModelAnswer", "0 answers to 1 configurations"),
        ("return ('nonsense',)", "ModelFailed", "AttributeError"),
    ],
    ids=["raises", "dies", "answers too little", "answers nonsense"],
)
def test_what_a_plug_in_does_wrong_is_its_fault(
    install: Callable[[str], str], does: str, reason: str, text: str
) -> None:
    install(does)
    with open_judge(config(plugin="theirs")) as judge, pytest.raises(ModelAtFault, match=text) as caught:
        ask(judge)
    assert caught.value.reason == reason


def test_plug_in_without_an_answer_is_given_up_and_ended(install: Callable[[str], str]) -> None:
    judge = PluginJudge(install("time.sleep(600)"))
    judge._time_limit_s = 0.1
    with pytest.raises(Unavailable, match=r"no answer within 0\.1 s"):
        ask(judge)
    judge.close()  # does not wait for the 600 s


def test_question_to_a_plug_in_can_be_cancelled(install: Callable[[str], str]) -> None:
    def cancel(share: float, stage: str) -> None:
        raise Cancelled("enough")

    snapshot = make_snapshot()
    with open_judge(config(plugin=install("time.sleep(600)"))) as judge, pytest.raises(Cancelled):
        judge.judge(snapshot, (snapshot.configuration,), PLAN, cancel)


def test_unknown_plug_in_fails_the_run_with_the_known_names() -> None:
    with pytest.raises(ModelAtFault, match="known are: packet-simulator") as caught:
        judge_with(config(plugin="crystal-ball"), InProcessJudge(), ask, lambda told, text: told)
    assert caught.value.reason == "UnknownModel"


def test_model_that_is_not_there_fails_the_run_by_default() -> None:
    settings = config(plugin=None, http=http(dead_url()))
    with pytest.raises(ModelAtFault, match="can't be reached") as caught:
        judge_with(settings, InProcessJudge(), ask, lambda told, text: told)
    assert caught.value.reason == "ModelUnreachable"


def test_where_allowed_our_own_model_answers_and_the_answer_says_so() -> None:
    settings = config(plugin=None, http=http(dead_url()), onFailure="UseOwn")
    notes: list[str] = []
    told = judge_with(settings, InProcessJudge(), ask, lambda answer, text: notes.append(text) or answer)
    assert told == ask(InProcessJudge())
    assert "ModelUnreachable" in notes[0]
    assert "packet-simulator answers instead" in notes[0]


def test_faults_of_the_question_are_not_the_models_and_are_not_asked_again() -> None:
    asked = []

    def wrong(judge: Judge) -> None:
        asked.append(judge.model)
        raise InvalidInput("segment 'x' is not known", reason="UnknownSegment")

    with pytest.raises(InvalidInput, match="segment 'x'"):
        judge_with(config(onFailure="UseOwn"), InProcessJudge(), wrong, lambda told, text: told)
    assert len(asked) == 1


def test_token_that_is_not_there_is_told_without_its_path(tmp_path: Path) -> None:
    settings = config(plugin=None, http=http(dead_url(), tokenFile=str(tmp_path / "no-such")))
    with pytest.raises(ModelAtFault) as caught, open_judge(settings):
        pass
    assert caught.value.reason == "ModelCredentials"
    assert "spec.model.http.secretRef" in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://localhost:9", "http://169.254.169.254"])
def test_model_of_a_cluster_is_not_asked_inside_its_pod_or_on_its_link(url: str) -> None:
    settings = config(plugin=None, http={"url": url})
    with pytest.raises(ModelAtFault) as caught, open_judge(settings):
        pass
    assert caught.value.reason == "ModelAddressRefused"


def test_api_server_is_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")  # as the kubelet tells every container
    settings = config(plugin=None, http={"url": "https://192.0.2.1"})
    with pytest.raises(ModelAtFault, match="the API server's address"), open_judge(settings):
        pass


def test_settings_name_one_model() -> None:
    for changes in ({"plugin": None}, {"http": {"url": "https://example.org"}}):
        with pytest.raises(ValueError, match="exactly one of http and plugin"):
            config(**changes)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Callable[[dict[str, object]], Twin]]:
    """Starts a parent twin above one filled segment; ``model`` is what its settings name."""
    with ExitStack() as stack:
        broker = stack.enter_context(running_broker(tmp_path / "broker"))
        inventory = tmp_path / "north.json"
        inventory.write_text(json.dumps(database(range(1, 4))))
        flow = {"name": "lights", "source": "0001", "destination": "0003"}
        settings = {"name": "north", "gatewayId": "gw-north", "inventoryPath": str(inventory), "flows": [flow]}
        north = stack.enter_context(running_twin("segment_twin", tmp_path / "north", broker, settings))
        fill(broker, "north", range(1, 4))

        def start(model: dict[str, object]) -> Twin:
            config = {"name": "office", "children": [{"name": "north", "url": north.url}], "model": model}
            twin = stack.enter_context(running_twin("parent_twin", tmp_path / "office", broker, config))
            wait_until(lambda: twin.get("/api/v1/snapshot").json().get("links"))
            return twin

        yield start


@contextmanager
def serving(judge: Judge, token: str | None = None) -> Iterator[str]:
    """The judge behind a real server; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(serve_judge(judge, token=token), log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@dataclass(frozen=True)
class Pessimist:
    """Somebody else's model: nothing ever arrives."""

    model: str = "pessimist 2.0 " + "x" * 66  # as long as a prediction holds

    def judge(
        self, snapshot: Snapshot, configurations: Sequence[Configuration], plan: JudgePlan, progress: Progress
    ) -> tuple[NetworkKpis, ...]:
        nothing = Interval(estimate=0.0, low=0.0, high=0.1)
        flows = tuple(
            FlowKpis(
                flow=flow.name, sent=100, on_time=nothing, delivery=nothing, latency_p50_ms=None, latency_p95_ms=None,
                latency_p99_ms=None, spread_p95_ms=None, how_known=HowKnown.PREDICTED,
            )
            for flow in snapshot.flows
        )  # fmt: skip
        return tuple(NetworkKpis(flows=flows, airtime_ratio=nothing) for _ in configurations)


def ask_twin(twin: Twin, run_id: str) -> dict[str, Any]:
    request = {"runId": run_id, "segment": "north", "failedNodes": ["0002"], "messagesPerFlow": 3, "replications": 1}
    place = twin.post("/api/v1/whatifs", request).headers["location"]
    told: dict[str, Any] = wait_until(lambda: (r := twin.get(place).json())["state"] != "Running" and r, 240)
    return told


def test_twin_asks_the_model_that_its_settings_name_with_its_token_and_reads_a_new_one(
    office: Callable[[dict[str, object]], Twin], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("t0ken-one\n")
    with serving(Pessimist(), "t0ken-one") as url:
        twin = office({"http": http(url, tokenFile=str(tmp_path / "token"), caFile=str(tmp_path / "none"))})
        told = ask_twin(twin, "w1")
        (tmp_path / "token").write_text("t0ken-two")
        refused = ask_twin(twin, "w2")
    assert told["state"] == "Done", told
    assert told["whatIfResult"]["prediction"]["model"] == Pessimist().model
    assert told["whatIfResult"]["prediction"]["before"]["flows"][0]["onTime"]["estimatePerMille"] == 0
    assert (refused["state"], refused["error"]["reason"]) == ("Failed", "ModelRefused")
    assert "status 401" in refused["error"]["message"]
    for text in (json.dumps(refused), json.dumps(told), twin.log_text()):
        assert "t0ken-one" not in text
        assert "t0ken-two" not in text


def test_twin_whose_model_is_away_answers_itself_where_allowed_and_says_so(
    office: Callable[[dict[str, object]], Twin],
) -> None:
    twin = office({"http": http(dead_url()), "onFailure": "UseOwn"})
    told = ask_twin(twin, "w1")
    assert told["state"] == "Done", told
    assert told["whatIfResult"]["prediction"]["model"] == "packet-simulator"
    assert "ModelUnreachable" in told["whatIfResult"]["warnings"][0]
