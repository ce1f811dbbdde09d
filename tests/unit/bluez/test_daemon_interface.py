"""What a daemon shows on the bus: a mesh that we can use, one of another version, or nothing yet."""

from typing import Any

import pytest

from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.gateway.bluez.local_node import NETWORK, check_interface

IMPORT = ("o", "ay", "ay", "ay", "q", "a{sv}", "u", "q")


def method(name: str, *types: str) -> str:
    arguments = "".join(f'<arg type="{one}" direction="in"/>' for one in types)
    return f'<method name="{name}">{arguments}</method>'


def network(*methods: str) -> str:
    return f'<interface name="{NETWORK}">{"".join(methods)}</interface>'


SERVICE = "org.bluez.mesh"


class Shown:
    """A bus with one daemon, which shows ``interfaces``."""

    def __init__(self, interfaces: str) -> None:
        self._text = f"<node>{interfaces}</node>"

    async def call(self, *_arguments: Any) -> list[Any]:
        return [self._text]


async def check(interfaces: str) -> None:
    bus: Any = Shown(interfaces)
    await check_interface(bus, SERVICE)


async def test_a_daemon_with_the_methods_of_bluez_is_taken() -> None:
    await check(network(method("Import", *IMPORT), method("Attach", "o", "t")))


async def test_a_daemon_that_shows_nothing_yet_is_waited_for() -> None:
    with pytest.raises(Unavailable, match="adapter") as caught:
        await check("")
    assert caught.value.reason == "AdapterMissing"


@pytest.mark.parametrize(
    "interfaces",
    [
        '<interface name="org.example.Other"/>',
        network(),
        network(method("Import", *IMPORT), method("Attach", "t")),
    ],
)
async def test_a_daemon_that_shows_something_else_is_refused(interfaces: str) -> None:
    with pytest.raises(InvalidInput, match="is needed") as caught:
        await check(interfaces)
    assert caught.value.reason == "WrongVersion"
