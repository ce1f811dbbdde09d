"""``graph``: what the links of a scenario or snapshot allow, without simulating anything."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from meshtwin_operator.cli.loading import loading
from meshtwin_operator.cli.long_work import progress

if TYPE_CHECKING:
    from meshtwin.graph_document import GraphDocument

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("graph")(graph)


def graph(
    file: Annotated[Path, typer.Argument(help="A scenario file, or a snapshot (.json, as a twin's /v1/snapshot).")],
    to: Annotated[
        str | None,
        typer.Option(help="Node that all is asked about (default: the gateway, or the first flow's source)."),
    ] = None,
    ttl: Annotated[int | None, typer.Option(min=0, max=127, help="TTL to ask about (default: the node's).")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Delivery within its sender's sends from which a link counts (0.5).")
    ] = None,
    transmissions: Annotated[
        int | None, typer.Option(min=1, max=8, help="Sends in place of those that are set.")
    ] = None,
    backbone: Annotated[bool, typer.Option("--backbone", help="Also find a small set of relays.")] = False,
    connected: Annotated[
        int | None, typer.Option(min=1, max=4, help="They hang together when any K - 1 of them fail.")
    ] = None,
    dominating: Annotated[int | None, typer.Option(min=1, max=8, help="Every other node hears M of them.")] = None,
    output: Annotated[Literal["table", "json"], typer.Option("--output", "-o")] = "table",
) -> None:
    """Tell reach, hops, disjoint paths, relays and links that nothing can stand in for, and relay backbones."""
    with loading():
        import meshtwin
        from meshtwin.graph_questions import THRESHOLD, BackboneWish, graph_of

    wish = None
    if backbone or connected is not None or dominating is not None:
        wish = BackboneWish(connected=connected or 1, dominating=dominating or 1)
    with progress("reading") as tell:
        what = meshtwin.read_snapshot(file) if file.suffix.lower() == ".json" else meshtwin.read_scenario(file)
        told = graph_of(
            what, to=to, ttl=ttl, threshold=THRESHOLD if threshold is None else threshold, transmissions=transmissions,
            backbone=wish, progress=tell,
        )  # fmt: skip
    if output == "json":
        typer.echo(told.model_dump_json(by_alias=True, indent=2))
    else:
        _print(told)


def _print(told: "GraphDocument") -> None:
    from rich.table import Table

    from meshtwin_operator.cli.console import make_console

    console = make_console()
    console.print(str(told))
    nodes = Table("Node", "Relay", f"Hops from {told.node}", f"TTL {told.ttl}", f"Paths to {told.node}", box=None)
    for node in told.nodes:
        nodes.add_row(
            node.address,
            "yes" if node.is_relay else "",
            "–" if node.hops_from is None else str(node.hops_from),
            "reached" if node.is_reached else "–",
            "direct" if node.is_heard_directly else str(node.paths_to),
        )
    console.print(nodes)
    flows = Table("Flow", "From", "TTL", "Reached", "Smallest TTL", "Paths to the worst member", box=None)
    for flow in told.flows:
        flows.add_row(
            flow.name,
            flow.source,
            str(flow.ttl),
            f"{flow.reached} of {flow.members}",
            "none" if flow.minimal_ttl is None else str(flow.minimal_ttl),
            "direct" if flow.paths >= 8 else str(flow.paths),
        )
    console.print(flows)
