"""An MQTT client for asyncio: paho in its own thread, messages in a bounded queue, acknowledged by the reader.

A callback of paho that raises would end its thread in silence, so callbacks only hand over and are wrapped.
Subscriptions are made again at each connection. QoS 1 messages are acknowledged when the reader says so
(`MqttLink.acknowledge`), so that nothing is lost between the wire and a journal.
"""

import asyncio
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from meshtwin.errors import InvalidInput, Unavailable

__all__ = ["BrokerSettings", "Message", "MqttLink", "Will"]

log = structlog.get_logger(__name__)

KEEPALIVE_S: Final = 20  # a dead broker is noticed within 1.5 times this
RECONNECT_MAX_S: Final = 5  # twins must catch up soon after a broker restart
SHORT_LIFE_S: Final = 5.0  # of a connection; one that ends by a lost network or broker is not at once made again
SHORT_LIVES: Final = 3  # in a row, until we say what it looks like
QUEUE_LIMIT: Final = 20_000  # messages between wire and reader; about 20 MB of small reports
TURN_S: Final = 10.0  # how often a reader without messages shows that it is alive


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Where the broker is and who we are; ``ca_file`` switches TLS on.

    ``password_file`` is read again when the broker refuses us: a rotated password needs no restart.
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Will:
    """What the broker says for us when we are gone."""

    topic: str
    payload: bytes
    retain: bool = True


@dataclass(frozen=True, slots=True)
class Message:
    """One message; ``received_s`` is the monotonic clock at its arrival."""

    topic: str
    payload: bytes
    retained: bool
    qos: int
    mid: int
    received_s: float
    connection: int = 0  # number of the connection it came by; its acknowledgement is void on any other


