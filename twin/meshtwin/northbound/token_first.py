"""The token before the body: FastAPI parses a body first, and parsing what a stranger sends costs time, too."""

from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from meshtwin.errors import MeshTwinError
from meshtwin.northbound.problems import problem

__all__ = ["TokenFirst"]


class TokenFirst:
    """ASGI middleware: whoever has no good token is refused, unread, on every path below ``prefix``.

    ``check`` gets the Authorization header (None: there is none) and raises `MeshTwinError`; what a role may do is
    left to the routes.
    """

    def __init__(self, app: ASGIApp, prefix: str, check: Callable[[str | None], object]) -> None:
        self._app, self._prefix, self._check = app, prefix, check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, or refuse it."""
        if scope["type"] == "http" and scope["path"].startswith(self._prefix):
            try:
                self._check(Headers(scope=scope).get("Authorization"))
            except MeshTwinError as error:
                answer = problem(HTTPStatus.UNAUTHORIZED, error.reason, error.message, place=error.place)
                answer.headers["Connection"] = "close"  # the body is not read
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)
