"""The systemd unit of a gateway: systemd accepts it, and what only a person can mend is not tried again for ever."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from meshtwin.app.running import BAD_INPUT, RECORDS_DISAGREE, UNAVAILABLE, run_device
from meshtwin.errors import Inconsistent, InvalidInput, MeshTwinError, Unavailable

UNIT = Path(__file__).parents[3] / "manifests" / "gateway" / "meshtwin-gateway.service"


def read_unit() -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names of systemd keep their case
    unit.read_string(UNIT.read_text())
    return unit


@pytest.mark.parametrize(
    ("error", "code"), [(Unavailable, UNAVAILABLE), (InvalidInput, BAD_INPUT), (Inconsistent, RECORDS_DISAGREE)]
)
def test_the_exit_code_says_who_must_act(
    error: type[MeshTwinError], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail() -> None:
        raise error("the storage is an older backup", reason="OlderBackup", place="node 0002")

    assert run_device(fail) == code
    assert "OlderBackup: the storage is an older backup (node 0002)" in capsys.readouterr().err


def test_the_service_comes_back_where_time_may_help_and_only_there() -> None:
    service = read_unit()["Service"]
    assert service["Restart"] == "on-failure"
    prevented = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert prevented == {BAD_INPUT, RECORDS_DISAGREE}
    assert UNAVAILABLE not in prevented


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    program = read_unit()["Service"]["ExecStart"].split()[0]
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(program, str(shutil.which("true"))))  # the program is not installed here

    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], check=False, capture_output=True, text=True)

    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
