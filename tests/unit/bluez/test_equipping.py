"""Giving a node its application key: a node that does not answer, or refuses, is told as such."""

from collections.abc import Callable

import pytest

from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.gateway.bluez.application import Arrival
from meshtwin.gateway.bluez.commissioning import equip
from meshtwin.gateway.bluez.local_node import NodeKeys

KEY = bytes(16)
KEYS = NodeKeys(address=2, uuid=KEY, device_key=KEY, net_key=KEY, app_key=KEY)


class Node:
    """As much of a `LocalNode` as the application key goes through; it answers with ``arrivals``."""

    address = 2

    def __init__(self, *arrivals: Arrival) -> None:
        self.on_arrival: Callable[[Arrival], None] = lambda _arrival: None
        self._arrivals = arrivals

    async def learn_keys(self, _keys: NodeKeys) -> None:
        for arrival in self._arrivals:
            self.on_arrival(arrival)

    async def send_configuration(self, _destination: int, _payload: bytes) -> None:
        raise Unavailable("the key was taken, and the node asked further", reason="Asked")


def status(code: bytes, *, source: int = 2, is_device_key: bool = True) -> Arrival:
    return Arrival(source, None, b"\x80\x03" + code, is_device_key)


async def make(*arrivals: Arrival) -> None:
    await equip(Node(*arrivals), KEYS, groups=(), limit_s=0.02)  # type: ignore[arg-type]  # a part of it


async def test_a_node_that_does_not_tell_that_it_has_the_key_is_unavailable_and_may_come_back() -> None:
    with pytest.raises(Unavailable, match="application key") as caught:
        await make()

    assert (caught.value.reason, caught.value.place) == ("NodeSilent", "0002")


@pytest.mark.parametrize(("code", "said"), [(b"\x05\x00", "status 5"), (b"", "no status")])
async def test_a_refused_key_is_told_with_its_status(code: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        await make(status(code))

    assert caught.value.reason == "KeyRefused"


@pytest.mark.parametrize("stranger", [status(b"\x00", source=3), status(b"\x00", is_device_key=False)])
async def test_the_answer_of_somebody_else_is_none(stranger: Arrival) -> None:
    with pytest.raises(Unavailable) as caught:
        await make(stranger)

    assert caught.value.reason == "NodeSilent"


async def test_a_node_that_took_the_key_is_asked_further() -> None:
    with pytest.raises(Unavailable) as caught:
        await make(status(b"\x00\x00\x00"))

    assert caught.value.reason == "Asked"
