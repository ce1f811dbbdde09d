"""A bound on request bodies, before anything reads them: FastAPI parses a body before it looks at the token."""

from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meshtwin.northbound.problems import problem

__all__ = ["BODY_LIMIT_BYTES", "BodyLimit"]

# What a request says comes from resources, and an API server takes none above about 1.5 MB (etcd's limit).
BODY_LIMIT_BYTES: Final = 2 * 1_048_576


class BodyLimit:
    """ASGI middleware: a larger body is answered with 413, and never held in memory."""

    def __init__(self, app: ASGIApp, limit_bytes: int = BODY_LIMIT_BYTES) -> None:
        self._app, self._limit_bytes = app, limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body up to the limit, then hand the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        messages: list[Message] = []
        size = 0
        while True:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > self._limit_bytes:
                await self._refuse(scope, receive, send)
                return
            if not message.get("more_body"):
                break
        waiting = iter(messages)

        async def replay() -> Message:
            found = next(waiting, None)
            return found if found is not None else await receive()

        await self._app(scope, replay, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = f"the body is above {self._limit_bytes} bytes"
        answer = problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "TooLarge", detail, place="body")
        answer.headers["Connection"] = "close"  # the rest of the body is not read
        await answer(scope, receive, send)
