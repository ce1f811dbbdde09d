"""Publishing a twin's summary: retained, on change, not more often than every two seconds."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from meshtwin.connectors.mqtt import MqttLink, Will
from meshtwin.contract.summaries import TwinSummary
from meshtwin.contract.topics import twin_topic
from meshtwin.errors import Unavailable

__all__ = ["SummaryPublisher", "make_will"]

log = structlog.get_logger(__name__)

EVERY_S: Final = 2.0
AGAIN_S: Final = 15.0  # also without a change: age goes on, and a reader sees that we live
VOLATILE: Final = {"sequence", "sent_at", "age_seconds"}


def make_will(namespace: str, name: str, summary: TwinSummary) -> Will:
    """What the broker says when we are gone: the summary at start, offline."""
    gone = summary.model_copy(update={"online": False, "ready": False})
    return Will(topic=twin_topic(namespace, name, "summary"), payload=gone.to_payload())


class SummaryPublisher:
    """Publishes what ``summary`` says until cancelled, then says goodbye."""

    def __init__(self, link: MqttLink, topic: str, summary: Callable[[], TwinSummary]) -> None:
        self._link = link
        self._topic = topic
        self._summary = summary
        self._sequence = 0
        self._last: TwinSummary | None = None
        self._last_s = 0.0
        self._connections = 0

    async def run(self) -> None:
        """Publish, for ever."""
        while True:
            await self._link.connected.wait()
            summary = self._summary()
            is_again = self._link.reconnects_total != self._connections  # the last will may stand there
            if is_again or self._is_due(summary):
                try:
                    await self._publish(summary)
                except Unavailable as error:
                    log.info("Summary not published", reason=error.message)
            await asyncio.sleep(EVERY_S)

    async def say_goodbye(self) -> None:
        """Publish that we are offline; a clean disconnection leaves the last will unsaid."""
        gone = self._summary().model_copy(update={"online": False, "ready": False})
        try:
            await self._publish(gone, timeout_s=2.0)
        except Unavailable as error:
            log.info("Goodbye not published", reason=error.message)

    async def _publish(self, summary: TwinSummary, timeout_s: float = 10.0) -> None:
        connections = self._link.reconnects_total
        self._sequence += 1
        numbered = summary.model_copy(update={"sequence": self._sequence})
        await self._link.publish(self._topic, numbered.to_payload(), retain=True, timeout_s=timeout_s)
        self._last, self._last_s, self._connections = summary, time.monotonic(), connections

    def _is_due(self, summary: TwinSummary) -> bool:
        if self._last is None or time.monotonic() - self._last_s >= AGAIN_S:
            return True
        return summary.model_dump(exclude=VOLATILE) != self._last.model_dump(exclude=VOLATILE)
