import json
import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
import typer
from typer.testing import CliRunner

from meshtwin import library
from meshtwin.errors import InvalidInput, MeshTwinError
from meshtwin.sim.replications import REPLICATIONS_MOST
from meshtwin_operator.cli.commands import app
from meshtwin_operator.cli.long_work import interruptible

PAIR = """
format: meshtwin.dev/scenario/v1
name: pair
defaults: {relay: false, ttl: 3}
nodes: [{address: "0001", positionM: [0, 0]}, {address: "0002", positionM: [5, 0]}]
radio: {model: logDistance}
flows: [{name: press, source: "0001", destination: "0002", count: 20, periodSeconds: 1}]
"""


@pytest.fixture
def pair(tmp_path):
    path = tmp_path / "pair.yaml"
    path.write_text(PAIR)
    return path


def run(*words, env=None):
    result = CliRunner().invoke(app, [str(word) for word in words], env=env)
    if isinstance(result.exception, MeshTwinError):
        raise result.exception
    return result


def test_simulate_prints_a_versioned_document(pair):
    document = json.loads(run("simulate", "--engine", "reference", pair, "-o", "json", "--replications", 2).stdout)
    assert document["format"] == "meshtwin.dev/result/v1"
    assert document["flows"][0]["sent"] == 40
    assert set(document["totals"]) == {
        "messages", "transmissions", "airtimeRatio", "lossesByCause", "transmissionsPerReplication",
        "lossesPerReplication",
    }  # fmt: skip


def test_simulate_prints_a_table(pair):
    output = run("simulate", "--engine", "reference", pair, "--replications", 2).stdout
    assert "press" in output
    assert "airtime on one channel" in output


