"""What an emulated mesh says to a gateway: bad lines are left out, and a welcome that cannot be is refused."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.gateway.mesh_client import EmulatedMeshLink
from meshtwin.gateway.mesh_lines import parse_event, parse_welcome
from meshtwin.gateway.mesh_link import MeshEvent, MeshFault, Received, Sensed

WELCOME = {
    "op": "welcome",
    "address": 2,
    "reportGroup": 0xD001,
    "meshUuid": "6f66666963654d658068000000000001",
    "speed": 16.0,
    "uncertaintyMs": 10.0,
}
GOOD = b'{"op": "received", "source": 3, "payload": "8026", "ttl": 5}\n'
BAD = [
    b"\n",
    b"null\n",
    b"[1]\n",
    b"not json\n",
    b"\xff\xfe\n",
    b"[" * 5000 + b"\n",
    b'{"op": "received"}\n',
    b'{"op": "received", "source": 3, "payload": "zz", "ttl": 5}\n',
    b'{"op": "received", "source": 3, "payload": 7, "ttl": 5}\n',
    b'{"op": "received", "source": 99999, "payload": "8026", "ttl": 5}\n',
    b'{"op": "received", "source": 3, "payload": "8026", "ttl": 300}\n',
    b'{"op": "sensed", "busyS": "x", "meshTimeS": 1}\n',
    b'{"op": "sensed", "busyS": NaN, "meshTimeS": 1}\n',
    b'{"op": "sensed", "busyS": 1, "meshTimeS": 1e999}\n',
    b'{"op": "sensed", "busyS": 1, "meshTimeS": ' + b"9" * 4000 + b"}\n",
]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.mark.parametrize("speed", [0, 0.0, -1, 1e9, "fast", None, True, float("nan"), float("inf")])
def test_a_welcome_with_a_speed_that_cannot_be_is_refused(speed: Any) -> None:
    with pytest.raises(InvalidInput, match="speed"):
        parse_welcome(json.dumps(WELCOME | {"speed": speed}).encode(), "mesh")


@pytest.mark.parametrize("wrong", [{"address": 0}, {"address": 0xC001}, {"reportGroup": 5}, {"address": "2"}])
def test_a_welcome_with_addresses_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        parse_welcome(json.dumps(WELCOME | wrong).encode(), "mesh")


def test_a_refusal_of_the_mesh_is_told_with_its_reason() -> None:
    with pytest.raises(InvalidInput, match="wrong token"):
        parse_welcome(b'{"error": "wrong token"}', "mesh")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(["op", "source", "payload", "ttl", "busyS", "meshTimeS", *WELCOME])
VALUES = JSON | st.sampled_from(["received", "sensed", "welcome", "8026", 3, 5, 1.5])
LINES = st.binary(max_size=60) | st.dictionaries(FIELDS, VALUES).map(lambda said: json.dumps(said).encode())


@given(LINES)
def test_no_line_is_more_than_refused(line: bytes) -> None:
    for parse in (parse_event, lambda text: parse_welcome(text, "mesh")):
        with contextlib.suppress(InvalidInput, Unavailable):
            parse(line)


@pytest.mark.parametrize("line", BAD)
def test_a_bad_line_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_event(line)


async def talk_to(
    talk: Talk, use: Callable[[EmulatedMeshLink], Awaitable[None]], *, welcome_within_s: float = 10.0
) -> None:
    """Let a link meet a server that talks as ``talk`` does, until the link closes."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await talk(reader, writer)
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        over.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = EmulatedMeshLink(host="127.0.0.1", port=port, token="", gateway_id="gw", welcome_within_s=welcome_within_s)
    try:
        await use(link)
    finally:
        await link.close()
        async with asyncio.timeout(10):
            await over.wait()
        server.close()
        await server.wait_closed()


async def test_good_lines_between_bad_ones_are_heard() -> None:
    events: list[MeshEvent] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(json.dumps(WELCOME).encode() + b"\n")
        for line in BAD:
            writer.write(line + GOOD)
        writer.write(b'{"op": "sensed", "busyS": 1.5, "meshTimeS": 30}\n')
        await writer.drain()

    async def use(link: EmulatedMeshLink) -> None:
        welcome = await link.connect()
        assert welcome.speed == 16.0
        ended = asyncio.Event()

        def note(event: MeshEvent) -> None:
            events.append(event)
            if isinstance(event, Sensed):
                ended.set()

        running = asyncio.ensure_future(link.run(note))
        async with asyncio.timeout(10):
            await ended.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert link.bad_lines == len(BAD)

    await talk_to(talk, use)

    assert events == [*[Received(3, b"\x80\x26", 5)] * len(BAD), Sensed(1.5, 30.0)]


async def test_a_line_without_end_loses_the_connection_and_says_so() -> None:
    events: list[MeshEvent] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(json.dumps(WELCOME).encode() + b"\n" + b"x" * 200_000)

    async def use(link: EmulatedMeshLink) -> None:
        await link.connect()
        lost = asyncio.Event()

        def note(event: MeshEvent) -> None:
            events.append(event)
            lost.set()

        running = asyncio.ensure_future(link.run(note))
        async with asyncio.timeout(10):
            await lost.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    await talk_to(talk, use)

    assert isinstance(events[0], MeshFault)


async def test_a_mesh_that_says_nothing_is_waited_for_no_longer_than_the_limit() -> None:
    async def talk(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        return

    async def use(link: EmulatedMeshLink) -> None:
        with pytest.raises(Unavailable, match="no answer within"):
            await link.connect()

    await talk_to(talk, use, welcome_within_s=0.05)


async def test_a_mesh_that_closes_at_once_may_come_back() -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def use(link: EmulatedMeshLink) -> None:
        with pytest.raises(Unavailable):
            await link.connect()

    await talk_to(talk, use)
