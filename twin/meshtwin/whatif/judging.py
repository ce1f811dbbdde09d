"""The judge that simulates in its own process, and the piece of work that worker processes do."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.kpis import FlowDifference, NetworkKpis
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.ports import JudgePlan, Progress, progress_part
from meshtwin.sim.differences import compute_tally_differences
from meshtwin.sim.engine import simulate
from meshtwin.sim.from_snapshot import reconfigured_scenario, scenario_from_snapshot
from meshtwin.sim.results import RunResult
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.tallies import RunTally, summarise_tallies, tally_run
from meshtwin.whatif.asking import check_question
from meshtwin.whatif.sizes import check_size

__all__ = ["MODEL_NAME", "InProcessJudge", "ScenarioSource", "run_replication"]

# Whichever engine runs: they give equal records for equal scenarios.
MODEL_NAME: Final = "packet-simulator"


@dataclass(slots=True)
class ScenarioSource:
    """Scenarios of one snapshot under many configurations; links and flows are put together once."""

    snapshot: Snapshot
    messages_per_flow: int
    sample_links: bool
    _first: Scenario | None = field(default=None, init=False)

    def under(self, configuration: Configuration) -> Scenario:
        """The scenario with ``configuration`` on top of the one in force."""
        if self._first is None:
            self._first = scenario_from_snapshot(
                self.snapshot,
                configuration,
                messages_per_flow=self.messages_per_flow,
                sample_posterior=self.sample_links,
            )
            return self._first
        return reconfigured_scenario(self._first, self.snapshot, configuration)


def run_replication(
    source: ScenarioSource, configuration: Configuration, plan: JudgePlan, replication: int
) -> RunResult:
    """One replication of one configuration; equal arguments give equal results in any process.

    With keyed draws: preset states would know differences no better here (see *Selective simulation* in MODELS.md).
    """
    return simulate(source.under(configuration), seed=plan.seed, replication=replication, engine="auto")


@dataclass(frozen=True, slots=True)
class InProcessJudge:
    """A `meshtwin.ports.PairingJudge` for tests and small questions: it blocks the process that asks."""

    model: str = MODEL_NAME

    def judge(
        self,
        snapshot: Snapshot,
        configurations: Sequence[Configuration],
        plan: JudgePlan,
        progress: Progress,
    ) -> tuple[NetworkKpis, ...]:
        """See `meshtwin.ports.Judge.judge`.

        Raises `InvalidInput` for a question that names what the snapshot does not hold, or does not fit the memory.
        """
        runs = self._tallies(snapshot, configurations, plan, progress)
        return tuple(summarise_tallies(each, snapshot.flows) for each in runs)

    def judge_pair(
        self, before: Snapshot, after: Snapshot, plan: JudgePlan, progress: Progress
    ) -> tuple[NetworkKpis, NetworkKpis, tuple[FlowDifference, ...]]:
        """See `meshtwin.ports.PairingJudge.judge_pair`; raises as `judge`."""
        halves = (progress_part(progress, 0.0), progress_part(progress, 0.5))
        (first,), (second,) = (
            self._tallies(side, [side.configuration], plan, half)
            for side, half in zip((before, after), halves, strict=True)
        )
        differences = compute_tally_differences(first, second)
        return summarise_tallies(first, before.flows), summarise_tallies(second, after.flows), differences

    def _tallies(
        self, snapshot: Snapshot, configurations: Sequence[Configuration], plan: JudgePlan, progress: Progress
    ) -> list[list[RunTally]]:
        check_question(snapshot, configurations)
        check_size(snapshot, len(configurations), plan)
        source = ScenarioSource(snapshot, plan.messages_per_flow, plan.sample_links)
        total = len(configurations) * plan.replications
        answers: list[list[RunTally]] = []
        done = 0
        for configuration in configurations:
            results: list[RunTally] = []
            for replication in range(plan.first_replication, plan.first_replication + plan.replications):
                result = run_replication(source, configuration, plan, replication)
                results.append(tally_run(result, snapshot.flows))
                done += 1
                progress(done / total, f"simulated {done} of {total} replications")
            answers.append(results)
        return answers
