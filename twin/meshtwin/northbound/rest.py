"""The REST application of segment and parent twins."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Response

from meshtwin.contract.wire import UnicastText, WireModel
from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.northbound import views
from meshtwin.northbound.limits import BodyLimit
from meshtwin.northbound.messages import SnapshotAnswer
from meshtwin.northbound.preferring import Prefer, read_wait_s
from meshtwin.northbound.problems import add_problem_handlers
from meshtwin.northbound.rfc8345 import to_rfc8345
from meshtwin.northbound.token_first import TokenFirst
from meshtwin.northbound.tokens import Identity, Keys, Role, verify_at
from meshtwin.northbound.views import Health, RunDesk, ScoreDesk, TwinView
from meshtwin.recipes.messages import PipelineRequest, RunStatus, WhatIfRequest
from meshtwin.recipes.score_messages import MeasuredPushModel, ScorecardModel

__all__ = ["create_app"]

API: Final = "/api/v1"
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def create_app(
    *,
    title: str,
    twin: TwinView,
    runs: RunDesk,
    keys: Keys,
    now: Callable[[], datetime],
    scores: ScoreDesk | None = None,
) -> FastAPI:
    """The application; ``keys`` sign its tokens, ``title`` is the twin's name.

    ``scores``: the scorecard of the segment; None: a parent, which keeps none of its own.
    """
    app = FastAPI(title=f"meshtwin {title}", version="v1", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    add_problem_handlers(app)
    allow = _make_guard(keys, now)
    app.add_middleware(BodyLimit)
    app.add_middleware(TokenFirst, prefix=API, check=allow(Role.VIEWER))  # the lowest: outermost, before any body
    app.include_router(_health_routes(twin, allow))
    app.include_router(_reading_routes(twin, title), prefix=API, dependencies=[Depends(allow(Role.VIEWER))])
    app.include_router(_run_routes(runs, allow), prefix=API)
    if scores is not None:
        app.include_router(_score_routes(scores, allow), prefix=API)
    return app


Guard = Callable[[Role], Callable[..., Identity]]


def _make_guard(keys: Keys, now: Callable[[], datetime]) -> Guard:
    def allow(role: Role) -> Callable[..., Identity]:
        def check(authorization: Annotated[str | None, Header()] = None) -> Identity:
            scheme, _, token = (authorization or "").partition(" ")
            if scheme.lower() != "bearer" or not token:
                raise InvalidInput("a bearer token is needed", reason="Unauthorized", place="Authorization")
            identity = verify_at(keys, token.strip(), now())
            if identity.role < role:
                message = f"role {identity.role.claim} of {identity.subject!r} is below {role.claim}"
                raise InvalidInput(message, reason="Forbidden", place="role")
            return identity

        return check

    return allow


def _health_routes(twin: TwinView, allow: Guard) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the loops turn."""
        return _expect(twin.liveness(), "NotAlive")

    @router.get("/readyz")
    async def readyz() -> dict[str, str]:
        """Whether the state is loaded and REST serves."""
        return _expect(twin.readiness(), "NotReady")

    @router.get("/metrics", dependencies=[Depends(allow(Role.VIEWER))], response_class=Response)
    async def metrics() -> Response:
        """Prometheus text."""
        return Response(twin.metrics(), media_type=METRICS_TYPE)

    return router


def _expect(health: Health, reason: str) -> dict[str, str]:
    if not health.is_good:
        raise Unavailable(health.detail, reason=reason)
    return {"status": "ok", "detail": health.detail}


def _reading_routes(twin: TwinView, title: str) -> APIRouter:
    router = APIRouter()

    @router.get("/topology", response_model=None)
    async def topology(format: Literal["plain", "rfc8345"] = "plain") -> Response | dict[str, Any]:
        """All links; also as RFC 8345 JSON."""
        partial = await twin.snapshot()
        if format == "rfc8345":
            return to_rfc8345(partial.snapshot, title)
        return await _built(lambda: views.answer_topology(partial))

    @router.get("/nodes", response_model=views.NodesAnswer)
    async def nodes() -> Response:
        """All nodes."""
        partial = await twin.snapshot()
        return await _built(lambda: views.answer_nodes(partial))

    @router.get("/nodes/{address}", response_model=views.NodeAnswer)
    async def node(address: UnicastText) -> Response:
        """One node and its links."""
        answer = views.answer_node(await twin.snapshot(), UnicastAddress(int(address, 16)))
        return _json(answer.to_payload())

    @router.get("/links", response_model=views.LinksAnswer)
    async def links(source: Annotated[UnicastText | None, Query()] = None) -> Response:
        """All directed links, or those from ``source``."""
        partial = await twin.snapshot()

        def build() -> views.LinksAnswer:
            answer = views.answer_links(partial)
            if source is None:
                return answer
            return answer.model_copy(update={"links": [link for link in answer.links if link.source == source]})

        return await _built(build)

    @router.get("/segments", response_model=views.SegmentsAnswer)
    async def segments() -> Response:
        """Facts and figures of the segments."""
        return _json(views.answer_segments(await twin.snapshot(), twin.summary()).to_payload())

    @router.get("/snapshot", response_model=SnapshotAnswer)
    async def snapshot() -> Response:
        """Everything a model reads."""
        partial = await twin.snapshot()
        return await _built(lambda: SnapshotAnswer.from_value(partial))

    @router.get("/scorecards", response_model=views.ScorecardsAnswer)
    async def scorecards() -> Response:
        """What models are worth in each segment, as far as predictions were measured."""
        return _json(views.answer_scorecards(await twin.snapshot()).to_payload())

    @router.get("/summary")
    async def summary() -> Response:
        """The same as the twin's MQTT summary."""
        return _json(twin.summary().to_payload())

    return router


