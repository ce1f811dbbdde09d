"""``simulate`` and ``validate``: files judged on this machine, without a twin."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("simulate")(simulate)
    app.command("validate")(validate)


def simulate(
    file: Annotated[Path, typer.Argument(help="A scenario file.")],
    engine: Annotated[str, typer.Option(help="Engine of the simulator.")] = "reference",
    replications: Annotated[int, typer.Option(min=1, max=10_000)] = 8,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    output: Annotated[Literal["table", "json"], typer.Option("--output", "-o")] = "table",
) -> None:
    """Run a scenario and print its key figures."""
    from meshtwin.sim.engine import simulate_replications
    from meshtwin.sim.results import summarise
    from meshtwin.sim.scenario_file import read_scenario
    from meshtwin_operator.cli.figures import kpis_json, print_kpis

    scenario = read_scenario(file)
    results = simulate_replications(scenario, seed=seed, replications=replications, engine=engine)
    kpis = summarise(results, scenario.flows)
    losses: dict[str, int] = {}
    for result in results:
        for cause, count in result.losses.items():
            losses[str(cause)] = losses.get(str(cause), 0) + count
    if output == "json":
        document = {"scenario": scenario.name, "seed": seed, "replications": replications, "engine": engine}
        totals = {"transmissions": sum(r.transmissions for r in results), "losses": losses}
        typer.echo(json.dumps({**document, **kpis_json(kpis), **totals}, indent=2))
    else:
        print_kpis(scenario.name, kpis, losses)


def validate(
    path: Annotated[Path, typer.Argument(help="A folder of manifests, or one file.")],
) -> None:
    """Check manifests as an API server would, without one."""
    from meshtwin.errors import InvalidInput
    from meshtwin_operator.local.folder import read_folder
    from meshtwin_operator.local.kustomization import read_documents
    from meshtwin_operator.resources.admission import Refused, admit

    manifests = read_folder(path) if path.is_dir() else read_documents(path)
    if not manifests:
        raise InvalidInput(f"{path} holds no manifests: name a folder with YAML files, or a file", reason="NotFound")
    bad = 0
    for manifest in manifests:
        if manifest.get("kind") in ("ConfigMap", "Namespace"):
            continue
        name = f"{manifest.get('kind')}/{(manifest.get('metadata') or {}).get('name')}"
        verdict = admit(manifest, None)
        if isinstance(verdict, Refused):
            bad += 1
            for cause in verdict.causes:
                typer.echo(f"{name}: {cause.path}: {cause.message}")
        else:
            typer.echo(f"{name}: ok")
    if bad:
        raise InvalidInput(f"{bad} of {len(manifests)} objects would be refused: mend the fields named above")
