"""Errors as ``application/problem+json`` (RFC 9457) with value, limit and place."""

import traceback
from http import HTTPStatus
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from meshtwin.errors import Inconsistent, InvalidInput, MeshTwinError, Unavailable

__all__ = ["add_problem_handlers", "problem"]

log = structlog.get_logger(__name__)

STATUS_OF_REASON: Final[dict[str, int]] = {
    "Unauthorized": HTTPStatus.UNAUTHORIZED,
    "Forbidden": HTTPStatus.FORBIDDEN,
    "NotFound": HTTPStatus.NOT_FOUND,
    "TooManyRuns": HTTPStatus.TOO_MANY_REQUESTS,
}
STATUS_OF_TYPE: Final[tuple[tuple[type[MeshTwinError], int], ...]] = (
    (InvalidInput, HTTPStatus.UNPROCESSABLE_ENTITY),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (Inconsistent, HTTPStatus.CONFLICT),
)


def add_problem_handlers(app: FastAPI) -> None:
    """Make every error of the application a problem document."""
    app.add_exception_handler(MeshTwinError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_bug)


def problem(status: int, reason: str, detail: str, *, place: str | None = None, value: str | None = None) -> Response:
    """A problem document; ``type`` is a name, not an address."""
    body = {
        "type": f"urn:meshtwin:problem:{reason}",
        "title": reason,
        "status": int(status),
        "detail": detail,
        "place": place,
        "value": value,
    }
    content = {key: item for key, item in body.items() if item is not None}
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    return JSONResponse(content, status, headers, media_type="application/problem+json")


async def _on_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, MeshTwinError)  # noqa: S101  # registered for this type
    status = STATUS_OF_REASON.get(error.reason)
    if status is None:
        status = next(
            (code for kind, code in STATUS_OF_TYPE if isinstance(error, kind)),
            HTTPStatus.INTERNAL_SERVER_ERROR,
        )
    return problem(status, error.reason, error.message, place=error.place)


async def _on_validation(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for this type
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    value = repr(first.get("input"))[:120]
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "InvalidInput", first["msg"], place=place, value=value)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for this type
    reason = HTTPStatus(error.status_code).phrase.title().replace(" ", "")
    return problem(error.status_code, reason, str(error.detail), place=request.url.path)


async def _on_bug(request: Request, error: Exception) -> Response:
    # Plain, also where nobody configured the logs: structlog's own way shows values of variables, tokens among them.
    log.error("Request failed", path=request.url.path, exception="".join(traceback.format_exception(error)))
    detail = "the twin failed to answer; its log says why"
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError", detail, place=request.url.path)
