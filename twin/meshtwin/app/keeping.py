"""Keeping the state: recovery at start, checkpoints while running, history in a process of its own."""

import asyncio
import sys
from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

import structlog

from meshtwin.app.ingest import recover
from meshtwin.app.resident import trim
from meshtwin.errors import Unavailable
from meshtwin.repository.atomic import AtomicFile
from meshtwin.repository.checkpoints import CHECKPOINT_NAME, iter_checkpoint, read_checkpoint
from meshtwin.repository.journal import Journal, Position
from meshtwin.twins.state import EMPTY_STATE, TwinState

__all__ = ["Keeper"]

log = structlog.get_logger(__name__)

CHECKPOINT_EVERY_S: Final = 60.0  # a restart folds at most this much of the journal
HISTORY_EVERY_S: Final = 600.0
LINES_AT_ONCE: Final = 20  # nodes written between two turns of the event loop: about a millisecond
JOURNAL_FILES_MAX: Final = 64  # if history cannot take them: 1 GiB


class Keeper:
    """Journal, checkpoint and history of one twin in ``folder``."""

    def __init__(self, folder: Path, addresses: Collection[int], *, retention_days: int) -> None:
        self._folder = folder
        self._retention_days = retention_days
        self.journal = Journal(folder / "journal")
        self._checkpoint_path = folder / CHECKPOINT_NAME
        self._position = Position(0, 0)
        self._history_until = 0  # files below this number are in the history
        self.state = self._recover(addresses)

    def _recover(self, addresses: Collection[int]) -> TwinState:
        found = read_checkpoint(self._checkpoint_path)
        state, start = (EMPTY_STATE, Position(0, 0)) if found is None else found
        before = state.folded
        entries = (entry for entry, _ in self.journal.iter_from(start))
        state = recover(state, entries, addresses)
        known = set(addresses)
        if any(address not in known for address in state.nodes):  # the inventory changed
            state = replace(state, nodes={a: n for a, n in state.nodes.items() if a in known})
        log.info("Recovered the state", from_checkpoint=before, from_journal=state.folded - before)
        self._position = start
        return state

    async def run(self, state: Callable[[], TwinState]) -> None:
        """Write checkpoints and history, and give back memory that reports and estimates took, for ever."""
        loop = asyncio.get_running_loop()
        history_at_s = loop.time() + HISTORY_EVERY_S
        while True:
            await asyncio.sleep(CHECKPOINT_EVERY_S)
            await self.checkpoint(state)
            await asyncio.to_thread(trim)
            if loop.time() >= history_at_s:
                history_at_s = loop.time() + HISTORY_EVERY_S
                await self.keep_history()

    async def checkpoint(self, state: Callable[[], TwinState]) -> None:
        """Write the state if the journal went on since the last time; a failure is logged, not raised."""
        position = self.journal.position  # before the state: folding twice is harmless, skipping is not
        if position == self._position:
            return
        try:
            file = AtomicFile(self._checkpoint_path)
        except Unavailable as error:
            log.warning("Checkpoint not written", reason=error.message)
            return
        try:
            lines = iter_checkpoint(state(), position)
            while chunk := list(islice(lines, LINES_AT_ONCE)):
                file.write(chunk)
                await asyncio.sleep(0)
            await asyncio.to_thread(file.finish)
        except Unavailable as error:
            file.abandon()
            log.warning("Checkpoint not written", reason=error.message)
            return
        self._position = position
        self._drop_old()

    async def keep_history(self) -> None:
        """Move closed journal files into the history, in a process that ends afterwards (DuckDB is large)."""
        if self.journal.position.offset == 0:
            return
        until = (await asyncio.to_thread(self.journal.rotate)).file
        command = [
            "-m",
            "meshtwin.repository.history",
            "ingest",
            str(self._folder),
            "--before",
            str(until),
            "--retention-days",
            str(self._retention_days),
        ]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            _, errors = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode == 0:
            self._history_until = until
            self._drop_old()
        else:
            log.warning("History not written", code=process.returncode, error=errors.decode()[-500:])

    def _drop_old(self) -> None:
        """Delete journal files that both the checkpoint and the history have, or that are too many."""
        newest = self.journal.position.file
        not_needed = max(min(self._position.file, self._history_until), newest - JOURNAL_FILES_MAX)
        self.journal.drop_before(not_needed)
