"""Loading the models before the first question, while a twin starts: who asks first shall not wait for it."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Final

import structlog

from meshtwin.northbound.views import Health

__all__ = ["Warming"]

log = structlog.get_logger(__name__)

LIMIT_S: Final = 3.0  # loading takes 0.8 s, four times that on a busy machine; a pod shall be ready within 5 s
NOT_COMPILED: Final = "models are not compiled yet, which the first question waits for"


class Warming:
    """Whether the models are loaded. A twin is not ready before, but is so after ``limit_s`` in any case."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._begun_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self._fault = ""
        self._has_answered = False

    def start(self, load: Coroutine[Any, Any, bool]) -> None:
        """Begin with ``load``, which says whether there was something to load; called on the event loop, once."""
        self._begun_s = time.monotonic()
        self._task = asyncio.create_task(self._run(load), name="warming")

    def answered(self) -> None:
        """A question has its first answer: whatever was wrong with loading ahead, nobody waits for it any more."""
        self._has_answered = True

    def add_to(self, health: Health) -> Health:
        """``health`` of a twin that is otherwise well, as far as the models go."""
        if self._fault and not self._has_answered:
            return Health(health.is_good, _join(health.detail, self._fault))
        if self._task is None or self._task.done():
            return health
        is_over = time.monotonic() - self._begun_s > self._limit_s
        return Health(health.is_good and is_over, _join(health.detail, "models are being loaded"))

    async def _run(self, load: Coroutine[Any, Any, bool]) -> None:
        try:
            self._fault = "" if await load else NOT_COMPILED
        except Exception as error:  # whoever asks is told then; everything else of the twin works
            self._fault = f"models not loaded ahead: {type(error).__name__}"
            log.warning("Models not loaded ahead", error=f"{type(error).__name__}: {error}"[:500])
        else:
            log.info(self._fault or "Models loaded", seconds=round(time.monotonic() - self._begun_s, 2))


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
