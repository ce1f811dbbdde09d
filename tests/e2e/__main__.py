"""Find or make a cluster, build and load the image, run the tests that need a cluster and the README's blocks.

``MESHTWIN_E2E_KUBECONFIG`` names an existing cluster; ``MESHTWIN_E2E_KEEP=1`` leaves everything running.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGE = ".image/meshtwin.tar"


def main() -> int:
    """Exit code of the first step that failed."""
    existing = os.environ.get("MESHTWIN_E2E_KUBECONFIG")
    keep = os.environ.get("MESHTWIN_E2E_KEEP") == "1"
    (ROOT / ".image").mkdir(exist_ok=True)
    try:
        said = _cluster("up", *(["--kubeconfig", existing] if existing else ["--replace"]))
        exports = [line for line in said.splitlines() if line.startswith("export KUBECONFIG=")]
        os.environ["KUBECONFIG"] = exports[-1].partition("=")[2]
        kubectl = [line for line in said.splitlines() if line.startswith("kubectl: ")][-1].partition(": ")[2]
        os.environ["PATH"] = f"{Path(kubectl).parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        _cluster("build-image", "--tag", "meshtwin:dev", "--output", IMAGE)
        _cluster("load-image", IMAGE)
        pytest = [sys.executable, "-m", "pytest", "-q", "-m", "cluster", "--timeout", "900", "-x", "--durations=5"]
        for command in (
            [sys.executable, "-m", "tests.readme", "cluster"],
            [*pytest, "tests/e2e"],
            [*pytest, "tests/contract"],
        ):
            done = subprocess.run(command, cwd=ROOT, check=False)
            if done.returncode:
                _say_what_is_there()
                return done.returncode
    except subprocess.CalledProcessError as error:
        return error.returncode
    finally:
        if not keep and not existing:
            subprocess.run([sys.executable, "-m", "tests.cluster", "down"], cwd=ROOT, check=False)
    return 0


def _cluster(*arguments: str) -> str:
    """Run a command of the cluster tool, showing what it says; its text."""
    command = [sys.executable, "-m", "tests.cluster", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return "".join(lines)


def _say_what_is_there() -> None:
    """What a person would look at first."""
    for arguments in (
        ["get", "pods", "--all-namespaces", "-o", "wide"],
        ["get", "meshtwin", "--all-namespaces"],
        ["get", "pipelines,configurationproposals", "--all-namespaces", "-o", "yaml"],
        ["get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"],
        ["logs", "-n", "meshtwin-system", "deployment/meshtwin-operator", "--tail=60"],
    ):
        print(f"== kubectl {' '.join(arguments)}", flush=True)
        subprocess.run(["kubectl", *arguments], check=False)


if __name__ == "__main__":
    sys.exit(main())
