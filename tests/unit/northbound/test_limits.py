"""A request body above the limit is refused before it is held or parsed."""

import asyncio
from collections.abc import AsyncIterator

import httpx
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from meshtwin.northbound.limits import BodyLimit


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


def post(content: bytes | AsyncIterator[bytes]) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(BodyLimit(echo, limit_bytes=100))
        async with httpx.AsyncClient(transport=transport, base_url="http://twin") as client:
            return await client.post("/", content=content)

    return asyncio.run(ask())


def test_body_up_to_the_limit_reaches_the_application() -> None:
    assert post(b"x" * 100).text == "100"


def test_body_above_the_limit_is_a_problem_document() -> None:
    answer = post(b"x" * 101)

    assert answer.status_code == 413
    assert answer.json()["title"] == "TooLarge"


def test_body_of_many_small_parts_is_bounded_too() -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"x" * 10

    assert post(parts()).status_code == 413
