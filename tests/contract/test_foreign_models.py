"""One suite for a model in process and the same model over HTTP with a real server; and what a bad one is told as."""

import contextlib
import gzip
import itertools
import json
import math
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import EntryPoint

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from meshtwin.errors import Inconsistent, InvalidInput, Unavailable
from meshtwin.foreign import HttpJudge, JudgeRequest, find_judge, serve_judge
from meshtwin.foreign.messages import RatioMessage, TimeIntervalMessage
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit
from meshtwin.mesh.kpis import Interval
from meshtwin.mesh.nodes import Flow, Node, Position
from meshtwin.mesh.snapshots import LinkEstimate, SegmentView, Snapshot
from meshtwin.ports import Cancelled, JudgePlan, no_progress
from meshtwin.whatif.judging import InProcessJudge

JSON = {"Content-Type": "application/json"}
PLAN = JudgePlan(seed=5, replications=2, messages_per_flow=20)


def make_snapshot(count=4):
    addresses = [UnicastAddress(i) for i in range(1, count + 1)]
    settings = NodeSettings(
        relay=True, relay_retransmit=Transmit(count=1, interval_steps=1),
        network_transmit=Transmit(count=1, interval_steps=1), default_ttl=5,
    )  # fmt: skip
    return Snapshot(
        taken_at=datetime(2030, 1, 1, tzinfo=UTC),
        nodes=tuple(Node(address=a, device_uuid=f"uuid-{a}", position=Position(4.0 * a, 0.0)) for a in addresses),
        links=tuple(
            LinkEstimate(source=a, target=b, delivery_alpha=18.0, delivery_beta=6.0, rssi_dbm=-80.5)
            for a in addresses
            for b in addresses
            if abs(a - b) == 1
        ),
        configuration=Configuration.of(dict.fromkeys(addresses, settings)),
        flows=(
            Flow(name="lights", source=addresses[0], destination=addresses[-1], rate_per_minute=6.0, deadline_ms=300),
        ),
        segments=(
            SegmentView(name="s", addresses=tuple(addresses), inventory_hash="h", revision=1, newest_report=None),
        ),
    )


def without_relay(address):
    return Configuration.of({UnicastAddress(address): NodeSettings(relay=False)})


@pytest.fixture
def serve():
    """Starts a real server per application, on a port of the system's choice, and ends it after the test."""
    running = []

    def start(app):
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        running.append((server, thread, listener))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for server, thread, listener in running:
        server.should_exit = True
        server.force_exit = True
        thread.join()
        listener.close()


@pytest.fixture(params=["in-process", "http", "plug-in"])
def judge(request, serve):
    if request.param == "in-process":
        return InProcessJudge()
    if request.param == "http":
        return find_judge(serve(serve_judge(InProcessJudge())))
    point = EntryPoint("theirs", "meshtwin.whatif.judging:InProcessJudge", "meshtwin.models")
    return find_judge("theirs", points=[point])


def test_model_says_its_name(judge):
    assert judge.model == InProcessJudge().model


def test_model_answers_each_configuration_in_the_order_asked(judge):
    snapshot = make_snapshot()
    whole, cut = judge.judge(snapshot, (snapshot.configuration, without_relay(2)), PLAN, no_progress)
    assert [flow.flow for flow in whole.flows] == ["lights"]
    assert whole.flows[0].sent == 40
    assert whole.flows[0].delivery.estimate > 0.5
    assert cut.flows[0].delivery.estimate == 0.0


def test_equal_questions_get_equal_answers(judge):
    snapshot = make_snapshot()
    first, again = (judge.judge(snapshot, (without_relay(3),), PLAN, no_progress) for _ in range(2))
    assert first == again


