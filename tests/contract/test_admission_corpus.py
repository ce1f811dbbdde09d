"""One corpus of good and bad objects, the same verdict and paths from local admission and an API server.

``good/`` holds manifests as a user writes them, ``stored/`` the spec that is stored for each.
``bad/`` holds cases: a good manifest, what is set or removed in it, and path -> part of the message of *all*
causes (none: admitted). ``update: true`` makes the good manifest the stored object and the changed one its update.
"""

import copy
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.contract.api_server import NAMESPACE, ApiServer, started_api_server

from meshtwin_operator.resources.admission import Admitted, admit, parse
from meshtwin_operator.resources.crd import resource_schema
from meshtwin_operator.resources.kinds import KINDS, KINDS_BY_NAME

CORPUS = Path(__file__).parents[1] / "golden" / "corpus"
UNKNOWN_FIELD = re.compile(r'unknown field "([^"]+)"')
WITH_NULL = "digitaltwin-child.yaml"  # kubectl sends the null again, and the API server drops it again
NOT_CHECKED = "<nil>"  # "some validation rules were not checked ...": says nothing of the object


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A manifest, the stored object it updates (None: a create), and the expected causes."""

    manifest: dict[str, Any]
    old: dict[str, Any] | None
    refused: Mapping[str, str]


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((CORPUS / "good" / name).read_text(encoding="utf-8"))


def changed(manifest: dict[str, Any], case: dict[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(manifest)
    for path, value in case.get("set", {}).items():
        parent, last = parent_of(result, path)
        parent[last] = value
    for path in case.get("remove", ()):
        parent, last = parent_of(result, path)
        del parent[last]
    return result


def parent_of(manifest: dict[str, Any], path: str) -> tuple[Any, Any]:
    *steps, last = (int(step) if step.isdigit() else step for step in path.split("."))
    node: Any = manifest
    for step in steps:
        node = node[step]
    return node, last


def bad_cases() -> Iterator[Any]:
    for file in sorted((CORPUS / "bad").glob("*.yaml")):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        base = read(content["base"])
        for case in content["cases"]:
            old = base if case.get("update") else None
            yield pytest.param(
                Case(manifest=changed(base, case), old=old, refused=case["refused"]),
                id=f"{file.stem}: {case['name']}",
            )


GOOD = sorted(path.name for path in (CORPUS / "good").glob("*.yaml"))
BAD = list(bad_cases())


def stored(name: str) -> dict[str, Any]:
    return yaml.safe_load((CORPUS / "stored" / name).read_text(encoding="utf-8"))


def local_causes(case: Case) -> list[tuple[str, str]]:
    verdict = admit(case.manifest, case.old)
    return [] if isinstance(verdict, Admitted) else [(c.path, c.message) for c in verdict.causes]


def differences(found: list[tuple[str, str]], expected: Mapping[str, str]) -> list[str]:
    """What is missing, what is too much."""
    missing = [
        f"missing {path}: {part}"
        for path, part in expected.items()
        if not any(where == path and part in message for where, message in found)
    ]
    return missing + [f"unexpected {path}: {message}" for path, message in found if path not in expected]


@pytest.mark.parametrize("name", GOOD)
def test_good_object_is_stored_as_expected_by_local_admission(name: str) -> None:
    verdict = admit(read(name))
    assert isinstance(verdict, Admitted), str(verdict)
    assert verdict.manifest["spec"] == stored(name)


@pytest.mark.parametrize("name", GOOD)
def test_defaults_of_the_models_are_the_defaults_of_the_schema(name: str) -> None:
    verdict = admit(read(name))
    assert isinstance(verdict, Admitted)
    assert parse(verdict.manifest) == parse(read(name))


@pytest.mark.parametrize("name", GOOD)
def test_applying_what_is_stored_again_changes_nothing(name: str) -> None:
    first = admit(read(name))
    assert isinstance(first, Admitted)
    assert admit(first.manifest, first.manifest) == first


@pytest.mark.parametrize("case", BAD)
def test_bad_object_is_refused_with_its_paths_by_local_admission(case: Case) -> None:
    assert differences(local_causes(case), case.refused) == []


def test_corpus_has_every_kind_and_every_rule() -> None:
    parts = [part for param in BAD for part in param.values[0].refused.values()]
    rules = {rule["message"] for kind in KINDS for rule in rules_of(resource_schema(kind))}
    assert {read(name)["kind"] for name in GOOD} == KINDS_BY_NAME.keys()
    assert [rule for rule in rules if not any(part in rule for part in parts)] == []


def rules_of(schema: Any) -> Iterator[dict[str, str]]:
    if isinstance(schema, dict):
        yield from schema.get("x-kubernetes-validations", ())
        for child in schema.values():
            yield from rules_of(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from rules_of(child)


def server_causes(answer: httpx.Response) -> list[tuple[str, str]]:
    status = answer.json()
    if answer.is_success:
        return []
    if answer.status_code == 400:
        return [(path, status["message"]) for path in UNKNOWN_FIELD.findall(status["message"])]
    causes = status["details"]["causes"]
    return [(cause["field"], cause["message"]) for cause in causes if cause["field"] != NOT_CHECKED]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with started_api_server(tmp_path_factory.mktemp("control-plane")) as found:
        yield found


@pytest.mark.cluster
@pytest.mark.parametrize("name", GOOD)
def test_good_object_is_stored_as_expected_by_the_api_server(server: ApiServer, name: str) -> None:
    manifest = read(name)
    answer = server.send("POST", server.place(manifest["kind"]), manifest)
    assert answer.status_code == 201, answer.text
    assert answer.json()["spec"] == stored(name)


@pytest.mark.cluster
@pytest.mark.parametrize("case", BAD)
def test_bad_object_is_refused_with_its_paths_by_the_api_server(server: ApiServer, case: Case) -> None:
    if case.old is None:
        answer = server.send("POST", server.place(collection_of(case)), case.manifest)
    else:
        answer = server.update(case.manifest, case.old)
    assert differences(server_causes(answer), case.refused) == []


@pytest.mark.cluster
@pytest.mark.parametrize("how", [(), ("--server-side",)], ids=["client-side", "server-side"])
@pytest.mark.parametrize("name", [name for name in GOOD if name != WITH_NULL])
def test_applying_again_with_kubectl_writes_nothing(server: ApiServer, name: str, how: tuple[str, ...]) -> None:
    from tests.cluster.programs import find_kubectl

    manifest = read(name)
    place = server.place(manifest["kind"], manifest["metadata"]["name"])
    target = ("--kubeconfig", str(server.kubeconfig), "--namespace", NAMESPACE)
    apply = [str(find_kubectl()), "apply", *target, *how, "-f", str(CORPUS / "good" / name)]
    for _ in range(2):  # kubectl becomes the owner of an object that says nothing only the second time
        subprocess.run(apply, capture_output=True, check=True)
    before = server.http.get(place).json()
    again = subprocess.run(apply, capture_output=True, text=True, check=True)
    after = server.http.get(place).json()
    assert server.http.delete(place).is_success
    assert again.stdout.strip().endswith("serverside-applied" if how else "unchanged")
    assert after == before


def collection_of(case: Case) -> str:
    """The kind whose collection is posted to, also where the manifest spells it wrongly."""
    by_spelling = {name.lower(): name for name in KINDS_BY_NAME}
    return by_spelling[case.manifest["kind"].lower()]
