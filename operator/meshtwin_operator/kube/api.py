"""A thin asynchronous client: raw JSON in and out, server-side apply, every write counted.

Objects stay plain dicts here: parsing 1,000 StatefulSets into models would cost more than deciding over them.
"""

import contextlib
import json
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.request import getproxies

from aiohttp import ClientError, ClientTimeout
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.dynamic.client import DynamicClient
from prometheus_client import Counter

from meshtwin.errors import Inconsistent, InvalidInput, Unavailable
from meshtwin_operator.resources.kinds import KINDS

__all__ = ["FIELD_MANAGER", "KubeApi", "ResourcePath", "path_of"]

FIELD_MANAGER: Final = "meshtwin-operator"
PAGE_LIMIT: Final = 500  # objects per list request, as client-go's pager
WATCH_S: Final = 290  # the server ends a watch after this; client-go uses 5 to 10 minutes

WRITES = Counter("meshtwin_kube_writes_total", "Mutating requests to the API server", ["verb", "kind", "result"])


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """Where a kind lives in the API."""

    api_version: str
    plural: str

    def __call__(self, namespace: str | None, name: str | None = None, sub: str | None = None) -> str:
        """URL path of a collection, object or subresource."""
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        parts = [root]
        if namespace is not None:
            parts.append(f"namespaces/{namespace}")
        parts += [part for part in (self.plural, name, sub) if part is not None]
        return "/".join(parts)


PATHS: Final[Mapping[str, ResourcePath]] = {
    **{kind.kind_name: ResourcePath("meshtwin.dev/v1alpha1", kind.plural) for kind in KINDS},
    "ConfigMap": ResourcePath("v1", "configmaps"),
    "Event": ResourcePath("v1", "events"),
    "Lease": ResourcePath("coordination.k8s.io/v1", "leases"),
    "NetworkPolicy": ResourcePath("networking.k8s.io/v1", "networkpolicies"),
    "PersistentVolumeClaim": ResourcePath("v1", "persistentvolumeclaims"),
    "Pod": ResourcePath("v1", "pods"),
    "Secret": ResourcePath("v1", "secrets"),
    "Service": ResourcePath("v1", "services"),
    "StatefulSet": ResourcePath("apps/v1", "statefulsets"),
}


def path_of(kind: str) -> ResourcePath:
    """Path of a kind that the operator handles; a KeyError names an unknown one."""
    return PATHS[kind]


