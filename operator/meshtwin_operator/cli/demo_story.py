"""What happens in a store, told line by line: adoption, twins filling, proposals, pushes, verdicts."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from meshtwin.errors import MeshTwinError
from meshtwin.wording import counted
from meshtwin_operator.cli.decisions import condition, push_step
from meshtwin_operator.cli.differences import kpi_rows
from meshtwin_operator.cli.proposals import changes_of, warning_lines
from meshtwin_operator.cli.target import Manifest, ObjectAccess

__all__ = ["Story"]

VERDICTS: Final = frozenset({"Confirmed", "RolledBack", "Rejected", "TimedOut", "Superseded"})
ENDED_RUNS: Final = frozenset({"NothingBetter", "ObjectivesUnreachable", "Failed"})
WARNINGS_TOLD: Final = 5  # of one proposal; `meshtwin diff` has them all
LINK_STEP: Final = 100  # links heard are told in steps of so many
STEP_WORDS: Final[Mapping[str, str]] = {
    "Pending": "waits for its turn",
    "Staging": "stage: sent to the gateway, nothing in force yet",
    "MeasuringBaseline": "probe: measuring what is in force now",
    "Committing": "commit: setting the nodes, rollback timer armed",
    "Verifying": "probe: measuring the new configuration, no-harm test",
    "Confirming": "confirm: no harm found",
    "Aborting": "abort: the gateway restores",
    "Confirmed": "CONFIRMED: in force for good",
    "RolledBack": "ROLLED BACK",
    "TimedOut": "timed out: the gateway restored by itself",
    "Rejected": "refused by the gateway",
}


class Story:
    """Compares the objects with what was told before, and says what is new."""

    def __init__(self, access: ObjectAccess, *, say: Callable[[str], None], state: Path) -> None:
        self._access, self._say, self._state = access, say, state
        self._told: dict[tuple[str, ...], object] = {}
        self.segments: dict[str, Manifest] = {}
        self.proposals: dict[str, Manifest] = {}
        self.configurations: dict[str, Manifest] = {}
        self.runs: dict[str, Mapping[str, Any]] = {}

    def tell(self) -> list[str]:
        """Look, say what is new, and return proposals that now wait for a decision."""
        self.segments = self._read("MeshSegment")
        self.proposals = self._read("ConfigurationProposal")
        self.configurations = self._read("MeshConfiguration")
        for name, twin in self._read("DigitalTwin").items():
            self._tell_conditions("twin", name, twin)
        for name, segment in self.segments.items():
            self._tell_conditions("segment", name, segment)
            self._tell_segment(name, segment.get("status") or {})
        for name, pipeline in self._read("Pipeline").items():
            self._tell_pipeline(name, pipeline)
        for name, configuration in self.configurations.items():
            self._tell_push(name, configuration)
        return [name for name, proposal in self.proposals.items() if self._is_waiting_now(name, proposal)]

    def is_round_over(self) -> bool:
        """Whether every segment has a verdict, or its pipeline said that there is nothing to push."""
        return bool(self.segments) and all(self._is_settled(name) for name in self.segments)

    def is_confirmed(self) -> bool:
        """Whether at least one pushed configuration was confirmed, and none ended otherwise."""
        steps = [push_step(c) for c in self.pushed().values()]
        return bool(steps) and all(step == "Confirmed" for step in steps)

    def pushed(self) -> dict[str, Manifest]:
        """Newest revision above 0 of each segment, by segment."""
        newest: dict[str, Manifest] = {}
        for configuration in self.configurations.values():
            segment = configuration["spec"]["segmentRef"]["name"]
            revision = configuration["spec"]["revision"]
            if revision > 0 and revision >= newest.get(segment, configuration)["spec"]["revision"]:
                newest[segment] = configuration
        return newest

    def prediction(self, configuration: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The prediction under which a configuration was approved."""
        predicted = (configuration.get("status") or {}).get("predicted")
        if predicted:
            return dict(predicted)
        name = (configuration["spec"].get("proposalRef") or {}).get("name", "")
        return _prediction_of(self.proposals.get(name, {}))

    def _is_settled(self, segment: str) -> bool:
        pushed = self.pushed().get(segment)
        if pushed is not None:
            return push_step(pushed) in VERDICTS
        return self.runs.get(segment, {}).get("result") in ENDED_RUNS

    def _read(self, kind: str) -> dict[str, Manifest]:
        return {m["metadata"]["name"]: m for m in self._access.list_objects(kind)}

    def _is_new(self, key: tuple[str, ...], value: object) -> bool:
        if self._told.get(key) == value:
            return False
        self._told[key] = value
        return True

    def _tell_conditions(self, what: str, name: str, manifest: Mapping[str, Any]) -> None:
        for type_ in ("Ready", "Stalled"):
            found = condition(manifest, type_)
            if found is None or not self._is_new((what, name, type_), (found["status"], found["reason"])):
                continue
            if (type_, found["status"]) in (("Ready", "True"), ("Stalled", "True")):
                self._say(f"{what} {name}: {type_}, {found['reason']} {found.get('message', '')}".rstrip())

    def _tell_segment(self, name: str, status: Mapping[str, Any]) -> None:
        revision = status.get("revision")
        if revision is not None and self._is_new(("segment", name, "revision"), revision):
            self._say(
                f"segment {name}: adopted what is there as revision 0"
                if revision == 0
                else f"segment {name}: revision {revision} in force"
            )
        links = status.get("links")
        if links and self._is_new(("segment", name, "links"), links // LINK_STEP):
            heard, nodes = status.get("nodesHeard"), status.get("nodes")
            self._say(f"segment {name}: twin has heard {heard} of {nodes} nodes, {links} directed links")

    def _tell_pipeline(self, name: str, pipeline: Mapping[str, Any]) -> None:
        self._tell_conditions("pipeline", name, pipeline)
        for run in (pipeline.get("status") or {}).get("runs") or []:
            self.runs[run["segment"]] = run
            if self._is_new(("run", name, run["segment"]), (run["result"], run.get("runId"))):
                message = f" ({run['message']})" if run.get("message") else ""
                self._say(f"pipeline {name} for {run['segment']}: {run['result']}{message}")

    def _tell_push(self, name: str, configuration: Mapping[str, Any]) -> None:
        step = push_step(configuration)
        status = configuration.get("status") or {}
        push = status.get("push") or {}
        told = (step, push.get("reason") if step == "Pending" else None)  # what it waits for may change
        if configuration["spec"]["revision"] == 0 or step is None or not self._is_new(("push", name), told):
            return
        self._say(f"configuration {name}: {STEP_WORDS.get(step, step)} {push.get('message', '')}".rstrip())
        if step in VERDICTS:
            outcomes = status.get("outcomes") or {}
            counted = ", ".join(f"{outcomes[k]} {k}" for k in ("applied", "refused", "unknown") if outcomes.get(k))
            verdict = (status.get("noHarm") or {}).get("message", "")
            for line in (counted, verdict):
                if line:
                    self._say(f"  {line}")

    def _is_waiting_now(self, name: str, proposal: Manifest) -> bool:
        phase = (proposal.get("status") or {}).get("phase")
        if phase is None or not self._is_new(("proposal", name), phase):
            return False
        self._say(f"proposal {name}: {phase}")
        if phase != "AwaitingDecision":
            return False
        for line in self._effect_lines(proposal):
            self._say(f"  {line}")
        return True

    def _effect_lines(self, proposal: Manifest) -> Iterator[str]:
        try:
            changes = changes_of(self._access, proposal)
        except MeshTwinError as error:
            yield f"no difference to show: {error}"
            changes = ()
        for change in changes:
            yield f"{counted(change.count, 'node')}: {change.setting} {change.before} -> {change.after}"
        prediction = _prediction_of(proposal) or {}
        before = {(flow, title): text for flow, title, text in kpi_rows(prediction.get("before"))}
        for flow, title, text in kpi_rows(prediction.get("after")):
            yield f"predicted {flow} {title}: {before.get((flow, title), '?')} -> {text}".replace("  ", " ")
        warnings = warning_lines(proposal)
        yield from warnings[:WARNINGS_TOLD]
        if len(warnings) > WARNINGS_TOLD:
            yield f"{len(warnings) - WARNINGS_TOLD} more warnings, as `meshtwin diff` shows"
        if search := proposal["spec"].get("search"):
            others = sum(point["role"] == "Alternative" for point in search.get("pareto") or [])
            tried = counted(search["candidates"], "candidate")
            yield f"{tried} tried; {counted(others, 'other')} could be chosen, as `meshtwin diff` shows"


def _prediction_of(proposal: Mapping[str, Any]) -> Mapping[str, Any] | None:
    status, spec = proposal.get("status") or {}, proposal.get("spec") or {}
    found = status.get("prediction") or spec.get("prediction")
    return None if found is None else dict(found)
