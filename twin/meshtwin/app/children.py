"""A parent's view of its children: their summaries over MQTT, their snapshots over REST on demand."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx
import structlog
from pydantic import ValidationError

from meshtwin.app.settings import ChildConfig
from meshtwin.contract.summaries import TwinSummary
from meshtwin.errors import MeshTwinError, Unavailable
from meshtwin.northbound.messages import parse_snapshot
from meshtwin.northbound.tokens import Role, mint
from meshtwin.twins.hierarchy import overlay
from meshtwin.twins.partial import Gap, PartialSnapshot

__all__ = ["SUMMARY_BYTES_MAX", "ChildSnapshots", "parse_summary"]

log = structlog.get_logger(__name__)

FETCH_TIMEOUT_S: Final = 10.0
KEPT_S: Final = 2.0  # several questions in a row are answered from one round of fetching
OLD_KEPT_S: Final = 600.0  # a child that is away for longer is missing: its links are no longer knowledge
SNAPSHOT_BYTES_MAX: Final = 64 * 1024 * 1024
SUMMARY_BYTES_MAX: Final = 256 * 1024
TOKEN_LIFETIME_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class _Fetched:
    partial: PartialSnapshot
    fetched_s: float  # monotonic


class ChildSnapshots:
    """Fetches and overlays; what a child told last stands in for it for `OLD_KEPT_S`, named as a gap."""

    def __init__(self, name: str, children: Sequence[ChildConfig], key: bytes, now: Callable[[], datetime]) -> None:
        self._name = name
        self._children = tuple(children)
        self._key = key
        self._now = now
        self._fetched: dict[str, _Fetched] = {}
        self._lock = asyncio.Lock()
        self._overlaid: tuple[float, PartialSnapshot] | None = None
        self._client = httpx.AsyncClient(timeout=FETCH_TIMEOUT_S, trust_env=False)

    async def overlaid(self) -> PartialSnapshot:
        """All children as one network; raises `Unavailable` if not one of them is known."""
        async with self._lock:  # one round at a time: the others wait for its answer
            if self._overlaid is not None and time.monotonic() - self._overlaid[0] < KEPT_S:
                return self._overlaid[1]
            answers = await asyncio.gather(*(self._fetch(child) for child in self._children))
            known: list[PartialSnapshot] = []
            gaps: list[Gap] = []
            for child, fault in zip(self._children, answers, strict=True):
                found, gap = self._use(child, fault)
                known.extend(found)
                gaps.extend(gap)
            if not known:
                missing = "; ".join(f"{gap.place}: {gap.reason}" for gap in gaps) or "no children"
                raise Unavailable(f"no child answers: {missing}", reason="NoChildren", place=self._name)
            partial = await asyncio.to_thread(overlay, known, gaps)
            self._overlaid = (time.monotonic(), partial)
            return partial

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    def _use(self, child: ChildConfig, fault: str) -> tuple[list[PartialSnapshot], list[Gap]]:
        fetched = self._fetched.get(child.name)
        if fetched is None:
            return [], [Gap(child.name, fault or "never answered")]
        age_s = time.monotonic() - fetched.fetched_s
        if not fault:
            return [fetched.partial], []
        if age_s > OLD_KEPT_S:
            return [], [Gap(child.name, f"{fault}; its last answer is {age_s:.0f} s old, too old")]
        return [fetched.partial], [Gap(child.name, f"{fault}; its answer of {age_s:.0f} s ago is used")]

    async def _fetch(self, child: ChildConfig) -> str:
        """Keep the child's snapshot; the fault if there is none, else an empty text."""
        token = mint(self._key, f"twin:{self._name}", Role.VIEWER, TOKEN_LIFETIME_S, self._now())
        url = child.url.rstrip("/") + "/api/v1/snapshot"
        try:
            response = await self._client.get(url, headers={"Authorization": f"Bearer {token}"})
        except httpx.HTTPError as error:
            return f"not reachable: {type(error).__name__}"
        if response.status_code != httpx.codes.OK:
            return f"answers {response.status_code}: {response.text[:200]}"
        if len(response.content) > SNAPSHOT_BYTES_MAX:
            return f"answer of {len(response.content)} bytes is more than {SNAPSHOT_BYTES_MAX}"
        try:
            partial = await asyncio.to_thread(parse_snapshot, response.content)
        except (ValidationError, ValueError, MeshTwinError) as error:
            log.warning("Snapshot of a child not understood", child=child.name, error=str(error)[:300])
            return "answer is not a snapshot"
        self._fetched[child.name] = _Fetched(partial, time.monotonic())
        return ""


def parse_summary(payload: bytes) -> TwinSummary | str:
    """The summary, or the reason why it is none."""
    if len(payload) > SUMMARY_BYTES_MAX:
        return "Oversized"
    try:
        summary = TwinSummary.model_validate_json(payload)
    except ValidationError as error:
        return "NotJson" if error.errors()[0]["type"] == "json_invalid" else "WrongSchema"
    return summary if summary.contract == 1 else "WrongContract"
