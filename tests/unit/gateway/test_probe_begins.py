"""How a probe begins: with listening where the mesh tells how busy the air is, at once where it does not."""

from datetime import UTC, datetime, timedelta

from meshtwin.contract.access import Opcode, decode_access
from meshtwin.contract.configuration import FlowSpec
from meshtwin.gateway.book import NodeBook
from meshtwin.gateway.exchanges import Exchanges
from meshtwin.gateway.jobs import Desk
from meshtwin.gateway.probe import QUIET_S, ProbeJob
from meshtwin.mesh.addresses import UnicastAddress

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NODES = (UnicastAddress(1), UnicastAddress(2))
FLOW = FlowSpec(name="lights", source="0001", destination="c001", members=["0002"], deadline_ms=150)


def make_desk() -> Desk:
    return Desk(exchanges=Exchanges(), book=NodeBook(), time_scale=1.0)


def test_probe_listens_before_the_first_message() -> None:
    desk, job = make_desk(), ProbeJob(flows=[FLOW], nodes=NODES, presses=10, first_probe=0)
    job.start(desk, NOW)
    assert job.wake_at == NOW + timedelta(seconds=QUIET_S)
    job.on_time(desk, NOW)
    assert desk.exchanges.is_idle


def test_probe_on_a_mesh_that_senses_nothing_begins_at_once() -> None:
    desk, job = make_desk(), ProbeJob(flows=[FLOW], nodes=NODES, presses=10, first_probe=0, quiet_s=0.0)
    job.start(desk, NOW)
    job.on_time(desk, NOW)
    messages = [decode_access(sent.request.payload) for sent in desk.exchanges.start_waiting(NOW)]
    assert [message.opcode for message in messages if message] == [Opcode.PROBE_RUN]
