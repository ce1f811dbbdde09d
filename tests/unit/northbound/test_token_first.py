"""What strangers send is not even read."""

import json

import pytest
from starlette.types import Message, Receive, Scope, Send

from meshtwin.errors import InvalidInput
from meshtwin.northbound.token_first import TokenFirst


def check(authorization: str | None) -> None:
    if authorization != "Bearer good":
        raise InvalidInput("a bearer token is needed", reason="Unauthorized", place="Authorization")


async def ask(path: str, authorization: str | None) -> tuple[list[Message], bool]:
    """What is sent in answer, and whether the application saw the request."""
    sent: list[Message] = []
    seen: list[str] = []

    async def receive() -> Message:
        raise AssertionError("the body is read")

    async def send(message: Message) -> None:
        sent.append(message)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["path"])

    headers = [] if authorization is None else [(b"authorization", authorization.encode())]
    scope: Scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    await TokenFirst(application, "/api/v1", check)(scope, receive, send)
    return sent, bool(seen)


@pytest.mark.parametrize("authorization", [None, "", "Bearer bad"])
async def test_request_without_a_good_token_is_refused_unread(authorization: str | None) -> None:
    sent, is_seen = await ask("/api/v1/whatifs", authorization)

    assert (sent[0]["status"], is_seen) == (401, False)
    assert {(b"connection", b"close"), (b"www-authenticate", b"Bearer")} <= set(sent[0]["headers"])
    assert json.loads(sent[1]["body"])["place"] == "Authorization"


@pytest.mark.parametrize(("path", "authorization"), [("/api/v1/whatifs", "Bearer good"), ("/healthz", None)])
async def test_request_with_a_token_and_health_are_handed_on(path: str, authorization: str | None) -> None:
    assert await ask(path, authorization) == ([], True)
