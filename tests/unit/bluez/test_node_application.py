"""The application of a node against messages that cannot be, and probes too many or too large: it stays small."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from meshtwin.contract.access import LATENCY_LOST, LATENCY_UNKNOWN, Access, Opcode, decode_access, encode_access
from meshtwin.gateway.bluez.application import Arrival
from meshtwin.gateway.bluez.node_application import PRESSES_MAX, SENDING_MAX, NodeApplication

GATEWAY, NODE, NEIGHBOUR = 1, 5, 6
GROUP = 0xC001


class Node:
    """The part of a `LocalNode` that an application sends by; it keeps what is sent."""

    address = NODE

    def __init__(self) -> None:
        self.sent: list[tuple[int, Access]] = []

    async def send(self, destination: int, payload: bytes) -> None:
        message = decode_access(payload)
        assert message is not None
        self.sent.append((destination, message))

    async def publish(self, payload: bytes) -> None:
        await self.send(0xFFFF, payload)


class Rig:
    def __init__(self) -> None:
        self.node = Node()
        self.application = NodeApplication(self.node, report_to=GATEWAY, rng=random.Random(1))  # type: ignore[arg-type]  # a part of it
        self.timers: list[tuple[float, object]] = []

    def tell(self, opcode: Opcode, parameters: bytes, source: int = GATEWAY) -> None:
        self.application.take(Arrival(source, NODE, encode_access(opcode, parameters), False))

    def monitor(self) -> None:
        self.tell(Opcode.MONITOR, bytes((0,)) + (100).to_bytes(2, "little") * 2 + bytes((4,)))

    def probe(self, number: int, presses: int, spacing: int = 60) -> None:
        words = GROUP.to_bytes(2, "little") + presses.to_bytes(2, "little")
        self.tell(Opcode.PROBE_RUN, bytes((number,)) + words + bytes((spacing,)))

    @property
    def timers_waiting(self) -> int:
        return len(self.application._timers)  # what must stay bounded

    def count_sent(self, opcode: Opcode) -> int:
        return sum(message.opcode is opcode for _, message in self.node.sent)


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    rig.application.stop()


async def turn() -> None:
    """Let what was sent go out."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("transmissions", [0, 9, 200, 255])
async def test_a_notification_with_impossible_transmissions_spoils_no_report(rig: Rig, transmissions: int) -> None:
    rig.monitor()
    for counter in range(1, 12):
        told = counter.to_bytes(2, "little")
        rig.tell(Opcode.NOTIFICATION, told + bytes((transmissions,)), source=NEIGHBOUR)
        rig.tell(Opcode.NOTIFICATION, told + b"\x01", source=NEIGHBOUR + 1)
    rig.application._report()  # now, whatever the interval
    for timer in list(rig.application._timers):
        timer._run()
    await turn()

    reports = [message for _, message in rig.node.sent if message.opcode is Opcode.REPORT]
    assert [report.parameters[0] for report in reports] == [NEIGHBOUR + 1]


async def test_a_probe_of_many_presses_has_one_timer(rig: Rig) -> None:
    rig.probe(1, PRESSES_MAX)
    await turn()

    assert rig.timers_waiting == 1
    assert rig.count_sent(Opcode.PROBE_STARTED) == 1


async def test_a_probe_that_could_not_be_read_back_is_not_begun(rig: Rig) -> None:
    rig.probe(1, PRESSES_MAX + 1)
    await turn()

    assert rig.timers_waiting == 0
    assert rig.node.sent == []


async def test_more_probes_at_a_time_than_a_node_can_send_are_not_begun(rig: Rig) -> None:
    for number in range(256):
        rig.probe(number, 1000)
    await turn()

    assert rig.timers_waiting == SENDING_MAX
    assert rig.count_sent(Opcode.PROBE_STARTED) == SENDING_MAX


async def test_a_repeated_question_is_answered_and_starts_nothing(rig: Rig) -> None:
    rig.probe(1, 10)
    rig.probe(1, 10)
    await turn()

    assert rig.count_sent(Opcode.PROBE_STARTED) == 2
    assert rig.timers_waiting == 1


async def test_a_probe_sends_its_presses_in_order_and_then_makes_room(rig: Rig) -> None:
    rig.probe(1, 3)
    for _ in range(4):
        [timer] = rig.application._timers
        timer._run()
    await turn()

    pressed = [message.parameters for _, message in rig.node.sent if message.opcode is Opcode.PRESS]
    assert [int.from_bytes(p[1:3], "little") for p in pressed] == [0, 1, 2]
    for number in range(2, 2 + SENDING_MAX):
        rig.probe(number, 10)
    await turn()
    assert rig.count_sent(Opcode.PROBE_STARTED) == 1 + SENDING_MAX


async def test_presses_are_spaced_however_little_is_asked(rig: Rig) -> None:
    rig.probe(1, 10, spacing=0)
    [begin] = rig.application._timers
    begin._run()
    [first] = rig.application._timers

    assert first.when() - asyncio.get_running_loop().time() > 0.09
    await turn()


async def test_presses_beyond_the_last_page_are_not_kept(rig: Rig) -> None:
    for index in (0, PRESSES_MAX, 65_535):
        rig.tell(Opcode.PRESS, bytes((7,)) + index.to_bytes(2, "little") + b"\0\0", source=NEIGHBOUR)

    assert rig.application._probes == {7: {0}}


async def test_results_of_as_many_flows_as_a_segment_may_have_are_kept_until_they_are_read(rig: Rig) -> None:
    for probe in range(64):
        rig.tell(Opcode.PRESS, bytes((probe,)) + b"\0\0" + b"\0\0", source=NEIGHBOUR)
    rig.tell(Opcode.RESULT_GET, bytes((0, 0)))
    await turn()

    [result] = [message for _, message in rig.node.sent if message.opcode is Opcode.RESULT]
    assert result.parameters[1] == LATENCY_UNKNOWN
    assert set(result.parameters[2:]) == {LATENCY_LOST}
