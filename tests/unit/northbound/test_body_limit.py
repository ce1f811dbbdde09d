"""Bodies of requests are bounded in size and in time."""

import asyncio
import json
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from meshtwin.northbound.limits import BodyLimit

SCOPE: Scope = {"type": "http", "method": "POST", "path": "/", "headers": []}


async def ask(parts: list[bytes | None], **limits: Any) -> tuple[list[Message], list[bytes]]:
    """What is answered to a body in ``parts``, None standing for silence, and the body that came through."""
    sent: list[Message] = []
    through: list[bytes] = []
    waiting = iter(parts)

    async def receive() -> Message:
        part = next(waiting, b"")
        if part is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": part, "more_body": part != b""}

    async def send(message: Message) -> None:
        sent.append(message)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive()).get("more_body"):
            through.append(message["body"])

    await BodyLimit(application, **limits)(SCOPE, receive, send)
    return sent, through


async def test_body_within_the_limits_comes_through_whole() -> None:
    assert await ask([b"ab", b"cd"], limit_bytes=4) == ([], [b"ab", b"cd"])


async def test_body_above_the_limit_is_refused() -> None:
    sent, through = await ask([b"abc", b"de"], limit_bytes=4)

    assert (sent[0]["status"], json.loads(sent[1]["body"])["detail"]) == (413, "the body is above 4 bytes")
    assert (b"connection", b"close") in sent[0]["headers"]
    assert through == []


async def test_body_that_never_ends_is_given_up_in_time() -> None:
    sent, through = await ask([b"abc", None], limit_s=0.05)

    assert (sent[0]["status"], json.loads(sent[1]["body"])["title"]) == (408, "TooSlow")
    assert through == []
