"""``simulate``, ``compare``, ``plot``, ``schema``: scenario files judged on this machine, without a twin."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from meshtwin.wording import counted
from meshtwin_operator.cli.loading import loading
from meshtwin_operator.cli.long_work import NOTHING_YET, heeding, interruptible, progress

if TYPE_CHECKING:
    from meshtwin.library import Simulation
    from meshtwin.sim.scenario import Scenario

__all__ = ["register"]

Replications = Annotated[
    int | None, typer.Option(min=1, max=10_000, help="How often (default: 8; with a precision, 256 at most).")
]
Workers = Annotated[
    int, typer.Option(min=1, max=256, help="Processes that share the work where that pays; the figures stay the same.")
]
Precision = Annotated[
    float | None,
    typer.Option(help="As many replications as this half width of the 90 % interval takes, such as 0.02."),
]
PrecisionOf = Annotated[
    Literal["on-time", "delivery", "latency"],
    typer.Option(help="What --precision is of, for every flow: a share 0..1, or the mean latency in ms."),
]
Seed = Annotated[int, typer.Option(min=0)]
Engine = Annotated[
    str | None,
    typer.Option(
        help="auto (default: the fastest simulator that can), compiled, reference; or fast: a model's answer at once."
    ),
]
Output = Annotated[Literal["table", "json"], typer.Option("--output", "-o")]
Selective = Annotated[
    bool, typer.Option("--selective", help="Preset states in place of draws: fewer replications for a precision.")
]
Within = Annotated[
    float | None,
    typer.Option(min=1.0, help="Seconds after which it ends with what is done, and says what is missing."),
]
LONG_S: Final = 20.0  # what is expected to take longer is told before it starts
NO_ANSWER: Final = "meshtwin: interrupted before there was an answer"
NO_TRACE: Final = "meshtwin: the trace was not written: interrupted"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (("simulate", simulate), ("compare", compare), ("plot", plot), ("schema", schema)):
        app.command(name)(command)


def simulate(
    file: Annotated[Path, typer.Argument(help="A scenario file.")],
    engine: Engine = None,
    replications: Replications = None,
    seed: Seed = 1,
    selective: Selective = False,
    within: Within = None,
    workers: Workers = 1,
    precision: Precision = None,
    precision_of: PrecisionOf = "on-time",
    output: Output = "table",
    output_file: Annotated[
        Path | None, typer.Option(help="Also write the result: .json (the figures), .parquet (a row per message).")
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(help="Also write what befell each message of the first replication, and why: .json, .parquet."),
    ] = None,
) -> None:
    """Run a scenario and print its key figures; Ctrl-C and SIGTERM keep the finished replications."""
    with loading():
        from meshtwin import library
        from meshtwin.sides import REPLICATIONS
        from meshtwin.sim.engine import FAST
        from meshtwin.sim.result_file import RESULT_SUFFIXES
        from meshtwin.sim.tracing import TRACE_SUFFIXES, check_traceable
        from meshtwin_operator.cli.figures import print_result

    _check_target(output_file, (".json",) if engine == FAST else RESULT_SUFFIXES)
    _check_target(trace, TRACE_SUFFIXES)
    _check_trace(trace, engine)
    scenario = library.read_scenario(file)
    if trace is not None:
        check_traceable(scenario)
    _foretell([scenario], engine or library.DEFAULT_ENGINE, replications or REPLICATIONS, within)
    with interruptible(NO_ANSWER if engine == FAST else NOTHING_YET) as ended, progress() as tell:
        result = library.simulate(
            scenario,
            replications=replications,
            seed=seed,
            engine=engine or library.DEFAULT_ENGINE,
            is_selective=selective,
            within_s=within,
            workers=workers,
            precision=precision,
            precision_of=precision_of,
            progress=heeding(ended, tell),
        )
    _tell_processes(workers, result)
    with _saving(output_file, result.save):
        if output == "json":
            typer.echo(result.document.model_dump_json(by_alias=True, indent=2))
        else:
            print_result(result.document)
    if trace is not None:
        if ended:
            typer.echo(NO_TRACE, err=True)
        else:
            with interruptible(NO_TRACE):
                _write_trace(trace, result, selective=selective)
    _end_early([] if output == "table" else [result], ended)  # a table has told it


def compare(
    first: Annotated[Path, typer.Argument(help="The scenario file to compare with.")],
    second: Annotated[Path, typer.Argument(help="The scenario file that is compared.")],
    engine: Engine = None,
    replications: Replications = None,
    seed: Seed = 1,
    selective: Selective = False,
    within: Within = None,
    workers: Workers = 1,
    precision: Precision = None,
    precision_of: PrecisionOf = "on-time",
    output: Output = "table",
    output_file: Annotated[
        Path | None, typer.Option(help="Also write both results and the differences: .json.")
    ] = None,
) -> None:
    """Run two scenarios on the same states and print the second less the first, per flow; a precision is of that."""
    with loading():
        from meshtwin import library
        from meshtwin.sides import REPLICATIONS
        from meshtwin.sim.differences import find_shared_flows
        from meshtwin.sim.engine import FAST
        from meshtwin.sim.summaries import tell_model
        from meshtwin_operator.cli.figures import print_differences

    _check_target(output_file, (".json",))
    sides = [library.read_scenario(first), library.read_scenario(second)]
    find_shared_flows(*sides)  # before anything is told or done
    _foretell(sides, engine or library.DEFAULT_ENGINE, replications or REPLICATIONS, within)
    with interruptible(NO_ANSWER if engine == FAST else NOTHING_YET) as ended, progress() as tell:
        comparison = library.compare(
            *sides,
            replications=replications,
            seed=seed,
            engine=engine or library.DEFAULT_ENGINE,
            is_selective=selective,
            within_s=within,
            workers=workers,
            precision=precision,
            precision_of=precision_of,
            progress=heeding(ended, tell),
        )
    _tell_processes(workers, comparison.second)
    names = _name_sides(comparison.names, sides, (first, second))
    with _saving(output_file, comparison.save):
        if output == "json":
            typer.echo(comparison.document.model_dump_json(by_alias=True, indent=2))
        else:
            told = comparison.second
            model = None if told.estimated is None else tell_model(told.document)
            print_differences(names, comparison.differences, len(told.runs), model)
    _end_early([comparison.first, comparison.second], ended, names)


def _name_sides(names: tuple[str, str], sides: "Sequence[Scenario]", files: tuple[Path, Path]) -> tuple[str, str]:
    """``names``, with names of files in place of "first" and "second" where these differ."""
    one, other = sides
    if one.name != other.name or files[0].name == files[1].name:
        return names
    return f"{one.name} ({files[0].name})", f"{other.name} ({files[1].name})"


def plot(
    file: Annotated[Path, typer.Argument(help="A scenario file, or what simulate or compare wrote (.json, .parquet).")],
    picture: Annotated[Path, typer.Option("--to", "-t", help="The picture: .png, .svg or .pdf.")],
    result: Annotated[
        list[Path] | None, typer.Option("--result", "-r", help="Draw this result of it, not the network (repeatable).")
    ] = None,
    gateway: Annotated[str | None, typer.Option(help="Address of the node that is marked as the gateway.")] = None,
    flow: Annotated[list[str] | None, typer.Option(help="Draw this flow alone (repeatable).")] = None,
) -> None:
    """Draw a network, or the latency and delivery of results side by side."""
    with loading():
        from meshtwin.errors import InvalidInput
        from meshtwin.mesh.addresses import parse_unicast
        from meshtwin.plotting import PICTURE_SUFFIXES, draw_network, draw_results, save_picture
        from meshtwin.sim.files import check_target
        from meshtwin.sim.result_file import RESULT_SUFFIXES, read_results
        from meshtwin.sim.scenario_file import read_scenario

    files = [
        *([file] if file.suffix.lower() in RESULT_SUFFIXES else []),
        *(path for path in result or () if path != file),
    ]
    check_target(picture, PICTURE_SUFFIXES)
    if files and gateway is not None:
        raise InvalidInput("results are drawn without a network; leave --gateway out", place="--gateway")
    if flow and not files:
        raise InvalidInput("a network is drawn without flows; give a result, or leave --flow out", place="--flow")
    with progress("reading") as tell:
        if files:
            read = [result for path in files for result in read_results(path)]
            if file not in files:
                _check_of(file, {told.scenario for told in read})
            figure = draw_results(read, flows=flow)
        else:
            scenario = read_scenario(file)
            marked = None if gateway is None else parse_unicast(gateway)
            if marked is not None and marked not in {node.address for node in scenario.nodes}:
                told = f"gateway {gateway} is no node of the scenario"
                raise InvalidInput(told, reason="UnknownNode", place=str(file))
            nodes, links = len(scenario.nodes), len(scenario.links)
            tell(0.5, f"drawing {counted(nodes, 'node')} and {counted(links, 'link')}")
            figure = draw_network(scenario, gateway=marked)
        tell(0.9, "writing")
        save_picture(figure, picture)
    typer.echo(f"wrote {picture}")


def _check_of(file: Path, names: set[str]) -> None:
    """Others may stand beside it, but one has to be the scenario's own."""
    from meshtwin.errors import InvalidInput
    from meshtwin.sim.scenario_file import read_scenario

    name = read_scenario(file).name
    if name not in names:
        told = f"results of {', '.join(sorted(names))}, none of {name}, which {file} says; give the file of one of them"
        raise InvalidInput(told, place="--result")


