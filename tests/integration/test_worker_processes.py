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
from meshtwin.ports import Cancelled, no_progress
from meshtwin.processes import Workers
from meshtwin.sides import Effort, run_sides
from meshtwin.sim.replications import replicate

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


def both_ways(*sides, **effort):
    """One process, and two however little there is to do."""
    scenarios = [meshtwin.read_scenario(side) if isinstance(side, str) else side for side in sides]
    efforts = (Effort(engine="reference", workers=workers, pays_from_s=0.0, **effort) for workers in (1, 2))
    alone, shared = (run_sides(scenarios, each, no_progress) for each in efforts)
    assert (alone.processes, shared.processes) == (1, 2)
    return alone, shared


def test_number_of_workers_changes_no_result():
    alone, shared = both_ways(chain(150), replications=40)
    assert shared.runs == alone.runs


def test_number_of_workers_changes_no_comparison_on_preset_states():
    before = meshtwin.read_scenario(chain(150))
    alone, shared = both_ways(before, before.without_node(3), replications=20, is_selective=True)
    assert shared.runs == alone.runs


def test_precision_takes_as_many_replications_whatever_the_workers():
    alone, shared = both_ways(chain(80), precision=0.2, precision_of="latency")
    assert shared.runs == alone.runs
    assert len(alone.runs) > 8
    assert alone.gaps == shared.gaps == ()


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
        if share > 0.05:
            raise Cancelled("no longer wanted")

    kept = meshtwin.simulate(chain(150), replications=400, engine="reference", workers=2, progress=progress)
    assert kept.processes == 2
    assert 20 <= len(kept.runs) < 400
    assert "interrupted" in kept.gaps[0]


def test_time_that_is_over_ends_the_work_of_all_processes():
    """Some 400 replications of a tenth of a second and more: workers start, and are ended by the time."""
    told = meshtwin.simulate(chain(150), replications=4000, engine="reference", workers=2, within_s=6.0)
    assert told.processes == 2
    assert 2 <= len(told.runs) < 4000
    assert "6 s are over" in told.gaps[-1]


def test_time_shortens_the_replications_of_all_processes():
    told = meshtwin.simulate(chain(20_000), replications=400, engine="reference", workers=2, within_s=6.0)
    sent = {len(run.messages) for run in told.runs}
    assert len(sent) == 1
    assert sent.pop() < 20_000
    assert "of 20000 messages of press: a whole one takes about" in told.gaps[0]


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
    kept = replicate(scenario, seed=1, replications=4000, engine="reference", executor=executor, progress=progress)
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
    assert "interrupted" in document["gaps"][0]
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
