import subprocess
import sys

import pytest

import meshtwin
from meshtwin.errors import InvalidInput
from meshtwin.sim.engine import simulate as run_once

PAIR = """
format: meshtwin.dev/scenario/v1
name: pair
nodes: [{address: "0001"}, {address: "0002"}]
links: [{source: "0001", target: "0002", delivery: 0.9}, {source: "0002", target: "0001", delivery: 0.9}]
flows: [{name: press, source: "0001", destination: "0002", count: 20, periodSeconds: 1}]
"""


def interrupt_at(number):
    def run(scenario, *, seed, replication, engine):
        if replication == number:
            raise KeyboardInterrupt
        return run_once(scenario, seed=seed, replication=replication)

    return run


def test_scenario_becomes_a_result_and_a_picture_in_five_lines(tmp_path):
    scenario = meshtwin.read_scenario(PAIR)
    result = meshtwin.simulate(scenario, replications=3, engine="reference")
    assert "press: 60 sent" in str(result)
    meshtwin.plot(result).savefig(tmp_path / "pair.png")
    assert (tmp_path / "pair.png").stat().st_size > 1000


def test_same_seed_gives_the_same_result_and_another_seed_another():
    first, again, other = (meshtwin.simulate(PAIR, replications=2, seed=seed, engine="reference") for seed in (1, 1, 2))
    assert first == again
    assert first.runs != other.runs


def test_preset_states_are_told_and_give_other_runs_of_the_same_network():
    drawn, preset = (
        meshtwin.simulate(PAIR, replications=4, engine="reference", is_selective=is_selective)
        for is_selective in (False, True)
    )
    assert all(run.is_selective for run in preset.runs)
    assert drawn.runs != preset.runs
    assert abs(drawn.kpis.flows[0].delivery.estimate - preset.kpis.flows[0].delivery.estimate) < 0.1


@pytest.mark.parametrize("address", [0x99, "0002"])
def test_node_that_is_not_there_can_not_be_taken_away(address):
    with pytest.raises(InvalidInput, match=r"unknown node .* addresses are numbers, like 0x0014"):
        meshtwin.read_scenario(PAIR).without_node(address)


def test_scenario_is_drawn_from_its_text_and_anything_else_refused():
    assert meshtwin.plot(PAIR).axes
    with pytest.raises(InvalidInput, match="int is no scenario, simulation or comparison"):
        meshtwin.plot(42)


def test_comparison_on_preset_states_finds_no_difference_where_there_is_none():
    comparison = meshtwin.compare(PAIR, PAIR, replications=3, engine="reference", is_selective=True)
    assert comparison.differences[0].delivery.high == comparison.differences[0].delivery.low == 0.0


def test_interrupted_simulation_keeps_the_finished_replications():
    result = meshtwin.simulate(PAIR, replications=5, run=interrupt_at(3))
    assert (len(result.runs), result.asked, result.is_complete) == (3, 5, False)
    assert result.document.replications_asked == 5
    assert "3 of 5 replications" in str(result)


def test_simulation_interrupted_before_anything_is_finished_ends():
    with pytest.raises(KeyboardInterrupt):
        meshtwin.simulate(PAIR, replications=5, run=interrupt_at(0))


def test_interrupted_comparison_compares_what_both_sides_finished():
    first, second = meshtwin.read_scenario(PAIR), meshtwin.read_scenario(PAIR.replace("name: pair", "name: other"))
    runs = {first.name: 0}

    def run(scenario, *, seed, replication, engine):
        if scenario.name == "other" and replication == 2:
            raise KeyboardInterrupt
        runs[scenario.name] = replication
        return run_once(scenario, seed=seed, replication=replication)

    comparison = meshtwin.compare(first, second, replications=4, run=run)
    assert (len(comparison.first.runs), len(comparison.second.runs)) == (2, 2)
    assert comparison.first.gaps == comparison.second.gaps == ("replications 3 to 4: interrupted",)


def test_no_replication_is_refused():
    with pytest.raises(InvalidInput, match="fewer than 1"):
        meshtwin.simulate(PAIR, replications=0)


