"""A foreign model over HTTP as a `meshtwin.ports.Judge`."""

import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final, Self, TypeVar

import httpx
from pydantic import ValidationError

from meshtwin.contract.wire import WireModel
from meshtwin.errors import Inconsistent, InvalidInput, Unavailable
from meshtwin.foreign.destinations import Refusal
from meshtwin.foreign.guarded import GuardedTransport
from meshtwin.foreign.messages import JudgeAnswer, JudgeRequest, ModelMessage, ProblemMessage
from meshtwin.foreign.patience import wait_for
from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.kpis import NetworkKpis
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.ports import JudgePlan, Progress

__all__ = ["HttpJudge"]

TIME_LIMIT_S: Final = 60.0  # of one question, from asking to the answer's last byte
CONNECT_S: Final = 5.0  # room for a lost SYN and its second repeat (after 1 s and 3 s, RFC 6298), not for a dead host
ANSWER_MAX_BYTES: Final = 4 * 1_048_576  # a thousand configurations of ten flows are about 3 MB
TOLD_MOST: Final = 200  # characters of what the other side says about its failure

Clock = Callable[[], float]
Told = TypeVar("Told", bound=WireModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpJudge:
    """Asks ``url`` and checks what comes back: status, size, time, schema, and that it answers the question.

    ``model`` is the name that stands in predictions. Nothing is tried twice, and no redirect is followed.
    """

    url: str
    model: str
    time_limit_s: float = TIME_LIMIT_S
    answer_max_bytes: int = ANSWER_MAX_BYTES
    token: str | None = field(default=None, repr=False)  # sent as bearer token; notebooks and logs show the rest
    ca_file: str | None = None  # an authority besides those of the system
    only_problems: bool = False  # of a failure tell the detail of a problem document alone, never another body
    refusal: Refusal | None = None  # None: any address, since the one who names the URL is the one who asks
    clock: Clock = time.monotonic

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        token: str | None = None,
        time_limit_s: float = TIME_LIMIT_S,
        ca_file: str | None = None,
        only_problems: bool = False,
        refusal: Refusal | None = None,
    ) -> Self:
        """A judge that bears the name which ``GET url/model`` says.

        Raises `InvalidInput` for what is no HTTP address, else as `judge`.
        """
        if not url.startswith(("http://", "https://")):
            raise InvalidInput(f"{url!r} is no address of http or https", place="model")
        unnamed = cls(
            url=url.rstrip("/"),
            model="",
            token=token,
            time_limit_s=time_limit_s,
            ca_file=ca_file,
            only_problems=only_problems,
            refusal=refusal,
        )
        told = unnamed._ask("GET", "/model", None, ModelMessage)
        return replace(unnamed, model=told.model)

    def judge(
        self,
        snapshot: Snapshot,
        configurations: Sequence[Configuration],
        plan: JudgePlan,
        progress: Progress,
    ) -> tuple[NetworkKpis, ...]:
        """See `meshtwin.ports.Judge.judge`; ``progress`` is told before and after, since the other side tells none.

        Raises `Unavailable` (reasons ``ModelUnreachable``, ``ModelTimeout``, ``ModelFailed``) where asking again may
        help, `InvalidInput` where the question was refused (``ModelRefused``) or may not be asked at that address
        (``ModelAddressRefused``), and `Inconsistent` (``ModelAnswer``) for an answer that is too large, breaks the
        schema, or answers another question.
        """
        if not configurations:
            return ()
        progress(0.0, f"asked {self.model}")
        request = JudgeRequest.of(snapshot, configurations, plan)
        answer = self._ask("POST", "/judge", request.to_payload(), JudgeAnswer)
        self._check(answer, snapshot, len(configurations))
        progress(1.0, f"answered by {self.model}")
        return tuple(kpis.to_value() for kpis in answer.kpis)

    def _check(self, answer: JudgeAnswer, snapshot: Snapshot, count: int) -> None:
        if answer.model != self.model:
            raise self._wrong(f"model {answer.model!r} answered")
        if len(answer.kpis) != count:
            raise self._wrong(f"{len(answer.kpis)} answers to {count} configurations")
        names = [flow.name for flow in snapshot.flows]
        for number, kpis in enumerate(answer.kpis):
            told = [flow.flow for flow in kpis.flows]
            if told != names:
                raise self._wrong(f"kpis.{number} tells flows {told}, asked were {names}")

    def _ask(self, method: str, path: str, body: bytes | None, kind: type[Told]) -> Told:
        content = self._exchange(method, path, body)
        try:
            return kind.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise self._wrong(f"not as the schema says: {first['msg']}" + (f" at {where}" if where else "")) from error

    def _exchange(self, method: str, path: str, body: bytes | None) -> bytes:
        """The body of a good answer, read no further than the limits of size and time."""
        deadline_s = self.clock() + self.time_limit_s
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # what is packed could unpack to any size before it is counted
        }
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        timeout = httpx.Timeout(self.time_limit_s, connect=min(CONNECT_S, self.time_limit_s))
        client = self._client(timeout)

        def talk() -> bytes:
            with client, client.stream(method, self.url + path, content=body, headers=headers) as response:
                content = self._read(response, deadline_s)
                if response.status_code != HTTPStatus.OK:
                    raise self._failure(response, content)
                return content

        try:
            return wait_for(talk, self.time_limit_s, client.close)
        except (httpx.TimeoutException, TimeoutError) as error:
            raise self._late() from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise InvalidInput(f"not a usable address or token: {error}", place="model") from error
        except httpx.HTTPError as error:
            raise Unavailable(f"can't be reached: {error}", reason="ModelUnreachable", place=self.url) from error

    def _client(self, timeout: httpx.Timeout) -> httpx.Client:
        authorities = self._authorities()
        if self.refusal is None:
            return httpx.Client(timeout=timeout, follow_redirects=False, verify=authorities)
        transport = GuardedTransport(httpx.HTTPTransport(verify=authorities), self.refusal)
        return httpx.Client(timeout=timeout, follow_redirects=False, transport=transport)

    def _authorities(self) -> ssl.SSLContext:
        context = httpx.create_ssl_context()
        if self.ca_file is not None:
            try:
                context.load_verify_locations(self.ca_file)
            except OSError as error:  # ssl.SSLError is one
                message = f"the authority's certificate can't be read: {error}"
                raise InvalidInput(message, reason="ModelCredentials", place=self.ca_file) from error
        return context

    def _read(self, response: httpx.Response, deadline_s: float) -> bytes:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise self._wrong("the answer is packed, and was asked for plain")
        content = bytearray()
        for chunk in response.iter_raw():
            content += chunk
            if len(content) > self.answer_max_bytes:
                raise self._wrong(f"answer above {self.answer_max_bytes} bytes")
            if self.clock() > deadline_s:
                raise self._late()
        return bytes(content)

    def _failure(self, response: httpx.Response, content: bytes) -> Exception:
        status, said = response.status_code, self._said(response, content)
        text = f"status {status}" + (f": {said}" if said else "")
        if status < HTTPStatus.INTERNAL_SERVER_ERROR and status >= HTTPStatus.BAD_REQUEST:
            return InvalidInput(f"the model refused the question, {text}", reason="ModelRefused", place=self.url)
        return Unavailable(f"the model failed, {text}", reason="ModelFailed", place=self.url)

    def _said(self, response: httpx.Response, content: bytes) -> str:
        """What the other side says about its failure, shortened; whoever names a URL should not read through us."""
        if not self.only_problems:
            return content[: 4 * TOLD_MOST].decode("utf-8", errors="replace").strip()[:TOLD_MOST]
        if not response.headers.get("Content-Type", "").startswith("application/problem+json"):
            return ""
        try:
            return ProblemMessage.model_validate_json(content).detail[:TOLD_MOST]
        except ValidationError:
            return ""

    def _late(self) -> Unavailable:
        return Unavailable(f"no answer within {self.time_limit_s:g} s", reason="ModelTimeout", place=self.url)

    def _wrong(self, text: str) -> Inconsistent:
        return Inconsistent(text, reason="ModelAnswer", place=self.url)
