"""What a gateway wanted to send while its daemon was away is not sent later; what it wanted to hear, it hears."""

import random
from pathlib import Path

from meshtwin.gateway.bluez.credentials import Credentials
from meshtwin.gateway.bluez.link import BluezMeshLink
from meshtwin.gateway.bluez.local_node import NodeKeys

KEY = bytes(16)
KEYS = NodeKeys(address=2, uuid=KEY, device_key=KEY, net_key=KEY, app_key=KEY)


def test_messages_of_the_time_without_a_daemon_are_lost_and_subscriptions_are_not(tmp_path: Path) -> None:
    credentials = Credentials(mesh_uuid="m", nodes={2: KEYS})
    link = BluezMeshLink(credentials=credentials, address=2, report_group=0xD001, folder=tmp_path, rng=random.Random(1))
    for number in range(5):
        link.send(3, bytes((number,)), None)
    link.listen(0xC001)
    link.send(3, b"late", None)

    link._forget_unsent()

    assert link.unsent_total == 6
    assert [vars_of(link._outbox.get_nowait()) for _ in range(link._outbox.qsize())] == [0xC001]


def vars_of(waiting: object) -> int:
    return getattr(waiting, "group", -1)
