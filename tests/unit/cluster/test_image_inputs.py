"""What an image build takes from the machine it runs on."""

from pathlib import Path

import pytest
from tests.cluster.base_image import apt_sources
from tests.cluster.image import qualified
from tests.cluster.pip_settings import read_pip_settings
from tests.cluster.programs import read_versions


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("meshtwin:dev", "docker.io/library/meshtwin:dev"),
        ("team/meshtwin:1", "docker.io/team/meshtwin:1"),
        ("localhost/meshtwin", "localhost/meshtwin"),
        ("registry:5000/meshtwin:1", "registry:5000/meshtwin:1"),
    ],
)
def test_tag_gets_the_name_a_kubelet_looks_for(tag: str, name: str) -> None:
    assert qualified(tag) == name


def test_variables_win_over_files_and_later_files_over_earlier_ones(tmp_path: Path) -> None:
    system, user = tmp_path / "system.conf", tmp_path / "user.conf"
    system.write_text("[global]\nindex-url = https://a.example/\ntimeout = 5\nno-color = true\n")
    user.write_text("[global]\nindex-url = https://b.example/\nextra-index-url =\n  https://c\n  https://d\n")

    settings = read_pip_settings([system, user, tmp_path / "missing"], {"PIP_TIMEOUT": "60"})

    assert settings == {
        "index-url": "https://b.example/",
        "timeout": "60",
        "extra-index-url": "https://c https://d",
    }


def test_only_debian_itself_is_taken_from_the_sources_of_the_machine() -> None:
    targets = (
        "Debian|/keys/debian.gpg|http://mirror.example/debian|bookworm|main\n"
        "Debian|$(SIGNED_BY)|http://mirror.example/debian|bookworm-updates|main\n"
        "Debian|$(SIGNED_BY)|http://mirror.example/debian|trixie|main\n"
        "Elsewhere|$(SIGNED_BY)|http://other.example/apt|bookworm|main\n"
    )

    assert apt_sources(targets) == (
        "deb [signed-by=/keys/debian.gpg] http://mirror.example/debian bookworm main\n"
        "deb http://mirror.example/debian bookworm-updates main\n"
    )


def test_version_comes_from_the_requirements_of_a_go_module() -> None:
    text = "module x\n\nrequire a.example/one v1.2.3 // indirect\n\nrequire (\n\tb.example/two v0.1.0\n)\n"

    assert read_versions(text) == {"a.example/one": "v1.2.3", "b.example/two": "v0.1.0"}
