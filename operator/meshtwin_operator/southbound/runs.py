"""Runs asked of twins, and what is handed to them: start, follow, remember. Polling: a twin cannot reach us."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import httpx
import structlog
from pydantic import ValidationError

from meshtwin.errors import MeshTwinError
from meshtwin.northbound.tokens import Role, mint
from meshtwin.recipes.messages import RunError, RunStatus
from meshtwin_operator.reconcile.outcome import REFUSED, StartRun
from meshtwin_operator.reconcile.world import ObjectKey, RunView

__all__ = ["Runs"]

log = structlog.get_logger(__name__)

POLL_S: Final = 1.0
RETRY_S: Final = 3.0  # a twin that starts answers within a few seconds
GIVE_UP_S: Final = 3600.0  # a run that takes longer is forgotten; the decision may ask again
# Client errors that pass: a key that was rotated a moment ago or a clock that is behind (401, 403), a request that
# was slow (408), and a twin with too much to do (425, 429). All other refusals are final for what is handed over.
PASSING: Final = frozenset({401, 403, 408, 425, 429})
RUNS_KEPT: Final = 512
TOKEN_LIFE_S: Final = 300.0

# Of namespace, root twin and workload: the key that signs the operator's tokens for one twin.
OperatorKey = Callable[[str, str, str], bytes | Awaitable[bytes]]


class Runs:
    """Runs by (namespace, run id). ``changed`` is called with a key of kind ``Run``."""

    def __init__(
        self, *, operator_key: OperatorKey, changed: Callable[[ObjectKey], object], now: Callable[[], datetime]
    ) -> None:
        self._operator_key, self._changed, self._now = operator_key, changed, now
        self._views: dict[tuple[str, str], RunView] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._client = httpx.AsyncClient(timeout=10.0, trust_env=False)

    def view(self, namespace: str, run_id: str) -> RunView | None:
        """A run; None if it was never asked for by this process."""
        return self._views.get((namespace, run_id))

    async def start(self, action: StartRun) -> None:
        """Ask a twin and follow its answer in the background; asking again for a known run does nothing."""
        key = (action.namespace, action.run_id)
        task = self._tasks.get(key)
        if task is not None and not task.done():
            return
        known = self._views.get(key)
        if known is not None and known.status is not None and not _may_be_asked_again(known.status, action):
            return
        self._views.setdefault(key, RunView(status=None))
        self._tasks[key] = asyncio.create_task(self._follow(action))
        while len(self._views) > RUNS_KEPT:
            oldest = next(iter(self._views))
            del self._views[oldest]
            if (old := self._tasks.pop(oldest, None)) is not None:
                old.cancel()

    async def close(self) -> None:
        """Stop following; runs go on in their twins."""
        for task in self._tasks.values():
            task.cancel()
        await self._client.aclose()

    async def _follow(self, action: StartRun) -> None:
        started = self._now()
        posted = False
        while (self._now() - started).total_seconds() < GIVE_UP_S:
            try:
                status = await self._ask(action, post=not posted)
            except (httpx.HTTPError, MeshTwinError, ValidationError) as error:
                self._put(action, RunView(status=None, problem=_problem(error)))
                posted = False  # a twin that restarted may not know the run
                await asyncio.sleep(RETRY_S)
                continue
            posted = True
            self._put(action, RunView(status=status))
            if status.state != "Running":
                return
            await asyncio.sleep(POLL_S)

    async def _ask(self, action: StartRun, *, post: bool) -> RunStatus:
        found = self._operator_key(action.namespace, action.root_twin, action.workload)
        key = await found if inspect.isawaitable(found) else found
        token = mint(key, "meshtwin-operator", Role.OPERATOR, TOKEN_LIFE_S, self._now())
        headers = {"Authorization": f"Bearer {token}"}
        if post:
            method = "PUT" if action.handed else "POST"
            url = f"{action.url}{action.path}"
            answer = await self._client.request(method, url, json=dict(action.body), headers=headers)
            if _is_refused(answer.status_code, handed=action.handed):
                # What the twin refuses for good ends as a failed run: asking again would not mend it.
                error = _refusal(answer, handed=action.handed)
                return RunStatus(run_id=action.run_id, state="Failed", error=error)
        else:
            answer = await self._client.get(f"{action.url}/api/v1/runs/{action.run_id}", headers=headers)
        answer.raise_for_status()
        if action.handed:
            return RunStatus(run_id=action.run_id, state="Done", progress_per_mille=1000)
        return RunStatus.model_validate_json(answer.content)

    def _put(self, action: StartRun, view: RunView) -> None:
        key = (action.namespace, action.run_id)
        if self._views.get(key) != view:
            self._views[key] = view
            self._changed(ObjectKey("Run", action.namespace, action.run_id))


def _is_refused(status: int, *, handed: bool) -> bool:
    """Whether a twin's answer is final. Of runs only 422 is: a twin that restarts may have lost what it was asked."""
    if not handed:
        return status == httpx.codes.UNPROCESSABLE_ENTITY
    return httpx.codes.is_client_error(status) and status not in PASSING


def _refusal(answer: httpx.Response, *, handed: bool) -> RunError:
    """Why the twin refused, as its problem document says; of what is handed over the reason is that it is final."""
    try:
        told = answer.json()
    except ValueError:
        told = None
    if not isinstance(told, dict):
        return RunError(reason=REFUSED, message=answer.text[:1000])
    reason, place = str(told.get("title") or REFUSED), told.get("place")
    message = f"{told.get('detail', '')} ({place})" if place else str(told.get("detail", ""))
    return RunError(reason=REFUSED if handed else reason, message=f"{reason}: {message}" if handed else message)


def _may_be_asked_again(status: RunStatus, action: StartRun) -> bool:
    """While it runs; and what is handed over, until it was taken or refused."""
    if status.state == "Failed" and action.handed:
        return status.error is None or status.error.reason != REFUSED
    return status.state == "Running"


def _problem(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"{error.response.status_code}: {error.response.text[:300]}"
    return f"{type(error).__name__}: {error}"[:300]