def test_model_gives_the_figures_that_ours_gives_in_process(judge):
    snapshot = make_snapshot()
    (theirs,) = judge.judge(snapshot, (snapshot.configuration,), PLAN, no_progress)
    (ours,) = InProcessJudge().judge(snapshot, (snapshot.configuration,), PLAN, no_progress)
    assert theirs.flows[0].on_time == ours.flows[0].on_time
    assert theirs.flows[0].latency_p95_ms == ours.flows[0].latency_p95_ms
    assert theirs.airtime_ratio == ours.airtime_ratio


def test_replications_that_follow_differ_from_the_first(judge):
    snapshot = make_snapshot()
    later = replace(PLAN, first_replication=2)
    (first,), (second,) = (
        judge.judge(snapshot, (snapshot.configuration,), plan, no_progress) for plan in (PLAN, later)
    )
    assert first != second


def test_progress_is_told_up_to_the_end_and_may_end_the_work(judge):
    snapshot, told = make_snapshot(), []
    judge.judge(snapshot, (snapshot.configuration,), PLAN, lambda share, stage: told.append(share))
    assert told[-1] == 1.0

    def cancel(share, stage):
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        judge.judge(snapshot, (snapshot.configuration,), PLAN, cancel)


# What only the way over HTTP can do wrong


def test_question_comes_back_from_the_wire_as_it_was():
    snapshot = make_snapshot()
    request = JudgeRequest.of(snapshot, (snapshot.configuration, without_relay(2)), PLAN)
    back, configurations, plan = JudgeRequest.model_validate_json(request.to_payload()).to_values()
    assert back == snapshot
    assert back.fingerprint == snapshot.fingerprint
    assert configurations == (snapshot.configuration, without_relay(2))
    assert plan == PLAN


@dataclass
class Bad:
    """A foreign program that answers ``/judge`` with whatever ``respond`` gives."""

    respond: object

    def app(self):
        async def judge(request):
            return self.respond(json.loads(await request.body()))

        async def model(request):
            return JSONResponse({"contract": 1, "model": "theirs 1.0"})

        return Starlette(routes=[Route("/judge", judge, methods=["POST"]), Route("/model", model)])


def ask(url, **options):
    snapshot = make_snapshot()
    judge = HttpJudge(url=url, model="theirs 1.0", **options)
    return judge.judge(snapshot, (snapshot.configuration,), PLAN, no_progress)


def good(request, **changes):
    ratio = {"estimate": 0.9, "low": 0.8, "high": 1.0}
    flow = {"flow": "lights", "sent": 40, "onTimeRatio": ratio, "deliveryRatio": ratio, **changes}
    kpis = [{"flows": [flow], "airtimeRatio": ratio}] * len(request["configurations"])
    return {"contract": 1, "model": "theirs 1.0", "kpis": kpis}


def test_answer_of_a_program_in_any_language_is_taken(serve):
    (kpis,) = ask(serve(Bad(lambda request: JSONResponse(good(request))).app()))
    assert kpis.flows[0].delivery.estimate == 0.9
    assert kpis.flows[0].latency_p50_ms is None


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"sent": -1}, "greater than or equal to 0 at kpis.0.flows.0.sent"),
        ({"onTimeRatio": {"estimate": 1.2, "low": 0.0, "high": 1.0}}, "less than or equal to 1"),
        ({"onTimeRatio": {"estimate": 0.2, "low": 0.5, "high": 1.0}}, "estimate 0.2 is outside 0.5..1.0"),
        ({"latencyP50Milliseconds": -3}, "latencyP50Milliseconds"),
        ({"surprise": 1}, "surprise"),
        ({"flow": "doors"}, r"tells flows \['doors'\], asked were \['lights'\]"),
    ],
)
def test_answer_that_breaks_the_contract_is_refused_with_its_place(serve, change, text):
    url = serve(Bad(lambda request: JSONResponse(good(request, **change))).app())
    with pytest.raises(Inconsistent, match=text) as caught:
        ask(url)
    assert caught.value.reason == "ModelAnswer"
    assert caught.value.place == url


def test_answer_to_fewer_configurations_is_refused(serve):
    url = serve(Bad(lambda request: JSONResponse({**good(request), "kpis": []})).app())
    with pytest.raises(Inconsistent, match="0 answers to 1 configurations"):
        ask(url)


