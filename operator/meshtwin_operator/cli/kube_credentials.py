"""Credentials on a cluster: read from the Secrets that the operator keeps, rotated by writing a new password."""

import base64
import secrets
from typing import Any, Final
from urllib.parse import urlsplit

from meshtwin.errors import InvalidInput
from meshtwin_operator.cli.kube_access import KubeAccess
from meshtwin_operator.kube.tree_secrets import OWN_KEY, gateway_secret
from meshtwin_operator.reconcile.naming import parent_workload

__all__ = ["read_credentials", "read_own_key", "read_rest_key"]

PASSWORD_BYTES: Final = 32


def read_credentials(
    access: KubeAccess, gateway_id: str, *, rotate: bool, outside: str | None = None
) -> dict[str, Any]:
    """What a gateway needs to connect; with ``rotate`` a new password, which the operator brings to the broker.

    ``outside`` is the broker's URL as the root twin's status tells it: for a broker behind a NodePort or a load
    balancer that is where a device outside the cluster finds it; the Secret itself has the address inside.
    Raises `InvalidInput` where the Secret is missing or the user may not read it.
    """
    name = gateway_secret(gateway_id)
    if rotate:
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        access.patch_secret(name, {"password": base64.b64encode(password.encode()).decode()})
    data = access.read_secret(name)
    if data is None:
        raise InvalidInput(f"no Secret {name} in {access.namespace} yet: is the operator running?")
    url = urlsplit(outside or "")
    return {
        "host": url.hostname or data["host"].decode(),
        "port": url.port or int(data["port"]),
        "username": data["username"].decode(),
        "password": data["password"].decode(),
        "caCertificate": data["ca.crt"].decode(),
    }


def read_rest_key(access: KubeAccess, root_twin: str) -> bytes:
    """The key that signs tokens of viewers for a tree."""
    data = access.read_secret(f"{root_twin}-tree")
    if data is None:
        raise InvalidInput(f"no Secret {root_twin}-tree in {access.namespace} yet: is the operator running?")
    return data["rest-key"].strip()


def read_own_key(access: KubeAccess, twin: str) -> bytes:
    """The key that signs tokens of engineers for a parent twin; raises `InvalidInput` where it is not there."""
    name = f"{parent_workload(twin)}-account"
    data = access.read_secret(name)
    if data is None or OWN_KEY not in data:
        raise InvalidInput(f"no key in Secret {name} of {access.namespace} yet: is the operator running?")
    return data[OWN_KEY].strip()
