"""Whatever is in a scenario file, the reader gives a scenario or says what is wrong with it."""

import random
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshtwin.errors import InvalidInput
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.scenario_file import parse_scenario, read_scenario

SAMPLES = sorted((Path(__file__).parents[3] / "manifests" / "samples" / "scenarios").glob("*.yaml"))
SMALL = [path for path in SAMPLES if path.stat().st_size < 3500]
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in SMALL}
ODD_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(["", "0001", "ffff", "0000", "8000", "profile", "08:30", "24:61", "ÿ" * 40, "zephyr", "c000", "."]),
    st.lists(st.integers(-5, 5), max_size=3),
    st.dictionaries(st.sampled_from(["count", "friend", "x"]), st.integers(-1, 9), max_size=2),
)


def read_or_refuse(text: str) -> Scenario | InvalidInput:
    try:
        return parse_scenario(text)
    except InvalidInput as error:
        return error


def paths_in(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, inner in steps for found in paths_in(inner, (*path, key)))]


def mutate(document: object, draw: random.Random, value: object) -> None:
    """Replaces, removes, doubles or adds something somewhere."""
    path = draw.choice(paths_in(document)[1:])
    holder = document
    for step in path[:-1]:
        holder = holder[step]  # type: ignore[index]  # dict or list, as paths_in found it
    key = path[-1]
    how = draw.randrange(4)
    if how == 0:
        holder[key] = value  # type: ignore[index]
    elif how == 1:
        del holder[key]  # type: ignore[attr-defined]
    elif how == 2 and isinstance(holder, list):
        holder.append(holder[key])
    elif isinstance(holder, dict):
        holder["colour" if how == 3 else "count"] = value


@given(
    name=st.sampled_from(sorted(TEXTS)), seed=st.integers(0, 2**32), values=st.lists(ODD_VALUES, min_size=1, max_size=3)
)
@settings(max_examples=150, deadline=None)
def test_mutated_document_gives_a_scenario_or_a_reason(name, seed, values):
    document = yaml.safe_load(TEXTS[name])
    draw = random.Random(seed)
    for value in values:
        mutate(document, draw, value)
    answer = read_or_refuse(yaml.safe_dump(document, allow_unicode=True))
    assert isinstance(answer, Scenario) or (answer.message and answer.place)


@given(name=st.sampled_from(sorted(TEXTS)), seed=st.integers(0, 2**32), junk=st.text(max_size=8))
@settings(max_examples=100, deadline=None)
def test_mutilated_text_gives_a_scenario_or_a_reason(name, seed, junk):
    text, draw = TEXTS[name], random.Random(seed)
    first, last = sorted(draw.randrange(len(text)) for _ in range(2))
    assert isinstance(read_or_refuse(text[:first] + junk + text[min(last, first + 40) :]), Scenario | InvalidInput)


@given(st.text(max_size=60))
@example("- " * 3000)
@example("[" * 100_000)
@example("{a: " * 5000)
@example("&a [*a]")
@example("a: &a {b: *a}")
@example("nodes: 2026-99-99")
@example("count: " + "9" * 10_000)
@example("? [1, 2]\n: 3")
@example("<<: {name: x}")
@example("--- a\n--- b")
@example("!!python/object/apply:os.system [true]")
@example("\x00")
@settings(max_examples=100, deadline=None)
def test_any_text_gives_a_scenario_or_a_reason(text):
    assert isinstance(read_or_refuse(text), Scenario | InvalidInput)


def test_aliases_that_grow_without_end_are_refused():
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    error = read_or_refuse(text)
    assert isinstance(error, InvalidInput)
    assert error.reason == "FileTooLarge"


def test_aliases_that_repeat_a_value_are_read():
    text = """
nodes: [{address: "0001", networkTransmit: &t {count: 1, intervalSteps: 3}}, {address: "0002", networkTransmit: *t}]
links: [{source: "0001", target: "0002", delivery: 1.0}]
flows: [{name: f, source: "0001", destination: "0002", count: 1, periodSeconds: 1}]
"""
    assert [node.network_transmit.count for node in parse_scenario(text).nodes] == [1, 1]


def test_a_file_of_many_megabytes_is_refused_unread(tmp_path):
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(InvalidInput, match="bytes are more than"):
        read_scenario(path)


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1e400"])
@pytest.mark.parametrize("key", ["periodSeconds", "startSeconds"])
def test_numbers_that_are_not_finite_are_refused(key, value):
    text = TEXTS["lamp-off.yaml"].replace("periodSeconds: 2", f"{key}: {value}")
    assert isinstance(read_or_refuse(text), InvalidInput)
