"""Library and command line over processes: equal figures, and an end at once that keeps what is finished."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future

import pytest

import meshtwin
from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.ports import Cancelled
from meshtwin.processes import Workers
from meshtwin.sim.replications import replicate, replicate_sides

CHAIN = """
format: meshtwin.dev/scenario/v1
name: chain
defaults: {relay: true, ttl: 9}
radio: {model: hardRange, rangeM: 11}
nodes:
NODES
flows: [{name: press, source: "0001", destination: "0006", count: COUNT, periodSeconds: 1}]
"""
NODES = "\n".join(f'  - {{address: "{i + 1:04x}", positionM: [{10 * i}, 0]}}' for i in range(6))


def chain(count):
    return CHAIN.replace("COUNT", str(count)).replace("NODES", NODES)


def test_number_of_workers_changes_no_figure():
    alone = meshtwin.simulate(chain(5), replications=5, engine="reference")
    shared = meshtwin.simulate(chain(5), replications=5, engine="reference", workers=2)
    assert shared.runs == alone.runs
    assert shared.document == alone.document


def test_number_of_workers_changes_no_difference_on_preset_states():
    words = {"replications": 3, "engine": "reference", "is_selective": True}
    before = meshtwin.read_scenario(chain(4))
    alone, shared = (meshtwin.compare(before, before.without_node(3), workers=workers, **words) for workers in (1, 2))
    assert shared.differences == alone.differences
    assert shared.first.runs == alone.first.runs


def test_precision_takes_as_many_replications_whatever_the_workers():
    words = {"precision": 0.5, "precision_of": "latency", "engine": "reference"}
    alone, shared = (meshtwin.simulate(chain(8), workers=workers, **words) for workers in (1, 2))
    assert shared.runs == alone.runs
    assert len(alone.runs) > 8
    assert alone.gaps == ()


def test_worker_that_dies_is_told():
    with Workers(1) as workers, pytest.raises(Unavailable, match="worker process died"):
        workers.submit(os._exit, 3).result()


def test_error_in_a_worker_arrives_as_it_was_raised():
    with Workers(1) as workers, pytest.raises(InvalidInput, match=r"1\.\.10000") as caught:
        workers.submit(replicate, None, seed=1, replications=0).result()
    assert caught.value.place == "replications"


def test_leaving_ends_workers_whatever_they_do():
    with Workers(2) as workers:
        futures = [workers.submit(os.getpid) for _ in range(2)]
        pids = {future.result() for future in futures}
        workers.submit(time.sleep, 600.0)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_cancelled_simulation_over_processes_keeps_what_is_finished():
    def progress(share, stage):
        if share > 0.0:
            raise Cancelled("no longer wanted")

    kept = meshtwin.simulate(chain(150), replications=400, engine="reference", workers=2, progress=progress)
    assert 1 <= len(kept.runs) < 400
    assert f"{len(kept.runs)} of 400" in kept.gaps[0]


class Inline(Executor):
    """Runs at once what it is asked for, and remembers how many replications that was."""

    def __init__(self):
        self.sizes = []

    def submit(self, fn, /, numbers):
        self.sizes.append(len(numbers))
        future = Future()
        future.set_result(fn(numbers))
        return future


def test_chunks_of_slow_replications_are_small_however_many_are_asked_for():
    """A replication of a tenth of a second or more; by their number alone chunks would hold 250."""
    executor = Inline()

    def progress(share, stage):
        if len(executor.sizes) >= 6:
            raise Cancelled("enough")

    scenario = meshtwin.read_scenario(chain(150))
    kept = replicate_sides(
        [scenario], seed=1, replications=4000, engine="reference", executor=executor, progress=progress
    )
    assert max(executor.sizes) <= 40
    assert len(kept.results) == sum(executor.sizes)


def test_interrupt_of_the_whole_process_group_keeps_the_finished_replications(tmp_path):
    path = tmp_path / "chain.yaml"
    path.write_text(chain(150))
    words = ["simulate", path, "--engine", "reference", "--replications", "4000", "--workers", "2", "-o", "json"]
    with subprocess.Popen(
        [sys.executable, "-m", "meshtwin_operator.cli.main", *words, "--output-file", tmp_path / "r.json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    ) as process:
        until_workers_have_worked(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        told, said = process.communicate(timeout=60)
    document = json.loads(told)
    assert process.returncode == 130
    assert 1 <= document["replications"] < 4000
    assert "interrupted after" in document["gaps"][0]
    assert b"Traceback" not in said
    assert children_of(process.pid) == []


def children_of(pid):
    """Processes that `pid` started, by /proc."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == pid:
                found.append(int(name))
    return found


def until_workers_have_worked(pid, cpu_s=4.0):
    """Waits until the workers took so much processor time: starting takes one second each, a chunk about another."""
    end_s = time.monotonic() + 60.0
    while time.monotonic() < end_s:
        used = 0.0
        for child in children_of(pid):
            try:
                with open(f"/proc/{child}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
                used += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            except OSError:
                continue
        if used >= cpu_s:
            return
        time.sleep(0.05)
    raise AssertionError("the workers did not work")