class KubeApi:
    """One connection to the API server. Errors of the client end here.

    `Unavailable`: try again later. `Inconsistent`: somebody else wrote first (409). `InvalidInput`: refused.
    """

    def __init__(self, api_client: Any) -> None:
        self._api_client = api_client
        self._dynamic = DynamicClient(api_client)

    @classmethod
    async def connect(cls) -> Self:
        """From the pod's service account, else from the kubeconfig."""
        try:
            config.load_incluster_config()
        except config.ConfigException:
            # Read here: the client looks at the environment only when it is imported.
            await config.load_kube_config(config_file=os.environ.get("KUBECONFIG"))
        configuration = client.Configuration.get_default_copy()
        if not getproxies():
            # Else the HTTP library looks for a netrc file at every request.
            configuration.client_session_kwargs = {"trust_env": False}
        return cls(client.ApiClient(configuration))

    async def close(self) -> None:
        """End the connections."""
        await self._api_client.close()

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """One object; None if it does not exist."""
        return await self._request("get", path_of(kind)(namespace, name), absent_ok=True)

    async def watch(
        self, kind: str, namespace: str | None, *, selector: str, version: str
    ) -> AsyncIterator[dict[str, Any]]:
        """Raw watch events after ``version``; ends when the server ends the stream, and with it the list is old.

        Lines are split here: an inventory may be far longer than a line limit of the HTTP library.
        """
        try:
            response = await self._dynamic.request(
                "get",
                path_of(kind)(namespace),
                query_params=[],
                header_params={},
                watch="true",
                label_selector=selector,
                resource_version=version,
                timeout_seconds=WATCH_S,
                serialize=False,
                _request_timeout=ClientTimeout(total=WATCH_S + 30, sock_connect=10),
            )
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield json.loads(line)
        except ApiException as error:
            raise _translate(error, path_of(kind)(namespace)) from error
        except (OSError, TimeoutError, ClientError) as error:
            raise Unavailable(f"watch ended: {error}", place=path_of(kind)(namespace)) from error

    async def list(
        self, kind: str, namespace: str | None, *, selector: str | None = None
    ) -> tuple[list[dict[str, Any]], str]:
        """All objects of a kind and the version to watch from."""
        items: list[dict[str, Any]] = []
        token: str | None = None
        while True:
            page = await self._request(
                "get", path_of(kind)(namespace), limit=PAGE_LIMIT, label_selector=selector, _continue=token
            )
            assert page is not None  # noqa: S101  # absent_ok is off
            for item in page.get("items", []):
                item |= {"kind": kind, "apiVersion": path_of(kind).api_version}
                items.append(item)
            token = page["metadata"].get("continue")
            if not token:
                return items, page["metadata"]["resourceVersion"]

    async def apply(self, manifest: Mapping[str, Any], *, sub: str | None = None) -> dict[str, Any]:
        """Server-side apply with our one field manager; ``metadata.resourceVersion``, if there, is checked."""
        meta = manifest["metadata"]
        path = path_of(manifest["kind"])(meta["namespace"], meta["name"], sub)
        applied = await self._write(
            "apply" if sub is None else f"apply {sub}",
            manifest["kind"],
            "patch",
            path,
            body=manifest,
            content_type="application/apply-patch+yaml",
            field_manager=FIELD_MANAGER,
            force_conflicts="true",
        )
        assert applied is not None  # noqa: S101  # only a delete may find nothing
        return applied

    async def overwrite(self, manifest: Mapping[str, Any]) -> None:
        """Put our fields over whatever is there; lists are replaced whole.

        Server-side apply merges lists by key: it cannot take out an item that somebody else put in its place.
        """
        meta = manifest["metadata"]
        await self._write(
            "overwrite",
            manifest["kind"],
            "patch",
            path_of(manifest["kind"])(meta["namespace"], meta["name"]),
            body=manifest,
            content_type="application/merge-patch+json",
            field_manager=FIELD_MANAGER,
        )

    async def create(self, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
        """Create-only; None when an object of that name exists."""
        try:
            return await self._write(
                "create",
                manifest["kind"],
                "post",
                path_of(manifest["kind"])(manifest["metadata"]["namespace"]),
                body=manifest,
                field_manager=FIELD_MANAGER,
            )
        except Inconsistent:
            return None

    async def replace(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Replace under the resourceVersion inside; raises `Inconsistent` if somebody wrote first."""
        meta = manifest["metadata"]
        replaced = await self._write(
            "replace",
            manifest["kind"],
            "put",
            path_of(manifest["kind"])(meta["namespace"], meta["name"]),
            body=manifest,
            field_manager=FIELD_MANAGER,
        )
        assert replaced is not None  # noqa: S101  # only a delete may find nothing
        return replaced

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete; an absent object is fine."""
        await self._write(
            "delete",
            kind,
            "delete",
            path_of(kind)(namespace, name),
            propagation_policy="Background",
            absent_ok=True,
        )

    async def _write(self, verb: str, kind: str, method: str, path: str, **parameters: Any) -> dict[str, Any] | None:
        try:
            answer = await self._request(method, path, **parameters)
        except Exception:
            WRITES.labels(verb, kind, "error").inc()
            raise
        WRITES.labels(verb, kind, "ok").inc()
        return answer

    async def _request(
        self, method: str, path: str, *, absent_ok: bool = False, **parameters: Any
    ) -> dict[str, Any] | None:
        parameters.setdefault("query_params", [])
        parameters.setdefault("header_params", {})
        try:
            response = await self._dynamic.request(method, path, _request_timeout=30, serialize=False, **parameters)
            return json.loads(await response.read())  # type: ignore[no-any-return]  # API objects are objects
        except ApiException as error:
            if error.status == 404 and absent_ok:
                return None
            raise _translate(error, path) from error
        except (OSError, TimeoutError, ClientError) as error:
            raise Unavailable(f"API server not reachable: {error}", place=path) from error


def _translate(error: ApiException, path: str) -> Exception:
    message = error.reason or ""
    with contextlib.suppress(ValueError, TypeError):  # a body that is not JSON says nothing
        message = json.loads(error.body or "{}").get("message", message)
    if error.status == 409:
        return Inconsistent(message, reason="Conflict", place=path)
    if error.status in {400, 403, 404, 405, 422}:
        return InvalidInput(message, reason=f"Refused{error.status}", place=path)
    return Unavailable(f"API server answered {error.status}: {message}", place=path)