def schema(
    name: Annotated[
        Literal["scenario", "result", "comparison", "trace", "graph", "judge-model", "judge-request", "judge-answer"],
        typer.Argument(help="What the schema is of."),
    ],
) -> None:
    """Print a JSON schema: of files that are read and written here, or of what foreign models are asked and answer."""
    from pydantic import BaseModel

    from meshtwin.foreign.messages import JudgeAnswer, JudgeRequest, ModelMessage
    from meshtwin.graph_document import GraphDocument
    from meshtwin.sim.comparison_document import ComparisonDocument
    from meshtwin.sim.result_file import ResultDocument
    from meshtwin.sim.scenario_document import ScenarioDocument
    from meshtwin.sim.tracing import TraceDocument

    models: dict[str, type[BaseModel]] = {
        "scenario": ScenarioDocument,
        "result": ResultDocument,
        "comparison": ComparisonDocument,
        "trace": TraceDocument,
        "graph": GraphDocument,
        "judge-model": ModelMessage,
        "judge-request": JudgeRequest,
        "judge-answer": JudgeAnswer,
    }
    typer.echo(json.dumps(models[name].model_json_schema(by_alias=True), indent=2))


def _check_target(path: Path | None, suffixes: tuple[str, ...]) -> None:
    """Before the work, not after it."""
    from meshtwin.sim.files import check_target

    if path is not None:
        check_target(path, suffixes)


