"""Bounds on request bodies, before anything reads them: FastAPI parses a body before it looks at the token."""

import asyncio
from http import HTTPStatus
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meshtwin.northbound.problems import problem

__all__ = ["BODY_LIMIT_BYTES", "BODY_LIMIT_S", "BodyLimit"]

# What a request says comes from resources, and an API server takes none above about 1.5 MB (etcd's limit).
BODY_LIMIT_BYTES: Final = 2 * 1_048_576
BODY_LIMIT_S: Final = 30.0  # 2 MiB in that time are half a megabit per second


class BodyLimit:
    """ASGI middleware: a larger body is answered with 413 and never held in memory, one that drips in with 408."""

    def __init__(self, app: ASGIApp, limit_bytes: int = BODY_LIMIT_BYTES, limit_s: float = BODY_LIMIT_S) -> None:
        self._app, self._limit_bytes, self._limit_s = app, limit_bytes, limit_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body up to the limit, then hand the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._limit_s):
                messages = await self._read(receive)
        except TimeoutError:
            detail = f"the body did not come within {self._limit_s:g} s"
            await _refusal(HTTPStatus.REQUEST_TIMEOUT, "TooSlow", detail)(scope, receive, send)
            return
        if messages is None:
            detail = f"the body is above {self._limit_bytes} bytes"
            await _refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "TooLarge", detail)(scope, receive, send)
            return
        waiting = iter(messages)

        async def replay() -> Message:
            found = next(waiting, None)
            return found if found is not None else await receive()

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> list[Message] | None:
        """The parts of the body; None: it is too large."""
        messages: list[Message] = []
        size = 0
        while True:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > self._limit_bytes:
                return None
            if not message.get("more_body"):
                return messages


def _refusal(status: HTTPStatus, reason: str, detail: str) -> Response:
    answer = problem(status, reason, detail, place="body")
    answer.headers["Connection"] = "close"  # the rest of the body is not read
    return answer
