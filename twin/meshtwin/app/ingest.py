"""From the wire to the state: decode, journal, fold, acknowledge, batch by batch.

A message is acknowledged to the broker only when it is in the journal on disk and folded; the state is at
all times what folding the journal gives. A message that cannot be folded is counted, logged once per reason
and minute, and acknowledged: it would be as bad the next time.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Final

import structlog

from meshtwin.connectors.mqtt import Message, MqttLink
from meshtwin.contract.telemetry import NeighbourTelemetry
from meshtwin.contract.topics import split_gateway_topic
from meshtwin.errors import Unavailable
from meshtwin.metrics.segment import SegmentMetrics
from meshtwin.repository.journal import Entry, Journal
from meshtwin.twins.folding import count_dropped, fold
from meshtwin.twins.observations import Observation, Reason, Refused, decode
from meshtwin.twins.state import TwinState

__all__ = ["LEAVES", "Ingest", "check_nodes", "recover"]

log = structlog.get_logger(__name__)

LEAVES: Final = (
    "state",
    "telemetry/neighbours",
    "telemetry/flows",
    "telemetry/nodes",
    "configuration/reported",
)
BATCH_MAX: Final = 500  # messages per disk write: about 50 ms of folding
LOG_AGAIN_S: Final = 60.0
RETRY_S: Final = 2.0  # after a failed write: a full disk needs somebody


class Ingest:
    """Reads one link until cancelled; ``state`` is the newest state."""

    def __init__(
        self,
        *,
        link: MqttLink,
        journal: Journal,
        state: TwinState,
        addresses: Collection[int],
        metrics: SegmentMetrics,
        now: Callable[[], datetime],
    ) -> None:
        self.state = state
        self.journal_fault = ""  # why the journal cannot be written now; empty: it can
        self.turned_s = time.monotonic()
        self._link = link
        self._journal = journal
        self._addresses = frozenset(addresses)
        self._metrics = metrics
        self._now = now
        self._logged_s: dict[str, float] = {}
        self._unlogged: Counter[str] = Counter()

    async def run(self) -> None:
        """Read, for ever."""
        while True:
            self.turned_s = time.monotonic()
            if (first := await self._link.next_message()) is None:
                continue
            batch = [first]
            while len(batch) < BATCH_MAX and not self._link.messages.empty():
                batch.append(self._link.messages.get_nowait())
            await self._take(batch)

    async def _take(self, batch: list[Message]) -> None:
        now = self._now()
        received_s = round(now.timestamp(), 3)
        entries: list[Entry] = []
        observations: list[Observation] = []
        for message in batch:
            split = split_gateway_topic(message.topic)
            leaf = message.topic if split is None else split[1]
            decoded = check_nodes(decode(leaf, message.payload, now), self._addresses)
            if isinstance(decoded, Refused):
                self._drop(decoded)
                continue
            observations.append(decoded)
            entries.append(Entry(received_s, leaf, message.payload))
        await self._write(entries)
        state = self.state
        for observation in observations:
            before = state
            state = fold(state, observation, received_s)
            if state.folded == before.folded:
                detail = f"session {observation.session!r} is not {before.session!r}, and older"
                self._log_once(Refused(Reason.OTHER_SESSION, detail))
        self.state = state
        done_s = self._now().timestamp()
        for observation in observations:
            if isinstance(observation, NeighbourTelemetry):
                self._metrics.observation_delay.observe(max(0.0, done_s - observation.sent_at.timestamp()))
        for message in batch:
            self._link.acknowledge(message)

    async def _write(self, entries: list[Entry]) -> None:
        """Append to the journal, however long it takes: nothing is acknowledged meanwhile."""
        while entries:
            start_s = time.perf_counter()
            try:
                await asyncio.to_thread(self._journal.append, entries)
            except Unavailable as error:
                self.journal_fault = error.message
                log.error("Journal not written, trying again", reason=error.message, place=error.place)
                self.turned_s = time.monotonic()
                await asyncio.sleep(RETRY_S)
                continue
            self.journal_fault = ""
            self._metrics.journal_write.observe(time.perf_counter() - start_s)
            return

    def _drop(self, refused: Refused) -> None:
        self.state = count_dropped(self.state, refused.reason)
        self._log_once(refused)

    def _log_once(self, refused: Refused) -> None:
        reason = refused.reason.value
        now_s = time.monotonic()
        if now_s - self._logged_s.get(reason, -LOG_AGAIN_S) < LOG_AGAIN_S:
            self._unlogged[reason] += 1
            return
        self._logged_s[reason] = now_s
        unlogged = self._unlogged.pop(reason, 0)
        log.warning("Message not folded", reason=reason, detail=refused.detail, unlogged=unlogged)


def check_nodes(decoded: Observation | Refused, addresses: frozenset[int]) -> Observation | Refused:
    """The observation, or its refusal if it reports for a node outside the inventory.

    Neighbours outside it are welcome: they are border nodes.
    """
    if isinstance(decoded, NeighbourTelemetry) and int(decoded.node, 16) not in addresses:
        return Refused(Reason.UNKNOWN_NODE, f"node {decoded.node} is not in the inventory (node)")
    return decoded


def recover(state: TwinState, entries: Iterable[Entry], addresses: Collection[int]) -> TwinState:
    """The state after folding entries of a journal; entries that cannot be decoded any more are skipped."""
    known = frozenset(addresses)
    for entry in entries:
        decoded = check_nodes(decode(entry.leaf, entry.payload, datetime.fromtimestamp(entry.received_s, UTC)), known)
        if not isinstance(decoded, Refused):
            state = fold(state, decoded, entry.received_s)
    return state