def test_simulate_writes_the_result_that_plot_draws(pair, tmp_path):
    result, picture = tmp_path / "r.json", tmp_path / "r.png"
    run("simulate", "--engine", "reference", pair, "--replications", 2, "--output-file", result)
    run("plot", pair, "--result", result, "--to", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_simulate_refuses_a_file_of_another_format_before_it_works(pair, tmp_path):
    with pytest.raises(InvalidInput, match=r"ends in none of \.json"):
        run("simulate", "--engine", "reference", pair, "--replications", 10_000, "--output-file", tmp_path / "r.txt")


def test_fast_engine_answers_in_the_same_document_and_table(pair, tmp_path):
    saved = tmp_path / "r.json"
    told = run("simulate", pair, "--engine", "fast", "-o", "json", "--output-file", saved).stdout
    document = json.loads(told)
    assert (document["engine"], document["states"]) == ("fast", 1024)
    assert json.loads(saved.read_text()) == document
    table = run("simulate", pair, "--engine", "fast").stdout
    assert "fast model, 1024 states" in table
    assert "advertising events" not in table
    assert "fast model, 1024 states" in run("compare", pair, pair, "--engine", "fast").stdout


def test_fast_engine_refuses_what_needs_messages_or_replications(pair, tmp_path):
    for words in (("--replications", 2), ("--workers", 2), ("--trace", tmp_path / "t.json")):
        with pytest.raises(InvalidInput, match="fast") as told:
            run("simulate", pair, "--engine", "fast", *words)
        assert told.value.place.strip("-") == words[0].strip("-")
    with pytest.raises(InvalidInput, match=r"none of \.json"):
        run("simulate", pair, "--engine", "fast", "--output-file", tmp_path / "r.parquet")


def test_simulate_tells_of_acknowledged_flows_how_many_were_answered(pair):
    assert "Answered" not in run("simulate", pair, "--replications", 2).stdout
    pair.write_text(PAIR.replace("periodSeconds: 1}", "periodSeconds: 1, responsePduBytes: 20}"))
    output = run("simulate", pair, "--replications", 2).stdout
    assert "Answered" in output
    assert "round trip" in output
    assert "Answered, points" in run("compare", pair, pair, "--replications", 2).stdout


def test_simulate_writes_what_befell_each_message_and_says_how_much(pair, tmp_path):
    told = run("simulate", pair, "--replications", 2, "--trace", tmp_path / "t.json")
    document = json.loads((tmp_path / "t.json").read_text())
    assert document["format"] == "meshtwin.dev/trace/v1"
    assert {r["number"] for r in document["records"] if r["kind"] == "originated"} == set(range(20))
    assert f"wrote {len(document['records'])} records" in told.stderr
    with pytest.raises(InvalidInput, match="parquet"):
        run("simulate", pair, "--trace", tmp_path / "t.csv")


def test_plot_draws_a_network_and_refuses_a_gateway_that_is_no_node(pair, tmp_path):
    run("plot", pair, "--to", tmp_path / "n.svg", "--gateway", "0002")
    assert (tmp_path / "n.svg").read_text().startswith("<?xml")
    with pytest.raises(InvalidInput, match="0077 is no node"):
        run("plot", pair, "--to", tmp_path / "n.svg", "--gateway", "0077")


def test_compare_tells_the_difference_per_flow(pair, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(PAIR.replace("name: pair", "name: far").replace("[5, 0]", "[300, 0]"))
    document = json.loads(
        run("compare", "--engine", "reference", pair, other, "-o", "json", "--replications", 3).stdout
    )
    assert document["differences"][0]["deliveryRatio"]["high"] < 0
    assert (document["first"]["scenario"], document["second"]["scenario"]) == ("pair", "far")
    assert "points" in run("compare", "--engine", "reference", pair, other, "--replications", 3).stdout


@pytest.mark.parametrize("name", ["scenario", "result", "comparison", "trace", "judge-request", "judge-answer"])
def test_schema_of_every_document_is_printed(name):
    assert json.loads(run("schema", name).stdout)["type"] == "object"


def test_validate_without_a_path_compares_with_published_tables():
    result = run("validate", "--table", "reception", "-o", "json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert document["isKept"] is True
    assert {row["table"] for row in document["rows"]} == {"reception"}
    assert "Perfect model" in run("validate", "--table", "reception", "--rows").stdout


def test_validate_refuses_an_unknown_table():
    with pytest.raises(InvalidInput, match="'cellar' is not one of"):
        run("validate", "--table", "cellar")


def test_validate_tells_manifests_as_json_too(tmp_path):
    (tmp_path / "twin.yaml").write_text(
        "apiVersion: meshtwin.dev/v1alpha1\nkind: Recipe\nmetadata: {name: r}\nspec: {}\n"
    )
    result = CliRunner().invoke(app, ["validate", str(tmp_path), "-o", "json"])
    document = json.loads(result.stdout)
    assert document["isKept"] is False
    assert document["objects"][0]["name"] == "Recipe/r"
    assert document["objects"][0]["causes"][0]["path"]
    assert isinstance(result.exception, InvalidInput)


def test_validate_does_not_pass_over_tables_that_are_named_beside_manifests(tmp_path):
    with pytest.raises(InvalidInput, match="leave PATH out, or give it alone"):
        run("validate", tmp_path, "--table", "chain")


def test_compare_writes_what_plot_draws(pair, tmp_path):
    both, picture = tmp_path / "both.json", tmp_path / "both.png"
    told = run("compare", "--engine", "reference", pair, pair, "--replications", 2, "-o", "json", "--output-file", both)
    assert json.loads(told.stdout) == json.loads(both.read_text())
    run("plot", both, "--to", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InvalidInput, match=r"ends in none of \.json"):
        run("compare", pair, pair, "--replications", 10_000, "--output-file", tmp_path / "both.parquet")


def test_comparison_of_an_earlier_version_is_read_and_a_spoilt_one_refused(pair, tmp_path):
    """It had no differences of quantiles, and null for the latency of what nobody reached."""
    document = json.loads(run("compare", "--engine", "reference", pair, pair, "--replications", 2, "-o", "json").stdout)
    for name in ("latencyP50Milliseconds", "latencyP95Milliseconds", "latencyP99Milliseconds"):
        del document["differences"][0][name]
    document["differences"][0]["latencyMilliseconds"] = None
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document, indent=2))
    run("plot", path, "--to", tmp_path / "old.svg")
    document["differences"][0]["deliveryRatio"]["low"] = 2.0
    path.write_text(json.dumps(document, indent=2))
    with pytest.raises(InvalidInput, match="not a result") as caught:
        run("plot", path, "--to", tmp_path / "old.svg")
    assert "differences.0.deliveryRatio" in caught.value.place


def test_reader_that_has_enough_of_the_figures_does_not_cost_the_file(pair, tmp_path):
    words = ("simulate", pair, "--engine", "reference", "--replications", "2", "-o", "json")
    command = (sys.executable, "-m", "meshtwin_operator.cli.main", *words, "--output-file", tmp_path / "r.json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 0
    assert said == b""
    assert json.loads((tmp_path / "r.json").read_text())["replications"] == 2


def test_simulate_shows_intervals_and_says_why_there_is_none(pair):
    several = run("simulate", "--engine", "reference", pair, "--replications", 4).stdout
    assert "90% intervals over them" in several
    assert "±" in several or "[" in several
    one = run("simulate", "--engine", "reference", pair, "--replications", 1).stdout
    assert "no interval: one replication" in one
    assert "±" not in one


def test_document_of_one_replication_has_null_and_a_reason_for_a_bound(pair):
    document = json.loads(run("simulate", "--engine", "reference", pair, "-o", "json", "--replications", 1).stdout)
    flow, totals = document["flows"][0], document["totals"]
    times = flow["latencyMilliseconds"]
    for interval in (
        flow["deliveryRatio"], flow["onTimeRatio"], times["mean"], times["p50Interval"], times["p95Interval"],
        times["p99Interval"], flow["meanHopsInterval"], totals["airtimeRatio"], totals["transmissionsPerReplication"],
    ):  # fmt: skip
        assert (interval["low"], interval["high"]) == (None, None)
        assert "one replication" in interval["openBecause"]


def test_comparison_of_one_replication_has_null_for_a_bound(pair):
    result = run("compare", "--engine", "reference", pair, pair, "-o", "json", "--replications", 1)
    assert "Infinity" not in result.stdout
    difference = json.loads(result.stdout)["differences"][0]
    assert difference["latencyMilliseconds"]["low"] is None
    assert "one replication" in difference["deliveryRatio"]["openBecause"]


def test_simulation_that_does_not_fit_the_time_ends_well_and_tells_what_is_missing(tmp_path):
    path = tmp_path / "long.yaml"
    path.write_text(PAIR.replace("count: 20", "count: 40000"))
    result = run("simulate", "--engine", "reference", path, "--within", 1, "-o", "json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert "of 40000 messages of press: a whole one takes about" in document["gaps"][0]
    assert 0 < document["flows"][0]["sent"] < 40_000 * document["replications"]
    assert "missing of pair" in result.stderr


def test_long_work_is_foretold(tmp_path):
    path = tmp_path / "long.yaml"
    path.write_text(PAIR.replace("count: 20", "count: 400000"))
    result = run("simulate", "--engine", "reference", path, "--within", 1)
    assert "very roughly" in result.stderr
    assert "it ends after 1 s" in result.stderr


def test_terminated_simulation_tells_what_is_finished(pair):
    def end(share, stage):
        if share > 0.4:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with interruptible() as ended:
        result = library.simulate(pair, replications=4, engine="reference", progress=end)
    assert ended == [143]
    assert 1 <= len(result.runs) < 4
    assert "interrupted" in result.gaps[0]
    assert signal.getsignal(signal.SIGTERM) is before


def test_termination_before_anything_is_finished_has_the_exit_code_of_its_signal(capsys):
    with pytest.raises(typer.Exit) as caught, interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.exit_code == 143
    assert "nothing to tell" in capsys.readouterr().err


def test_flow_without_messages_has_no_shares_in_any_table(pair, tmp_path):
    silent = tmp_path / "silent.yaml"
    silent.write_text(PAIR.replace('address: "0001"', 'address: "0001", poweredOn: false'))
    alone = run("simulate", "--engine", "reference", silent, "--replications", 2).stdout
    assert alone.splitlines()[2].split() == ["press", "0", "–", "–", "–"]
    assert "not known (–): no message was sent" in alone
    against = run("compare", "--engine", "reference", pair, silent, "--replications", 2).stdout
    assert against.splitlines()[2].split() == ["press", "–", "–"]
    assert against.splitlines()[4].split()[-5:] == ["delivered", "–", "–", "–", "–"]
    assert "not known (–): no message was sent" in against
    assert "not known (–): no message reached a member on both sides" in against
    (told,) = json.loads(
        run("compare", "--engine", "reference", pair, silent, "-o", "json", "--replications", 2).stdout
    )["differences"]
    for name in ("onTimeRatio", "deliveryRatio", "latencyMilliseconds", "latencyP99Milliseconds"):
        assert (told[name]["estimate"], told[name]["low"], told[name]["high"]) == (None, None, None)
        assert told[name]["openBecause"].startswith("no message")


def test_compare_tells_differences_of_quantiles_or_why_there_is_none(pair, tmp_path):
    other = tmp_path / "long.yaml"
    other.write_text(PAIR.replace("periodSeconds: 1", "periodSeconds: 1, pduBytes: 25"))
    words = ("compare", "--engine", "reference", pair, other, "--replications", 4)
    (told,) = json.loads(run(*words, "-o", "json").stdout)["differences"]
    p50 = told["latencyP50Milliseconds"]
    assert p50["low"] <= p50["estimate"] <= p50["high"]
    assert p50["estimate"] > 0.0
    assert told["latencyP95Milliseconds"]["estimate"] > 0.0
    assert told["latencyP99Milliseconds"]["low"] is None
    assert "at least 268" in told["latencyP99Milliseconds"]["openBecause"]
    assert "no interval: 80 messages do not bound a difference of p99" in run(*words).stdout


def test_plot_draws_a_result_from_either_kind_of_file(pair, tmp_path):
    for suffix in (".json", ".parquet"):
        result, picture = (tmp_path / "r").with_suffix(suffix), tmp_path / f"{suffix[1:]}.png"
        run("simulate", "--engine", "reference", pair, "--replications", 2, "--output-file", result)
        run("plot", result, "--to", picture)
    assert (tmp_path / "json.png").read_bytes() == (tmp_path / "parquet.png").read_bytes()


def test_validate_writes_the_scenarios_of_the_tables_and_runs_nothing(tmp_path):
    told = json.loads(run("validate", "--table", "office", "--export", tmp_path / "cells", "-o", "json").stdout)
    assert len(told["files"]) == 65
    cell = tmp_path / "cells" / "office-20-ttl-6.yaml"
    assert str(cell) in told["files"]
    assert library.read_scenario(cell).name == "office-20-ttl-6"
    for words in (("--quick",), ("--rows",), ("--seeds", 4)):
        with pytest.raises(InvalidInput, match="written without being run"):
            run("validate", "--export", tmp_path, *words)


def test_export_refuses_the_empty_name_of_an_unset_variable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match="an empty name") as caught:
        run("validate", "--table", "chain", "--export", "")
    assert caught.value.place == "--export"
    assert os.listdir(tmp_path) == []


def test_validate_names_what_does_not_go_with_manifests(pair, tmp_path):
    with pytest.raises(InvalidInput, match="without --seed, --export, which"):
        run("validate", pair, "--export", tmp_path / "x", "--seed", 0)


@pytest.mark.parametrize("output", ["table", "json"])
def test_reader_of_a_graph_that_has_enough_is_no_failure(pair, output):
    command = (sys.executable, "-m", "meshtwin_operator.cli.main", "graph", pair, "-o", output)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, b"")


def test_verdict_stands_though_nobody_reads_it(tmp_path):
    manifest = tmp_path / "bad.yaml"
    manifest.write_text("{apiVersion: meshtwin.dev/v1alpha1, kind: WhatIf, metadata: {name: w}, spec: {}}")
    command = (sys.executable, "-m", "meshtwin_operator.cli.main", "validate", manifest)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 2
    assert b"would be refused" in said


def test_interrupted_simulation_says_that_there_is_no_trace(pair, tmp_path, monkeypatch):
    whole = library.simulate

    def interrupted(*words, progress, **settings):
        def end(share, stage):
            if share > 0.4:
                os.kill(os.getpid(), signal.SIGINT)

        return whole(*words, progress=end, **settings)

    monkeypatch.setattr(library, "simulate", interrupted)
    words = ("--engine", "reference", "--replications", 4, "--output-file", tmp_path / "o.json")
    done = run("simulate", pair, *words, "--trace", tmp_path / "t.json")
    assert done.exit_code == 130
    assert "the trace was not written: interrupted" in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["o.json", "pair.yaml"]


def test_interruption_during_the_imports_is_no_traceback():
    program = """
import builtins, sys
from meshtwin_operator.cli.main import main
assert "typer" not in sys.modules
real = builtins.__import__
def interrupted(name, *rest):
    if name == "typer":
        raise KeyboardInterrupt
    return real(name, *rest)
builtins.__import__ = interrupted
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_plot_takes_the_name_of_a_file_as_it_is(pair, tmp_path):
    result = tmp_path / "r[1].PARQUET"
    run("simulate", "--engine", "reference", pair, "--replications", 2, "--output-file", result)
    run("plot", result, "--to", tmp_path / "r.svg")
    assert "pair" in (tmp_path / "r.svg").read_text()


def test_exit_code_tells_bad_input_from_other_failures(pair, tmp_path):
    """As of gateways and twins: 2 where what was given has to be mended, 1 for the rest."""
    command = (sys.executable, "-m", "meshtwin_operator.cli.main")
    broken = tmp_path / "broken.yaml"
    broken.write_text(PAIR.replace("ttl: 3", "ttl: 300"))
    for words in (["simulate", tmp_path / "none.yaml"], ["simulate", broken], ["simulate", pair, "--workers", "0"]):
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)


def test_comparison_without_a_common_flow_is_refused_before_it_is_foretold(pair, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(PAIR.replace("name: press", "name: other").replace("count: 20", "count: 90000"))
    with pytest.raises(InvalidInput, match="no flow has a name that is in both"):
        run("compare", pair, other, "--replications", 10_000)


def test_precision_that_is_not_reached_is_told(pair):
    result = run("simulate", pair, "--engine", "reference", "--precision", "0.0005", "--replications", "9")
    assert "takes" in result.stdout
    assert "of which 9 are allowed" in result.stdout


def test_precision_of_a_comparison_that_is_not_reached_is_told(pair, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(PAIR.replace("[5, 0]", "[50, 0]"))
    words = ("--precision", "0.0005", "--precision-of", "delivery", "--replications", "9")
    result = run("compare", pair, other, "--engine", "reference", *words, "-o", "json")
    document = json.loads(result.stdout)
    assert document["second"]["replications"] == 9
    assert "difference of delivery of press within ±0.0005 takes" in document["first"]["gaps"][0]
    assert "missing of pair (other.yaml): difference of delivery" in result.stderr


def test_workers_that_did_not_pay_are_told(pair):
    result = run("simulate", pair, "--engine", "reference", "--workers", "2", "--replications", "2")
    assert "one process did all the work" in result.stderr
    assert "one process" not in run("simulate", pair, "--engine", "reference", "--replications", "2").stderr


def test_interruption_that_was_swallowed_ends_the_work_at_the_next_look(pair, monkeypatch):
    whole = library.simulate

    def interrupted(*words, progress, **settings):
        def tell(share, stage):
            if share > 0.4:
                with suppress(KeyboardInterrupt):
                    os.kill(os.getpid(), signal.SIGINT)
            progress(share, stage)

        return whole(*words, progress=tell, **settings)

    monkeypatch.setattr(library, "simulate", interrupted)
    done = run("simulate", pair, "--engine", "reference", "--replications", 10, "-o", "json")
    assert done.exit_code == 130
    assert json.loads(done.stdout)["replications"] < 10


def test_one_of_a_thing_is_not_called_several(pair):
    assert "pair: 1 replication, profile" in run("simulate", "--engine", "reference", pair, "--replications", 1).stdout
    told = run("compare", "--engine", "reference", pair, pair, "--replications", 1).stdout
    assert "1 replication on the same states" in told


def test_sides_with_equal_names_are_told_apart(pair):
    both = library.compare(pair, pair, replications=1, engine="reference")
    assert "pair (second) less pair (first)" in repr(both)
    told = run("compare", "--engine", "reference", pair, pair, "--replications", 1).stdout
    assert "pair (second) less pair (first)" in told


def test_sides_with_equal_names_from_two_files_are_told_apart_by_these(pair, tmp_path):
    (tmp_path / "other.yaml").write_text(PAIR.replace("ttl: 3", "ttl: 4"))
    told = run("compare", "--engine", "reference", pair, tmp_path / "other.yaml", "--replications", 1).stdout
    assert "pair (other.yaml) less pair (pair.yaml)" in told


def test_help_tells_the_bound_of_replications_that_the_library_has():
    assert f"<={REPLICATIONS_MOST}" in run("simulate", "--help", env={"COLUMNS": "200"}).stdout.replace(",", "")


def test_plot_refuses_results_of_another_scenario(pair, tmp_path):
    result, other = tmp_path / "r.json", tmp_path / "other.yaml"
    other.write_text(PAIR.replace("name: pair", "name: other"))
    run("simulate", "--engine", "reference", pair, "--replications", 2, "--output-file", result)
    with pytest.raises(InvalidInput, match="results of pair, none of other"):
        run("plot", other, "--result", result, "--to", tmp_path / "r.png")
    assert not (tmp_path / "r.png").exists()


def test_plot_draws_a_result_and_others_beside_it(pair, tmp_path):
    paths = [tmp_path / "one.json", tmp_path / "two.json"]
    for path, name in zip(paths, ("one", "two"), strict=True):
        pair.write_text(PAIR.replace("name: pair", f"name: {name}"))
        run("simulate", "--engine", "reference", pair, "--replications", 2, "--output-file", path)
    run("plot", paths[0], "--result", paths[1], "--to", tmp_path / "both.svg")
    picture = (tmp_path / "both.svg").read_text()
    assert "one" in picture
    assert "two" in picture
