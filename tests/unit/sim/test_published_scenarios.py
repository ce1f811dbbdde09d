"""The scenario files that `meshtwin validate --export` writes are what the tables are validated with."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.sim.profiles import get_profile
from meshtwin.sim.scenario_file import parse_scenario, read_scenario
from meshtwin.sim.validation.chain import build_chain_scenario
from meshtwin.sim.validation.export import export_tables, iter_published
from meshtwin.sim.validation.grid import build_grid_scenario
from meshtwin.sim.validation.office import build_office_scenario
from meshtwin.sim.validation.physics import build_hardware_scenario
from meshtwin.sim.validation.tables import read_table


def as_simulated(scenario):
    """Without positions, which are for pictures, and with links in any order."""
    nodes = tuple(replace(node, position=None) for node in scenario.nodes)
    links = tuple(sorted(scenario.links, key=lambda link: (link.source, link.target)))
    return replace(scenario, nodes=nodes, links=links)


def assert_same(read, built):
    one, other = as_simulated(read), as_simulated(built)
    assert one == other, [name for name in ("nodes", "links", "flows") if getattr(one, name) != getattr(other, name)]


def test_chain_and_grid_are_read_back_as_they_were():
    ((_, chain),) = iter_published("chain", read_table("chain"))
    assert_same(parse_scenario(chain), build_chain_scenario(read_table("chain")))
    ((_, grid),) = iter_published("grid", read_table("grid"), seed=7)
    assert_same(parse_scenario(grid), build_grid_scenario(read_table("grid"), 7))


def test_every_cell_of_the_office_is_written_and_one_of_each_relay_set_is_read_back_as_it_was():
    table = read_table("office")
    texts = dict(iter_published("office", table))
    assert len(texts) == 65
    for relay_set in table["delivery_ratio"]:
        assert_same(parse_scenario(texts[f"office-{relay_set}-ttl-6"]), build_office_scenario(table, relay_set, 6))


def test_hardware_is_written_for_each_profile():
    table = read_table("hardware")
    for stem, text in iter_published("hardware", table):
        profile = get_profile(stem.removeprefix("hardware-"))
        assert_same(parse_scenario(text), build_hardware_scenario(table, profile))


def test_files_say_where_they_come_from(tmp_path):
    files = export_tables(tmp_path / "new", names=["chain"])
    assert [path.name for path in files] == ["chain.yaml"]
    assert "chain_10_nodes.yaml, with its source" in files[0].read_text()
    assert read_scenario(files[0]).name == "chain"


def test_table_without_networks_and_folder_that_is_a_file_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="'reception' has no scenarios; chain, office, grid, hardware have"):
        export_tables(tmp_path, names=["reception"])
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="can't be made"):
        export_tables(tmp_path / "file", names=["chain"])


@pytest.mark.parametrize("is_there", [False, True])
def test_disk_that_fills_up_leaves_no_part_of_the_files(tmp_path, monkeypatch, is_there):
    folder, write = tmp_path / "cells", Path.write_text
    if is_there:
        folder.mkdir()
        (folder / "office-20-ttl-6.yaml").write_text("before")
    held = []

    def fill(path, text, **settings):
        held.append(path)
        if len(held) > 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, text, **settings)

    monkeypatch.setattr(Path, "write_text", fill)
    with pytest.raises(Unavailable, match="No space left"):
        export_tables(folder, names=["office"])
    assert folder.exists() == is_there
    if is_there:
        assert os.listdir(folder) == ["office-20-ttl-6.yaml"]
        assert (folder / "office-20-ttl-6.yaml").read_text() == "before"


def test_folder_in_the_place_of_a_file_leaves_the_others_unwritten(tmp_path):
    (tmp_path / "office-20-ttl-6.yaml").mkdir()
    with pytest.raises(InvalidInput, match="is a folder"):
        export_tables(tmp_path, names=["office"])
    assert os.listdir(tmp_path) == ["office-20-ttl-6.yaml"]
