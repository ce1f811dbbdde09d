"""What a long wait is for: how far the runs of pipelines are, asked of the root twin as anybody may."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx

from meshtwin.errors import MeshTwinError
from meshtwin_operator.cli.credentials import mint_token
from meshtwin_operator.cli.target import LocalAccess

__all__ = ["RunProgress"]

EVERY_S: Final = 20.0  # a person wonders after about so long
TIMEOUT_S: Final = 3.0
TOKEN_S: Final = 60


class RunProgress:
    """Says every `EVERY_S` how far each running pipeline is; silent when the twin does not answer."""

    def __init__(self, access: LocalAccess, twin: str, *, say: Callable[[str], None]) -> None:
        self._access, self._twin, self._say = access, twin, say
        self._asked_s = time.monotonic()

    async def tell(self, runs: Mapping[str, Mapping[str, Any]]) -> None:
        """Ask if it is time; ``runs`` are the entries of the pipelines' status, by segment."""
        running = {segment: run["runId"] for segment, run in runs.items() if run.get("result") == "Running"}
        if not running:
            self._asked_s = time.monotonic()
        if not running or time.monotonic() - self._asked_s < EVERY_S:
            return
        self._asked_s = time.monotonic()
        try:
            twin = self._access.get("DigitalTwin", self._twin) or {}
            token = mint_token(self._access, self._twin, role="viewer", lifetime_s=TOKEN_S)
        except MeshTwinError:
            return
        url = (twin.get("status") or {}).get("url")
        for segment, run_id in running.items():
            line = url and await asyncio.to_thread(_ask, f"{url}/api/v1/runs/{run_id}", token)
            if line:
                self._say(f"  computing for {segment}: {line}")


def _ask(url: str, token: str) -> str | None:
    try:
        answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT_S, trust_env=False)
        answer.raise_for_status()
        status = answer.json()
    except (httpx.HTTPError, ValueError):
        return None
    return f"{status.get('progressPerMille', 0) / 10:.0f} % {status.get('stage', '')}".rstrip()