def _run_routes(runs: RunDesk, allow: Guard) -> APIRouter:
    router = APIRouter()
    ask = [Depends(allow(Role.ENGINEER))]

    async def accepted(status: RunStatus, prefer: str | None) -> Response:
        if (seconds := read_wait_s(prefer)) > 0.0:
            status = await runs.wait(status.run_id, seconds, until_over=False) or status
        return _json(status.to_payload(), 202, {"Location": f"{API}/runs/{status.run_id}"})

    @router.post("/pipelines/{name}/runs", status_code=202, response_model=RunStatus, dependencies=ask)
    async def run_pipeline(name: str, request: PipelineRequest, prefer: Prefer = None) -> Response:
        """Start a pipeline for one segment; the same run id is the same run."""
        if request.pipeline != name:
            message = f"pipeline {request.pipeline!r} of the body is not {name!r} of the path"
            raise InvalidInput(message, place="pipeline")
        return await accepted(await runs.start_pipeline(request), prefer)

    @router.post("/recipes/{name}/runs", status_code=202, response_model=RunStatus, dependencies=ask)
    async def run_recipe(name: str, request: PipelineRequest, prefer: Prefer = None) -> Response:
        """Start one recipe for one segment; the body's only recipe uses ``name``."""
        if [use.uses for use in request.recipes] != [name]:
            raise InvalidInput(f"recipes of the body are not just {name!r}", place="recipes")
        return await accepted(await runs.start_pipeline(request), prefer)

    @router.post("/whatifs", status_code=202, response_model=RunStatus, dependencies=ask)
    async def run_what_if(request: WhatIfRequest, prefer: Prefer = None) -> Response:
        """Ask what would be; with ``Prefer: wait=`` seconds it is told with its first answer."""
        return await accepted(await runs.start_what_if(request), prefer)

    @router.get("/runs/{run_id}", response_model=RunStatus, dependencies=[Depends(allow(Role.VIEWER))])
    async def run(run_id: str, prefer: Prefer = None) -> Response:
        """Where a run stands; with ``Prefer: wait=`` seconds it is told when it is over."""
        if (seconds := read_wait_s(prefer)) > 0.0:
            return _json(_known(await runs.wait(run_id, seconds, until_over=True), run_id).to_payload())
        return _json(_known(runs.get(run_id), run_id).to_payload())

    @router.delete("/runs/{run_id}", response_model=RunStatus, dependencies=ask)
    async def end_run(run_id: str) -> Response:
        """End a run."""
        return _json(_known(await runs.cancel(run_id), run_id).to_payload())

    return router


def _score_routes(scores: ScoreDesk, allow: Guard) -> APIRouter:
    router = APIRouter()

    @router.get("/scorecard", response_model=ScorecardModel, dependencies=[Depends(allow(Role.VIEWER))])
    async def scorecard() -> Response:
        """The segment's scorecard: every prediction that was measured."""
        return _json(scores.card().to_payload())

    @router.put(
        "/scorecard/pushes/{attempt_id}", response_model=ScorecardModel, dependencies=[Depends(allow(Role.OPERATOR))]
    )
    async def enter_push(
        attempt_id: Annotated[str, Path(pattern=r"^[A-Za-z0-9][-A-Za-z0-9_.]*$", max_length=64)],
        push: MeasuredPushModel,
    ) -> Response:
        """Enter what a push showed; the same attempt counts once."""
        return _json((await scores.enter(attempt_id, push)).to_payload())

    return router


async def _built(build: Callable[[], WireModel]) -> Response:
    """A large answer, built beside the event loop: half a megabyte takes a tenth of a second."""
    return _json(await asyncio.to_thread(lambda: build().to_payload()))


def _known(status: RunStatus | None, run_id: str) -> RunStatus:
    if status is None:
        raise InvalidInput(f"run {run_id!r} is not known", reason="NotFound", place="runId")
    return status


def _json(payload: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(payload, status, headers, media_type="application/json")
