"""The REST interface over a twin that stands still."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from tests.unit.twins.test_snapshot_and_overlay import north, south

from meshtwin.app.scoring import ScoreKeeper
from meshtwin.contract.summaries import TwinSummary
from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.mesh.priors import SIMULATION
from meshtwin.mesh.scorecards import FigureKind, Standing
from meshtwin.northbound.messages import SnapshotMessage, parse_snapshot
from meshtwin.northbound.rest import create_app
from meshtwin.northbound.tokens import AUDIENCE, Identity, Keys, Role, mint, verify, verify_at
from meshtwin.northbound.views import Health
from meshtwin.recipes.messages import PipelineRequest, RunStatus, WhatIfRequest
from meshtwin.twins.hierarchy import overlay
from meshtwin.twins.partial import PartialSnapshot

KEY = b"k" * 40
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class StillTwin:
    """A twin that always says the same."""

    def __init__(self) -> None:
        self.is_alive = True
        self.partial: PartialSnapshot | None = overlay([north(), south()])

    async def snapshot(self) -> PartialSnapshot:
        if self.partial is None:
            raise Unavailable("no child answers", reason="NoChildren", place="office")
        return self.partial

    def summary(self) -> TwinSummary:
        return TwinSummary(twin="office", kind="Parent", online=True, session="s", sequence=0, sent_at=NOW)

    def liveness(self) -> Health:
        return Health(self.is_alive, "" if self.is_alive else "the MQTT thread ended")

    def readiness(self) -> Health:
        return Health(True)

    def metrics(self) -> bytes:
        return b"meshtwin_nodes 4\n"


class OneRun:
    """A desk that knows the run ``r1``."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def start_pipeline(self, request: PipelineRequest) -> RunStatus:
        self.asked.append(request)
        return RunStatus(run_id=request.run_id, state="Running")

    async def start_what_if(self, request: WhatIfRequest) -> RunStatus:
        self.asked.append(request)
        return RunStatus(run_id=request.run_id, state="Running")

    def get(self, run_id: str) -> RunStatus | None:
        return RunStatus(run_id="r1", state="Running") if run_id == "r1" else None

    async def wait(self, run_id: str, seconds: float, *, until_over: bool) -> RunStatus | None:
        stage = f"{'end' if until_over else 'first answer'} within {seconds:g} s"
        return RunStatus(run_id="r1", state="Done", stage=stage) if run_id == "r1" else None

    async def cancel(self, run_id: str) -> RunStatus | None:
        return self.get(run_id)


class Caller:
    """Asks the application without a socket."""

    def __init__(self, folder: Path, keys: Keys | None = None) -> None:
        keys = keys or Keys(tree=KEY)
        self.twin, self.runs = StillTwin(), OneRun()
        scores = ScoreKeeper(folder / "scorecard.json", "north")
        app = create_app(title="office", twin=self.twin, runs=self.runs, keys=keys, now=lambda: NOW, scores=scores)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://twin")

    def ask(
        self, method: str, path: str, role: Role | None = Role.VIEWER, *, key: bytes = KEY, **arguments: Any
    ) -> httpx.Response:
        headers = {} if role is None else {"Authorization": f"Bearer {mint(key, 'me', role, 60, NOW)}"}
        return asyncio.run(self._client.request(method, path, headers=headers, **arguments))


@pytest.fixture
def caller(tmp_path: Path) -> Caller:
    return Caller(tmp_path)


def pipeline(**changes: Any) -> dict[str, Any]:
    recipes = [{"name": "x", "uses": "path-redundancy"}]
    return {"runId": "r1", "pipeline": "lighting", "segment": "north", "recipes": recipes, **changes}


def test_snapshot_survives_the_wire(caller: Caller) -> None:
    response = caller.ask("GET", "/api/v1/snapshot")

    assert parse_snapshot(response.content) == caller.twin.partial


