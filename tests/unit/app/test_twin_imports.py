"""What the process of a twin loads, and what it leaves to those who need it."""

import subprocess
import sys

import pytest

HEAVY = ("cryptography", "networkx", "numba", "rich", "scipy", "simpy")


def run(code: str) -> list[str]:
    """What a process says that runs ``code`` and looks like a segment twin's."""
    command = [sys.executable, "-c", code, "meshtwin.app.segment_twin"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("module", ["meshtwin.app.segment_twin", "meshtwin.app.modelling"])
def test_idle_twin_loads_nothing_heavy_nor_does_its_first_answer(module: str) -> None:
    code = f"import sys, {module}\nprint(*(name for name in {HEAVY} if sys.modules.get(name)))"
    assert run(code) == []


def test_plug_in_of_a_twin_may_import_what_its_own_parts_do_without() -> None:
    code = (
        "import meshtwin.app.segment_twin\n"
        "from meshtwin.app import allow_refused\n"
        "allow_refused()\n"
        "import cryptography, rich\n"
        "print(cryptography.__name__, rich.__name__)\n"
    )
    assert run(code) == ["cryptography", "rich"]
