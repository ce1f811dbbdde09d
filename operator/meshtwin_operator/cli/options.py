"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from meshtwin_operator.cli.target import TargetOptions

__all__ = ["Context", "Kubeconfig", "Local", "Namespace", "target_options"]

Local = Annotated[
    Path | None,
    typer.Option("--local", help="State folder of local mode (default: ./.meshtwin or $MESHTWIN_STATE if there)."),
]
Kubeconfig = Annotated[str | None, typer.Option("--kubeconfig", help="Kubeconfig of the cluster.")]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Namespace of the objects.")]


def target_options(
    local: Path | None, kubeconfig: str | None, context: str | None, namespace: str | None
) -> TargetOptions:
    """What the four options say."""
    return TargetOptions(local=local, kubeconfig=kubeconfig, context=context, namespace=namespace)
