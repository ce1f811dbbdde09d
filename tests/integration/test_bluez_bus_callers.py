"""Who may call a gateway's objects on the bus: the process that is the daemon, and nobody else."""

import asyncio
import contextlib
import gc
import os
import select
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from meshtwin.errors import Unavailable
from meshtwin.gateway.bluez.application import Arrival, Composition
from meshtwin.gateway.bluez.bus import MESH_SERVICE, MeshBus
from meshtwin.gateway.bluez.local_node import LocalNode
from meshtwin.virtual_air.processes import BUS_CONFIGURATION, OPEN_POLICY

ROOT = "/meshtwin/gateway"
DENIED = "org.freedesktop.DBus.Error.AccessDenied"

pytestmark = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="dbus-daemon is not installed")


@dataclass
class Rig:
    """A bus with a gateway's node on it; others are connected as they are needed."""

    address: str
    bus: MeshBus
    process: asyncio.subprocess.Process
    tokens: list[int] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    others: list[MessageBus] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.node = LocalNode(self.bus, root=ROOT, address=2, composition=Composition(), on_token=self.tokens.append)
        self.node.on_arrival = self.arrivals.append

    async def connect(self, *, owns: bool = False) -> MessageBus:
        other = await MessageBus(bus_address=self.address).connect()
        self.others.append(other)
        if owns:
            await other.request_name(MESH_SERVICE)
        return other

    async def join(self, caller: MessageBus) -> Message:
        return await self._call(caller, "/application", "org.bluez.mesh.Application1", "JoinComplete", "t", [7])

    async def hand_over(self, caller: MessageBus) -> Message:
        body = [3, False, 0, b"\x80\x26"]
        return await self._call(caller, "/element0", "org.bluez.mesh.Element1", "DevKeyMessageReceived", "qbqay", body)

    def lose_bus_with_a_call_unread(self) -> None:
        """End the bus when a call has come to us and before we look at it; the event loop stands still meanwhile."""
        handle = self.bus._bus._fd
        select.select([handle], [], [])
        os.kill(self.process.pid, signal.SIGKILL)
        hung_up = select.poll()
        hung_up.register(handle, 0)
        hung_up.poll()

    async def _call(
        self, caller: MessageBus, path: str, interface: str, member: str, signature: str, body: list[object]
    ) -> Message:
        us = self.bus._bus.unique_name  # a stranger sees it on the bus
        message = Message(
            destination=us, path=ROOT + path, interface=interface, member=member, signature=signature, body=body
        )
        reply = await caller.call(message)
        assert reply is not None
        return reply


async def leave(bus: MessageBus) -> None:
    bus.disconnect()
    with contextlib.suppress(EOFError, OSError):  # how the connection ended
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast says no types of it


@pytest_asyncio.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    socket, configuration = tmp_path / "bus", tmp_path / "bus.conf"
    configuration.write_text(BUS_CONFIGURATION.format(path=socket, policy=OPEN_POLICY))
    command = ["dbus-daemon", f"--config-file={configuration}", "--nofork", "--nopidfile", "--print-address"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    address = (await process.stdout.readline()).decode().strip()  # when it listens
    rig = Rig(address, await MeshBus.connect(address), process)
    try:
        yield rig
    finally:
        for other in (rig.bus._bus, *rig.others):
            await leave(other)
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def test_the_daemon_may_call(rig: Rig) -> None:
    daemon = await rig.connect(owns=True)
    await rig.bus.trust(MESH_SERVICE)

    assert (await rig.join(daemon)).message_type is MessageType.METHOD_RETURN
    assert (await rig.hand_over(daemon)).message_type is MessageType.METHOD_RETURN
    assert rig.tokens == [7]
    assert rig.arrivals == [Arrival(3, None, b"\x80\x26", True)]
    assert rig.bus.denied_total == 0


async def test_a_stranger_is_denied_and_nothing_of_it_believed(rig: Rig) -> None:
    await rig.connect(owns=True)
    await rig.bus.trust(MESH_SERVICE)
    stranger = await rig.connect()

    replies = [await rig.join(stranger), await rig.hand_over(stranger)]

    assert [reply.error_name for reply in replies] == [DENIED, DENIED]
    assert (rig.tokens, rig.arrivals) == ([], [])
    assert rig.bus.denied_total == 2


async def test_nobody_may_call_before_the_daemon_is_known(rig: Rig) -> None:
    daemon = await rig.connect(owns=True)

    assert (await rig.join(daemon)).error_name == DENIED


async def test_who_takes_the_name_later_is_a_stranger_until_the_gateway_attaches_again(rig: Rig) -> None:
    daemon = await rig.connect(owns=True)
    await rig.bus.trust(MESH_SERVICE)
    await leave(daemon)
    heir = await rig.connect(owns=True)

    assert (await rig.hand_over(heir)).error_name == DENIED
    await rig.bus.trust(MESH_SERVICE)
    assert (await rig.hand_over(heir)).message_type is MessageType.METHOD_RETURN


async def test_without_a_daemon_a_node_cannot_be_attached(rig: Rig) -> None:
    with pytest.raises(Unavailable) as caught:
        await rig.node.attach(7)

    assert caught.value.reason == "DaemonMissing"


async def test_answers_that_a_bus_did_not_live_to_take_are_not_complained_of(rig: Rig) -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(str(context)))
    daemon = await rig.connect(owns=True)
    await rig.bus.trust(MESH_SERVICE)
    call = asyncio.ensure_future(rig.hand_over(daemon))
    await asyncio.sleep(0)  # it is on its way

    rig.lose_bus_with_a_call_unread()
    with pytest.raises((EOFError, OSError)):
        await call
    with pytest.raises(Unavailable, match="bus went away"):
        await rig.bus.read_owner(MESH_SERVICE)
    gc.collect()  # complaints come when a future is forgotten

    assert rig.arrivals == [Arrival(3, None, b"\x80\x26", True)]
    assert complaints == []
