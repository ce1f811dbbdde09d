"""The published schema of scenario files says what the reader does, as another program (jsonschema) understands it."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError
from typer.testing import CliRunner

from meshtwin.sim.profiles import PROFILES
from meshtwin.sim.scenario_document import ScenarioDocument
from meshtwin.sim.scenario_keys import tell_keys
from meshtwin.sim.scenario_yaml import parse_yaml
from meshtwin_operator.cli.commands import app

SAMPLES = sorted((Path(__file__).parents[3] / "manifests" / "samples" / "scenarios").glob("*.yaml"))
SCHEMA = json.loads(CliRunner().invoke(app, ["schema", "scenario"]).stdout)
VALIDATOR = Draft202012Validator(SCHEMA)
DOCUMENTS = {path.stem: parse_yaml(path.read_text(), path.name).value for path in SAMPLES}
WRONG = (-1e20, 1e20, "many", True, [])  # in place of numbers


def numbers_in(value: object, path: tuple = ()) -> Iterator[tuple]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        if isinstance(part, int | float) and not isinstance(part, bool):
            yield (*path, key)
        yield from numbers_in(part, (*path, key))


def changed(document: object, path: tuple, value: object) -> object:
    document = copy.deepcopy(document)
    part = document
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return document


def is_read(document: object) -> bool:
    try:
        ScenarioDocument.model_validate(document)
    except ValidationError:
        return False
    return True


def test_schema_is_one_and_its_bounds_are_words_of_json_schema():
    Draft202012Validator.check_schema(SCHEMA)
    told = json.dumps(SCHEMA)
    assert not [bound for bound in ("ge", "le", "gt", "lt") if f'"{bound}": ' in told]


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_sample_is_valid_by_the_published_schema(name):
    assert [error.message for error in VALIDATOR.iter_errors(DOCUMENTS[name])] == []


@pytest.mark.parametrize(
    ("sample", "path", "value"),
    [
        ("wifi", ("defaults", "ttl"), 500),
        ("wifi", ("startOfDay",), "8 o'clock"),
        ("wifi", ("startOfDay",), "25:10"),
        ("wifi", ("startOfDay",), 1441),
        ("wifi", ("links", 0, "delivery"), 1.5),
        ("wifi", ("nodes", 0, "address"), 1),
        ("wifi", ("nodez",), []),
        ("yard", ("profile",), 7),
        ("corridor", ("nodes", 0, "positionM", 0), 1e7),
        ("corridor", ("flows", 0, "pduBytes"), 30),
        ("corridor", ("durationSeconds",), 0),
        ("failures", ("radio", "rangeM"), 0),
        ("failures", ("changes", 0, "atSeconds"), -1),
        ("low-power", ("nodes", 3, "lowPower", "pollSeconds"), -5),
        ("replay-list", ("nodes", 4, "replayListEntries"), 0),
        ("segmented", ("flows", 0, "accessBytes"), 381),
    ],
)
def test_what_is_out_of_range_is_refused_by_schema_and_reader(sample, path, value):
    mutant = changed(DOCUMENTS[sample], path, value)
    assert not VALIDATOR.is_valid(mutant)
    assert not is_read(mutant)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_schema_and_reader_agree_about_any_number_in_a_sample(data):
    name = data.draw(st.sampled_from([name for name in sorted(DOCUMENTS) if name not in ("grid", "office", "chain")]))
    path = data.draw(st.sampled_from(sorted(numbers_in(DOCUMENTS[name]), key=str)))
    value = data.draw(st.sampled_from(WRONG) | st.integers(-200, 70_000))
    mutant = changed(DOCUMENTS[name], path, value)
    if not VALIDATOR.is_valid(mutant):
        assert not is_read(mutant)
    elif not is_read(mutant):  # a rule that holds between keys, which no schema says
        with pytest.raises(ValidationError) as caught:
            ScenarioDocument.model_validate(mutant)
        assert {error["type"] for error in caught.value.errors()} == {"value_error"}


def keys_told(schema: dict) -> list[tuple[str, str, dict]]:
    named = {"file": schema, **schema.get("$defs", {})}
    return [(name, key, told) for name, part in named.items() for key, told in part.get("properties", {}).items()]


def keys_of_schema() -> set[tuple[str, str]]:
    named = {"Scenario": SCHEMA, **SCHEMA["$defs"]}
    return {(name, key) for name, schema in named.items() if name != "SettingsDocument" for key in schema["properties"]}


def keys_in(value: dict, schema: dict, name: str) -> Iterator[tuple[str, str]]:
    for key, part in value.items():
        yield name, key
        told = schema["properties"][key]
        places = [
            told,
            told.get("items", {}),
            *(x for alt in told.get("anyOf", []) for x in (alt, alt.get("items", {}))),
        ]
        for reference in {place["$ref"].rsplit("/", 1)[-1] for place in places if "$ref" in place}:
            for inner in part if isinstance(part, list) else [part]:
                yield from keys_in(inner, SCHEMA["$defs"][reference], reference)


def test_every_key_of_the_schema_is_used_in_a_sample():
    used = {found for document in DOCUMENTS.values() for found in keys_in(document, SCHEMA, "Scenario")}
    inherited = {("NodeDocument", key) for name, key in used if name == "SettingsDocument"}  # "defaults" has it
    assert keys_of_schema() - used - inherited == set()


def test_every_profile_radio_model_and_rule_of_reception_is_used_in_a_sample():
    assert {document["profile"] for document in DOCUMENTS.values()} == set(PROFILES)
    radio = SCHEMA["$defs"]["RadioDocument"]["properties"]
    assert {d["radio"]["model"] for d in DOCUMENTS.values() if "radio" in d} == set(radio["model"]["enum"])
    receptions = {document.get("reception", "packetErrorRatio") for document in DOCUMENTS.values()}
    assert receptions == set(SCHEMA["properties"]["reception"]["enum"])


def test_every_key_of_a_scenario_says_what_it_means():
    assert [f"{name}.{key}" for name, key, told in keys_told(SCHEMA) if not told.get("description")] == []


def test_page_of_keys_beside_the_samples_is_what_the_schema_says():
    assert (SAMPLES[0].parent / "README.md").read_text(encoding="utf-8") == tell_keys()


def test_page_of_keys_has_every_key_with_its_description():
    rows = set(tell_keys().splitlines())
    for _, key, told in keys_told(SCHEMA):
        assert [row for row in rows if row.startswith(f"| `{key}` |") and row.endswith(f"| {told['description']} |")]


def test_schema_refuses_addresses_that_are_none_as_the_reader_does():
    for address in ("00", "zz00", "0001-0002"):
        mutant = changed(DOCUMENTS["wifi"], ("nodes", 0, "address"), address)
        assert not VALIDATOR.is_valid(mutant)
        assert not is_read(mutant)
