"""The checked-in schemas and AsyncAPI documents of the MQTT contract are what the wire models say."""

import json
from pathlib import Path
from typing import Any

import pytest

from meshtwin.contract.asyncapi import asyncapi_document, schema_files
from meshtwin.contract.channels import CHANNELS, Application
from meshtwin.contract.generate import FOLDER, main
from meshtwin.contract.generated import differing_files

APPLICATIONS: list[Application] = ["gateway", "twin"]


def resolve(document: dict[str, Any], reference: str) -> Any:
    node: Any = document
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def test_checked_in_schemas_are_what_the_models_say() -> None:
    assert differing_files(FOLDER, schema_files()) == [], "run python -m meshtwin.contract.generate"


def test_check_fails_until_the_files_are_written(tmp_path: Path) -> None:
    folder = tmp_path / "schemas"
    assert main(["--check", "--folder", str(folder)]) == 1
    assert main(["--folder", str(folder)]) == 0
    assert main(["--check", "--folder", str(folder)]) == 0


@pytest.mark.parametrize("application", APPLICATIONS)
def test_every_operation_leads_to_a_payload_schema_beside_the_document(application: Application) -> None:
    document, files = asyncapi_document(application), schema_files()
    assert document["operations"]
    for operation in document["operations"].values():
        channel = resolve(document, operation["channel"]["$ref"])
        for message in channel["messages"].values():
            schema = resolve(document, message["$ref"])["payload"]["schema"]["$ref"]
            assert schema.removeprefix("./") in files


@pytest.mark.parametrize("application", APPLICATIONS)
def test_every_parameter_of_a_topic_is_described(application: Application) -> None:
    for channel in asyncapi_document(application)["channels"].values():
        assert all(f"{{{name}}}" in channel["address"] for name in channel["parameters"])
        assert channel["address"].count("{") == len(channel["parameters"])


def test_gateway_receives_commands_and_sends_everything_else() -> None:
    actions = {key: op["action"] for key, op in asyncapi_document("gateway")["operations"].items()}
    assert [key for key, action in actions.items() if action == "receive"] == ["configurationCommand"]


def test_every_payload_refuses_unknown_fields() -> None:
    for channel in CHANNELS:
        assert json.loads(schema_files()[channel.schema_file])["additionalProperties"] is False
