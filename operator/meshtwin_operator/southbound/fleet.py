"""The operator's MQTT connections, one per tree of twins, and views of what gateways and twins said.

Payloads that cannot be read are counted by reason and logged once per reason and minute, never fatal.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog
from prometheus_client import Counter

from meshtwin.connectors.mqtt import BrokerSettings, Message, MqttLink
from meshtwin.contract.summaries import TwinSummary
from meshtwin.contract.topics import GATEWAYS, TWINS, gateway_topic, split_gateway_topic
from meshtwin.errors import InvalidInput, Unavailable
from meshtwin_operator.reconcile.outcome import PublishCommand
from meshtwin_operator.reconcile.world import GatewayView, ObjectKey
from meshtwin_operator.southbound.views import ATTEMPTS_KEPT, GatewayRecord, parse_summary

__all__ = ["Fleet"]

log = structlog.get_logger(__name__)

REFUSED = Counter("meshtwin_southbound_messages_refused_total", "Messages that could not be read", ["reason"])
HEARD = Counter("meshtwin_southbound_messages_total", "Messages of gateways and twins", ["leaf"])

REPEAT_AFTER_S: Final = 10.0  # an unanswered command is sent again after this
LOG_EVERY_S: Final = 60.0
NAMED_MAX: Final = 8  # topics in one line of the log

CLEAR_AGAIN_S: Final = 60.0  # a topic is emptied once in this: whoever is still connected would say it anew at once

LEAVES: Final = ("state", "telemetry/flows", "configuration/result", "configuration/reported")
RETAINED_LEAVES: Final = ("state", "configuration/reported")


@dataclass(slots=True)
class _Tree:
    link: MqttLink
    settings: BrokerSettings
    task: asyncio.Task[None]
    records: dict[str, GatewayRecord] = field(default_factory=dict)
    sent: dict[tuple[str, str, str], float] = field(default_factory=dict)  # (gateway, attempt, verb) -> when
    retained: set[str] = field(default_factory=set)  # topics that hold something for who comes later
    cleared_s: dict[str, float] = field(default_factory=dict)  # topic -> when


class Fleet:
    """Connections by (namespace, root twin). ``changed`` is called with keys of kind ``Gateway`` or ``Twin``."""

    def __init__(self, *, changed: Callable[[tuple[ObjectKey, ...]], object], now: Callable[[], datetime]) -> None:
        self._changed, self._now = changed, now
        self._trees: dict[tuple[str, str], _Tree] = {}
        self._summaries: dict[tuple[str, str], TwinSummary] = {}
        self._logged_s: dict[str, float] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def connect(self, namespace: str, root_twin: str, settings: BrokerSettings) -> "asyncio.Future[None]":
        """Keep a connection to the broker of a tree; other settings replace it. Returns at once.

        The future is done already: callers may await it or not.
        """
        key = (namespace, root_twin)
        current = self._trees.get(key)
        if current is None or current.settings != settings:
            records = {} if current is None else current.records
            if current is not None:
                self._end(self._trees.pop(key))
            self._trees[key] = self._open(namespace, root_twin, settings, records)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def _open(
        self, namespace: str, root_twin: str, settings: BrokerSettings, records: dict[str, GatewayRecord]
    ) -> _Tree:
        link = MqttLink(
            settings,
            client_id=f"operator-{secrets.token_hex(6)}",  # two operators must not throw each other out
            on_connected=lambda: self._connected(namespace, root_twin),
        )
        for leaf in LEAVES:
            link.subscribe(f"{GATEWAYS}/+/{leaf}")
        link.subscribe(f"{TWINS}/+/summary")
        link.start()
        task = asyncio.create_task(self._read(namespace, root_twin, link))
        return _Tree(link=link, settings=settings, task=task, records=records)

    def _connected(self, namespace: str, root_twin: str) -> None:
        """The broker came (back): what is unanswered may be sent at once."""
        tree = self._trees.get((namespace, root_twin))
        if tree is not None:
            tree.sent.clear()
        self._changed(self._keys_of(namespace, root_twin))

    def _end(self, tree: _Tree) -> None:
        tree.task.cancel()
        stopping = asyncio.create_task(tree.link.stop())
        self._ending.add(stopping)
        stopping.add_done_callback(self._ending.discard)

    async def disconnect(self, namespace: str, root_twin: str) -> None:
        """Give up the connection of a tree and forget what its gateways said."""
        tree = self._trees.pop((namespace, root_twin), None)
        if tree is not None:
            tree.task.cancel()
            await tree.link.stop()

    async def close(self) -> None:
        """End all connections."""
        for namespace, root_twin in list(self._trees):
            await self.disconnect(namespace, root_twin)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def is_connected(self, namespace: str, root_twin: str) -> bool:
        """Whether the broker of a tree answers."""
        tree = self._trees.get((namespace, root_twin))
        return tree is not None and tree.link.connected.is_set()

    def refusal(self, namespace: str, root_twin: str) -> str | None:
        """Why the broker refused us; None if it did not."""
        tree = self._trees.get((namespace, root_twin))
        return None if tree is None else tree.link.refusal

    def gateway(self, namespace: str, gateway_id: str) -> GatewayView:
        """The newest that a gateway of this namespace said; an empty view before it was heard."""
        for (found, _), tree in self._trees.items():
            if found == namespace and gateway_id in tree.records:
                return tree.records[gateway_id].view
        return GatewayView()

    def summary(self, namespace: str, name: str) -> TwinSummary | None:
        """Newest summary of a twin (workload name)."""
        return self._summaries.get((namespace, name))

    async def publish_command(self, action: PublishCommand) -> None:
        """Send a command, acknowledged by the broker; raises `Unavailable` otherwise.

        A command that was sent a moment ago is not sent again: decisions name it as long as it is unanswered.
        """
        place = f"{action.namespace}/{action.root_twin}"
        tree = self._trees.get((action.namespace, action.root_twin))
        if tree is None:
            raise Unavailable("no connection to the broker yet", reason="BrokerUnavailable", place=place)
        command = action.command
        memory = (action.gateway_id, command.attempt_id, command.verb.value)
        sent_s = tree.sent.get(memory)
        if sent_s is not None and time.monotonic() - sent_s < REPEAT_AFTER_S:
            return
        topic = gateway_topic(action.gateway_id, "configuration/command")
        await tree.link.publish(topic, command.to_payload())
        tree.sent[memory] = time.monotonic()
        while len(tree.sent) > ATTEMPTS_KEPT * max(16, len(tree.records)):
            del tree.sent[next(iter(tree.sent))]
        log.info("Sending a command", gateway=action.gateway_id, verb=command.verb.value, attempt=command.attempt_id)

    def departed(
        self, namespace: str, root_twin: str, gateways: Collection[str], twins: Collection[str]
    ) -> frozenset[str]:
        """Topics at the broker of a tree that hold what others than these gateways and MQTT users of twins said last.

        For a broker of the tree's own: at somebody else's, strangers are at home.
        """
        tree = self._trees.get((namespace, root_twin))
        known = {f"{TWINS}/{twin.removeprefix('twin.')}/summary" for twin in twins}
        known |= {gateway_topic(gateway, leaf) for gateway in gateways for leaf in RETAINED_LEAVES}
        return frozenset(tree.retained - known if tree else ())

    async def clear(self, namespace: str, root_twin: str, topics: Collection[str]) -> None:
        """Empty retained topics; what the broker does not take now is left for a later call."""
        tree, now_s = self._trees.get((namespace, root_twin)), time.monotonic()
        if tree is None or not tree.link.connected.is_set():
            return
        due = [t for t in sorted(topics) if now_s - tree.cleared_s.get(t, -CLEAR_AGAIN_S) >= CLEAR_AGAIN_S]
        try:
            for topic in due:
                await tree.link.publish(topic, b"", retain=True)
                tree.cleared_s[topic] = now_s
        except Unavailable as error:
            log.info("Clearing retained topics later", tree=(namespace, root_twin), problem=str(error))
            return
        if due:
            log.info("Cleared retained topics", tree=(namespace, root_twin), topics=due[:NAMED_MAX], count=len(due))
        for topic in set(tree.cleared_s) - tree.retained - set(due):
            del tree.cleared_s[topic]

    def _keys_of(self, namespace: str, root_twin: str) -> tuple[ObjectKey, ...]:
        tree = self._trees.get((namespace, root_twin))
        gateways = tuple(ObjectKey("Gateway", namespace, name) for name in (tree.records if tree else ()))
        return (ObjectKey("DigitalTwin", namespace, root_twin), *gateways)

    async def _read(self, namespace: str, root_twin: str, link: MqttLink) -> None:
        while True:
            message = await link.messages.get()
            self._note_retained(namespace, root_twin, message)
            try:
                key = self._fold(namespace, root_twin, message)
            except Exception:
                # A bug in reading one message must not end the reading of all others.
                log.exception("Failing to read a message", topic=message.topic)
                key = None
            link.acknowledge(message)
            if key is not None:
                self._changed((key,))

    def _note_retained(self, namespace: str, root_twin: str, message: Message) -> None:
        tree, leaf = self._trees.get((namespace, root_twin)), message.topic.removeprefix(f"{GATEWAYS}/")
        is_kept = message.topic.startswith(f"{TWINS}/") or leaf.partition("/")[2] in RETAINED_LEAVES
        if tree is not None and is_kept:
            (tree.retained.add if message.payload else tree.retained.discard)(message.topic)

    def _fold(self, namespace: str, root_twin: str, message: Message) -> ObjectKey | None:
        found = split_gateway_topic(message.topic)
        try:
            if found is not None:
                return self._fold_gateway(namespace, root_twin, *found, message)
            return self._fold_summary(namespace, message)
        except InvalidInput as error:
            self._refuse(error, message)
            return None

    def _fold_gateway(
        self, namespace: str, root_twin: str, gateway_id: str, leaf: str, message: Message
    ) -> ObjectKey | None:
        tree = self._trees.get((namespace, root_twin))
        if tree is None:
            return None
        record = tree.records.setdefault(gateway_id, GatewayRecord())
        session = record.view.state.session if record.view.state else None
        changed = record.take(leaf, message.payload, self._now())
        state = record.view.state
        if state is not None and state.session != session:  # it started again and forgot what was sent
            tree.sent = {memory: sent_s for memory, sent_s in tree.sent.items() if memory[0] != gateway_id}
        if not message.payload and record.view.state is None and record.view.reported is None:
            del tree.records[gateway_id]  # it left, perhaps for another tree
        HEARD.labels(leaf).inc()
        return ObjectKey("Gateway", namespace, gateway_id) if changed else None

    def _fold_summary(self, namespace: str, message: Message) -> ObjectKey | None:
        name, _, leaf = message.topic.removeprefix(f"{TWINS}/").partition("/")
        twin_namespace, _, twin = name.partition(".")
        if leaf != "summary" or not twin or twin_namespace != namespace:
            return None
        if not message.payload:
            self._summaries.pop((namespace, twin), None)
        else:
            self._summaries[(namespace, twin)] = parse_summary(message.payload, self._now())
        HEARD.labels(leaf).inc()
        return ObjectKey("Twin", namespace, twin)

    def _refuse(self, error: InvalidInput, message: Message) -> None:
        REFUSED.labels(error.reason).inc()
        now_s = time.monotonic()
        if now_s - self._logged_s.get(error.reason, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._logged_s[error.reason] = now_s
            log.warning("Leaving a message out", reason=error.reason, topic=message.topic, problem=str(error))
