"""The Python examples of MODELS.md run, one after the other as they stand."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "twin" / "MODELS.md").read_text()
SECTIONS = ("## Library and command line", "### A model of somebody else's")


def examples_of(section: str) -> list[str]:
    after = TEXT.partition(f"\n{section}\n")[2]
    until_next = re.split(r"^#{2,3} ", after, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^```python\n(.*?)^```$", until_next, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("section", SECTIONS)
def test_examples_run(section, tmp_path, monkeypatch, capsys):
    (tmp_path / "manifests").symlink_to(ROOT / "manifests")
    monkeypatch.chdir(tmp_path)
    examples, names = examples_of(section), {}
    assert examples
    for example in examples:
        exec(compile(example, "MODELS.md", "exec"), names)
    assert capsys.readouterr().out
