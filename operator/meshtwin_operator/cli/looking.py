"""``get``, ``describe``, ``diff``: looking at objects."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer

from meshtwin_operator.cli.options import Context, Kubeconfig, Local, Namespace, target_options

__all__ = ["register"]

OutputFormat = Literal["table", "json", "yaml"]
Output = Annotated[OutputFormat, typer.Option("--output", "-o", help="How to print.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("get")(get)
    app.command("describe")(describe)
    app.command("diff")(diff)


def get(
    kind: Annotated[str, typer.Argument(help="A kind, plural or short name; or all.")],
    name: Annotated[str | None, typer.Argument()] = None,
    output: Output = "table",
    local: Local = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> None:
    """Show objects."""
    from meshtwin.errors import InvalidInput
    from meshtwin_operator.cli.kinds import find_kinds
    from meshtwin_operator.cli.target import open_target

    kinds = find_kinds(kind)
    access = open_target(target_options(local, kubeconfig, context, namespace))
    found = {k: list(access.list_objects(k.kind_name)) for k in kinds}
    if name is not None:
        found = {k: [m for m in objects if m["metadata"]["name"] == name] for k, objects in found.items()}
        if not any(found.values()):
            raise InvalidInput(f"no {kinds[0].kind_name} {name} in {access.namespace}", reason="NotFound")
    if output == "table":
        _print_tables(found, access.namespace)
    else:
        objects = [manifest for group in found.values() for manifest in group]
        _dump(objects[0] if name is not None and len(objects) == 1 else {"items": objects}, output)


def describe(
    kind: Annotated[str, typer.Argument()],
    name: Annotated[str, typer.Argument()],
    local: Local = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> None:
    """Show one object with its conditions and events."""
    from rich.table import Table

    from meshtwin.errors import InvalidInput
    from meshtwin_operator.cli.console import make_console
    from meshtwin_operator.cli.kinds import find_kinds
    from meshtwin_operator.cli.proposals import prediction_of, warning_lines
    from meshtwin_operator.cli.searches import print_runs, print_search
    from meshtwin_operator.cli.target import open_target

    (kind_type, *_) = find_kinds(kind)
    access = open_target(target_options(local, kubeconfig, context, namespace))
    manifest = access.get(kind_type.kind_name, name)
    if manifest is None:
        raise InvalidInput(f"no {kind_type.kind_name} {name} in {access.namespace}", reason="NotFound")
    console = make_console()
    status = dict(manifest.get("status") or {})
    conditions = status.pop("conditions", [])
    shown: dict[str, Any] = {f: manifest[f] for f in ("kind", "metadata", "spec") if f in manifest}
    search = (manifest.get("spec") or {}).get("search")
    warnings = warning_lines(manifest) if kind_type.kind_name == "ConfigurationProposal" else []
    if search or warnings:  # as tables and lines, below
        below = ("search", "warnings")
        shown["spec"] = {field: value for field, value in manifest["spec"].items() if field not in below}
    _print_yaml(console, shown)
    runs = status.get("runs") or []
    if runs:  # what they found, as tables and lines, below
        status["runs"] = [{f: v for f, v in run.items() if f not in ("search", "warnings")} for run in runs]
    if status:
        _print_yaml(console, {"status": status})
    prediction = prediction_of(manifest)
    if kind_type.kind_name in ("WhatIf", "ConfigurationProposal") and prediction:
        _print_effect(console, prediction)
    for line in warnings:
        console.print(line)
    print_search(console, search)
    print_runs(console, runs)
    table = Table("Condition", "Status", "Reason", "Message", "Since", box=None, title_justify="left")
    for c in conditions:
        table.add_row(c["type"], c["status"], c["reason"], c.get("message", ""), c["lastTransitionTime"])
    console.print(table)
    events = Table("Last", "Type", "Event", "Message", box=None)
    for row in access.events(kind_type.kind_name, name):
        events.add_row(*row)
    console.print(events if events.row_count else "no events")


def diff(
    name: Annotated[str, typer.Argument(help="A ConfigurationProposal.")],
    output: Output = "table",
    local: Local = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> None:
    """Show what a proposal changes, and what was predicted of it."""
    from rich.table import Table

    from meshtwin_operator.cli.console import make_console
    from meshtwin_operator.cli.decisions import condition
    from meshtwin_operator.cli.proposals import changes_of, find_proposal, prediction_of, warning_lines
    from meshtwin_operator.cli.searches import print_search
    from meshtwin_operator.cli.target import open_target

    access = open_target(target_options(local, kubeconfig, context, namespace))
    proposal = find_proposal(access, name)
    changes = changes_of(access, proposal)
    status = proposal.get("status") or {}
    prediction = prediction_of(proposal)
    if output != "table":
        rows = [{"nodes": list(c.nodes), "setting": c.setting, "before": c.before, "after": c.after} for c in changes]
        told = {"proposal": name, "digest": status.get("digest"), "changes": rows, "prediction": prediction}
        if search := proposal["spec"].get("search"):
            told["search"] = search
        if warnings := proposal["spec"].get("warnings"):
            told["warnings"] = warnings
        _dump(told, output)
        return
    console = make_console()
    console.print(f"proposal {name}: {status.get('phase')}, digest {status.get('digest')}")
    table = Table("Nodes", "#", "Setting", "Before", "After", box=None)
    for change in changes:
        table.add_row(" ".join(change.nodes), str(change.count), change.setting, change.before, change.after)
    console.print(table)
    if not _print_effect(console, prediction):
        judged = condition(proposal, "Judged") or {}
        why = " ".join(filter(None, (judged.get("reason"), judged.get("message")))) or "not judged yet"
        console.print(f"no effect predicted: {why}")
    for line in warning_lines(proposal):
        console.print(line)
    print_search(console, proposal["spec"].get("search"))


def _print_effect(console: Any, prediction: Mapping[str, Any]) -> bool:
    """What was predicted, before and after, and what its intervals rest on; whether there was anything to print."""
    from rich.table import Table

    from meshtwin_operator.cli.differences import (
        difference_rows,
        experience_text,
        kpi_rows,
        left_out_text,
        origin_text,
    )

    differences = difference_rows(prediction)
    effect = Table("Flow", "Predicted", "Before", "After", *(["Difference"] if differences else []), box=None)
    before = {(flow, title): text for flow, title, text in kpi_rows(prediction.get("before"))}
    after = {(flow, title): text for flow, title, text in kpi_rows(prediction.get("after"))}
    for row in dict.fromkeys((*after, *before, *differences)):  # a what-if may take flows away
        told = [differences.get(row, "")] if differences else []
        effect.add_row(*row, before.get(row, "-"), after.get(row, "-"), *told)
    if not effect.row_count:
        return False
    console.print(effect)
    if text := left_out_text(prediction):
        console.print(text)
    if prediction.get("provisional"):
        console.print("provisional: a first answer; the simulation that replaces it is under way, or failed")
    if prediction.get("model"):
        console.print(origin_text(prediction))
    for why in dict.fromkeys(
        told["openBecause"] for told in prediction.get("differences") or [] if "openBecause" in told
    ):
        console.print(f"no bounds of some differences: {why}")
    if text := experience_text(prediction):
        console.print(text)
    return True


def _print_tables(found: Mapping[Any, Sequence[Mapping[str, Any]]], namespace: str) -> None:
    from rich import box
    from rich.table import Table

    from meshtwin_operator.cli.console import make_console
    from meshtwin_operator.cli.kinds import age_text, columns_of, value_at

    console = make_console()
    now = datetime.now(UTC)
    shown = False
    for kind, manifests in found.items():
        if not manifests:
            continue
        columns = columns_of(kind)
        table = Table(*(c.name.upper() for c in columns), box=box.SIMPLE if len(found) > 1 else None)
        for shown_column in table.columns:
            shown_column.no_wrap = True
        if len(found) > 1:
            table.title, table.title_justify = kind.kind_name, "left"
        for manifest in manifests:
            cells = []
            for column in columns:
                value = value_at(manifest, column.json_path)
                is_date = column.type == "date"
                cells.append(age_text(str(value or ""), now) if is_date else "" if value is None else str(value))
            table.add_row(*cells)
        console.print(table)
        shown = True
    if not shown:
        typer.echo(f"No resources found in {namespace} namespace.", err=True)


def _print_yaml(console: Any, value: Mapping[str, Any]) -> None:
    import yaml

    console.print(yaml.safe_dump(dict(value), sort_keys=False, width=110).rstrip())


def _dump(value: Any, output: OutputFormat) -> None:
    import json

    import yaml

    typer.echo(json.dumps(value, indent=2) if output == "json" else yaml.safe_dump(value, sort_keys=False))
