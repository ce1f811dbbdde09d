"""Objects that stand whole in the documents are let in as they are written."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshtwin_operator.resources.admission import Admitted, admit
from meshtwin_operator.resources.kinds import KINDS_BY_NAME

ROOT = Path(__file__).parents[3]
DOCUMENTS = ("README.md", "operator/README.md", "twin/README.md", "twin/MODELS.md", "manifests/README.md")
BLOCK = re.compile(r"^( *)```yaml\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


def objects_of(document: str) -> list[Any]:
    found = []
    for indent, text in BLOCK.findall((ROOT / document).read_text(encoding="utf-8")):
        lines = "\n".join(line.removeprefix(indent) for line in text.splitlines())
        found += [
            one for one in yaml.safe_load_all(lines) if isinstance(one, dict) and one.get("kind") in KINDS_BY_NAME
        ]
    return found


OBJECTS = [pytest.param(one, id=f"{document}: {one['kind']}") for document in DOCUMENTS for one in objects_of(document)]


@pytest.mark.parametrize("manifest", OBJECTS)
def test_documented_object_is_admitted(manifest: dict[str, Any]) -> None:
    verdict = admit(manifest)
    assert isinstance(verdict, Admitted), str(verdict)


def test_questions_about_places_are_documented() -> None:
    assert any("movedNodes" in one.values[0]["spec"] for one in OBJECTS)  # type: ignore[operator]  # a manifest
