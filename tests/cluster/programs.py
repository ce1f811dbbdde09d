"""Programs built here from pinned Go modules, once, into a cache folder keyed by version and checksums."""

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.cluster.commands import run, say
from tests.cluster.errors import ClusterError
from tests.cluster.state import CACHE, locked

__all__ = ["CONTROL_PLANE", "KUBERNETES_VERSION", "NODE", "Program", "find_kubectl", "find_programs"]

HERE: Final = Path(__file__).resolve().parent
GO_LEAST: Final = (1, 25)  # what CoreDNS's own go.mod asks for
STRIPPED: Final = "-s -w"
VERSION_LINE: Final = re.compile(r"^(?:require )?\s*(\S+) (v\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One Go program: built in ``folder`` from ``package``, cached under the version of ``module``."""

    name: str
    folder: str
    package: str
    module: str | None = None  # None: our own few lines, which need no go.mod
    linker: str = field(default=STRIPPED)


def read_versions(go_mod: str) -> Mapping[str, str]:
    """Module path -> version of every requirement in the text of a go.mod.

    >>> read_versions("module x\\nrequire k8s.io/kubernetes v1.34.4 // indirect\\n")
    {'k8s.io/kubernetes': 'v1.34.4'}
    """
    return dict(VERSION_LINE.findall(go_mod))


KUBERNETES_VERSION: Final = read_versions((HERE / "kubernetes" / "go.mod").read_text())["k8s.io/kubernetes"]
COREDNS_VERSION: Final = read_versions((HERE / "coredns" / "go.mod").read_text())["github.com/coredns/coredns"]


def _kubernetes(name: str) -> Program:
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".", 2)
    stamps = {"gitVersion": KUBERNETES_VERSION, "gitMajor": major, "gitMinor": minor}
    linker = " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in stamps.items())
    return Program(
        name=name,
        folder="kubernetes",
        package=f"k8s.io/kubernetes/cmd/{name}",
        module="k8s.io/kubernetes",
        linker=f"{STRIPPED} {linker}",
    )


CONTROL_PLANE: Final = (_kubernetes("kube-apiserver"),)
NODE: Final = (
    *CONTROL_PLANE,
    *map(_kubernetes, ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")),
    Program(name="coredns", folder="coredns", package=".", module="github.com/coredns/coredns"),
    Program(name="pause", folder="pause", package="pause.go"),
)
KUBECTL: Final = _kubernetes("kubectl")


def find_programs(programs: Sequence[Program]) -> Mapping[str, Path]:
    """Name -> path of each program; what the cache lacks is built first (minutes, once).

    Raises `ClusterError` where there is no Go, or one too old.
    """
    with locked(CACHE / "lock"):
        missing = [program for program in programs if not _cached(program).exists()]
        for folder in dict.fromkeys(program.folder for program in missing):
            _build(folder, [program for program in missing if program.folder == folder])
    return {program.name: _cached(program) for program in programs}


def find_kubectl() -> Path:
    """The machine's kubectl, else one of our own."""
    found = shutil.which("kubectl")
    return Path(found) if found else find_programs([KUBECTL])["kubectl"]


def _cached(program: Program) -> Path:
    sources = sorted(path for path in (HERE / program.folder).iterdir() if path.suffix in {".go", ".mod", ".sum"})
    text = b"".join(path.read_bytes() for path in sources) + program.linker.encode()
    digest = hashlib.sha256(text).hexdigest()[:8]
    versions = {"kubernetes": KUBERNETES_VERSION, "coredns": COREDNS_VERSION}
    version = versions.get(program.folder, "v1")
    return CACHE / f"{program.folder}-{version}-{digest}" / program.name


def _build(folder: str, programs: Sequence[Program]) -> None:
    _check_go()
    say(f"Building {', '.join(program.name for program in programs)} from Go modules, once")
    begin_s = time.monotonic()
    target = _cached(programs[0]).parent
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as unfinished:
        run(
            [
                *("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", programs[0].linker),
                *("-o", f"{unfinished}/", *(program.package for program in programs)),
            ],
            environment={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": ""},
            folder=HERE / folder,
        )
        for program in programs:
            (Path(unfinished) / program.name).replace(_cached(program))
    say(f"Built in {time.monotonic() - begin_s:.0f} s into {target}")


def _check_go() -> None:
    if shutil.which("go") is None:
        raise ClusterError(f"Go is missing: version {_dotted(GO_LEAST)} or later has to be on the PATH")
    said = run(["go", "env", "GOVERSION"]).strip()
    found = re.match(r"go(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < GO_LEAST:
        raise ClusterError(f"Go is {said}; {_dotted(GO_LEAST)} or later is needed")


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