def test_answer_of_another_model_is_refused(serve):
    url = serve(Bad(lambda request: JSONResponse({**good(request), "model": "stranger"})).app())
    with pytest.raises(Inconsistent, match="'stranger' answered"):
        ask(url)


def test_answer_that_is_no_json_is_refused(serve):
    with pytest.raises(Inconsistent, match="not as the schema says"):
        ask(serve(Bad(lambda request: Response("<html>")).app()))


def test_answer_without_end_is_given_up_at_the_limit_of_size(serve):
    def endless():
        while True:
            yield b" " * 65536

    with pytest.raises(Inconsistent, match="answer above 1000000 bytes"):
        ask(serve(Bad(lambda request: StreamingResponse(endless())).app()), answer_max_bytes=1_000_000)


def test_model_that_fails_is_told_with_what_it_says(serve):
    with pytest.raises(Unavailable, match="status 500: out of dice") as caught:
        ask(serve(Bad(lambda request: Response("out of dice", 500)).app()))
    assert caught.value.reason == "ModelFailed"


def test_refused_question_is_the_askers_to_mend(serve):
    with pytest.raises(InvalidInput, match="status 422: too many nodes") as caught:
        ask(serve(Bad(lambda request: Response("too many nodes", 422)).app()))
    assert caught.value.reason == "ModelRefused"


def test_redirect_is_not_followed(serve):
    with pytest.raises(Unavailable, match="status 307"):
        ask(serve(Bad(lambda request: RedirectResponse("http://127.0.0.1:9/")).app()))


def test_silent_model_is_given_up_at_the_time_limit():
    listener = socket.create_server(("127.0.0.1", 0))  # accepts, and never answers
    with listener, pytest.raises(Unavailable, match=r"no answer within 0\.2 s") as caught:
        ask(f"http://127.0.0.1:{listener.getsockname()[1]}", time_limit_s=0.2)
    assert caught.value.reason == "ModelTimeout"


def test_model_that_answers_in_drops_is_given_up_at_the_time_limit(serve):
    now = iter(range(0, 1000, 10))  # each look at the clock is ten seconds later

    def drops() -> Iterator[bytes]:
        yield from (b" " for _ in range(100))

    url = serve(Bad(lambda request: StreamingResponse(drops())).app())
    with pytest.raises(Unavailable, match="no answer within 15 s"):
        ask(url, time_limit_s=15.0, clock=lambda: float(next(now)))


def test_model_whose_headers_drip_is_given_up_at_the_time_limit():
    """Every byte begins the time limit of a socket anew, so that limit alone would wait for hours."""
    listener, is_over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def drip():
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not is_over.wait(0.05):
                connection.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        with pytest.raises(Unavailable, match=r"no answer within 0\.5 s") as caught:
            ask(f"http://127.0.0.1:{listener.getsockname()[1]}", time_limit_s=0.5)
    finally:
        is_over.set()
        thread.join()
        listener.close()
    assert caught.value.reason == "ModelTimeout"


@pytest.mark.parametrize("url", ["http://[", "http://a..b/", "http://127.0.0.1:99999", "ftp://127.0.0.1"])
def test_what_is_no_address_is_the_authors_to_mend(url):
    with pytest.raises((InvalidInput, Unavailable)):
        find_judge(url, points=[])


def test_model_that_is_not_there_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unavailable, match="can't be reached") as caught:
        ask(f"http://127.0.0.1:{port}")
    assert caught.value.reason == "ModelUnreachable"


def test_served_model_wants_its_token(serve):
    url = serve(serve_judge(InProcessJudge(), token="secret"))
    with pytest.raises(InvalidInput, match="status 401"):
        find_judge(url)
    assert find_judge(url, token="secret").model == InProcessJudge().model


