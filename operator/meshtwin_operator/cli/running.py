"""``up``, ``demo``, ``mesh``, ``gateway``, ``token``, ``export``: what runs, and talking to what runs."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from meshtwin_operator.cli.options import Context, Kubeconfig, Local, Namespace, target_options

__all__ = ["register"]

State = Annotated[Path | None, typer.Option("--state", help="State folder (default: .meshtwin in FOLDER).")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (
        ("up", up),
        ("demo", demo),
        ("mesh", mesh),
        ("gateway", gateway),
        ("token", token),
        ("export", export),
    ):
        app.command(name)(command)


def up(
    folder: Annotated[Path, typer.Argument(help="Folder with manifests.")],
    state: State = None,
    log_level: Annotated[Literal["debug", "info", "warning", "error"], typer.Option("--log-level")] = "info",
) -> None:
    """Run twins from a folder of manifests, without Kubernetes, until Ctrl-C."""
    from meshtwin.app.logs import configure_logs
    from meshtwin.app.running import run_until_signal
    from meshtwin_operator.local.operator import LocalOperator
    from meshtwin_operator.local.state import STATE_NAME, StateFolder

    configure_logs(log_level, stream=sys.stderr)
    place = StateFolder((state or folder / STATE_NAME).resolve())
    operator = LocalOperator(folder.resolve(), place, say=typer.echo)
    asyncio.run(run_until_signal(operator.run))


def demo(
    approve: Annotated[Literal["auto", "wait"], typer.Option(help="Who approves the proposals.")] = "wait",
    once: Annotated[bool, typer.Option("--once", help="End after the first round.")] = False,
    output: Annotated[Literal["table", "json"], typer.Option("--output", "-o")] = "table",
    mesh: Annotated[
        Literal["emulated", "bluez"], typer.Option(help="What stands in for the building; bluez: bluetooth-meshd.")
    ] = "emulated",
    seed: Annotated[int | None, typer.Option(help="Hidden truth of the mesh.")] = None,
    speed: Annotated[
        float | None, typer.Option(help="Mesh seconds per second (16; 1 with bluez).", min=0.1, max=100)
    ] = None,
    state: Annotated[Path | None, typer.Option(help="State folder, emptied first (default: temporary).")] = None,
    sample: Annotated[Path | None, typer.Option(help="Folder of the sample.")] = None,
    timeout: Annotated[float, typer.Option(help="Give up after so many seconds.")] = 900.0,
) -> None:
    """Show the main job on the sample: adopt, propose, approve, push, verify; exit 0 if confirmed."""
    from meshtwin_operator.cli.demo import DemoOptions, run_demo

    options = DemoOptions(
        approve_itself=approve == "auto",
        once=once,
        as_json=output == "json",
        seed=seed,
        speed=speed,
        mesh=mesh,
        state=state,
        sample=sample,
        timeout_s=timeout,
    )
    raise typer.Exit(asyncio.run(run_demo(options)))


def mesh(
    emulate: Annotated[Path | None, typer.Option("--emulate", help="Scenario of an emulated mesh.")] = None,
    bluez: Annotated[
        Path | None, typer.Option("--bluez", help="Scenario of a mesh of bluetooth-meshd processes.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="TCP port on loopback; 0: any free one.")] = 0,
    token_file: Annotated[Path | None, typer.Option(help="File with the token of its clients.")] = None,
    speed: Annotated[float, typer.Option(min=0.001, max=100, help="Mesh seconds per second; 1 with --bluez.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Instead of the scenario's.")] = None,
) -> None:
    """Run an emulated mesh, or one of real Bluetooth Mesh daemons on a virtual air."""
    from meshtwin.app.logs import configure_logs
    from meshtwin.app.running import run_until_signal
    from meshtwin.errors import InvalidInput

    configure_logs("info", stream=sys.stderr)  # standard output is what gateways are configured with

    if (emulate is None) == (bluez is None):
        raise InvalidInput("give exactly one of --emulate and --bluez")
    if bluez is not None and speed != 1.0:
        raise InvalidInput(f"speed {speed:g} with --bluez: real daemons know real time alone")

    async def run() -> None:
        if bluez is not None:
            from meshtwin.app.virtual_air import VirtualAirSettings, run_virtual_air

            air = VirtualAirSettings(scenario=bluez, port=port, token_file=token_file, seed=seed)
            await run_virtual_air(air, on_ready=lambda ready: typer.echo(json.dumps(ready)))
        elif emulate is not None:
            from meshtwin.app.emulated_mesh import EmulatedMeshSettings, run_emulated_mesh

            settings = EmulatedMeshSettings(scenario=emulate, port=port, token_file=token_file, speed=speed, seed=seed)
            await run_emulated_mesh(settings, on_ready=lambda at: typer.echo(f"emulated mesh on 127.0.0.1:{at}"))

    asyncio.run(run_until_signal(run))


def gateway(
    what: Annotated[str, typer.Argument(help="A configuration file, or the word `credentials`.")],
    gateway_id: Annotated[str | None, typer.Argument(help="With `credentials`: the gateway's id.")] = None,
    rotate: Annotated[bool, typer.Option("--rotate", help="Make a new password first.")] = False,
    local: Local = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> None:
    """Run a reference gateway, or hand over the credentials of one: `gateway credentials GATEWAY`."""
    if what == "credentials":
        from meshtwin_operator.cli.credentials import print_credentials

        options = target_options(local, kubeconfig, context, namespace)
        print_credentials(options, gateway_id, rotate=rotate)
        return
    from meshtwin.app.gateway import main

    raise typer.Exit(main([what]))


def token(
    twin: Annotated[str, typer.Argument(help="A DigitalTwin: of a viewer for its tree, of an engineer for it alone.")],
    role: Annotated[Literal["viewer", "engineer"], typer.Option(help="What it allows.")] = "viewer",
    hours: Annotated[int, typer.Option(min=1, max=720)] = 12,
    local: Local = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> None:
    """Print a bearer token for the REST interface of a twin."""
    from meshtwin_operator.cli.credentials import mint_token
    from meshtwin_operator.cli.target import open_target

    access = open_target(target_options(local, kubeconfig, context, namespace))
    typer.echo(mint_token(access, twin, role=role, lifetime_s=hours * 3600))


def export(
    name: Annotated[str, typer.Argument(help="A MeshSegment or a DigitalTwin.")],
    what: Annotated[Literal["snapshot", "topology", "nodes", "links", "segments"], typer.Option("--what")] = "snapshot",
    url: Annotated[str | None, typer.Option(help="REST interface, where its status names none.")] = None,
    local: Local = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> None:
    """Print what a twin knows as JSON, from its REST interface."""
    from meshtwin_operator.cli.credentials import fetch_export
    from meshtwin_operator.cli.target import open_target

    access = open_target(target_options(local, kubeconfig, context, namespace))
    typer.echo(fetch_export(access, name, what, url))