def _check_trace(path: Path | None, engine: str | None) -> None:
    from meshtwin.errors import InvalidInput
    from meshtwin.sim.engine import FAST

    if path is not None and engine == FAST:
        raise InvalidInput(f"the {FAST} model has no messages to trace; take engine auto", place="--trace")


def _write_trace(path: Path, result: "Simulation", *, selective: bool) -> None:
    """Runs the first replication once more: equal arguments give an equal one."""
    from meshtwin.sim.tracing import trace

    told = trace(result.scenario, seed=result.seed, engine=result.engine, is_selective=selective)
    told.save(path)
    left_out = f", {told.left_out} more left out" if told.left_out else ""
    typer.echo(f"meshtwin: wrote {len(told.records) - told.left_out} records to {path}{left_out}", err=True)


@contextmanager
def _saving(path: Path | None, save: Callable[[Path], None]) -> Iterator[None]:
    """The file comes last, so that a full disk does not cost the figures; and always, whoever stops reading them."""
    try:
        yield
    finally:
        if path is not None:
            save(path)


def _foretell(scenarios: "Sequence[Scenario]", engine: str, replications: int, within_s: float | None) -> None:
    """Says before the work that it will take long, as far as can be known then."""
    from meshtwin.sim.cost import RECEPTIONS_PER_S, estimate_receptions
    from meshtwin.sim.engine import FAST, resolve_engine
    from meshtwin.sim.limited import tell_time

    receptions = [estimate_receptions(scenario) for scenario in scenarios]
    paces = [RECEPTIONS_PER_S.get(resolve_engine(engine, scenario), 1e6) for scenario in scenarios]
    if engine == FAST:
        return
    expected_s = replications * sum(count / pace for count, pace in zip(receptions, paces, strict=True))
    if expected_s > LONG_S:
        bound = "--within SECONDS ends it in time" if within_s is None else f"it ends after {within_s:g} s"
        typer.echo(
            f"meshtwin: {counted(replications, 'replication')} with up to {max(receptions):.1e} receptions each, "
            f"very roughly {tell_time(expected_s)}; {bound}, Ctrl-C keeps what is done",
            err=True,
        )


def _tell_processes(workers: int, result: "Simulation") -> None:
    """Which was chosen, where it is not what was asked for."""
    if workers > 1 and result.processes == 1:
        told = f"one process did all the work: starting more than that would have taken longer (--workers {workers})"
        typer.echo(f"meshtwin: {told}", err=True)


def _end_early(results: "Sequence[Simulation]", ended: Sequence[int], names: Sequence[str] = ()) -> None:
    """Repeats on the error stream what is missing; an interruption has its exit code, a limit that was asked for 0."""
    for result, name in zip(results, names or [result.scenario.name for result in results], strict=True):
        what, gaps = ("missing", result.gaps) if result.estimated is None else ("left out", result.document.gaps)
        for gap in gaps:
            typer.echo(f"meshtwin: {what} of {name}: {gap}", err=True)
    if ended:
        raise typer.Exit(ended[0])