def test_stranger_is_refused_before_the_question_is_read(serve):
    address = serve(serve_judge(InProcessJudge(), token="secret")).removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=10) as connection:
        connection.sendall(b"POST /judge HTTP/1.1\r\nHost: x\r\nContent-Length: 16000000\r\n\r\n{")
        told = connection.recv(4096)
    assert told.startswith(b"HTTP/1.1 401")


class Patient:
    """A judge that works until it is told to stop."""

    model = "patient"

    def __init__(self):
        self.begun, self.ended = threading.Semaphore(0), threading.Event()

    def judge(self, snapshot, configurations, plan, progress):
        self.begun.release()
        try:
            for step in itertools.count():
                progress(0.0, f"step {step}")
                time.sleep(0.01)
        finally:
            self.ended.set()


def question():
    snapshot = make_snapshot(2)
    return JudgeRequest.of(snapshot, (snapshot.configuration,), PLAN).to_payload()


def test_question_whose_asker_has_gone_ends(serve):
    judge = Patient()
    url = serve(serve_judge(judge))
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{url}/judge", content=question(), headers=JSON, timeout=1.0)
    assert judge.ended.wait(10)


def test_question_that_takes_too_long_is_ended_with_the_limit(serve):
    answer = httpx.post(
        f"{serve(serve_judge(Patient(), time_limit_s=0.1))}/judge", content=question(), headers=JSON, timeout=30
    )
    assert (answer.status_code, answer.json()["title"]) == (503, "TimeLimit")
    assert answer.headers["content-type"] == "application/problem+json"


def test_more_questions_than_seats_are_refused(serve):
    judge = Patient()
    url = serve(serve_judge(judge, questions_at_once=1, time_limit_s=5))
    first = threading.Thread(target=lambda: httpx.post(f"{url}/judge", content=question(), headers=JSON, timeout=30))
    first.start()
    judge.begun.acquire()
    answer = httpx.post(f"{url}/judge", content=question(), headers=JSON, timeout=30)
    assert (answer.status_code, answer.json()["title"]) == (503, "TooManyQuestions")
    first.join()


def test_question_that_would_not_fit_the_memory_is_refused(serve):
    asked = json.loads(question())
    asked["plan"]["messagesPerFlow"] = 10**9
    answer = httpx.post(f"{serve(serve_judge(InProcessJudge()))}/judge", json=asked, timeout=30)
    assert (answer.status_code, answer.json()["title"], answer.json()["place"]) == (422, "TooLarge", "messagesPerFlow")


def test_served_model_refuses_oversized_and_malformed_questions(serve):
    url = serve(serve_judge(InProcessJudge(), question_max_bytes=4000))
    assert httpx.post(f"{url}/judge", content=b" " * 5000).status_code == 413
    assert httpx.post(f"{url}/judge", json={"contract": 1}).status_code == 422


def test_served_model_refuses_settings_of_nodes_that_the_snapshot_does_not_hold(serve):
    url = serve(serve_judge(InProcessJudge()))
    question = json.loads(JudgeRequest.of(make_snapshot(2), (without_relay(2),), PLAN).to_payload())
    question["configurations"] = [[{"nodes": ["0077"], "relay": "Enabled"}]]
    answer = httpx.post(f"{url}/judge", json=question)
    assert answer.status_code == 422
    assert "configurations.0" in answer.text


def spoil(**changes):
    """A question with parts of its snapshot put in place of what was there."""
    asked = json.loads(question())
    for place, value in changes.items():
        asked["snapshot"][place] = value(asked["snapshot"][place])
    return asked


