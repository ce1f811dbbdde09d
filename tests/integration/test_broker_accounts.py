"""The embedded broker for real: mosquitto with TLS and dynamic security, each credential tried."""

import asyncio
import shutil
import socket
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from meshtwin.connectors.mqtt import BrokerSettings, MqttLink
from meshtwin.contract.topics import gateway_topic, twin_topic
from meshtwin.errors import Unavailable
from meshtwin_operator.southbound.accounts import gateway_account, operator_account, twin_account
from meshtwin_operator.southbound.broker_files import initial_security, mosquitto_configuration
from meshtwin_operator.southbound.certificates import issue_server_certificate, make_authority
from meshtwin_operator.southbound.security_sync import Credential, sync_accounts

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
PLUGINS = list(Path("/usr/lib").glob("**/mosquitto_dynamic_security.so"))
pytestmark = pytest.mark.skipif(
    not MOSQUITTO or not PLUGINS, reason="mosquitto with its dynamic security plugin is not installed"
)

GATEWAY = Credential(account=gateway_account("gateway.gw-1", "gw-1"), password="g" * 32)
TWIN = Credential(account=twin_account("twin.n.north-segment"), password="t" * 32)
COMMAND = gateway_topic("gw-1", "configuration/command")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerSettings]:
    """A broker with the operator's account alone; its settings as the operator's."""
    now = datetime.now(UTC)
    authority = make_authority("test", now)
    server = issue_server_certificate(authority, ["127.0.0.1", "localhost"], now)
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    (tmp_path / "tls.crt").write_bytes(server.certificate)
    (tmp_path / "tls.key").write_bytes(server.key)
    security = tmp_path / "dynamic-security.json"
    security.write_text(initial_security(operator_account("operator"), "o" * 32, b"123456789012"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = mosquitto_configuration(
        port=port, certificate_folder=str(tmp_path), data_folder=str(tmp_path), plugin=str(PLUGINS[0])
    )
    (tmp_path / "mosquitto.conf").write_text(text + "user root\n")
    process = subprocess.Popen([str(MOSQUITTO), "-c", str(tmp_path / "mosquitto.conf")])
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert process.poll() is None
    try:
        yield BrokerSettings(
            host="127.0.0.1", port=port, username="operator", password="o" * 32, ca_file=str(tmp_path / "ca.crt")
        )
    finally:
        process.terminate()
        process.wait(10)


@asynccontextmanager
async def connected(
    broker: BrokerSettings, credential: Credential | None = None, within_s: float = 10
) -> AsyncIterator[MqttLink]:
    """A connection with a credential; without one the operator's."""
    settings = broker
    if credential is not None:
        settings = BrokerSettings(
            host=broker.host,
            port=broker.port,
            username=credential.account.username,
            password=credential.password,
            ca_file=broker.ca_file,
        )
    link = MqttLink(settings, client_id=f"test-{uuid.uuid4().hex}")
    link.subscribe("meshtwin/#")
    link.start()
    try:
        await link.wait_connected(within_s)
        yield link
    finally:
        await link.stop()


async def heard_by_operator(broker: BrokerSettings, sender: Credential | None, topic: str) -> bool:
    """Whether a message to ``topic`` gets through: a message that must get through is sent behind it."""
    async with connected(broker) as ear, connected(broker, sender) as mouth:
        await mouth.publish(topic, b"claim")
        await ear.publish(twin_topic("n", "end", "summary"), b"end")
        topics = []
        while not topics or topics[-1] != twin_topic("n", "end", "summary"):
            message = await asyncio.wait_for(ear.messages.get(), 10)
            ear.acknowledge(message)
            topics.append(message.topic)
        return topic in topics


async def test_a_twin_or_gateway_that_publishes_a_command_is_not_heard(broker: BrokerSettings) -> None:
    await sync_accounts(broker, [GATEWAY, TWIN], client_id="sync")
    assert not await heard_by_operator(broker, GATEWAY, COMMAND)
    assert not await heard_by_operator(broker, TWIN, COMMAND)
    assert await heard_by_operator(broker, None, COMMAND)


async def test_each_account_publishes_what_is_its_own_and_nothing_of_others(broker: BrokerSettings) -> None:
    await sync_accounts(broker, [GATEWAY, TWIN], client_id="sync")
    assert await heard_by_operator(broker, GATEWAY, gateway_topic("gw-1", "telemetry/neighbours"))
    assert not await heard_by_operator(broker, GATEWAY, gateway_topic("gw-2", "telemetry/neighbours"))
    assert await heard_by_operator(broker, TWIN, twin_topic("n", "north-segment", "summary"))
    assert not await heard_by_operator(broker, TWIN, twin_topic("n", "south-segment", "summary"))
    assert not await heard_by_operator(broker, TWIN, gateway_topic("gw-1", "state"))


async def test_a_gateway_hears_its_own_commands_and_no_others(broker: BrokerSettings) -> None:
    await sync_accounts(broker, [GATEWAY], client_id="sync")
    async with connected(broker, GATEWAY) as gateway, connected(broker) as operator:
        await operator.publish(gateway_topic("gw-2", "configuration/command"), b"other")
        await operator.publish(COMMAND, b"own")
        message = await asyncio.wait_for(gateway.messages.get(), 10)
        assert (message.topic, message.payload) == (COMMAND, b"own")


async def test_syncing_again_sends_nothing(broker: BrokerSettings) -> None:
    assert await sync_accounts(broker, [GATEWAY, TWIN], client_id="sync") > 0
    assert await sync_accounts(broker, [GATEWAY, TWIN], client_id="sync") == 0


async def test_a_rotated_password_replaces_the_old_one(broker: BrokerSettings) -> None:
    await sync_accounts(broker, [GATEWAY], client_id="sync")
    rotated = Credential(account=GATEWAY.account, password="n" * 32)
    await sync_accounts(broker, [rotated], client_id="sync")
    async with connected(broker, rotated):
        pass
    with pytest.raises(Unavailable, match="authori"):
        async with connected(broker, GATEWAY, within_s=2):
            pass


async def test_an_account_no_longer_wanted_is_removed(broker: BrokerSettings) -> None:
    await sync_accounts(broker, [GATEWAY, TWIN], client_id="sync")
    await sync_accounts(broker, [GATEWAY], client_id="sync")
    with pytest.raises(Unavailable):
        async with connected(broker, TWIN, within_s=2):
            pass


async def test_nobody_connects_without_a_password(broker: BrokerSettings) -> None:
    anonymous = BrokerSettings(host=broker.host, port=broker.port, ca_file=broker.ca_file)
    link = MqttLink(anonymous, client_id="nobody")
    link.start()
    with pytest.raises(Unavailable):
        await link.wait_connected(2)
    await link.stop()


async def test_a_rotated_password_in_the_file_is_used_without_a_restart(broker: BrokerSettings, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(GATEWAY.password)
    await sync_accounts(broker, [GATEWAY], client_id="sync")
    settings = replace(broker, username=GATEWAY.account.username, password=GATEWAY.password, password_file=str(file))
    link = MqttLink(settings, client_id="gateway")
    link.start()
    try:
        await link.wait_connected(10)
        rotated = replace(GATEWAY, password="n" * 32)
        await sync_accounts(broker, [rotated], client_id="sync")
        async with asyncio.timeout(20):
            while link.refusal is None:  # noqa: ASYNC110  # set by the link, which tells nobody
                await asyncio.sleep(0.05)
        file.write_text(rotated.password)
        await link.wait_connected(20)
    finally:
        await link.stop()
