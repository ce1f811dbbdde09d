"""What `meshtwin schema` prints: JSON schemas that say what each key means."""

import json

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from meshtwin.foreign.messages import ModelMessage
from meshtwin_operator.cli.commands import app

NAMES = ("scenario", "result", "comparison", "trace", "graph", "judge-model", "judge-request", "judge-answer")


def schema_of(name: str) -> dict:
    done = CliRunner().invoke(app, ["schema", name])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_schema_is_one(name):
    Draft202012Validator.check_schema(schema_of(name))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "judge-request"])  # which holds a whole snapshot
def test_every_key_of_a_schema_says_what_it_means(name):
    schema = schema_of(name)
    parts = {name: schema, **schema.get("$defs", {})}
    keys = [(part, key, told) for part, its in parts.items() for key, told in its.get("properties", {}).items()]
    assert [f"{part}.{key}" for part, key, told in keys if not told.get("description")] == []


def test_schema_of_who_judges_takes_what_a_judge_says_of_itself():
    validator = Draft202012Validator(schema_of("judge-model"))
    assert validator.is_valid(json.loads(ModelMessage(model="planner 2.1").to_payload()))
    assert not validator.is_valid({"contract": 1, "model": ""})
    assert not validator.is_valid({"contract": 1, "model": "a\x1b[2J"})
