"""The server's side: a `meshtwin.ports.Judge` behind ``GET /model`` and ``POST /judge``."""

import hmac
from typing import Final

from fastapi import Depends, FastAPI, Request
from starlette.responses import Response

from meshtwin.errors import MeshTwinError
from meshtwin.foreign.messages import JudgeAnswer, JudgeRequest, KpisMessage, ModelMessage
from meshtwin.northbound.limits import BodyLimit
from meshtwin.northbound.problems import add_problem_handlers
from meshtwin.ports import Judge, no_progress

__all__ = ["serve_judge"]

QUESTION_MAX_BYTES: Final = 16 * 1_048_576  # a thousand nodes of thirty links are about 5 MB


class Unauthorized(MeshTwinError):
    """The bearer token is missing or another."""

    reason = "Unauthorized"


def serve_judge(judge: Judge, *, token: str | None = None, question_max_bytes: int = QUESTION_MAX_BYTES) -> FastAPI:
    """An application for any ASGI server, such as ``uvicorn``; each question is judged in a thread of its own.

    ``token`` not None: only those who send it as bearer token are answered. Errors are problem documents.
    """

    def check(request: Request) -> None:
        said = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token is not None and not hmac.compare_digest(said.encode(), token.encode()):
            raise Unauthorized("a bearer token is needed, and this is none that is known", place="Authorization")

    app = FastAPI(title=f"Model {judge.model}", version="1", dependencies=[Depends(check)])
    app.add_middleware(BodyLimit, limit_bytes=question_max_bytes)
    add_problem_handlers(app)

    @app.get("/model", response_model=ModelMessage)
    def tell_model() -> ModelMessage:
        return ModelMessage(model=judge.model)

    @app.post("/judge", response_model=JudgeAnswer)
    def answer(question: JudgeRequest) -> Response:
        snapshot, configurations, plan = question.to_values()
        kpis = judge.judge(snapshot, configurations, plan, no_progress)
        told = JudgeAnswer(model=judge.model, kpis=[KpisMessage.from_value(one) for one in kpis])
        return Response(told.to_payload(), media_type="application/json")

    return app