def test_saved_result_is_read_back(tmp_path):
    from meshtwin.sim.result_file import read_result

    result = meshtwin.simulate(PAIR, replications=2, engine="reference")
    result.save(tmp_path / "r.json")
    assert read_result(tmp_path / "r.json") == result.document


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, meshtwin; "
        "heavy = {'numpy', 'pydantic', 'simpy', 'matplotlib', 'numba', 'scipy', 'networkx', 'duckdb', 'fastapi'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_simulating_loads_neither_server_nor_broker_nor_kubernetes():
    code = (
        f"import sys, meshtwin; meshtwin.simulate({PAIR!r}, replications=1, engine='reference'); "
        "print(sorted({'fastapi', 'uvicorn', 'paho', 'kopf', 'kubernetes', 'matplotlib', 'duckdb'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        _ = meshtwin.simulat


def test_all_public_names_are_there():
    assert all(getattr(meshtwin, name) for name in meshtwin.__all__)
    assert set(meshtwin.__all__) <= set(dir(meshtwin))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"replications": 2.5}, "replications 2.5 is no whole number"),
        ({"replications": True}, "replications True is no whole number"),
        ({"seed": "a"}, "seed 'a' is no whole number"),
        ({"within_s": "soon"}, "within_s 'soon' is no number of seconds"),
        ({"within_s": 0.0}, "0.0 s is not above 0"),
        ({"progress": 3}, "3 is no progress: give True, or a function"),
        ({"engine": "steam"}, "engine 'steam' is not one of auto, compiled, fast, reference"),
    ],
)
def test_argument_of_another_kind_is_refused_by_name(changed, told):
    with pytest.raises(InvalidInput, match=told):
        meshtwin.simulate(PAIR, **changed)
    with pytest.raises(InvalidInput, match=told):
        meshtwin.compare(PAIR, PAIR, **changed)


def test_scenario_in_one_line_is_text_and_a_name_is_a_file(tmp_path):
    one_line = (
        '{nodes: [{address: "0001"}, {address: "0002"}], links: [{source: "0001", target: "0002", delivery: 1}], '
        'flows: [{name: a, source: "0001", destination: "0002", count: 1, periodSeconds: 1}]}'
    )
    assert len(meshtwin.read_scenario(one_line).nodes) == 2
    with pytest.raises(InvalidInput, match=r"unknown key 'x'; there are .* \(scenario: line 1: x\)"):
        meshtwin.simulate("x: 1")
    with pytest.raises(InvalidInput, match="No such file"):
        meshtwin.simulate("nowhere.yaml")
    (tmp_path / "a: b.yaml").write_text(PAIR)
    assert meshtwin.read_scenario(str(tmp_path / "a: b.yaml")).name == "pair"
    with pytest.raises(InvalidInput, match="int is no file name and no YAML text"):
        meshtwin.read_scenario(5)


def test_result_comparison_and_scenario_are_shown_in_a_few_lines():
    result = meshtwin.simulate(PAIR, replications=3, engine="reference")
    shown = repr(result)
    assert shown == str(result)
    assert len(shown.splitlines()) == 4
    for figure in ("on time", "delivery", "p50", "p95", "p99", "airtime", "90 % intervals"):
        assert figure in shown
    comparison = repr(meshtwin.compare(PAIR, PAIR, replications=3, engine="reference"))
    assert comparison.startswith("pair (second) less pair (first): 3 replications on the same states")
    assert len(comparison) < 500
    assert repr(result.scenario) == "Scenario('pair': 2 nodes, 2 relay, 2 directed links, 1 flow, profile zephyr)"


def test_one_replication_is_shown_without_intervals_and_why():
    shown = repr(meshtwin.simulate(PAIR, replications=1, engine="reference"))
    assert "no intervals: one replication" in shown
    assert "[" not in shown


def test_of_many_flows_the_first_are_shown():
    flow = '{name: press, source: "0001", destination: "0002", count: 20, periodSeconds: 1}'
    many = ", ".join(flow.replace("press", f"press-{i}").replace("count: 20", "count: 1") for i in range(50))
    shown = repr(meshtwin.simulate(PAIR.replace(flow, many), replications=2, engine="reference"))
    assert "press-19" in shown
    assert "press-20" not in shown
    assert "and 30 more flows" in shown


def test_progress_true_is_a_line_that_is_gone_at_the_end(capsys):
    meshtwin.simulate(PAIR, replications=2, engine="reference", progress=True)
    told = capsys.readouterr()
    assert told.out == ""
    assert "meshtwin:" in told.err
    assert told.err.rpartition("\r")[2] == ""
    meshtwin.simulate(PAIR, replications=2, engine="reference")
    assert capsys.readouterr().err == ""


def test_picture_is_shown_by_a_notebook():
    for what in (PAIR, meshtwin.simulate(PAIR, replications=2, engine="reference")):
        assert meshtwin.plot(what)._repr_png_().startswith(b"\x89PNG")
