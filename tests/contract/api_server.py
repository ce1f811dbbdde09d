"""A real API server for contract tests: requests with strict field validation, as any user."""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from kubernetes import config

from meshtwin_operator.resources.crd import crd
from meshtwin_operator.resources.kinds import KINDS, KINDS_BY_NAME

NAMESPACE = "corpus"
ATTEMPTS = 1000  # requests until a definition or a policy is in force; each takes about a millisecond


class ApiServer:
    """Requests in one namespace; ``user`` None is the cluster administrator."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        settings = config.new_client_from_config(str(kubeconfig)).configuration
        context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        context.load_cert_chain(settings.cert_file, settings.key_file)
        self.http = httpx.Client(base_url=settings.host, verify=context, timeout=30)

    def install_crds(self) -> None:
        """All eight, and wait until they are served."""
        crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        for kind in KINDS:
            answer = self.http.post(crds, json=crd(kind), params={"fieldValidation": "Strict"})
            assert answer.status_code == 201, answer.text
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        assert self.http.post("/api/v1/namespaces", json=namespace).status_code == 201
        for kind in KINDS:
            for _ in range(ATTEMPTS):
                if self.http.get(self.place(kind.kind_name)).is_success:
                    break
            else:
                pytest.fail(f"{kind.plural} are not served after their CRD was created")

    def place(self, kind: str, name: str = "") -> str:
        """Path of a collection, or of one object in it."""
        path = f"/apis/meshtwin.dev/v1alpha1/namespaces/{NAMESPACE}/{KINDS_BY_NAME[kind].plural}"
        return f"{path}/{name}" if name else path

    def send(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        user: str | None = None,
        groups: Sequence[str] = (),
        dry_run: bool = True,
    ) -> httpx.Response:
        """One request, by default a dry run; ``user`` and ``groups`` are impersonated."""
        headers = [("Impersonate-User", user)] if user else []
        headers += [("Impersonate-Group", group) for group in groups]
        if method == "PATCH":
            headers.append(("Content-Type", "application/merge-patch+json"))
        params = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        if method in {"GET", "DELETE"}:
            params.pop("fieldValidation")
        return self.http.request(method, path, json=body, params=params, headers=headers)

    def update(self, manifest: dict[str, Any], old: dict[str, Any]) -> httpx.Response:
        """The answer to updating ``old`` to ``manifest``; nothing stays."""
        created = self.send("POST", self.place(old["kind"]), old, dry_run=False)
        assert created.status_code == 201, created.text
        place = self.place(old["kind"], old["metadata"]["name"])
        version = created.json()["metadata"]["resourceVersion"]
        body = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": version}}
        try:
            return self.send("PUT", place, body)
        finally:
            assert self.http.delete(place).is_success


@contextmanager
def started_api_server(folder: Path) -> Iterator[ApiServer]:
    """A control plane of its own with the CRDs, while the block runs."""
    from tests.cluster import control_plane  # builds an API server where there is none: only when wanted

    with control_plane(folder) as kubeconfig:
        server = ApiServer(kubeconfig)
        server.install_crds()
        yield server
        server.http.close()
