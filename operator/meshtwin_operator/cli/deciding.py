"""``approve``, ``reject``, ``rollback``, ``suspend``, ``stop``: what people decide."""

import time
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from meshtwin_operator.cli.options import Context, Kubeconfig, Local, Namespace, target_options
from meshtwin_operator.cli.target import Manifest, ObjectAccess, open_target

__all__ = ["register"]

WAIT_STEP_S: Final = 0.1  # between two looks at a condition

Digest = Annotated[str | None, typer.Option("--digest", help="Refuse if the proposal has another digest.")]
Comment = Annotated[str, typer.Option("--comment", "-m", help="Kept with the decision.")]
Wait = Annotated[float, typer.Option("--wait", help="Seconds to wait for the operator's word; 0: do not.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (
        ("approve", approve),
        ("reject", reject),
        ("rollback", rollback),
        ("suspend", suspend),
        ("stop", stop),
    ):
        app.command(name)(command)


def approve(
    name: Annotated[str, typer.Argument(help="A ConfigurationProposal.")],
    digest: Digest = None,
    comment: Comment = "",
    wait: Wait = 15.0,
    local: Local = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> None:
    """Approve a proposal, pinned to its digest, as the calling user."""
    from meshtwin_operator.cli.decisions import decide
    from meshtwin_operator.cli.differences import left_out_text
    from meshtwin_operator.cli.proposals import find_proposal, prediction_of, warning_lines

    access = open_target(target_options(local, kubeconfig, context, namespace))
    proposal = find_proposal(access, name)
    notes = [*warning_lines(proposal), left_out_text(prediction_of(proposal))]
    made = decide(access, name, "Approve", now=datetime.now(UTC), digest=digest, comment=comment)
    for line in filter(None, notes):
        typer.echo(line, err=True)
    _say_decision(access, made, wait)


def reject(
    name: Annotated[str, typer.Argument(help="A ConfigurationProposal.")],
    digest: Digest = None,
    comment: Comment = "",
    wait: Wait = 15.0,
    local: Local = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> None:
    """Reject a proposal."""
    from meshtwin_operator.cli.decisions import decide

    access = open_target(target_options(local, kubeconfig, context, namespace))
    made = decide(access, name, "Reject", now=datetime.now(UTC), digest=digest, comment=comment)
    _say_decision(access, made, wait)


def rollback(
    segment: Annotated[str, typer.Argument(help="A MeshSegment.")],
    to: Annotated[int | None, typer.Option("--to", help="Revision; default: the one before.")] = None,
    comment: Comment = "",
    local: Local = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> None:
    """Propose going back to an earlier revision; it is judged and approved like any other change."""
    from meshtwin_operator.cli.decisions import propose_rollback

    access = open_target(target_options(local, kubeconfig, context, namespace))
    made = propose_rollback(access, segment, to_revision=to, reason=comment, now=datetime.now(UTC))
    name = made["metadata"]["name"]
    typer.echo(f"configurationproposal/{name} created; look with `meshtwin diff {name}`, then approve it")


def suspend(
    twin: Annotated[str, typer.Argument(help="A DigitalTwin.")],
    off: Annotated[bool, typer.Option("--off", help="Go on again.")] = False,
    local: Local = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> None:
    """Hold back pushes of a twin between any two steps."""
    access = open_target(target_options(local, kubeconfig, context, namespace))
    access.patch_spec("DigitalTwin", twin, {"suspend": not off})
    typer.echo(f"digitaltwin/{twin} {'goes on' if off else 'suspended'}")


def stop(
    twin: Annotated[str, typer.Argument(help="A DigitalTwin.")],
    off: Annotated[bool, typer.Option("--off", help="End the emergency.")] = False,
    local: Local = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> None:
    """Emergency stop: pushes in flight are aborted, the gateways restore."""
    access = open_target(target_options(local, kubeconfig, context, namespace))
    access.patch_spec("DigitalTwin", twin, {"emergencyStop": not off})
    typer.echo(f"digitaltwin/{twin} {'emergency over' if off else 'stopped: pushes are aborted'}")


def _say_decision(access: ObjectAccess, made: Manifest, wait_s: float) -> None:
    from meshtwin_operator.cli.decisions import accepted_condition

    name = made["metadata"]["name"]
    typer.echo(f"approval/{name} created by {made['spec']['approvedBy']} ({made['spec']['decision']})")
    deadline_s = time.monotonic() + wait_s
    while time.monotonic() < deadline_s:
        found = accepted_condition(access.get("Approval", name) or {})
        if found is not None:
            try:
                typer.echo(f"Accepted={found['status']} {found['reason']}: {found.get('message', '')}")
            finally:  # the verdict stands, whoever stops reading
                if found["status"] == "False":
                    raise typer.Exit(1)
            return
        time.sleep(WAIT_STEP_S)
    if wait_s > 0:
        typer.echo(f"the operator has not answered within {wait_s:.0f} s; it will when it runs", err=True)
