"""A certificate authority for one cluster, and a certificate for each of its parts, made by openssl."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.cluster.commands import run

__all__ = ["issue", "make_authority", "make_service_account_key"]

VALID_DAYS: Final = "3650"
NEW_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def make_authority(folder: Path) -> None:
    """``ca.crt`` and ``ca.key`` in ``folder``, which only we may read."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    run(
        [
            *("openssl", "req", "-x509", *NEW_KEY, "-days", VALID_DAYS, "-subj", "/CN=meshtwin-cluster"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"),
            *("-keyout", folder / "ca.key", "-out", folder / "ca.crt"),
        ]
    )


def issue(folder: Path, name: str, *, user: str, groups: Sequence[str] = (), serves: Sequence[str] = ()) -> None:
    """``NAME.crt`` and ``NAME.key``, signed by the authority in ``folder``.

    ``user`` and ``groups`` are who Kubernetes takes the holder for.
    ``serves`` names hosts ("DNS:localhost", "IP:127.0.0.1"); empty for a client.
    """
    usage = "serverAuth" if serves else "clientAuth"
    names = ["-addext", f"subjectAltName={','.join(serves)}"] if serves else []
    subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
    run(
        [
            *("openssl", "req", "-x509", *NEW_KEY, "-days", VALID_DAYS, "-subj", subject),
            *("-CA", folder / "ca.crt", "-CAkey", folder / "ca.key"),
            *("-addext", "basicConstraints=critical,CA:FALSE", "-addext", f"extendedKeyUsage={usage}", *names),
            *("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"),
        ]
    )


def make_service_account_key(folder: Path) -> None:
    """``service-accounts.key`` and its public half, ``service-accounts.pub``: the tokens of service accounts."""
    private, public = folder / "service-accounts.key", folder / "service-accounts.pub"
    run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private])
    run(["openssl", "pkey", "-in", private, "-pubout", "-out", public])