def test_snapshot_message_names_its_fingerprint() -> None:
    assert SnapshotMessage.from_value(north()).fingerprint == north().snapshot.fingerprint


def test_nodes_say_segment_settings_and_who_hears_them(caller: Caller) -> None:
    nodes = caller.ask("GET", "/api/v1/nodes").json()["nodes"]

    assert [node["address"] for node in nodes] == ["0001", "0002", "0003", "0004"]
    assert nodes[1]["segment"] == "north"
    assert nodes[1]["settings"]["defaultTtl"] == 7
    assert nodes[1]["heardBy"] == 2


def test_one_node_comes_with_its_links(caller: Caller) -> None:
    links = caller.ask("GET", "/api/v1/nodes/0003").json()["links"]

    assert [(link["source"], link["target"]) for link in links] == [("0003", "0002"), ("0002", "0003")]


def test_unknown_node_is_a_problem_with_its_place(caller: Caller) -> None:
    response = caller.ask("GET", "/api/v1/nodes/0009")

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["place"] == "address"
    assert "0009" in response.json()["detail"]


def test_address_that_is_none_is_refused_with_value_and_place(caller: Caller) -> None:
    response = caller.ask("GET", "/api/v1/nodes/zz")

    assert response.status_code == 422
    assert response.json()["value"] == "'zz'"


def test_links_can_be_asked_by_source(caller: Caller) -> None:
    links = caller.ask("GET", "/api/v1/links", params={"source": "0002"}).json()["links"]

    assert {link["source"] for link in links} == {"0002"}


def test_topology_as_rfc_8345_supports_on_the_segments(caller: Caller) -> None:
    networks = caller.ask("GET", "/api/v1/topology?format=rfc8345").json()["ietf-network:networks"]["network"]

    assert [network["network-id"] for network in networks] == ["office", "north", "south"]
    assert networks[0]["node"][0]["supporting-node"] == [{"network-ref": "north", "node-ref": "0001"}]
    assert len(networks[0]["ietf-network-topology:link"]) == 4


def test_answers_of_nobody_are_unavailable(caller: Caller) -> None:
    caller.twin.partial = None

    response = caller.ask("GET", "/api/v1/topology")

    assert (response.status_code, response.json()["title"]) == (503, "NoChildren")


def test_health_is_open_and_tells_when_loops_stand_still(caller: Caller) -> None:
    assert caller.ask("GET", "/healthz", role=None).status_code == 200
    assert caller.ask("GET", "/readyz", role=None).status_code == 200

    caller.twin.is_alive = False

    response = caller.ask("GET", "/healthz", role=None)
    assert (response.status_code, response.json()["title"]) == (503, "NotAlive")


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/api/v1/topology", "/api/v1/nodes", "/api/v1/links", "/api/v1/segments", "/api/v1/snapshot"],
)
def test_reading_needs_a_token(caller: Caller, path: str) -> None:
    refused = caller.ask("GET", path, role=None)

    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert caller.ask("GET", path).status_code == 200


def test_pipeline_is_accepted_with_a_place_to_follow(caller: Caller) -> None:
    response = caller.ask("POST", "/api/v1/pipelines/lighting/runs", Role.ENGINEER, json=pipeline())

    assert response.status_code == 202
    assert response.headers["location"] == "/api/v1/runs/r1"
    assert response.json()["state"] == "Running"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/pipelines/other/runs", pipeline()),
        ("/api/v1/recipes/end-to-end-latency/runs", pipeline()),
        ("/api/v1/pipelines/lighting/runs", pipeline(unknown=1)),
        ("/api/v1/pipelines/lighting/runs", pipeline(recipes=[])),
        ("/api/v1/whatifs", {}),
    ],
)
def test_request_that_contradicts_itself_or_the_schema_is_refused(
    caller: Caller, path: str, body: dict[str, Any]
) -> None:
    response = caller.ask("POST", path, Role.ENGINEER, json=body)

    assert response.status_code == 422
    assert response.json()["place"]
    assert caller.runs.asked == []


