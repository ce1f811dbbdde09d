"""Manifests of a folder reach the store as `kubectl apply -k --prune` would bring them to a cluster."""

from pathlib import Path

import pytest
import yaml

from meshtwin.errors import InvalidInput
from meshtwin_operator.local.folder import fingerprint, read_folder, sync_folder
from meshtwin_operator.local.kustomization import build
from meshtwin_operator.local.store import Store
from meshtwin_operator.reconcile.world import ObjectKey

TWIN = """
apiVersion: meshtwin.dev/v1alpha1
kind: DigitalTwin
metadata: {name: office}
spec: {mode: Observe}
"""
RECIPE = """
apiVersion: meshtwin.dev/v1alpha1
kind: Recipe
metadata: {name: fewer}
spec: {uses: fewest-sufficient-relays}
"""
PROPOSAL = """
apiVersion: meshtwin.dev/v1alpha1
kind: ConfigurationProposal
metadata: {name: mine}
spec:
  segmentRef: {name: north}
  settings: [{nodes: ["0001"], relay: Enabled}]
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_several_documents_in_several_files_are_taken(tmp_path: Path, store: Store) -> None:
    write(tmp_path, "a.yaml", TWIN + "---" + RECIPE)
    write(tmp_path, "b.yaml", PROPOSAL)
    report = sync_folder(tmp_path, store, user="alice")
    assert {key.kind for key in report.applied} == {"DigitalTwin", "Recipe", "ConfigurationProposal"}
    assert not report.problems


def test_second_look_changes_nothing(tmp_path: Path, store: Store) -> None:
    write(tmp_path, "a.yaml", TWIN)
    sync_folder(tmp_path, store, user="alice")
    before = store.revision()
    report = sync_folder(tmp_path, store, user="alice")
    assert (report.applied, report.deleted) == ((), ())
    assert store.revision() == before


def test_object_whose_manifest_is_gone_is_deleted(tmp_path: Path, store: Store) -> None:
    path = write(tmp_path, "a.yaml", TWIN)
    write(tmp_path, "b.yaml", RECIPE)
    sync_folder(tmp_path, store, user="alice")
    path.unlink()
    assert sync_folder(tmp_path, store, user="alice").deleted == (ObjectKey("DigitalTwin", "default", "office"),)


def test_record_whose_manifest_is_gone_stays(tmp_path: Path, store: Store) -> None:
    path = write(tmp_path, "a.yaml", PROPOSAL)
    sync_folder(tmp_path, store, user="alice")
    path.unlink()
    assert sync_folder(tmp_path, store, user="alice").deleted == ()
    assert store.get(ObjectKey("ConfigurationProposal", "default", "mine")) is not None


def test_object_made_by_the_command_line_is_not_deleted(tmp_path: Path, store: Store) -> None:
    manifest = yaml.safe_load(RECIPE)
    manifest["metadata"]["namespace"] = "default"
    store.create(manifest, user="alice")
    assert sync_folder(tmp_path, store, user="alice").deleted == ()


def test_half_saved_file_deletes_nothing_and_is_named_with_its_line(tmp_path: Path, store: Store) -> None:
    path = write(tmp_path, "a.yaml", TWIN)
    sync_folder(tmp_path, store, user="alice")
    path.write_text("kind: [")
    report = sync_folder(tmp_path, store, user="alice")
    assert report.deleted == ()
    assert "a.yaml:" in report.problems[0]


def test_one_refused_object_does_not_hold_up_the_others(tmp_path: Path, store: Store) -> None:
    write(tmp_path, "a.yaml", TWIN.replace("Observe", "Obey"))
    write(tmp_path, "b.yaml", RECIPE)
    report = sync_folder(tmp_path, store, user="alice")
    assert [key.kind for key in report.applied] == ["Recipe"]
    assert "spec.mode" in report.problems[0]


def test_unknown_kind_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n")
    with pytest.raises(InvalidInput, match="kind 'Pod' is not known"):
        read_folder(tmp_path)


def test_kustomization_makes_config_maps_with_labels_and_namespace(tmp_path: Path) -> None:
    write(tmp_path, "net.json", "{}")
    (tmp_path / "raw.gz").write_bytes(b"\x1f\x8b\xff")
    write(
        tmp_path,
        "kustomization.yaml",
        """
namespace: buildings
generatorOptions: {disableNameSuffixHash: true, labels: {meshtwin.dev/inventory: "true"}}
configMapGenerator: [{name: north, files: [network.json=net.json, raw.gz]}]
""",
    )
    (manifest,) = build(tmp_path)
    assert manifest["metadata"] == {
        "name": "north",
        "namespace": "buildings",
        "labels": {"meshtwin.dev/inventory": "true"},
    }
    assert manifest["data"] == {"network.json": "{}"}
    assert manifest["binaryData"] == {"raw.gz": "H4v/"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("patches: []", "patches not supported"),
        ("configMapGenerator: [{name: a}]", "disableNameSuffixHash"),
        ("resources: [missing.yaml]", "missing.yaml does not exist"),
        ("resources: ['https://example.org/x']", "remote resource"),
    ],
)
def test_kustomization_beyond_the_subset_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    write(tmp_path, "kustomization.yaml", text)
    with pytest.raises(InvalidInput, match=named):
        build(tmp_path)


def test_fingerprint_sees_edits_and_ignores_the_state_folder(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", TWIN)
    before = fingerprint(tmp_path)
    (tmp_path / ".meshtwin").mkdir()
    write(tmp_path / ".meshtwin", "x", "y")
    assert fingerprint(tmp_path) == before
    write(tmp_path, "a.yaml", TWIN + "\n")
    assert fingerprint(tmp_path) != before


def test_office_sample_is_admitted_as_a_whole(tmp_path: Path, store: Store) -> None:
    sample = Path(__file__).parents[3] / "manifests" / "samples" / "office"
    report = sync_folder(sample, store, user="alice")
    assert not report.problems
    assert len(report.applied) == 6


def test_manifest_beside_a_kustomization_that_does_not_name_it_is_told(tmp_path: Path, store: Store) -> None:
    write(tmp_path, "kustomization.yaml", "resources: [twin.yaml]\n")
    write(tmp_path, "twin.yaml", TWIN)
    write(tmp_path, "recipe.yaml", RECIPE)
    write(tmp_path, "mesh.yaml", "seed: 7\n")  # no manifest
    report = sync_folder(tmp_path, store, user="alice")
    assert [key.kind for key in report.applied] == ["DigitalTwin"]
    (told,) = report.problems
    assert told.startswith("recipe.yaml (Recipe) is not read: add it to resources in kustomization.yaml")
    write(tmp_path, "kustomization.yaml", "resources: [twin.yaml, recipe.yaml]\n")
    assert not sync_folder(tmp_path, store, user="alice").problems
