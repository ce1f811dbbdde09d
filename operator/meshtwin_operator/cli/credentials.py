"""Credentials of gateways and bearer tokens, handed over to who may read the secrets."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.northbound.tokens import mint
from meshtwin_operator.cli.target import LocalAccess, ObjectAccess, TargetOptions, open_target
from meshtwin_operator.local.brokers import gateway_secret_name
from meshtwin_operator.local.workloads import rest_key_name

if TYPE_CHECKING:
    from meshtwin_operator.cli.kube_access import KubeAccess

__all__ = ["fetch_export", "mint_token", "print_credentials"]


def print_credentials(options: TargetOptions, gateway_id: str | None, *, rotate: bool) -> None:
    """Print what a gateway needs to reach its broker, as JSON; with ``rotate`` after a new password."""
    access = open_target(options)
    segments = access.list_objects("MeshSegment")
    known = [s["spec"].get("gatewayId") for s in segments if s["spec"].get("gatewayId")]
    if gateway_id is None or gateway_id not in known:
        listed = ", ".join(sorted(known)) or "none"
        what = (
            "name a gateway" if gateway_id is None else f"no segment of {access.namespace} names gateway {gateway_id}"
        )
        raise InvalidInput(f"{what} (there are: {listed})", reason="NotFound")
    segment = next(s for s in segments if s["spec"].get("gatewayId") == gateway_id)
    root = find_root(access, segment["spec"]["twinRef"]["name"])
    if isinstance(access, LocalAccess):
        found = _local_credentials(access, root, gateway_id, rotate=rotate)
    else:
        from meshtwin_operator.cli.kube_credentials import read_credentials

        twin = access.get("DigitalTwin", root) or {}
        address = (twin.get("status") or {}).get("brokerAddress")
        found = read_credentials(_on_cluster(access), gateway_id, rotate=rotate, outside=address)
    typer.echo(json.dumps(found, indent=2))


def find_root(access: ObjectAccess, twin: str) -> str:
    """Name of the root of a twin's tree; raises `InvalidInput` for a missing twin or a circle."""
    seen = [twin]
    while True:
        found = access.get("DigitalTwin", seen[-1])
        if found is None:
            raise InvalidInput(f"no DigitalTwin {seen[-1]} in {access.namespace}", reason="NotFound")
        parent = (found["spec"].get("parentRef") or {}).get("name")
        if parent is None:
            return seen[-1]
        if parent in seen:
            raise InvalidInput(f"parents form a circle: {' -> '.join([*seen, parent])}")
        seen.append(parent)


def mint_token(access: ObjectAccess, twin: str, *, role: str, lifetime_s: float) -> str:
    """A bearer token: of a viewer for all twins of the tree of ``twin``, of a higher role for ``twin`` alone."""
    root = find_root(access, twin)
    if isinstance(access, LocalAccess):
        key = access.state.secret(rest_key_name(access.namespace, root)).read_bytes().strip()
    else:
        from meshtwin_operator.cli.kube_credentials import read_own_key, read_rest_key

        cluster = _on_cluster(access)
        key = read_rest_key(cluster, root) if role == "viewer" else read_own_key(cluster, twin)
    return mint(key, access.whoami(), role, lifetime_s, datetime.now(UTC))


def fetch_export(access: ObjectAccess, name: str, what: str, url: str | None) -> str:
    """JSON text of one REST resource of a segment's or twin's process."""
    import httpx

    for kind in ("MeshSegment", "DigitalTwin"):
        found = access.get(kind, name)
        if found is not None:
            break
    else:
        raise InvalidInput(f"no MeshSegment or DigitalTwin {name} in {access.namespace}", reason="NotFound")
    twin = found["spec"]["twinRef"]["name"] if found["kind"] == "MeshSegment" else name
    base = url or (found.get("status") or {}).get("url")
    if not base:
        raise InvalidInput(f"{name} has no url in its status yet: wait until it is Ready, or give --url")
    headers = {"Authorization": "Bearer " + mint_token(access, twin, role="viewer", lifetime_s=300)}
    try:
        answer = httpx.get(f"{base.rstrip('/')}/api/v1/{what}", headers=headers, timeout=30, trust_env=False)
    except httpx.HTTPError as error:
        hint = "" if url else "; from outside the cluster: `kubectl port-forward` its Service and give --url"
        raise Unavailable(f"{base} does not answer: {error}{hint}") from error
    if answer.status_code != httpx.codes.OK:
        raise Unavailable(f"{base} answers {answer.status_code}: {answer.text[:300]}")
    return json.dumps(answer.json(), indent=2)


def _local_credentials(access: LocalAccess, root: str, gateway_id: str, *, rotate: bool) -> dict[str, Any]:
    secret = gateway_secret_name(access.namespace, root, gateway_id)
    path = access.state.rotate_secret(secret) if rotate else access.state.secret(secret)
    return {
        "host": "127.0.0.1",
        "port": access.state.port(f"{access.namespace}.{root}-broker"),
        "username": f"gateway.{gateway_id}",
        "password": path.read_text().strip(),
        "passwordFile": str(path.resolve()),
    }


def _on_cluster(access: ObjectAccess) -> "KubeAccess":
    from meshtwin_operator.cli.kube_access import KubeAccess

    if not isinstance(access, KubeAccess):
        raise AssertionError("an access is local or on a cluster")
    return access
