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
    assert (len(comparison.first.runs), len(comparison.second.runs)) == (4, 2)
    assert not comparison.second.is_complete


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
