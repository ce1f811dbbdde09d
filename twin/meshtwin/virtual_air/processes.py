"""Child processes that die with their parent, also when that is killed: buses and mesh daemons."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from meshtwin.errors import Unavailable
from meshtwin.virtual_air.folders import read_log_end
from meshtwin.virtual_air.programs import Programs

__all__ = ["OPEN_POLICY", "Child", "start_bus", "start_daemon"]

STOP_LIMIT_S: Final = 3.0
BUS_LIMIT_S: Final = 5.0
BUS_CONFIGURATION: Final = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  {policy}
  <limit name="max_completed_connections">1024</limit>
  <limit name="max_connections_per_user">1024</limit>
  <limit name="max_match_rules_per_connection">8192</limit>
</busconfig>
"""

OPEN_POLICY: Final = """<policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>"""


class Child:
    """One process. ``on_end`` is called when it ends by itself, never after `stop` or `kill`."""

    def __init__(
        self,
        programs: Programs,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        on_end: Callable[[int], None] | None = None,
    ) -> None:
        tied = [str(programs.set_privileges), "--pdeathsig", "KILL", "--", *command]
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  # our own programs
                tied, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=dict(environment), close_fds=True
            )
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._watch = os.pidfd_open(self._process.pid)
        self._ended = asyncio.Event()
        self._loop.add_reader(self._watch, self._noticed)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return not self._ended.is_set()

    async def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, by force after a while; returns when it is gone."""
        self._on_end = None
        if not self.is_running:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await self._ended.wait()
        except TimeoutError:
            self._process.kill()
            await self._ended.wait()

    async def kill(self) -> None:
        """End it without a warning, as a power cut does."""
        await self.stop(signal.SIGKILL)

    def _noticed(self) -> None:
        code = self._process.wait()
        self._loop.remove_reader(self._watch)
        os.close(self._watch)
        self._ended.set()
        if self._on_end is not None:
            self._on_end(code)


def _is_listening(path: Path) -> bool:
    """Whether somebody accepts connections at ``path``; the file is there a little earlier."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


async def start_bus(programs: Programs, folder: Path, name: str, *, policy: str = OPEN_POLICY) -> tuple[Child, str]:
    """A private bus and its address; raises `Unavailable` if it does not come up.

    ``policy``: who may do what, elements of a dbus-daemon's configuration.
    """
    path, configuration = folder / name, folder / f"{name}.conf"
    path.unlink(missing_ok=True)
    configuration.write_text(BUS_CONFIGURATION.format(path=path, policy=policy), encoding="utf-8")
    command = [str(programs.bus), f"--config-file={configuration}", "--nofork", "--nopidfile"]
    child = Child(programs, command, environment={"PATH": os.environ.get("PATH", "")}, log=folder / f"{name}.log")
    try:
        async with asyncio.timeout(BUS_LIMIT_S):
            while not _is_listening(path):
                if not child.is_running:
                    message = f"dbus-daemon ended at once{read_log_end(folder / f'{name}.log')}"
                    raise Unavailable(message, reason="BusUnavailable", place=str(path))
                await asyncio.sleep(0.005)
    except TimeoutError as error:
        raise Unavailable("dbus-daemon does not listen", reason="BusUnavailable", place=str(path)) from error
    return child, f"unix:path={path}"


def start_daemon(
    programs: Programs, folder: Path, index: int, *, bus: str, air: Path, socket: Path, on_end: Callable[[int], None]
) -> Child:
    """The mesh daemon of one node, with its storage in ``folder``; it says its bus name when asked by the air."""
    storage = folder / f"node{index}"
    storage.mkdir(mode=0o700, exist_ok=True)
    command = [str(programs.daemon), "--nodetach", "--io", f"unit:{socket}", "--storage", str(storage)]
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "DBUS_SESSION_BUS_ADDRESS": bus,
        "MESHTWIN_AIR": str(air),
        "LD_PRELOAD": str(programs.shim),
    }
    socket.unlink(missing_ok=True)
    return Child(programs, command, environment=environment, log=folder / f"node{index}.log", on_end=on_end)
