"""``validate``: the simulator against published tables; or, given a path, manifests against the admission rules."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from meshtwin.sim.validation import ValidationFigure, ValidationReport

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("validate")(validate)


def validate(
    path: Annotated[
        Path | None, typer.Argument(help="A folder of manifests, or one file, to be checked instead.")
    ] = None,
    table: Annotated[
        list[str] | None, typer.Option("--table", help="chain, office, grid, hardware or reception (repeatable).")
    ] = None,
    tables: Annotated[Path | None, typer.Option(help="Folder with the tables, in place of the package's own.")] = None,
    seeds: Annotated[int | None, typer.Option(min=2, max=10_000, help="Replications of every simulated table.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Root of all luck.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer replications, and fewer cells of the office.")] = False,
    engine: Annotated[str | None, typer.Option(help="Engine of the simulator (default: the fastest that can).")] = None,
    rows: Annotated[bool, typer.Option("--rows", help="Also print every point of every table.")] = False,
    output: Annotated[Literal["table", "json"], typer.Option("--output", "-o")] = "table",
    export: Annotated[
        str | None,
        typer.Option(
            metavar="<path>",
            help="Run nothing: write the scenario file of every simulated point of the tables into this folder.",
        ),
    ] = None,
) -> None:
    """Compare the simulator with every published table; exit 1 if a bound is not kept.

    With PATH: check manifests as an API server would, without one.
    """
    from meshtwin.errors import InvalidInput

    if path is not None:
        beside = {
            "--table": bool(table), "--tables": tables is not None, "--seeds": seeds is not None,
            "--seed": seed is not None, "--quick": quick, "--engine": engine is not None, "--rows": rows,
            "--export": export is not None,
        }  # fmt: skip
        if given := [name for name, is_given in beside.items() if is_given]:
            raise InvalidInput(
                f"manifests are checked without {', '.join(given)}, which go with published tables: leave PATH out, "
                "or give it alone",
                place=str(path),
            )
        _check_manifests(path, as_json=output == "json")
        return
    if export is not None:
        if rows or quick or seeds is not None or engine is not None:
            raise InvalidInput(
                "scenarios are written without being run: --export goes with --table, --tables and --seed"
            )
        if not export:  # Path("") is the working directory, as an unset "$DIR" would have it
            raise InvalidInput("an empty name; give a folder, or . for the working directory", place="--export")
        _export(Path(export), table, tables, seed, as_json=output == "json")
        return
    from meshtwin.sim.validation import validate as run
    from meshtwin.sim.validation.report import DEFAULT_ENGINE, SEED
    from meshtwin_operator.cli.long_work import progress

    with progress() as tell:
        report = run(
            names=table or None,
            folder=tables,
            seed=SEED if seed is None else seed,
            runs=seeds,
            quick=quick,
            engine=engine or DEFAULT_ENGINE,
            progress=tell,
        )
    try:
        if output == "json":
            typer.echo(json.dumps(report.to_json(), indent=2))
        else:
            _print_report(report, with_rows=rows)
    finally:  # the verdict stands, whoever stops reading
        if not report.is_kept:
            raise typer.Exit(1)


def _export(folder: Path, names: list[str] | None, tables: Path | None, seed: int | None, *, as_json: bool) -> None:
    from meshtwin.sim.validation.export import GRID_SEED, export_tables
    from meshtwin_operator.cli.long_work import interruptible

    with interruptible("meshtwin: the scenario files were not written: interrupted"):
        files = export_tables(folder, names=names or None, tables=tables, seed=GRID_SEED if seed is None else seed)
    if as_json:
        typer.echo(json.dumps({"files": [str(path) for path in files]}, indent=2))
    else:
        typer.echo(f"wrote {len(files)} scenario files into {folder}")


def _print_report(report: "ValidationReport", *, with_rows: bool) -> None:
    from rich.table import Table

    from meshtwin_operator.cli.console import make_console

    console = make_console()
    headers = ("Table", "Figure", "Must", "Aim", "Reached", "Perfect model", "Runs", "Kept", "Note")
    table = Table(*headers, title=f"seed {report.seed}, engine {report.engine}", box=None)
    for figure in report.figures:
        sign = "≤" if figure.is_lower_better else "≥"
        table.add_row(
            figure.table,
            figure.name,
            "" if figure.must is None else f"{sign} {figure.must:g}",
            "" if figure.aim is None else f"{figure.aim:g}",
            f"{figure.reached:.4g}" + ("" if figure.unit == "ratio" else f" {figure.unit}"),
            "" if figure.noise_floor is None else f"{figure.noise_floor:.2g}",
            str(figure.runs or ""),
            _kept(figure),
            figure.note,
        )
    console.print(table)
    if with_rows:
        for row in report.rows:
            console.print("  ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()))
    console.print(
        "Perfect model: the figure that a model without error would show, since the tables are samples themselves."
    )
    if open_figures := [figure for figure in report.figures if not figure.is_decided]:
        console.print(
            f"Not decided: {len(open_figures)} of the bounds, for which there are too few runs; "
            "leave out --quick or --seeds for a verdict."
        )


def _kept(figure: "ValidationFigure") -> str:
    if figure.must is None:
        return ""
    if not figure.is_decided:
        return f"not decided: noise floor {figure.noise_floor:.2g} > {figure.must:g}"
    if not figure.is_kept:
        return "NO"
    return "yes, aim too" if figure.aim is not None and figure.is_aim_reached else "yes"


def _check_manifests(path: Path, *, as_json: bool) -> None:
    from meshtwin.errors import InvalidInput
    from meshtwin_operator.local.folder import read_folder
    from meshtwin_operator.local.kustomization import read_documents
    from meshtwin_operator.resources.admission import Refused, admit

    manifests = read_folder(path) if path.is_dir() else read_documents(path)
    if not manifests:
        raise InvalidInput(f"{path} holds no manifests: name a folder with YAML files, or a file", reason="NotFound")
    rows: list[dict[str, Any]] = []
    for manifest in manifests:
        if manifest.get("kind") in ("ConfigMap", "Namespace"):
            continue
        name = f"{manifest.get('kind')}/{(manifest.get('metadata') or {}).get('name')}"
        verdict = admit(manifest, None)
        causes = verdict.causes if isinstance(verdict, Refused) else ()
        rows.append({"name": name, "causes": [{"path": cause.path, "message": cause.message} for cause in causes]})
    bad = sum(bool(row["causes"]) for row in rows)
    try:
        _print_causes(rows, as_json=as_json)
    finally:  # the verdict stands, whoever stops reading
        if bad:
            raise InvalidInput(f"{bad} of {len(manifests)} objects would be refused: mend the fields named above")


def _print_causes(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        is_kept = not any(row["causes"] for row in rows)
        typer.echo(json.dumps({"isKept": is_kept, "objects": rows}, indent=2))
        return
    for row in rows:
        for cause in row["causes"]:
            typer.echo(f"{row['name']}: {cause['path']}: {cause['message']}")
        if not row["causes"]:
            typer.echo(f"{row['name']}: ok")
