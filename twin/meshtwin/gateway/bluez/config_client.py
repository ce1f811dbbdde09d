"""Configuration of nodes, one question at a time per node: sent again when lost, given up with what to do."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final

from meshtwin.contract.access import decode_access, decode_status
from meshtwin.errors import Inconsistent, Unavailable
from meshtwin.gateway.bluez.application import Arrival
from meshtwin.gateway.bluez.config_messages import Question, read_settings, set_settings
from meshtwin.gateway.bluez.local_node import LocalNode
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import NodeSettings

__all__ = ["ConfigClient"]

# BlueZ delays each relayed PDU by 0 to 25 ms, and further copies keep its advertiser busy: 60 ms per hop and
# direction hold three copies 20 ms apart. The base covers daemon, bus and a node that is busy itself.
BASE_TIMEOUT_S: Final = 0.4
HOP_TIMEOUT_S: Final = 0.12
BACKOFF: Final = 1.5
TRIES: Final = 5
HOPS_UNKNOWN: Final = 6


class ConfigClient:
    """Asks through ``node``, and takes its messages with a device key; others go to ``on_other``."""

    def __init__(self, node: LocalNode, *, hops: Callable[[int], int | None] = lambda _address: None) -> None:
        self.on_other: Callable[[Arrival], None] = lambda _arrival: None
        self.unexpected_total = 0  # answers nobody asked for: late ones, or from unknown addresses
        self._node = node
        self._hops = hops
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._waiting: dict[int, tuple[Question, asyncio.Future[bytes]]] = {}
        node.on_arrival = self._arrived

    async def ask(self, destination: int, question: Question, *, tries: int = TRIES, hops: int | None = None) -> bytes:
        """Parameters of the Status, without a status code; ``hops`` None: as far as known.

        Raises `Unavailable` (``NoAnswer``) if the node is silent, `InvalidInput` if it answers with an error
        status or if the daemon has no key for it (``NotFound``).
        """
        place = format_address(UnicastAddress(destination))
        async with self._turns[destination]:
            timeout_s = self._timeout_s(destination, hops)
            for _ in range(tries):
                answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
                self._waiting[destination] = (question, answer)
                try:
                    await self._node.send_configuration(destination, question.payload)
                    async with asyncio.timeout(timeout_s):
                        return question.check(await answer, place)
                except TimeoutError:
                    timeout_s *= BACKOFF
                finally:
                    self._waiting.pop(destination, None)
        message = f"{question.name}: no answer after {tries} tries; is the node on and in reach?"
        raise Unavailable(message, reason="NoAnswer", place=place)

    async def read(self, destination: int) -> NodeSettings:
        """Relay, relay retransmit, network transmit and default TTL as the node has them."""
        return await self._collect(destination, read_settings())

    async def write(self, destination: int, settings: NodeSettings) -> NodeSettings:
        """Set what ``settings`` says; what the node's Status messages say.

        Raises `Inconsistent` (``KeptValue``) if the node acknowledges another value.
        """
        got = await self._collect(destination, set_settings(settings))
        if differing := got.differing(settings):
            place = format_address(UnicastAddress(destination))
            message = f"the node keeps another value of {', '.join(differing)}: {got.to_json()}"
            raise Inconsistent(message, reason="KeptValue", place=place)
        return got

    async def _collect(self, destination: int, questions: Iterable[Question]) -> NodeSettings:
        known = NodeSettings()
        for question in questions:
            parameters = await self.ask(destination, question)
            message = decode_access(question.answer + parameters)
            if message is not None:
                known = known.overlaid(decode_status(message))
        return known

    def _timeout_s(self, destination: int, hops: int | None) -> float:
        if hops is None:
            hops = 0 if destination == self._node.address else self._hops(destination) or HOPS_UNKNOWN
        return BASE_TIMEOUT_S + 2 * HOP_TIMEOUT_S * hops

    def _arrived(self, arrival: Arrival) -> None:
        if not arrival.is_device_key:
            self.on_other(arrival)
            return
        waiting = self._waiting.get(arrival.source)
        if waiting is None or waiting[1].done() or not arrival.payload.startswith(waiting[0].answer):
            self.unexpected_total += 1
            self.on_other(arrival)
            return
        question, answer = waiting
        answer.set_result(arrival.payload[len(question.answer) :])
