"""A sample that the demo can't use is refused with the folder that may have been meant."""

from contextlib import closing
from pathlib import Path

import pytest

from meshtwin.errors import InvalidInput
from meshtwin_operator.cli.demo import find_sample
from meshtwin_operator.cli.demo_processes import SampleProcesses
from meshtwin_operator.local.folder import sync_folder
from meshtwin_operator.local.state import StateFolder
from meshtwin_operator.local.store import Store

SAMPLES = Path(__file__).parents[3] / "manifests" / "samples"


@pytest.mark.parametrize(("kind", "name"), [("emulated", "office"), ("bluez", "bluez-building")])
def test_folder_around_the_sample_is_refused_with_the_name_of_the_sample(kind, name, tmp_path):
    with pytest.raises(InvalidInput, match=f"holds no manifests itself; name the folder in it: {name} ") as caught:
        SampleProcesses.of(SAMPLES, StateFolder(tmp_path), kind)
    assert caught.value.place == "--sample"


def test_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="is no folder; name that of the manifests"):
        SampleProcesses.of(tmp_path / "nowhere", StateFolder(tmp_path))


def test_folder_without_a_mesh_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"no \.\./emulated-building/mesh\.yaml, as seen from"):
        SampleProcesses.of(tmp_path, StateFolder(tmp_path))


def test_sample_of_the_checkout_is_found():
    assert find_sample("emulated") == SAMPLES / "office"


@pytest.mark.parametrize("name", ["office", "bluez-building"])
def test_every_file_of_a_sample_is_read(name, tmp_path):
    with closing(Store(tmp_path / "store.db")) as store:
        assert sync_folder(SAMPLES / name, store, user="alice").problems == ()
