"""The API server as seen from here: addresses, kubeconfig files, and the four requests that `up` needs."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.errors import ClusterError

__all__ = ["ApiServer", "Manifest"]

Manifest = Mapping[str, Any]  # a Kubernetes object as JSON: its shape is Kubernetes's affair

REQUEST_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServer:
    """One API server; ``NAME.crt`` and ``NAME.key`` of its users lie in ``certificates``."""

    url: str
    certificates: Path

    def kubeconfig(self, user: str) -> str:
        """A kubeconfig that needs no other file. JSON, which is YAML too."""
        cluster = {"server": self.url, "certificate-authority-data": self._encoded("ca.crt")}
        credentials = {
            "client-certificate-data": self._encoded(f"{user}.crt"),
            "client-key-data": self._encoded(f"{user}.key"),
        }
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "meshtwin", "cluster": cluster}],
                "users": [{"name": user, "user": credentials}],
                "contexts": [{"name": "meshtwin", "context": {"cluster": "meshtwin", "user": user}}],
                "current-context": "meshtwin",
            },
            indent=2,
        )

    def write_kubeconfig(self, path: Path, user: str) -> Path:
        path.touch(mode=0o600)
        path.write_text(self.kubeconfig(user))
        return path

    def is_ready(self) -> bool:
        try:
            self._request("GET", "/readyz")
        except (OSError, ClusterError):
            return False
        return True

    def fetch(self, path: str) -> Manifest | None:
        """The object or list at ``path``; None where there is none."""
        try:
            answer: Manifest = json.loads(self._request("GET", path))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise ClusterError(f"GET {path}: {error.code} {error.read().decode()}") from error
        except OSError as error:
            raise ClusterError(f"GET {path}: {error}") from error
        return answer

    def apply(self, path: str, manifest: Manifest) -> None:
        """Server-side apply of ``manifest`` as the object at ``path``."""
        self._change("PATCH", f"{path}?fieldManager=meshtwin-cluster&force=true", manifest, "apply-patch+yaml")

    def merge(self, path: str, change: Manifest) -> None:
        """Merge ``change`` into the object at ``path``; None removes a field."""
        self._change("PATCH", path, change, "merge-patch+json")

    def _change(self, method: str, path: str, body: Manifest, content: str) -> None:
        try:
            self._request(method, path, json.dumps(body).encode(), f"application/{content}")
        except urllib.error.HTTPError as error:
            raise ClusterError(f"{method} {path}: {error.code} {error.read().decode()}") from error
        except OSError as error:
            raise ClusterError(f"{method} {path}: {error}") from error

    def _request(self, method: str, path: str, body: bytes | None = None, content: str = "application/json") -> str:
        trust = ssl.create_default_context(cafile=str(self.certificates / "ca.crt"))
        trust.load_cert_chain(self.certificates / "admin.crt", self.certificates / "admin.key")
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )
        request = urllib.request.Request(
            f"{self.url}{path}", data=body, method=method, headers={"Content-Type": content}
        )
        with opener.open(request, timeout=REQUEST_S) as answer:
            text: str = answer.read().decode()
        return text

    def _encoded(self, name: str) -> str:
        return base64.b64encode((self.certificates / name).read_bytes()).decode()
