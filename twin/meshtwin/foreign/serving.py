"""The server's side: a `meshtwin.ports.Judge` behind ``GET /model`` and ``POST /judge``."""

import asyncio
import hmac
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.foreign.messages import JudgeAnswer, JudgeRequest, KpisMessage, ModelMessage
from meshtwin.northbound.limits import BodyLimit
from meshtwin.northbound.problems import add_problem_handlers, problem
from meshtwin.ports import Cancelled, Judge

__all__ = ["serve_judge"]

QUESTION_MAX_BYTES: Final = 16 * 1_048_576  # a thousand nodes of thirty links are about 5 MB
TIME_LIMIT_S: Final = 600.0  # of one question; who asks may give up earlier, see `HttpJudge.time_limit_s`
QUESTIONS_AT_ONCE: Final = 4  # each has a thread and its simulations in memory
LOOK_S: Final = 0.25  # how soon it is seen that nobody waits any more


def serve_judge(
    judge: Judge,
    *,
    token: str | None = None,
    question_max_bytes: int = QUESTION_MAX_BYTES,
    time_limit_s: float = TIME_LIMIT_S,
    questions_at_once: int = QUESTIONS_AT_ONCE,
) -> FastAPI:
    """An application for any ASGI server, such as ``uvicorn``; each question is judged in a thread of its own.

    ``token`` not None: only those who send it as bearer token are answered. Errors are problem documents.
    A question ends at ``time_limit_s``, or when its asker has gone, as soon as ``judge`` tells its progress; more
    than ``questions_at_once`` are answered with 503. Raises `InvalidInput` for a model whose name cannot be told.
    """
    try:
        named = ModelMessage(model=judge.model)
    except ValidationError as error:
        message = f"a model's name has 1 to 80 characters, none of them a control character; this is {judge.model!r}"
        raise InvalidInput(message, place="model") from error
    app = FastAPI(title=f"Model {named.model}", version="1")
    app.add_middleware(BodyLimit, limit_bytes=question_max_bytes)
    if token is not None:
        app.add_middleware(_TokenGuard, token=token)  # outermost: strangers send no body
    add_problem_handlers(app)
    seats = _Seats(questions_at_once)

    @app.get("/model", response_model=ModelMessage)
    def tell_model() -> ModelMessage:
        return named

    @app.post("/judge", response_model=JudgeAnswer)
    async def answer(question: JudgeRequest, request: Request) -> Response:
        gone = threading.Event()
        work = asyncio.create_task(asyncio.to_thread(_answer, judge, question, seats, time_limit_s, gone))
        while not (await asyncio.wait({work}, timeout=LOOK_S))[0]:
            if await request.is_disconnected():
                gone.set()
                break
        return Response(await work, media_type="application/json")

    return app


def _answer(judge: Judge, question: JudgeRequest, seats: "_Seats", limit_s: float, gone: threading.Event) -> bytes:
    deadline_s = time.monotonic() + limit_s

    def progress(share: float, stage: str) -> None:
        if gone.is_set():
            raise Cancelled("nobody waits for the answer any more")
        if time.monotonic() > deadline_s:
            message = f"not answered within {limit_s:g} s; ask for fewer messages or replications"
            raise Unavailable(message, reason="TimeLimit", place="plan")

    with seats.take():
        snapshot, configurations, plan = question.to_values()
        kpis = judge.judge(snapshot, configurations, plan, progress)
    return JudgeAnswer(model=judge.model, kpis=[KpisMessage.from_value(one) for one in kpis]).to_payload()


class _Seats:
    """How many are judged at once; the next one is refused, since a queue would only hide that nobody keeps up."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = threading.Semaphore(count)

    @contextmanager
    def take(self) -> Iterator[None]:
        if not self._free.acquire(blocking=False):
            message = f"{self._count} questions are being judged, {self._count} are allowed at once; ask again"
            raise Unavailable(message, reason="TooManyQuestions", place="judge")
        try:
            yield
        finally:
            self._free.release()


class _TokenGuard:
    """ASGI middleware: who does not send the token is refused, unread."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scheme, _, said = Headers(scope=scope).get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(said.strip().encode("latin-1"), self._token):
                detail = "a bearer token is needed, and this is none that is known"
                refusal = problem(HTTPStatus.UNAUTHORIZED, "Unauthorized", detail, place="Authorization")
                refusal.headers["Connection"] = "close"  # the body is not read
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)
