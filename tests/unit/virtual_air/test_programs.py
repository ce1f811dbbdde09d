"""What a machine without the right programs is told: which one, of which version, and how to get it."""

import re
from pathlib import Path

import pytest

from meshtwin.errors import Unavailable
from meshtwin.virtual_air.programs import BLUEZ_VERSION, find_programs

THERE = Path(__file__)  # any file; its version is what the package manager says


def say_version(folder: Path, version: str) -> None:
    """A package manager that knows one version of one package."""
    program = folder / "dpkg-query"
    program.write_text(f"#!/bin/sh\nprintf %s '{version}'\n")
    program.chmod(0o755)


def test_daemon_that_is_not_installed_is_told_with_the_command_that_installs_it(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="apt-get install bluez-meshd") as caught:
        find_programs(tmp_path, daemon=tmp_path / "bluetooth-meshd")
    assert caught.value.reason == "NotInstalled"


@pytest.mark.parametrize("version", ["5.82-1", ""])
def test_another_version_is_refused_since_the_shim_fits_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    say_version(tmp_path, version)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(Unavailable, match=re.escape(BLUEZ_VERSION)) as caught:
        find_programs(tmp_path, daemon=THERE)
    assert caught.value.reason == "WrongVersion"


def test_machine_without_a_package_manager_of_debian_is_told_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="Debian 12 is needed"):
        find_programs(tmp_path, daemon=THERE)


def test_machine_without_a_bus_is_told_which_program_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say_version(tmp_path, BLUEZ_VERSION)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="dbus-daemon is not installed"):
        find_programs(tmp_path, daemon=THERE)
