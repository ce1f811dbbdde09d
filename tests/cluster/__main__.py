"""Command line: ``python -m tests.cluster COMMAND``, from the root of the repository."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.cluster.cluster import VOLUMES, Wish, bring_down, bring_up, load_image
from tests.cluster.commands import say
from tests.cluster.errors import ClusterError
from tests.cluster.image import BuildRequest, build_image
from tests.cluster.own_node import own_api
from tests.cluster.programs import find_kubectl
from tests.cluster.state import DEFAULT_STATE, REPOSITORY, State
from tests.cluster.volumes import keep_volumes


def main() -> int:
    """Do what the command line says; 1 with a message if it cannot be done."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # iptables and others, where root came by plain `su`
    arguments = _parser().parse_args()
    commands: Mapping[str, Callable[[argparse.Namespace], None]] = {
        "up": _up,
        "down": lambda given: bring_down(State.at(given.state)),
        "load-image": lambda given: load_image(State.at(given.state), given.archive),
        "build-image": _build_image,
        "keep-volumes": _keep_volumes,
    }
    try:
        commands[arguments.command](arguments)
    except (ClusterError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; `down` clears what was made", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description="A real Kubernetes for tests.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, said: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=said, description=said)

    def add_with_state(name: str, said: str) -> argparse.ArgumentParser:
        command = add(name, said)
        command.add_argument(
            "--state", type=Path, default=DEFAULT_STATE, metavar="DIR", help="state folder (default: .cluster)"
        )
        return command

    up = add_with_state("up", "Bring a cluster up and print the path of its kubeconfig.")
    up.add_argument("--kubeconfig", type=Path, metavar="FILE", help="take the existing cluster of this file")
    up.add_argument("--driver", choices=["kind", "node"], help="default: kind where Docker answers, else node")
    up.add_argument("--control-plane-only", action="store_true", help="etcd and an API server, on loopback")
    up.add_argument("--volumes", type=int, default=VOLUMES, metavar="N", help="PersistentVolumes of 1Gi to offer")
    up.add_argument("--replace", action="store_true", help="take down this machine's other cluster first")
    add_with_state("down", "Take down everything that `up` made.")
    load = add_with_state("load-image", "Put the images of an archive where pods find them.")
    load.add_argument("archive", type=Path, metavar="ARCHIVE")
    build = add("build-image", "Build the project's image into an archive, with or without Docker.")
    build.add_argument("--tag", default="meshtwin:dev")
    build.add_argument("--output", type=Path, required=True, metavar="FILE.tar")
    build.add_argument("--context", type=Path, default=REPOSITORY, metavar="DIR", help="default: the repository")
    add_with_state("keep-volumes", "Clean released volumes, until ended; `up` starts it.")
    return parser


def _up(given: argparse.Namespace) -> None:
    driver = "control-plane" if given.control_plane_only else given.driver
    wish = Wish(kubeconfig=given.kubeconfig, driver=driver, volumes=given.volumes, replace=given.replace)
    kubeconfig = bring_up(State.at(given.state), wish)
    say(f"kubectl: {find_kubectl()}")
    say(f"export KUBECONFIG={kubeconfig}")


def _build_image(given: argparse.Namespace) -> None:
    build_image(BuildRequest(tag=given.tag, output=given.output, context=given.context))


def _keep_volumes(given: argparse.Namespace) -> None:
    state = State.at(given.state)
    keep_volumes(state, own_api(state))


if __name__ == "__main__":
    sys.exit(main())
