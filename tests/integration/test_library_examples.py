"""Examples of the documentation run as they stand, on the engine that is chosen by itself (compiled when cold)."""

import re
from pathlib import Path

import meshtwin

ROOT = Path(__file__).parents[2]
PAIR = """
format: meshtwin.dev/scenario/v1
name: pair
nodes: [{address: "0001"}, {address: "0002"}]
links: [{source: "0001", target: "0002", delivery: 0.9}, {source: "0002", target: "0001", delivery: 0.9}]
flows: [{name: press, source: "0001", destination: "0002", count: 20, periodSeconds: 1}]
"""
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_examples_of_the_document_run(tmp_path, monkeypatch):
    blocks = BLOCK.findall((ROOT / "twin" / "MODELS.md").read_text(encoding="utf-8"))
    assert len(blocks) >= 2
    (tmp_path / "manifests").symlink_to(ROOT / "manifests")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(block, namespace)
    assert {path.name for path in tmp_path.glob("*.png")} == {"corridor.png", "network.png", "comparison.png"}


def test_example_of_the_package_docstring_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("office.yaml").write_text(PAIR)
    lines = re.findall(r"^    (\S.*)$", meshtwin.__doc__ or "", re.MULTILINE)
    assert len(lines) == 4
    exec("\n".join(lines), {"meshtwin": meshtwin})
    assert Path("office.png").exists()
