"""The judge that simulates in its own process, and the piece of work that worker processes do."""

from collections.abc import Sequence
from dataclasses import dataclass

from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.kpis import NetworkKpis
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.ports import JudgePlan, Progress
from meshtwin.sim.engine import simulate
from meshtwin.sim.from_snapshot import scenario_from_snapshot
from meshtwin.sim.results import RunResult, summarise

__all__ = ["MODEL_NAME", "InProcessJudge", "run_replication"]

MODEL_NAME = "reference"  # the simpy engine


def run_replication(snapshot: Snapshot, configuration: Configuration, plan: JudgePlan, replication: int) -> RunResult:
    """One replication of one configuration; equal arguments give equal results in any process."""
    scenario = scenario_from_snapshot(
        snapshot,
        configuration,
        messages_per_flow=plan.messages_per_flow,
        sample_posterior=plan.sample_links,
    )
    return simulate(scenario, seed=plan.seed, replication=replication)


@dataclass(frozen=True, slots=True)
class InProcessJudge:
    """A `meshtwin.ports.Judge` for tests and small questions: it blocks the process that asks."""

    model: str = MODEL_NAME

    def judge(
        self,
        snapshot: Snapshot,
        configurations: Sequence[Configuration],
        plan: JudgePlan,
        progress: Progress,
    ) -> tuple[NetworkKpis, ...]:
        """See `meshtwin.ports.Judge.judge`."""
        total = len(configurations) * plan.replications
        answers: list[NetworkKpis] = []
        done = 0
        for configuration in configurations:
            results: list[RunResult] = []
            for replication in range(plan.first_replication, plan.first_replication + plan.replications):
                results.append(run_replication(snapshot, configuration, plan, replication))
                done += 1
                progress(done / total, f"simulated {done} of {total} replications")
            answers.append(summarise(results, snapshot.flows))
        return tuple(answers)
