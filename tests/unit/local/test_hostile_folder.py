"""Whatever stands in the folder, reading it ends with a message: `meshtwin up` goes on."""

from pathlib import Path

import pytest

from meshtwin.errors import Unavailable
from meshtwin_operator.local.folder import sync_folder
from meshtwin_operator.local.state import Lock, StateFolder, find_state
from meshtwin_operator.local.store import Store

HEAD = "apiVersion: meshtwin.dev/v1alpha1\nkind: DigitalTwin\n"
NINE = "[" + ",".join(["*{0}"] * 9) + "]"
LAUGHS = 'a: &a ["x"]\n' + "".join(f"{b}: &{b} {NINE.format(a)}\n" for a, b in zip("abcdefg", "bcdefgh", strict=True))


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("kustomization.yaml", "resources: [1]\n", "not a list of texts"),
        ("kustomization.yaml", "configMapGenerator: {a: b}\n", "not a list of objects"),
        ("kustomization.yaml", "resources: [.]\n", "lead back"),
        ("a.yaml", "kind: []\nmetadata: {name: x}\n", "not known to local mode"),
        ("a.yaml", "kind: DigitalTwin\nmetadata: x\n", "metadata is a str"),
        ("a.yaml", HEAD.replace("DigitalTwin", "Approval") + "metadata: {name: a}\nspec: hi\n", "of type object"),
        ("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: 1}\n", "map of strings"),
        ("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ../x}\ndata: {a: b}\n", "metadata.name"),
        ("a.yaml", HEAD + "metadata: {name: x, namespace: ../../y}\nspec: {}\n", "RFC 1123 label"),
        ("a.yaml", LAUGHS + HEAD + "metadata: {name: x}\nspec: {mode: *h}\n", "alias"),
        ("a.yaml", HEAD + "metadata: {name: x}\nspec: &s {mode: *s}\n", "circular"),
        ("a.yaml", HEAD + "spec: " + "[" * 3000 + "]" * 3000 + "\n", "deeper"),
        ("a.yaml", HEAD + 'metadata: {name: "\\ud800"}\n', "Unicode"),
    ],
)
def test_odd_manifest_is_a_message_not_a_crash(tmp_path: Path, store: Store, name: str, text: str, word: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / name).write_text(text)

    report = sync_folder(folder, store, user="somebody")

    assert report.applied == ()
    assert len(report.problems) == 1
    assert word in report.problems[0]


def test_null_lists_of_a_kustomization_are_empty(tmp_path: Path, store: Store) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources:\nconfigMapGenerator:\nlabels:\n")

    assert sync_folder(tmp_path, store, user="somebody").problems == ()


def test_first_value_of_a_secret_and_of_a_port_holds_for_everybody(tmp_path: Path) -> None:
    one, other = StateFolder(tmp_path / "state"), StateFolder(tmp_path / "state")
    one.prepare()

    assert one.secret("s").read_bytes() == other.secret("s").read_bytes()
    assert one.port("p") == other.port("p")
    assert [path.name for path in one.secrets.iterdir()] == ["s"]
    assert one.secret("s").stat().st_mode & 0o777 == 0o600


def test_state_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "state"
    root.mkdir()
    monkeypatch.setattr("os.getuid", lambda: root.stat().st_uid + 1)

    with pytest.raises(Unavailable, match="belongs to another user"):
        StateFolder(root).prepare()


def test_state_in_use_is_not_taken_twice(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    state.prepare()
    lock = Lock(state)
    lock.acquire()

    with pytest.raises(Unavailable, match="is in use"):
        Lock(state).acquire()
    lock.release()


def test_named_state_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "store.sqlite").touch()
    monkeypatch.setenv("MESHTWIN_STATE", str(tmp_path / "other"))

    assert find_state(tmp_path / "mine") == tmp_path / "mine"