STRANGE = [
    ("flows", lambda flows: [flows[0] | {"source": "0077"}], "snapshot.flows.0.source", "node 0077"),
    ("flows", lambda flows: [flows[0] | {"destination": "0077"}], "snapshot.flows.0.destination", "goes to 0077"),
    ("flows", lambda flows: [flows[0] | {"destination": "c000"}], "snapshot.flows.0.destination", "goes to c000"),
    ("flows", lambda flows: [flows[0] | {"destination": "0001"}], "snapshot.flows.0.destination", "goes to 0001"),
    ("flows", lambda flows: flows * 2, "snapshot.flows", "'lights' stands in it 2 times"),
    ("nodes", lambda nodes: [nodes[0], *nodes], "snapshot.nodes", "'0001' stands in it 2 times"),
    ("nodes", lambda nodes: nodes[:1], "configuration[0].nodes[0]", "names no node"),
    ("links", lambda links: [links[0] | {"source": "0077", "target": "0078"}], "snapshot.links.0", "node 0077"),
    ("segments", lambda views: [views[0] | {"addresses": ["0001", "0077"]}], "snapshot.segments.0.addresses", "0077"),
]


@pytest.mark.parametrize(("part", "change", "place", "said"), STRANGE, ids=[f"{p}: {s}" for _, _, p, s in STRANGE])
def test_question_about_what_the_snapshot_does_not_hold_is_refused_with_its_place(serve, part, change, place, said):
    asked = spoil(**{part: change})
    if part == "nodes" and place != "snapshot.nodes":
        asked["snapshot"]["configuration"][0]["nodes"] = ["0002"]
    answer = httpx.post(f"{serve(serve_judge(InProcessJudge()))}/judge", json=asked, timeout=30)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["place"] == place
    assert said in answer.json()["detail"]


def test_link_to_a_neighbour_outside_the_snapshot_is_none_of_them(serve):
    asked = spoil(links=lambda links: [*links, links[0] | {"source": "0077"}])
    assert httpx.post(f"{serve(serve_judge(InProcessJudge()))}/judge", json=asked, timeout=30).status_code == 200


def test_judge_refuses_strangers_in_process_and_over_http_alike(judge):
    snapshot = make_snapshot()
    lost = replace(snapshot, flows=(replace(snapshot.flows[0], source=UnicastAddress(0x77)),))
    nobody = replace(snapshot, flows=(replace(snapshot.flows[0], destination=0xC000),))
    for question, configuration, reason in (
        (lost, Configuration(), "UnknownNode"),
        (nobody, Configuration(), "NoMember"),
        (snapshot, without_relay(0x77), "UnknownNode"),
    ):
        with pytest.raises(InvalidInput) as caught:
            judge.judge(question, (configuration,), PLAN, no_progress)
        assert caught.value.reason == reason


def test_time_with_a_bound_that_is_not_known_keeps_the_other_one_and_the_reason():
    tail = Interval(estimate=20.0, low=17.5, high=math.inf, open_because="160 messages do not bound it from above")
    written = TimeIntervalMessage.from_value(tail)
    assert "high" not in json.loads(written.to_payload())
    assert TimeIntervalMessage.model_validate_json(written.to_payload()).to_value() == tail
    with pytest.raises(ValueError, match="openBecause says why"):
        TimeIntervalMessage(estimate=20.0, low=17.5)


def test_share_that_a_model_did_not_estimate_is_absent_and_read_as_none():
    nothing = Interval(estimate=0.5, low=0.0, high=1.0, open_because="no message was sent", is_estimated=False)
    written = RatioMessage.from_value(nothing)
    assert "estimate" not in json.loads(written.to_payload())
    assert RatioMessage.model_validate_json(written.to_payload()) == written
    assert written.to_value() == nothing
    older = RatioMessage(estimate=0.5, low=0.0, high=1.0, open_because="no message was sent")
    assert older.to_value().told is None
    with pytest.raises(ValueError, match="openBecause says why"):
        RatioMessage(low=0.0, high=1.0)


def test_unknown_model_is_refused_with_the_known_names():
    with pytest.raises(InvalidInput, match="known are: packet-simulator, and addresses") as caught:
        find_judge("crystal-ball", points=[])
    assert caught.value.reason == "UnknownModel"


@pytest.mark.parametrize("target", ["nowhere.at_all:judge", "meshtwin.foreign:no_such", "builtins:dict"])
def test_broken_plug_in_is_named(target):
    with pytest.raises(InvalidInput, match=target) as caught:
        find_judge("theirs", points=[EntryPoint("theirs", target, "meshtwin.models")])
    assert caught.value.reason == "BrokenPlugin"


