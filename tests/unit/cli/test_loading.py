"""Ctrl-C while a command loads its modules."""

import signal
import subprocess
import sys

import pytest

from meshtwin_operator.cli.loading import loading

PROGRAM = """
import builtins, os, signal
from meshtwin_operator.cli.main import main
real = builtins.__import__
def swallowing(name, *rest):
    if name == "typer":
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except BaseException:
            pass
    return real(name, *rest)
builtins.__import__ = swallowing
import sys
sys.argv = ["meshtwin", "--help"]
main()
"""


def test_interruption_that_an_import_swallows_ends_the_command_all_the_same():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_is_what_it_was_after_loading():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ImportError), loading():
        raise ImportError("no such module")
    assert signal.getsignal(signal.SIGINT) is before