def test_viewer_may_not_ask_the_models(caller: Caller) -> None:
    response = caller.ask("POST", "/api/v1/pipelines/lighting/runs", Role.VIEWER, json=pipeline())

    assert (response.status_code, response.json()["title"]) == (403, "Forbidden")


def test_runs_are_followed_and_unknown_ones_are_not_found(caller: Caller) -> None:
    assert caller.ask("GET", "/api/v1/runs/r1").json()["runId"] == "r1"
    assert caller.ask("GET", "/api/v1/runs/r2").status_code == 404
    assert caller.ask("DELETE", "/api/v1/runs/r2", Role.ENGINEER).status_code == 404


def test_who_would_rather_wait_is_told_with_the_first_answer_and_then_at_the_end(caller: Caller) -> None:
    prefer = {"authorization": f"Bearer {mint(KEY, 'me', Role.ENGINEER, 60, NOW)}", "prefer": "wait=20"}

    def ask(method: str, path: str, **body: Any) -> httpx.Response:
        return asyncio.run(caller._client.request(method, path, headers=prefer, **body))

    accepted = ask("POST", "/api/v1/pipelines/lighting/runs", json=pipeline())
    assert (accepted.status_code, accepted.json()["stage"]) == (202, "first answer within 20 s")
    assert accepted.headers["location"] == "/api/v1/runs/r1"
    assert ask("GET", "/api/v1/runs/r1").json()["stage"] == "end within 20 s"
    assert ask("GET", "/api/v1/runs/r2").status_code == 404


def test_every_path_is_in_the_open_api_document(caller: Caller) -> None:
    paths = caller.ask("GET", "/openapi.json", role=None).json()["paths"]

    assert {"/healthz", "/readyz", "/metrics", "/api/v1/snapshot", "/api/v1/runs/{run_id}"} <= set(paths)
    assert "/api/v1/scorecard/pushes/{attempt_id}" in paths


def test_path_that_is_none_is_a_problem_too(caller: Caller) -> None:
    response = caller.ask("GET", "/api/v1/weather")

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_token_says_who_and_in_which_role() -> None:
    assert verify(KEY, mint(KEY, "me", "engineer", 60, NOW), NOW) == Identity("me", Role.ENGINEER)


def test_token_ends_with_its_lifetime() -> None:
    token = mint(KEY, "me", Role.VIEWER, 60, NOW)

    with pytest.raises(InvalidInput, match="expired"):
        verify(KEY, token, NOW + timedelta(seconds=120))


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "me", "role": "viewer", "aud": "other", "exp": 4e9},
        {"sub": "me", "role": "root", "aud": AUDIENCE, "exp": 4e9},
        {"sub": "me", "role": "viewer", "aud": AUDIENCE},
        {"role": "viewer", "aud": AUDIENCE, "exp": 4e9},
    ],
)
def test_token_with_wrong_claims_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        verify(KEY, jwt.encode(claims, KEY, algorithm="HS256"), NOW)
    assert caught.value.reason == "Unauthorized"


def test_token_of_another_key_or_without_signature_is_refused() -> None:
    claims = {"sub": "me", "role": "operator", "aud": AUDIENCE, "exp": 4e9}
    for token in (mint(b"x" * 40, "me", "operator", 60, NOW), jwt.encode(claims, "", algorithm="none"), "x"):
        with pytest.raises(InvalidInput):
            verify(KEY, token, NOW)


OWN = b"o" * 40


