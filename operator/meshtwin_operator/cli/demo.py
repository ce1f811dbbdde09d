"""``meshtwin demo``: the main job on the sample, with every part a process of its own.

Broker, twins and operator come from ``meshtwin up``; mesh and gateways stand in for the building: an emulated
one, or (``--mesh bluez``) one of bluetooth-meshd processes on a virtual air. The demo itself only watches the
store, tells what happens, and decides on proposals if it was asked to.
"""

import asyncio
import contextlib
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from meshtwin.errors import InvalidInput, MeshTwinError, Unavailable
from meshtwin.virtual_air.programs import find_programs
from meshtwin_operator.cli.decisions import decide
from meshtwin_operator.cli.demo_processes import SCENARIOS, MeshKind, SampleProcesses
from meshtwin_operator.cli.demo_progress import RunProgress
from meshtwin_operator.cli.demo_story import Story
from meshtwin_operator.cli.demo_tables import print_effects, result_document
from meshtwin_operator.cli.target import LocalAccess
from meshtwin_operator.local.state import Lock, StateFolder
from meshtwin_operator.local.supervisor import ChildSpec, Supervisor

__all__ = ["DemoOptions", "run_demo"]

WATCH_S: Final = 0.2
SAMPLES: Final[Mapping[MeshKind, Path]] = {
    "emulated": Path("manifests") / "samples" / "office",
    "bluez": Path("manifests") / "samples" / "bluez-building",
}
EMULATED_SPEED: Final = 16.0  # mesh seconds per second


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the command line said."""

    approve_itself: bool
    once: bool
    as_json: bool
    seed: int | None
    speed: float | None
    mesh: MeshKind
    state: Path | None
    sample: Path | None
    timeout_s: float


async def run_demo(options: DemoOptions) -> int:
    """Exit code: 0 if every configuration that was pushed in the first round was confirmed, and one was.

    Raises `Unavailable` if the daemons of ``bluez`` cannot be had here, `InvalidInput` for what contradicts.
    """
    if options.mesh == "bluez":
        find_programs()
        if options.speed not in (None, 1.0):
            raise InvalidInput(f"speed {options.speed:g} with --mesh bluez: real daemons know real time alone")
    sample = (options.sample or find_sample(options.mesh)).resolve()
    root = options.state.resolve() if options.state else Path(tempfile.mkdtemp(prefix="meshtwin-demo-"))
    if options.state and root.exists():
        _empty(StateFolder(root))
    demo = _Demo(options, sample, StateFolder(root))
    task = asyncio.ensure_future(demo.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return 130  # as a shell says of a program that Ctrl-C ended
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        if options.state is None:
            shutil.rmtree(root, ignore_errors=True)


def find_sample(mesh: MeshKind) -> Path:
    """The sample of the checkout around the working directory or this package."""
    for start in (Path.cwd(), Path(__file__).resolve()):
        for folder in (start, *start.parents):
            if (folder / SAMPLES[mesh] / SCENARIOS[mesh]).is_file():
                return folder / SAMPLES[mesh]
    raise InvalidInput(
        f"no {SAMPLES[mesh]} here or above: run in a checkout, or name its folder: --sample CHECKOUT/{SAMPLES[mesh]}"
    )


class _Demo:
    def __init__(self, options: DemoOptions, sample: Path, state: StateFolder) -> None:
        self._options, self._sample, self._state = options, sample, state
        self._started_s = time.monotonic()
        self._supervisor: Supervisor | None = None
        self._processes = SampleProcesses.of(sample, state, options.mesh)

    async def run(self) -> int:
        self._state.prepare()
        self._supervisor = Supervisor(
            logs=self._state.logs, pid_file=self._state.root / "demo-children.json", changed=lambda _: None
        )
        try:
            await self._start(self._supervisor)
            return await self._watch()
        finally:
            self._say("stopping")
            await self._supervisor.stop_all()

    async def _start(self, supervisor: Supervisor) -> None:
        options, processes = self._options, self._processes
        speed = options.speed or EMULATED_SPEED
        await supervisor.apply(_child("mesh", processes.mesh(speed=speed, seed=options.seed)))
        what = "mesh of bluetooth-meshd" if options.mesh == "bluez" else f"emulated mesh (speed {speed:g})"
        self._say(f"{what} started, state {self._state.root}")
        await supervisor.apply(_child("operator", processes.operator()))
        while not processes.is_mesh_ready():
            self._check_children()
            await asyncio.sleep(WATCH_S)
        for gateway in processes.gateways:
            await supervisor.apply(_child(gateway, processes.gateway(gateway)))
        self._say(f"operator and gateways {', '.join(processes.gateways)} started")

    async def _watch(self) -> int:
        await self._wait_for_store()
        access = LocalAccess(self._state, self._processes.namespace)
        story = Story(access, say=self._say, state=self._state.root)
        progress = RunProgress(access, self._processes.root, say=self._say)
        deadline_s = self._started_s + self._options.timeout_s
        told = False
        while time.monotonic() < deadline_s:
            for name in story.tell():
                if self._options.approve_itself:
                    self._approve(access, name)
                else:
                    self._say(f"  waiting: meshtwin approve {name} --local {self._state.root}")
            if story.is_round_over() and not told:
                told = True
                self._finish(story)
                if self._options.once or self._options.as_json:
                    return 0 if story.is_confirmed() else 1
                self._say("going on until Ctrl-C; look with: meshtwin get all --local " + str(self._state.root))
                deadline_s = float("inf")
            self._check_children()
            await progress.tell(story.runs)
            await asyncio.sleep(WATCH_S)
        self._say(f"not finished within {self._options.timeout_s:.0f} s: see {self._state.logs}")
        self._finish(story)
        return 1

    async def _wait_for_store(self) -> None:
        while not self._state.store.is_file():  # another process makes it
            self._check_children()
            await asyncio.sleep(WATCH_S)

    def _approve(self, access: LocalAccess, name: str) -> None:
        try:
            made = decide(access, name, "Approve", now=datetime.now(UTC), comment="approved by the demo")
        except MeshTwinError as error:
            self._say(f"  not approved: {error}")
        else:
            self._say(f"  approved by {made['spec']['approvedBy']} (--approve auto)")

    def _finish(self, story: Story) -> None:
        seconds = time.monotonic() - self._started_s
        document = result_document(story, seed=self._options.seed, seconds=seconds)
        if self._options.as_json:
            sys.stdout.write(json.dumps(document, indent=2) + "\n")
            sys.stdout.flush()
        else:
            print_effects(document)

    def _check_children(self) -> None:
        assert self._supervisor is not None  # noqa: S101  # set by run
        for name in self._supervisor.names:
            view = self._supervisor.view(name)
            if view.restarts > 2:  # once may be a port taken meanwhile
                raise Unavailable(f"{name} does not stay up: {view.last_end} (log {self._state.logs}/{name}.log)")

    def _say(self, line: str) -> None:
        text = f"[{time.monotonic() - self._started_s:6.1f} s] {line}\n"
        stream = sys.stderr if self._options.as_json else sys.stdout
        with contextlib.suppress(BrokenPipeError):
            stream.write(text)
            stream.flush()


def _child(name: str, command: tuple[str, ...]) -> ChildSpec:
    return ChildSpec(name=name, command=command, probe=_no_probe)


async def _no_probe() -> bool:
    return True


def _empty(state: StateFolder) -> None:
    """Make the folder empty; refuses one that is in use, or does not look like a state folder."""
    root = state.root
    if not root.is_dir():
        raise InvalidInput(f"{root} is no folder: choose another --state")
    entries = {path.name for path in root.iterdir()}
    if entries and not entries & {"store.sqlite", "demo", "lock"}:
        raise InvalidInput(f"{root} is not empty and no state folder: choose another --state")
    lock = Lock(state)
    lock.acquire()
    lock.release()
    shutil.rmtree(root)