class MqttLink:
    """One connection that comes back by itself.

    Read from ``messages``; call `acknowledge` once a QoS 1 message is safe. ``in_flight`` bounds the number
    of unacknowledged messages the broker sends ahead. Making one raises `Unavailable` where the certificate of the
    authority is not there, and `InvalidInput` where it is none.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        client_id: str,
        will: Will | None = None,
        clean_session: bool = True,
        in_flight: int = 1000,
        on_connected: Callable[[], None] | None = None,
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._loop = asyncio.get_running_loop()
        self._on_connected = on_connected
        self._subscriptions: dict[str, int] = {}
        self._published: dict[int, asyncio.Future[None]] = {}
        self._unconfirmed: set[int] = set()  # subscriptions of this connection that the broker has yet to confirm
        self._inbox: deque[Message] = deque()  # filled by paho's thread, emptied by the event loop
        self._is_woken = False
        self._connection = 0
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.connected = asyncio.Event()
        self.dropped_total = 0
        self.reconnects_total = 0
        self.refusal: str | None = None  # why the broker refused us last; None: it did not
        self.is_unreachable = False  # no connection could be made at the last try
        self.last_alive_s = time.monotonic()
        self._since_s = 0.0  # monotonic time of the last connection
        self._short_lives = 0
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=clean_session,
            protocol=MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        self._client.max_inflight_messages_set(in_flight)
        self._client.max_queued_messages_set(10_000)
        self._client.reconnect_delay_set(min_delay=1, max_delay=RECONNECT_MAX_S)
        if settings.username is not None:
            self._client.username_pw_set(settings.username, settings.password)
        if settings.ca_file is not None:
            self._client.tls_set_context(_trust(settings.ca_file))
        if will is not None:
            self._client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        self._client.on_connect = self._connect_seen
        self._client.on_connect_fail = self._connect_fail_seen
        self._client.on_disconnect = self._disconnect_seen
        self._client.on_message = self._message_seen
        self._client.on_publish = self._publish_seen
        self._client.on_subscribe = self._subscribe_seen

    def start(self) -> None:
        """Connect in the background; returns at once, also when the broker is not there yet."""
        self._client.connect_async(self._settings.host, self._settings.port, keepalive=KEEPALIVE_S)
        self._client.loop_start()

    async def wait_connected(self, timeout_s: float) -> None:
        """Wait for the first connection; raises `Unavailable` with the broker's reason."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.connected.wait()
        except TimeoutError as error:
            place = f"{self._settings.host}:{self._settings.port}"
            why = self.refusal or ("nobody is there" if self.is_unreachable else "no answer")
            raise Unavailable(f"broker not connected within {timeout_s} s: {why}", place=place) from error

    async def next_message(self, within_s: float = TURN_S) -> Message | None:
        """The next of ``messages``; None if none comes within that time.

        Not by `asyncio.wait_for`: that of Python 3.11 loses a cancellation that comes together with a message, as
        when whoever publishes here ends at the same moment.
        """
        try:
            async with asyncio.timeout(within_s):
                return await self.messages.get()
        except TimeoutError:
            return None

    async def stop(self) -> None:
        """Disconnect cleanly (the last will is not published) and end the thread."""
        await asyncio.to_thread(self._client.disconnect)
        await asyncio.to_thread(self._client.loop_stop)
        for future in self._published.values():
            future.cancel()
        self._published.clear()

    def subscribe(self, topic_filter: str, qos: int = 1) -> None:
        """Subscribe now and after each reconnection."""
        self._subscriptions[topic_filter] = qos
        if self._is_up:
            self._client.subscribe(topic_filter, qos)

    def unsubscribe(self, topic_filter: str) -> None:
        """Forget a subscription."""
        self._subscriptions.pop(topic_filter, None)
        if self._is_up:
            self._client.unsubscribe(topic_filter)

    @property
    def _is_up(self) -> bool:
        """Whether the stored subscriptions went out by this connection, confirmed or not."""
        return self.connected.is_set() or bool(self._unconfirmed)

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False, timeout_s: float = 10.0
    ) -> None:
        """Publish and wait for the broker's acknowledgement; raises `Unavailable` if it does not come."""
        if not self.connected.is_set():
            raise Unavailable(f"broker not connected, {topic} not published", reason="BrokerUnavailable")
        acknowledged: asyncio.Future[None] = self._loop.create_future()
        info = self._client.publish(topic, payload, qos=qos, retain=retain)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise Unavailable(f"{topic} not published: {paho.error_string(info.rc)}")
        if qos == 0 or info.is_published():
            return
        self._published[info.mid] = acknowledged
        try:
            # Not wait_for: in Python 3.11 it swallows a cancellation that comes with the acknowledgement.
            async with asyncio.timeout(timeout_s):
                await acknowledged
        except TimeoutError as error:
            if not info.is_published():
                raise Unavailable(f"{topic} not acknowledged within {timeout_s} s") from error
        finally:
            self._published.pop(info.mid, None)

    def acknowledge(self, message: Message) -> None:
        """Tell the broker that a QoS 1 message is safe."""
        if message.qos > 0 and message.connection == self._connection:
            self._client.ack(message.mid, message.qos)

    @property
    def is_turning(self) -> bool:
        """Whether paho's thread runs; says nothing about the broker."""
        name = f"paho-mqtt-client-{self._client_id}"
        return any(thread.name == name and thread.is_alive() for thread in threading.enumerate())

    # Callbacks below run in paho's thread and only hand over.

    def _hand_over(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            self.dropped_total += 1  # the event loop is gone: we are stopping

    def _connect_seen(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._connection += 1  # only in this thread, before any message of the connection
        if reason.is_failure:
            self._read_password_again()
        self._hand_over(self._connected_now, reason.is_failure, str(reason))

    def _connect_fail_seen(self, _client: Any, _data: Any) -> None:
        self._hand_over(self._not_reachable_now)

    def _read_password_again(self) -> None:
        """Use what the password file holds now at the next attempt; in paho's thread, which makes it."""
        path = self._settings.password_file
        if path is None:
            return
        try:
            password = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            log.warning("Keeping the old password, its file is not readable", problem=str(error))
            return
        if password:  # it may be looked at while it is being written
            self._client.username_pw_set(self._settings.username, password)

    def _connected_now(self, failed: bool, reason: str) -> None:
        self.is_unreachable = False
        if failed:
            self.refusal = reason
            log.warning("Broker refused the connection", host=self._settings.host, reason=reason)
            return
        self.refusal = None
        self.reconnects_total += 1
        self._since_s = time.monotonic()
        sent = (self._client.subscribe(topic_filter, qos) for topic_filter, qos in self._subscriptions.items())
        self._unconfirmed = {mid for _, mid in sent if mid is not None}
        self._serve_if_subscribed()

    def _not_reachable_now(self) -> None:
        if not self.is_unreachable:  # once, not at every try
            log.warning("Broker not reachable, trying again", host=self._settings.host, port=self._settings.port)
        self.is_unreachable = True

    def _serve_if_subscribed(self) -> None:
        """Connected means subscribed, too: what somebody sends as soon as we say so must not pass us by."""
        if self._unconfirmed or self.connected.is_set():
            return
        self.connected.set()
        if self._on_connected is not None:
            self._on_connected()

    def _disconnect_seen(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._hand_over(self._disconnected_now, str(reason))

    def _disconnected_now(self, reason: str) -> None:
        self.connected.clear()
        self._unconfirmed.clear()
        log.info("Broker connection ended", host=self._settings.host, reason=reason)
        self._short_lives = self._short_lives + 1 if time.monotonic() - self._since_s < SHORT_LIFE_S else 0
        if (
            self._short_lives == SHORT_LIVES
        ):  # MQTT 3.1.1 ends the older one of two with the same id, and says no reason
            log.warning(
                "Broker ends each connection within seconds: is another process connected with our id?",
                host=self._settings.host,
                client_id=self._client_id,
            )

    def _message_seen(self, _client: Any, _data: Any, message: Any) -> None:
        received = Message(
            message.topic,
            message.payload,
            message.retain,
            message.qos,
            message.mid,
            time.monotonic(),
            self._connection,
        )
        self._inbox.append(received)
        if not self._is_woken:  # one wake-up for many messages: each costs a system call
            self._is_woken = True
            self._hand_over(self._received_now)

    def _received_now(self) -> None:
        self._is_woken = False  # before reading: a message that comes now wakes us again
        while self._inbox:
            message = self._inbox.popleft()
            self.last_alive_s = message.received_s
            if self.messages.qsize() >= QUEUE_LIMIT and message.qos == 0:
                self.dropped_total += 1
                continue
            self.messages.put_nowait(message)

    def _subscribe_seen(self, _client: Any, _data: Any, mid: int, reasons: Any, _properties: Any) -> None:
        self._hand_over(self._subscribed_now, mid, [str(reason) for reason in reasons if reason.is_failure])

    def _subscribed_now(self, mid: int, refused: list[str]) -> None:
        if refused:
            log.warning("Broker refused a subscription", host=self._settings.host, reason=refused[0])
        if mid in self._unconfirmed:
            self._unconfirmed.discard(mid)
            self._serve_if_subscribed()

    def _publish_seen(self, _client: Any, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        self._hand_over(self._published_now, mid)

    def _published_now(self, mid: int) -> None:
        future = self._published.get(mid)
        if future is not None and not future.done():
            future.set_result(None)


def _trust(ca_file: str) -> ssl.SSLContext:
    """TLS that trusts one authority alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError as error:  # which is an OSError
        message = "the authority's certificate can't be read: there is none in PEM in this file"
        raise InvalidInput(message, reason="BrokerAuthority", place=ca_file) from error
    except OSError as error:
        message = f"the authority's certificate is not readable: {error.strerror}"
        raise Unavailable(message, reason="BrokerAuthority", place=ca_file) from error
    return context