@pytest.mark.parametrize(
    ("key", "role", "status_code"),
    [
        (KEY, Role.VIEWER, 200),
        (KEY, Role.OPERATOR, 401),
        (OWN, Role.VIEWER, 200),
        (OWN, Role.OPERATOR, 200),
        (b"x" * 40, Role.VIEWER, 401),
    ],
)
def test_key_that_every_twin_of_a_tree_has_only_reads_where_a_twin_has_its_own(
    tmp_path: Path, key: bytes, role: Role, status_code: int
) -> None:
    caller = Caller(tmp_path, Keys(tree=KEY, own=OWN))
    assert caller.ask("GET", "/api/v1/snapshot", role, key=key).status_code == status_code


def test_push_is_not_entered_in_the_operators_name_by_another_twin(tmp_path: Path) -> None:
    caller = Caller(tmp_path, Keys(tree=KEY, own=OWN))
    path = "/api/v1/scorecard/pushes/a1"
    assert caller.ask("PUT", path, Role.OPERATOR, json=measured_push()).status_code == 401
    assert caller.ask("PUT", path, Role.OPERATOR, key=OWN, json=measured_push()).status_code == 200


def test_token_of_ones_own_key_that_has_ended_is_told_as_such() -> None:
    token = mint(OWN, "me", Role.OPERATOR, 60, NOW)
    with pytest.raises(InvalidInput, match="expired"):
        verify_at(Keys(tree=KEY, own=OWN), token, NOW + timedelta(seconds=120))


def test_keys_are_not_shown() -> None:
    assert "kkk" not in repr(Keys(tree=KEY, own=OWN))
    assert "ooo" not in repr(Keys(tree=KEY, own=OWN))


def measured_push() -> dict[str, Any]:
    figures: dict[str, Any] = {"flows": []}
    return {
        "segment": "north",
        "configuration": "north-r0001",
        "predictedAt": "2026-05-01T12:00:00Z",
        "measuredAt": "2026-05-01T13:00:00Z",
        "prediction": {
            "before": figures,
            "after": figures,
            "model": "packet-simulator",
            "profile": "zephyr",
            "seed": 1,
            "replications": 8,
            "snapshotFingerprint": "f",
        },
    }


@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.ENGINEER])
def test_nobody_but_the_operator_enters_a_push(caller: Caller, role: Role | None) -> None:
    response = caller.ask("PUT", "/api/v1/scorecard/pushes/a1", role, json=measured_push())
    assert response.status_code == (401 if role is None else 403)
    assert caller.ask("GET", "/api/v1/scorecard").json()["pushes"] == []


def test_push_entered_twice_is_answered_alike(caller: Caller) -> None:
    first, again = (
        caller.ask("PUT", "/api/v1/scorecard/pushes/a1", Role.OPERATOR, json=measured_push()) for _ in range(2)
    )
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert first.json()["pushes"] == ["a1"]


@pytest.mark.parametrize("attempt", ["..%2f..%2fkey", "a" * 65, "a%20b"])
def test_attempt_id_that_is_none_is_refused(caller: Caller, attempt: str) -> None:
    response = caller.ask("PUT", f"/api/v1/scorecard/pushes/{attempt}", Role.OPERATOR, json=measured_push())
    assert response.status_code in (404, 422)
    assert caller.ask("GET", "/api/v1/scorecard").json()["pushes"] == []


def test_standings_travel_with_the_snapshot_and_are_shown_by_segment(caller: Caller) -> None:
    when = datetime(2026, 5, 1, tzinfo=UTC)
    worth = Standing(bias=0.5, deviation=0.4, entries=3, since=when, until=when)
    key = ("packet-simulator", FigureKind.ON_TIME)
    caller.twin.partial = replace(caller.twin.partial, standings={"north": {key: worth}})
    assert parse_snapshot(caller.ask("GET", "/api/v1/snapshot").content).standings == {"north": {key: worth}}
    (shown,) = caller.ask("GET", "/api/v1/scorecards").json()["scorecards"]
    assert (shown["segment"], shown["standings"][0]["entries"]) == ("north", 3)
    assert shown["standings"][0]["widthRatio"] == round(0.4 / SIMULATION[FigureKind.ON_TIME].deviation, 3)
