"""Judging in real worker processes."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import psutil
import pytest

from meshtwin.app.runs import RunRegistry
from meshtwin.app.workers import PoolJudge
from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit
from meshtwin.mesh.nodes import Flow, Node
from meshtwin.mesh.snapshots import LinkEstimate, SegmentView, Snapshot
from meshtwin.ports import Cancelled, JudgePlan, no_progress
from meshtwin.twins.partial import PartialSnapshot
from meshtwin.whatif.judging import InProcessJudge
from meshtwin.whatif.quick import InProcessQuickJudge

PATIENCE_S = 30.0
PLAN = JudgePlan(seed=3, replications=3, messages_per_flow=4)


def chain(length=6):
    now = datetime(2030, 1, 1, tzinfo=UTC)
    addresses = tuple(range(1, length + 1))
    settings = NodeSettings(
        relay=True,
        relay_retransmit=Transmit(count=1, interval_steps=1),
        network_transmit=Transmit(count=2, interval_steps=1),
        default_ttl=10,
    )
    return Snapshot(
        taken_at=now,
        nodes=tuple(Node(address=a, device_uuid=f"{a:032x}") for a in addresses),
        links=tuple(
            LinkEstimate(source=a, target=b, delivery_alpha=90.0, delivery_beta=10.0)
            for a in addresses
            for b in addresses
            if abs(a - b) == 1
        ),
        configuration=Configuration.of(dict.fromkeys(addresses, settings)),
        flows=(Flow(name="end-to-end", source=1, destination=length, rate_per_minute=60, deadline_ms=150),),
        segments=(SegmentView(name="chain", addresses=addresses, inventory_hash="", revision=0, newest_report=now),),
    )


def variants(snapshot):
    return [
        snapshot.configuration,
        snapshot.configuration.overlaid(Configuration.of({1: NodeSettings(default_ttl=3)})),
    ]


def children():
    return [p for p in psutil.Process().children(recursive=True) if is_worker(p)]


def is_fork_server(process):
    try:
        return process is not None and "forkserver" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # gone, or a zombie that its parent is about to fetch
        return False


def is_worker(process):
    try:
        return is_fork_server(process.parent())  # workers are forked from it, and so have its command line
    except psutil.NoSuchProcess:
        return False


def fork_servers():
    return [child for child in psutil.Process().children() if is_fork_server(child)]


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "condition did not come true"
        time.sleep(0.02)


def test_workers_tell_the_differences_that_the_own_process_tells():
    before = chain()
    after = replace(before, configuration=variants(before)[1])
    with PoolJudge(workers=2) as judge:
        told = judge.judge_pair(before, after, PLAN, no_progress)
    assert told == InProcessJudge().judge_pair(before, after, PLAN, no_progress)
    assert told[2][0].delivery.high < 0.0  # a TTL of 3 does not reach the fifth hop


def test_workers_refuse_a_question_about_strangers():
    stranger = Configuration.of({0x77: NodeSettings(relay=False)})
    with PoolJudge(workers=1) as judge, pytest.raises(InvalidInput, match="node 0077 is not in the snapshot"):
        judge.judge(chain(), [stranger], PLAN, no_progress)


def test_workers_judge_as_the_own_process_does_and_leave_when_idle():
    snapshot = chain()
    told = []
    with PoolJudge(workers=2, idle_s=0.2) as judge:
        assert not judge.running
        answers = judge.judge(snapshot, variants(snapshot), PLAN, lambda share, stage: told.append(share))
        wait_until(lambda: not judge.running)
        wait_until(lambda: not children())
    assert answers == InProcessJudge().judge(snapshot, variants(snapshot), PLAN, no_progress)
    assert told[-1] == 1.0


def test_workers_estimate_as_the_own_process_does_and_bear_its_names():
    snapshot = chain()
    with PoolJudge(workers=2) as judge:
        answers = judge.estimate(snapshot, variants(snapshot), seed=3)
        assert (judge.model, judge.quick_model) == (InProcessJudge().model, InProcessQuickJudge().quick_model)
    assert answers == InProcessQuickJudge().estimate(snapshot, variants(snapshot), seed=3)
    assert all(answer.kpis is not None for answer in answers)


def test_quick_questions_have_a_worker_of_their_own_that_stays_longer():
    snapshot = chain()
    with PoolJudge(workers=1, idle_s=0.2, quick_idle_s=600.0) as judge:
        judge.expect_questions()
        wait_until(lambda: len(children()) == 1)
        (quick,) = children()
        judge.estimate(snapshot, variants(snapshot), seed=3)
        judge.judge(snapshot, variants(snapshot), PLAN, no_progress)
        wait_until(lambda: children() == [quick])
        judge.estimate(snapshot, variants(snapshot), seed=4)
        assert children() == [quick]
    wait_until(lambda: not children())


def test_quick_answer_does_not_wait_for_a_simulation():
    snapshot, told, go_on = chain(), threading.Event(), threading.Event()
    long = JudgePlan(seed=3, replications=4000, messages_per_flow=200)

    def progress(share, stage):
        told.set()
        if go_on.is_set():
            raise Cancelled("seen enough")

    def simulate(judge):
        with pytest.raises(Cancelled):
            judge.judge(snapshot, variants(snapshot), long, progress)

    with PoolJudge(workers=1) as judge:
        asker = threading.Thread(target=simulate, args=(judge,))
        asker.start()
        assert told.wait(PATIENCE_S)
        answers = judge.estimate(snapshot, variants(snapshot), seed=3)
        assert asker.is_alive()  # it goes on
        go_on.set()
        asker.join()
    assert all(answer.kpis is not None for answer in answers)


def test_questions_whose_answers_do_not_fit_together_wait_for_each_other(monkeypatch):
    """The room is made so small that it holds one answer alone."""
    monkeypatch.setattr("meshtwin.app.workers.ANSWER_MAX_BYTES", 1)
    snapshot, waited = chain(), threading.Event()

    def notice(share, stage):
        if stage.startswith("waiting for memory"):
            waited.set()

    with PoolJudge(workers=1) as judge, ThreadPoolExecutor(1) as pool:
        with judge._room.taken(1, pytest.fail):  # another run's answer
            answer = pool.submit(judge.judge, snapshot, variants(snapshot), PLAN, notice)
            assert waited.wait(PATIENCE_S)
            assert not judge.running
        assert answer.result(PATIENCE_S) == InProcessJudge().judge(snapshot, variants(snapshot), PLAN, no_progress)


def test_pair_that_would_not_fit_though_each_side_does_is_refused():
    snapshot = chain()
    plan = JudgePlan(seed=1, replications=1000, messages_per_flow=6000)  # 137 MiB for each side, where 256 are allowed
    with PoolJudge(workers=1) as judge, pytest.raises(InvalidInput, match=r"2 configurations.* 274 MiB"):
        judge.judge_pair(snapshot, snapshot, plan, no_progress)
    assert not judge.running


def test_registry_that_rehearsed_has_asked_the_models_before_anybody_does(tmp_path):
    snapshot = chain()

    async def rehearse(registry):
        async def give():
            return PartialSnapshot(snapshot=snapshot, gaps=(), load_source="monitoring")

        registry.snapshot = give
        if not await registry.rehearse():
            pytest.skip("the models are not compiled yet")

    registry = RunRegistry(tmp_path, None, workers=1)
    try:
        asyncio.run(rehearse(registry))
        assert [known for known, _ in registry._judge._packed] == [snapshot]
        assert registry._judge._quick_crew.running
    finally:
        registry.close()


def test_cancelled_question_leaves_the_workers_usable():
    def cancel(share, stage):
        raise Cancelled("nobody waits any more")

    snapshot = chain()
    with PoolJudge(workers=1) as judge:
        with pytest.raises(Cancelled):
            judge.judge(snapshot, variants(snapshot), PLAN, cancel)
        assert len(judge.judge(snapshot, variants(snapshot), PLAN, no_progress)) == 2


def test_killed_worker_is_reported_and_replaced():
    snapshot = chain()
    long = JudgePlan(seed=3, replications=400, messages_per_flow=200)
    with PoolJudge(workers=1) as judge:

        def kill():
            wait_until(lambda: bool(children()))
            os.kill(children()[0].pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(Unavailable, match="worker died"):
            judge.judge(snapshot, variants(snapshot), long, no_progress)
        killer.join()
        assert len(judge.judge(snapshot, variants(snapshot), PLAN, no_progress)) == 2


def server():
    (found,) = fork_servers()
    return found


def test_worker_or_fork_server_that_died_while_nobody_asked_is_replaced_unnoticed():
    snapshot = chain()
    with PoolJudge(workers=1) as judge:
        judge.expect_questions()
        answers = judge.estimate(snapshot, variants(snapshot), seed=3)
        for find in (lambda: children()[0], server):
            victim = find()
            os.kill(victim.pid, signal.SIGKILL)
            wait_until(lambda: judge._quick_crew._executor._broken)
            assert judge.estimate(snapshot, variants(snapshot), seed=3) == answers
        wait_until(lambda: len(children()) == 1)


def test_workers_share_what_the_fork_server_has_loaded():
    snapshot = chain()
    with PoolJudge(workers=1) as judge:
        judge.estimate(snapshot, variants(snapshot), seed=3)
        if not judge.load_ahead():
            pytest.skip("models were not compiled when the fork server started")
        (worker,) = children()
        own = worker.memory_full_info()
        assert own.uss < 0.5 * own.rss  # by itself it would have two thirds of its memory alone


def test_fork_server_leaves_with_the_last_worker():
    with PoolJudge(workers=1, idle_s=0.2, quick_idle_s=0.2) as judge:
        judge.judge(chain(), variants(chain()), PLAN, no_progress)
        wait_until(lambda: not fork_servers())


def test_process_with_the_models_stays_where_it_is_kept_and_alone(tmp_path):
    """What it has loaded is there for the next question, however late that comes; nothing else takes memory."""
    script = tmp_path / "twin.py"
    script.write_text(
        "import psutil, sys, time\n"
        "from meshtwin.app.fork_server import FORK_SERVER\n"
        "from meshtwin.app.workers import PoolJudge\n"
        "if __name__ == '__main__':\n"
        "    FORK_SERVER.keep()\n"
        "    judge = PoolJudge(workers=1, idle_s=0.2, quick_idle_s=0.2)\n"
        "    for _ in range(2):\n"
        "        judge.load_ahead()\n"
        f"        end_s = time.monotonic() + {PATIENCE_S}\n"
        "        while len(found := psutil.Process().children(recursive=True)) > 1 and time.monotonic() < end_s:\n"
        "            time.sleep(0.02)\n"
        "        print(*(f'{each.pid} {\"forkserver\" in str(each.cmdline())}' for each in found))\n"
        "    judge.close()\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == second
    assert first.endswith(" True")
    assert len(first.split()) == 2
    assert done.stderr == ""


def test_workers_do_not_outlive_a_killed_twin(tmp_path):
    script = tmp_path / "twin.py"
    script.write_text(
        "import sys, time\n"
        "from meshtwin.app.workers import PoolJudge\n"
        "if __name__ == '__main__':\n"
        "    judge = PoolJudge(workers=1)\n"
        "    with judge._crew.asking() as executor:\n"
        "        executor.submit(int).result()\n"
        "        print('up', flush=True)\n"
        "        time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as twin:
        assert twin.stdout is not None
        assert twin.stdout.readline() == "up\n"
        workers = psutil.Process(twin.pid).children(recursive=True)
        twin.kill()
    wait_until(lambda: not any(w.is_running() and w.status() != psutil.STATUS_ZOMBIE for w in workers))


def test_workers_of_a_twin_do_not_import_its_server(tmp_path):
    script = tmp_path / "twin.py"
    script.write_text(
        "from meshtwin.app.crew import Crew\n"
        "from meshtwin.app.running import hide_main_module\n"
        "print('imported', flush=True)\n"
        "if __name__ == '__main__':\n"
        "    hide_main_module()\n"
        "    crew = Crew(1, 60.0)\n"
        "    with crew.asking() as executor:\n"
        "        print(executor.submit(int).result())\n"
        "    crew.close()\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["imported", "0"]


def test_judge_that_was_asked_nothing_loads_no_simulator():
    script = (
        "import sys\n"
        "from meshtwin.app.workers import PoolJudge\n"
        "PoolJudge()\n"
        "heavy = {'simpy', 'numba', 'meshtwin.sim.engine'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
