"""What "connected" promises, told by a broker that says no more than it has to."""

import asyncio
from pathlib import Path

import pytest
import structlog

from meshtwin.connectors.mqtt import BrokerSettings, Message, MqttLink
from meshtwin.errors import InvalidInput, Unavailable

CONNECT_ACCEPTED = b"\x20\x02\x00\x00"  # CONNACK, MQTT 3.1.1, 3.2
SUBSCRIBE, SUBSCRIBE_CONFIRMED = 0x82, b"\x90\x03"  # 3.8; SUBACK with one return code, 3.9


async def read_packet(reader: asyncio.StreamReader) -> bytes:
    """Type and body of one packet below 128 bytes."""
    kind, length = await reader.readexactly(2)
    return bytes([kind]) + await reader.readexactly(length)


async def test_link_is_connected_only_when_the_broker_has_confirmed_its_subscriptions() -> None:
    clients: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    server = await asyncio.start_server(lambda r, w: clients.put_nowait((r, w)), "127.0.0.1", 0)
    link = MqttLink(BrokerSettings(host="127.0.0.1", port=server.sockets[0].getsockname()[1]), client_id="test")
    link.subscribe("commands")
    link.start()
    reader, writer = await clients.get()
    await read_packet(reader)
    writer.write(CONNECT_ACCEPTED)
    subscribe = await read_packet(reader)
    early = link.connected.is_set()
    link.subscribe("results")  # not lost, though the first one is still to be confirmed
    later = await asyncio.wait_for(read_packet(reader), 10)

    writer.write(SUBSCRIBE_CONFIRMED + subscribe[1:3] + b"\x01")
    await link.wait_connected(10)

    assert (subscribe[0], early) == (SUBSCRIBE, False)
    assert b"results" in later
    await link.stop()
    writer.close()
    server.close()


async def test_link_without_subscriptions_is_connected_at_once() -> None:
    clients: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    server = await asyncio.start_server(lambda r, w: clients.put_nowait((r, w)), "127.0.0.1", 0)
    link = MqttLink(BrokerSettings(host="127.0.0.1", port=server.sockets[0].getsockname()[1]), client_id="test")
    link.start()
    reader, writer = await clients.get()
    await read_packet(reader)
    writer.write(CONNECT_ACCEPTED)
    await link.wait_connected(10)
    await link.stop()
    writer.close()
    server.close()


async def test_link_says_that_nobody_is_there_and_goes_on_trying() -> None:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    link = MqttLink(BrokerSettings(host="127.0.0.1", port=port), client_id="test")
    link.start()
    with pytest.raises(Unavailable, match="nobody is there"):
        await link.wait_connected(2)

    assert link.is_turning
    await link.stop()


async def test_authority_that_is_not_there_may_yet_come_and_one_that_is_none_may_not(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.crt"
    with pytest.raises(Unavailable, match=r"certificate is not readable: No such file.*ca\.crt"):
        MqttLink(BrokerSettings(host="broker", port=8883, ca_file=str(ca_file)), client_id="test")

    ca_file.write_text("no certificate")
    with pytest.raises(InvalidInput, match="there is none in PEM"):
        MqttLink(BrokerSettings(host="broker", port=8883, ca_file=str(ca_file)), client_id="test")


async def test_link_whose_connections_are_all_ended_at_once_asks_for_another_one_with_its_id() -> None:
    async def take_over(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_packet(reader)
        writer.write(CONNECT_ACCEPTED)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(take_over, "127.0.0.1", 0)
    with structlog.testing.capture_logs() as logs:
        port = server.sockets[0].getsockname()[1]
        link = MqttLink(BrokerSettings(host="127.0.0.1", port=port), client_id="gateway-7")
        link.start()
        async with asyncio.timeout(30):
            while not any("our id" in entry["event"] for entry in logs):  # noqa: ASYNC110  # logs have no event
                await asyncio.sleep(0.02)
        await link.stop()
    server.close()
    (said,) = [entry for entry in logs if "our id" in entry["event"]]
    assert (said["log_level"], said["client_id"]) == ("warning", "gateway-7")


@pytest.mark.parametrize("turns", range(6))
async def test_a_reader_that_is_ended_together_with_a_message_ends(turns: int) -> None:
    link = MqttLink(BrokerSettings(host="127.0.0.1", port=1), client_id="test")

    async def read() -> None:
        while True:
            await link.next_message()

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)  # it waits now
    link.messages.put_nowait(Message(topic="t", payload=b"", retained=False, qos=0, mid=1, received_s=0.0))
    for _ in range(turns):
        await asyncio.sleep(0)
    reader.cancel()
    await asyncio.wait({reader}, timeout=5)

    assert reader.cancelled()


async def test_no_message_within_the_time_is_none() -> None:
    link = MqttLink(BrokerSettings(host="127.0.0.1", port=1), client_id="test")

    assert await link.next_message(0.01) is None
