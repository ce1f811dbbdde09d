"""The image that the project's Dockerfile starts from where no registry is: Debian, by mmdebstrap."""

import hashlib
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.cluster.commands import answers, run, say
from tests.cluster.errors import ClusterError
from tests.cluster.state import CACHE

__all__ = ["STORAGE", "apt_sources", "buildah", "prepare_base"]

SUITE: Final = "bookworm"
PACKAGES: Final = (
    "ca-certificates",
    "mosquitto",
    "mosquitto-clients",
    "python3",
    "python3-venv",
)  # as in the Dockerfile
STORAGE: Final = CACHE / "images"
STORAGE_RUN: Final = Path("/run/meshtwin-images")

EXCLUDED: Final = ("doc", "info", "locale", "man")
TRIM: Final = (  # what mmdebstrap copies from this machine or leaves of its own; "$1" is the new root
    'rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/dpkg/dpkg.cfg.d/99mmdebstrap',
    'rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*',
    'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*',
    ': > "$1"/etc/resolv.conf; : > "$1"/etc/hostname; rm -f "$1"/var/log/*.log "$1"/var/log/apt/*',
)
ORIGIN_FORMAT: Final = "$(ORIGIN)|$(SIGNED_BY)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
APT_OPTIONS: Final = re.compile(r'^(Acquire::(?:https?::Proxy|Check-Valid-Until|Check-Date)) "(.+)";$', re.MULTILINE)


def buildah(*words: str | Path) -> str:
    """Output of ``buildah``, on a storage of our own."""
    return run(["buildah", "--root", STORAGE, "--runroot", STORAGE_RUN, *words])


def prepare_base() -> str:
    """The name of the base image, made on first use."""
    recipe = repr((SUITE, PACKAGES, EXCLUDED, TRIM))
    name = f"localhost/meshtwin-base:{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"
    if answers(["buildah", "--root", STORAGE, "--runroot", STORAGE_RUN, "inspect", "--type", "image", name]):
        return name
    say(f"Making the base image from Debian {SUITE}, once")
    begin_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "root.tar"
        _bootstrap(archive)
        container = buildah("from", "scratch").strip()
        try:
            buildah("add", container, archive, "/")
            buildah("config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)
            buildah("commit", "--format", "oci", container, name)
        finally:
            buildah("rm", container)
    say(f"Made {name} in {time.monotonic() - begin_s:.0f} s")
    return name


def apt_sources(targets: str) -> str:
    """The Debian repositories among ``targets`` (``apt-get indextargets`` by `ORIGIN_FORMAT`) as sources.list.

    >>> apt_sources("Debian|/k.gpg|http://x/debian|bookworm|main\\nOther||http://y/|z|main\\n")
    'deb [signed-by=/k.gpg] http://x/debian bookworm main\\n'
    """
    lines = []
    for target in targets.splitlines():
        origin, key, uri, release, component = target.split("|")
        signed_by = f"[signed-by={key}] " if key.startswith("/") else ""  # else mmdebstrap finds Debian's own
        if origin == "Debian" and release.startswith(SUITE):
            lines.append(f"deb {signed_by}{uri} {release} {component}\n")
    return "".join(dict.fromkeys(lines))


def _bootstrap(archive: Path) -> None:
    options = [f"--aptopt={name} {value}" for name, value in _read_apt_options().items()]
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in EXCLUDED]
    hooks = [f"--customize-hook={hook}" for hook in TRIM]
    run(
        [
            *("mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
            *(*options, *excluded, *hooks),
            *(SUITE, archive, "-"),
        ],
        text_in=_read_sources(),
    )


def _read_sources() -> str:
    """Where this machine gets Debian from; raises `ClusterError` if apt is told nowhere."""
    targets = ""
    if shutil.which("apt-get") is not None:
        targets = run(["apt-get", "indextargets", "--format", ORIGIN_FORMAT, "Created-By: Packages"])
    sources = apt_sources(targets)
    if not sources:
        raise ClusterError(f"apt knows no Debian {SUITE} to make the base image from: name one in its sources")
    return sources


def _read_apt_options() -> dict[str, str]:
    if shutil.which("apt-config") is None:
        return {}
    return dict(APT_OPTIONS.findall(run(["apt-config", "dump"])))
