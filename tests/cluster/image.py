"""The project's image as an archive: by Docker where it answers, else by buildah on a base made here.

How this machine reaches its package indexes is handed to the build as secrets: it stays out of the image.
"""

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cluster.base_image import STORAGE, buildah, prepare_base
from tests.cluster.commands import run, say
from tests.cluster.debian import find_or_install
from tests.cluster.kind import is_docker_answering
from tests.cluster.leftovers import unmount_below
from tests.cluster.pip_settings import write_pip_secrets
from tests.cluster.state import CACHE, REPOSITORY, locked

__all__ = ["BuildRequest", "build_image", "qualified"]

DOCKERFILE: Final = Path("manifests/image/Dockerfile")
NEEDS: Final = ("mmdebstrap", "buildah")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build: ``tag`` out of ``context``, into the OCI archive ``output``."""

    tag: str
    output: Path
    context: Path = REPOSITORY
    dockerfile: Path = REPOSITORY / DOCKERFILE


def build_image(request: BuildRequest) -> None:
    """Build; layers whose inputs are unchanged come from the cache.

    Raises `ClusterError` with the end of the build's output if a step fails.
    """
    begin_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        secrets = write_pip_secrets(Path(folder))
        if is_docker_answering():
            say(f"Building {request.tag} with Docker")
            _build_with_docker(request, secrets)
        else:
            say(f"Building {request.tag} with buildah")
            find_or_install(NEEDS)
            with locked(CACHE / "images.lock"):
                try:
                    _build_with_buildah(request, secrets)
                finally:
                    unmount_below(STORAGE)
    size_mib = request.output.stat().st_size / 2**20
    say(f"Wrote {request.output} ({size_mib:.0f} MiB) after {time.monotonic() - begin_s:.0f} s")


def qualified(tag: str) -> str:
    """The name under which a kubelet looks for ``tag``.

    >>> qualified("meshtwin:dev"), qualified("team/meshtwin:1"), qualified("ghcr.io/x/meshtwin:1")
    ('docker.io/library/meshtwin:dev', 'docker.io/team/meshtwin:1', 'ghcr.io/x/meshtwin:1')
    """
    first, slash, _ = tag.partition("/")
    if not slash:
        return f"docker.io/library/{tag}"
    is_host = "." in first or ":" in first or first == "localhost"
    return tag if is_host else f"docker.io/{tag}"


def _build_with_docker(request: BuildRequest, secrets: Mapping[str, Path]) -> None:
    flags: list[str | Path] = ["-f", request.dockerfile, "-t", request.tag, *_secret_flags(secrets)]
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}  # the older builder knows no secrets
    run(["docker", "build", *flags, request.context], environment=environment, show=True)
    run(["docker", "save", "-o", request.output, request.tag])


def _build_with_buildah(request: BuildRequest, secrets: Mapping[str, Path]) -> None:
    name = qualified(request.tag)
    buildah("rm", "--all")  # working containers of a build that was interrupted
    buildah(
        "build",
        *("--isolation", "chroot", "--layers", "--force-rm", "--pull-never", "--format", "oci"),
        *("--build-arg", f"BASE={prepare_base()}"),
        *_secret_flags(secrets),
        *("--ignorefile", request.dockerfile.with_name("Dockerfile.dockerignore")),
        *("-f", request.dockerfile, "-t", name, request.context),
    )
    request.output.unlink(missing_ok=True)
    buildah("push", name, f"oci-archive:{request.output.resolve()}:{name}")


def _secret_flags(secrets: Mapping[str, Path]) -> Sequence[str]:
    return [word for name, path in secrets.items() for word in ("--secret", f"id={name},src={path}")]