def evil():
    """A plug-in's model whose name would clear the screen."""
    return InProcessJudge(model="evil\x1b[2J")


def nameless():
    """One without a name."""
    return InProcessJudge(model="")


@pytest.mark.parametrize("target", ["evil", "nameless"])
def test_plug_in_whose_name_would_reach_terminals_as_a_command_is_broken(target):
    with pytest.raises(InvalidInput, match="a name has 1 to 80 characters") as caught:
        find_judge("theirs", points=[EntryPoint("theirs", f"{__name__}:{target}", "meshtwin.models")])
    assert caught.value.reason == "BrokenPlugin"
    assert "\x1b" not in str(caught.value)


def test_address_that_is_not_http_is_refused():
    with pytest.raises(InvalidInput, match="no address of http"):
        HttpJudge.connect("ftp://example.org")


def test_what_a_url_that_is_no_model_says_is_not_passed_on_unless_it_is_a_problem(serve):
    plain = serve(Bad(lambda request: Response("root:x:0:0", 500)).app())
    with pytest.raises(Unavailable) as caught:
        ask(plain, only_problems=True)
    assert "root" not in str(caught.value)
    problem = {"title": "TooLarge", "detail": "900 nodes are too many", "internal": "root:x:0:0"}
    told = serve(Bad(lambda r: JSONResponse(problem, 422, media_type="application/problem+json")).app())
    with pytest.raises(InvalidInput, match="900 nodes are too many") as caught:
        ask(told, only_problems=True)
    assert "root" not in str(caught.value)


def test_packed_answer_is_refused_unread(serve):
    bomb = gzip.compress(b" " * 50_000_000)
    url = serve(Bad(lambda request: Response(bomb, headers={"Content-Encoding": "gzip"})).app())
    with pytest.raises(Inconsistent, match="packed"):
        ask(url)


def test_authority_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "ca.crt").write_text("no certificate")
    with pytest.raises(InvalidInput, match=r"authority.*ca\.crt") as caught:
        ask("https://127.0.0.1:9", ca_file=str(tmp_path / "ca.crt"))
    assert caught.value.reason == "ModelCredentials"


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [("links", "deliveryAlpha", 1e308), ("links", "deliveryBeta", 1e-320), ("flows", "ratePerMinute", 1e-300)],
)
def test_numbers_that_would_overflow_are_refused_with_their_place(serve, part, key, value):
    snapshot = make_snapshot()
    question = json.loads(JudgeRequest.of(snapshot, (snapshot.configuration,), PLAN).to_payload())
    question["snapshot"][part][0][key] = value
    answer = httpx.post(serve(serve_judge(InProcessJudge())) + "/judge", json=question)
    assert answer.status_code == 422
    assert answer.json()["place"] == f"body.snapshot.{part}.0.{key}"


def test_log_of_a_failure_shows_no_values_of_variables(serve, capsys):
    class Broken:
        model = "broken"

        def judge(self, _snapshot, _configurations, _plan, _progress):
            password = "do-not-show"
            raise RuntimeError(f"{len(password)} characters")

    snapshot = make_snapshot()
    question = JudgeRequest.of(snapshot, (snapshot.configuration,), PLAN).to_payload()
    answer = httpx.post(serve(serve_judge(Broken())) + "/judge", content=question, headers=JSON)
    said = "".join(capsys.readouterr())
    assert answer.status_code == 500
    assert "RuntimeError: 11 characters" in said
    assert "do-not-show" not in said.replace('password = "do-not-show"', "")


def test_model_whose_name_cannot_be_told_is_not_served() -> None:
    class Nameless:
        model = "x" * 81

    with pytest.raises(InvalidInput, match="1 to 80 characters"):
        serve_judge(Nameless())  # type: ignore[arg-type]  # it would never be asked
