"""Objects of a cluster, for the command line: a synchronous client over the user's kubeconfig."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import kubernetes.client
import kubernetes.config
import yaml
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError

from meshtwin.errors import InvalidInput, Unavailable
from meshtwin_operator.resources.base import API_GROUP, API_VERSION
from meshtwin_operator.resources.kinds import KINDS_BY_NAME

__all__ = ["KubeAccess"]

TIMEOUT_S: Final = 15  # of one request
HINT: Final = "name one with --kubeconfig, or a local state folder with --local"
Manifest = dict[str, Any]


class KubeAccess:
    """See `meshtwin_operator.cli.target.ObjectAccess`."""

    def __init__(self, *, kubeconfig: str | None, context: str | None, namespace: str | None) -> None:
        try:
            _, active = kubernetes.config.list_kube_config_contexts(kubeconfig)
            kubernetes.config.load_kube_config(kubeconfig, context=context)
            if context is not None:
                contexts, _ = kubernetes.config.list_kube_config_contexts(kubeconfig)
                active = next(c for c in contexts if c["name"] == context)
        except yaml.YAMLError as error:  # whose text holds lines of the file, and there are tokens in it
            mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", "not YAML")
            where = f", line {mark.line + 1}" if mark else ""
            raise InvalidInput(f"no usable kubeconfig: {problem}{where}; {HINT}") from None
        except (ConfigException, OSError, TypeError) as error:  # TypeError: YAML of another shape
            raise InvalidInput(f"no usable kubeconfig: {error}; {HINT}") from error
        self.namespace: str = namespace or active["context"].get("namespace") or "default"
        self._objects = kubernetes.client.CustomObjectsApi()
        self._core = kubernetes.client.CoreV1Api()

    def get(self, kind: str, name: str) -> Manifest | None:
        """See `ObjectAccess`."""
        try:
            if kind == "ConfigMap":
                found = _call(lambda: self._core.read_namespaced_config_map(name, self.namespace))
                content = {"data": found.data or {}, "binaryData": found.binary_data or {}}
                return {"kind": kind, "metadata": {"name": name}, **content}
            result: Manifest = _call(lambda: self._objects.get_namespaced_custom_object(*self._path(kind), name))
        except _NotFound:
            return None
        return result

    def list_objects(self, kind: str) -> Sequence[Manifest]:
        """See `ObjectAccess`."""
        found = _call(lambda: self._objects.list_namespaced_custom_object(*self._path(kind)))
        items: list[Manifest] = found["items"]
        return sorted(items, key=lambda item: str(item["metadata"]["name"]))

    def create(self, manifest: Mapping[str, Any]) -> Manifest:
        """See `ObjectAccess`."""
        path = self._path(manifest["kind"])
        created: Manifest = _call(
            lambda: self._objects.create_namespaced_custom_object(*path, dict(manifest), field_validation="Strict")
        )
        return created

    def patch_spec(self, kind: str, name: str, changes: Mapping[str, Any]) -> Manifest:
        """See `ObjectAccess`."""
        body = {"spec": dict(changes)}
        patched: Manifest = _call(lambda: self._objects.patch_namespaced_custom_object(*self._path(kind), name, body))
        return patched

    def whoami(self) -> str:
        """The user that the API server sees (SelfSubjectReview)."""
        api = kubernetes.client.AuthenticationV1Api()
        review = _call(lambda: api.create_self_subject_review(kubernetes.client.V1SelfSubjectReview()))
        return str(review.status.user_info.username)

    def events(self, kind: str, name: str) -> Sequence[tuple[str, str, str, str]]:
        """See `ObjectAccess`."""
        selector = f"involvedObject.kind={kind},involvedObject.name={name}"
        found = _call(lambda: self._core.list_namespaced_event(self.namespace, field_selector=selector))
        rows = [(str(e.last_timestamp or e.event_time), e.type, e.reason, e.message) for e in found.items]
        return sorted(rows)

    def read_secret(self, name: str) -> dict[str, bytes] | None:
        """Content of a Secret of the namespace; None if it does not exist."""
        try:
            found = _call(lambda: self._core.read_namespaced_secret(name, self.namespace))
        except _NotFound:
            return None
        return {field: base64.b64decode(text) for field, text in (found.data or {}).items()}

    def patch_secret(self, name: str, data: Mapping[str, str]) -> None:
        """Replace fields (base64) of a Secret."""
        _call(lambda: self._core.patch_namespaced_secret(name, self.namespace, {"data": dict(data)}))

    def _path(self, kind: str) -> tuple[str, str, str, str]:
        return API_GROUP, API_VERSION, self.namespace, KINDS_BY_NAME[kind].plural


class _NotFound(InvalidInput):
    reason = "NotFound"


def _call(request: Callable[[], Any]) -> Any:
    """The answer; foreign errors end here."""
    try:
        return request()
    except ApiException as error:
        message = _message(error)
        if error.status == 404:
            raise _NotFound(message) from error
        if error.status is not None and 400 <= error.status < 500 and error.status not in (408, 429):
            raise InvalidInput(message, reason=str(error.reason)) from error
        raise Unavailable(message) from error
    except (HTTPError, OSError) as error:
        raise Unavailable(f"API server not reachable: {error}") from error


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"
