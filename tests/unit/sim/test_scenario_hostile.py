"""Scenario files that are meant to break something."""

import pytest

from meshtwin.errors import InvalidInput
from meshtwin.sim.scenario_file import parse_scenario

BASE = """
nodes:
  - {address: "0001"}
  - {address: "0002"}
links:
  - {source: "0001", target: "0002", delivery: 1.0}
  - {source: "0002", target: "0001", delivery: 1.0}
flows:
  - {name: a, source: "0001", destination: "0002", count: 10, periodSeconds: 1}
"""


def refused(old: str, new: str) -> InvalidInput:
    assert old in BASE
    with pytest.raises(InvalidInput) as caught:
        parse_scenario(BASE.replace(old, new), "f.yaml")
    return caught.value


@pytest.mark.parametrize("value", ["'10'", "true", "ten", "''", "0x", "[]", "null", "'1_0'", "'٣'"])
def test_what_is_no_number_is_not_taken_for_one(value):
    error = refused("count: 10", f"count: {value}")
    assert error.place == "f.yaml: line 9: flows.0.count"


@pytest.mark.parametrize("value", ["'true'", "1", "'yes'", "0.0"])
def test_what_is_no_truth_value_is_not_taken_for_one(value):
    refused('{address: "0002"}', f'{{address: "0002", relay: {value}}}')


@pytest.mark.parametrize("value", ["1e-3", "1.0e-3", "1E-3", "0.001", ".1e-2"])
def test_numbers_with_exponents_are_numbers_however_yaml_reads_them(value):
    assert parse_scenario(BASE.replace("periodSeconds: 1", f"periodSeconds: {value}")).flows[0].period_s == 0.001


@pytest.mark.parametrize("value", ["010", "0100", "-07", "00"])
def test_numbers_that_yaml_reads_as_octal_are_refused_with_their_line(value):
    error = refused("count: 10", f"count: {value}")
    assert (error.message.split(";")[0], error.place) == (
        f"{value} would be read as an octal number",
        "f.yaml: line 9",
    )


@pytest.mark.parametrize("value", ["1:30", "1:30.5", "190:20:30"])
def test_numbers_with_colons_are_not_taken_for_numbers_of_base_60(value):
    error = refused("periodSeconds: 1", f"periodSeconds: {value}")
    assert value in error.message
    assert error.place == "f.yaml: line 9: flows.0.periodSeconds"


def test_periods_shorter_than_anything_on_the_air_are_refused_with_their_value():
    error = refused("periodSeconds: 1", "periodSeconds: 1.0e-300")
    assert "0.000001" in error.message
    assert "1e-300" in error.message
    assert error.place.endswith("flows.0.periodSeconds")


def test_size_of_a_message_is_said_once():
    error = refused("count: 10", "count: 10, accessBytes: 8, pduBytes: 20")
    assert "give accessBytes or pduBytes, not both" in error.message
    assert error.place == "f.yaml: line 9: flows.0"


def test_place_has_no_part_that_the_file_has_not():
    error = refused('{address: "0002"}', '{address: "0002", replayListEntries: 0}')
    assert error.place == "f.yaml: line 4: nodes.1.replayListEntries"


def test_number_of_thousands_of_digits_is_refused_with_its_line():
    error = refused("count: 10", "count: " + "9" * 5000)
    assert (error.message, error.place) == ("a number of 5000 digits, more than 400", "f.yaml: line 9")


@pytest.mark.parametrize("name", [r'"a\e[31mred"', r'"a\0b"', r'"a\u202eb"', r'"two\nlines"'])
def test_names_have_no_control_characters(name):
    assert "control characters" in refused("name: a,", f"name: {name},").message


def test_flow_to_its_own_source_is_refused():
    assert "0001 would send to itself" in refused('destination: "0002"', 'destination: "0001"').message


@pytest.mark.parametrize("text", ["", "null", "hello", "[1, 2]", "# nothing\n"])
def test_file_without_keys_says_what_is_wanted(text):
    with pytest.raises(InvalidInput, match="in place of keys and values, such as nodes: and flows:"):
        parse_scenario(text)


def test_what_is_given_twice_is_named():
    assert "address 0001 is used" in refused('{address: "0002"}', '{address: "0001"}').message
    twice = '  - {source: "0001", target: "0002", delivery: 0.5}\nflows:'
    assert "the link 0001 to 0002 is given twice" in refused("flows:", twice).message
    again = '  - {name: a, source: "0002", destination: "0001", count: 1, periodSeconds: 1}\n'
    with pytest.raises(InvalidInput, match="two flows have the name 'a'"):
        parse_scenario(BASE + again)


def test_time_beyond_what_engines_can_count_is_refused():
    error = refused("count: 10, periodSeconds: 1", "count: 1000, periodSeconds: 1.0e+8")
    assert (error.reason, error.place) == ("TooLarge", "f.yaml: flows")
    assert "1e+11 s, more than 1e+09 s; give durationSeconds" in error.message


def test_polls_without_end_are_refused_and_fit_into_a_shorter_run():
    low = BASE.replace('{address: "0002"}', '{address: "0002", lowPower: {friend: "0001", pollSeconds: 2}}')
    long = low.replace("periodSeconds: 1", "periodSeconds: 1.0e+7")
    with pytest.raises(InvalidInput, match=r"poll 5e\+07 times in 1e\+08 s, more than 2000000"):
        parse_scenario(long)
    assert parse_scenario(long + "durationSeconds: 10\n").duration_s == 10.0


def test_links_of_many_moves_count_as_memory():
    nodes = "".join(f'  - {{address: "{i:04x}", positionM: [{i}, 0]}}\n' for i in range(1, 301))
    moves = "".join(f'  - {{atSeconds: 1, node: "0001", moveToM: [{i % 300}, 1]}}\n' for i in range(8000))
    flow = '  - {name: a, source: "0001", destination: "0002", count: 1, periodSeconds: 1}\n'
    text = f"radio: {{model: unitDisc, rangeM: 400}}\nnodes:\n{nodes}flows:\n{flow}changes:\n{moves}"
    with pytest.raises(InvalidInput, match="more than 2048 MiB") as caught:
        parse_scenario(text)
    assert caught.value.reason == "TooLarge"


def test_moves_that_would_take_hours_are_refused():
    nodes = "".join(f'  - {{address: "{i:04x}", positionM: [{i}, 0]}}\n' for i in range(1, 301))
    moves = "".join(f'  - {{atSeconds: 1, node: "0001", moveToM: [{i % 300}, 1]}}\n' for i in range(5000))
    flow = '  - {name: a, source: "0001", destination: "0002", count: 1, periodSeconds: 1}\n'
    text = f"radio: {{model: unitDisc, rangeM: 40}}\nnodes:\n{nodes}flows:\n{flow}changes:\n{moves}"
    with pytest.raises(InvalidInput, match="5000 moves among") as caught:
        parse_scenario(text)
    assert (caught.value.reason, caught.value.place) == ("TooLarge", "scenario: changes")
