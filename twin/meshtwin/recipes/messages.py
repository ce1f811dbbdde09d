"""Requests and answers of recipes, pipelines and what-ifs, as they stand in JSON.

Wire models alone: the operator reads them, too, so nothing here loads a model.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from meshtwin.contract.wire import AddressText, SettingsEntry, UnicastText, WireModel
from meshtwin.mesh.kpis import Objectives
from meshtwin.recipes.figures import FlowFiguresModel, KpiFiguresModel, PredictionModel, ProvisionalModel

__all__ = [
    "AddedNodeModel",
    "EvidenceModel",
    "FlowChangeModel",
    "FlowFiguresModel",
    "KpiFiguresModel",
    "MovedNodeModel",
    "ObjectivesModel",
    "ParetoPointModel",
    "PipelineRequest",
    "PipelineResponse",
    "PredictionModel",
    "ProvisionalModel",
    "RecipeUseModel",
    "RunError",
    "RunStatus",
    "WhatIfRequest",
]

Seed = int | None  # None: the twin draws one and reports it
Metres = Annotated[float, Field(ge=-100_000.0, le=100_000.0, allow_inf_nan=False)]
# Stands in addresses: /runs/{runId}.
RunId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][-A-Za-z0-9_.]*$", max_length=64)]
PositionMetres = Annotated[list[Metres], Field(min_length=2, max_length=3)]  # x, y and, if not 0, z


class RecipeUseModel(WireModel):
    """A recipe as a pipeline names it: ``name`` is for people, ``uses`` is the built-in or plug-in."""

    name: str = Field(min_length=1, max_length=253)
    uses: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)
    parameters: dict[str, int] = Field(default={}, max_length=32)


class ObjectivesModel(WireModel):
    """What the pipeline wants; left out: not asked."""

    on_time_within_milliseconds: int | None = Field(default=None, ge=1, le=60_000)
    on_time_at_least_per_mille: int | None = Field(default=None, ge=1, le=1000)
    spread_at_most_milliseconds: int | None = Field(default=None, ge=1, le=60_000)
    airtime_at_most_per_mille: int | None = Field(default=None, ge=1, le=1000)
    redundancy_at_least_paths: int | None = Field(default=None, ge=1, le=8)

    def to_value(self) -> Objectives:
        """The frozen value, with ratios."""
        on_time, airtime = self.on_time_at_least_per_mille, self.airtime_at_most_per_mille
        return Objectives(
            on_time_within_ms=self.on_time_within_milliseconds,
            on_time_at_least=None if on_time is None else on_time / 1000,
            spread_at_most_ms=self.spread_at_most_milliseconds,
            airtime_at_most=None if airtime is None else airtime / 1000,
            redundancy_at_least=self.redundancy_at_least_paths,
        )


class PipelineRequest(WireModel):
    """Run ``recipes`` in order for one segment. A repeated ``runId`` is the same run."""

    run_id: RunId
    pipeline: str = Field(min_length=1, max_length=253)
    segment: str = Field(min_length=1, max_length=40)
    recipes: list[RecipeUseModel] = Field(min_length=1, max_length=16)
    objectives: ObjectivesModel = ObjectivesModel()
    seed: Seed = Field(default=None, ge=0, le=2_147_483_647)
    messages_per_flow: int = Field(default=40, ge=1, le=10_000)
    replications: int = Field(default=8, ge=1, le=1000)
    probe_messages: int = Field(default=60, ge=1, le=1_000_000)  # intervals are of what so many will show


class MovedNodeModel(WireModel):
    """A node that would stand somewhere else; metres in the building's own coordinates."""

    node: UnicastText
    position_metres: PositionMetres


class AddedNodeModel(WireModel):
    """A node that would be there; left out settings are the stack's defaults."""

    node: UnicastText
    position_metres: PositionMetres
    groups: list[AddressText] = Field(default=[], max_length=64)
    settings: SettingsEntry | None = None  # its ``nodes`` must be this node


class FlowChangeModel(WireModel):
    """A flow that would be there, or be another: what is left out stays as it is.

    A new flow needs source, destination, rate and deadline. ``removed``: it would not be there.
    """

    name: str = Field(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")  # it reaches terminals
    source: UnicastText | None = None
    destination: AddressText | None = None
    rate_per_minute: float | None = Field(default=None, ge=0.001, le=60_000.0, allow_inf_nan=False)
    deadline_milliseconds: int | None = Field(default=None, ge=1, le=60_000)
    removed: bool = False


class WhatIfRequest(WireModel):
    """What if these settings held, these nodes failed, moved or were there, or this was the traffic.

    Changes are applied in the order settings, failed nodes, moves, new nodes, traffic.
    """

    run_id: RunId
    segment: str = Field(min_length=1, max_length=40)
    settings: list[SettingsEntry] = Field(default=[], max_length=256)
    failed_nodes: list[UnicastText] = Field(default=[], max_length=64)
    moved_nodes: list[MovedNodeModel] = Field(default=[], max_length=64)
    added_nodes: list[AddedNodeModel] = Field(default=[], max_length=64)
    traffic: list[FlowChangeModel] = Field(default=[], max_length=64)
    seed: Seed = Field(default=None, ge=0, le=2_147_483_647)
    messages_per_flow: int = Field(default=40, ge=1, le=10_000)
    replications: int = Field(default=8, ge=1, le=1000)
    probe_messages: int = Field(default=60, ge=1, le=1_000_000)  # intervals are of what so many will show


StageText = Literal["fastModel", "firstRound", "secondRound", "lastRound", "freshStates"]


class TrialModel(WireModel):
    """One candidate that was tried, and why it lost.

    ``airtimePerMillion``: with reports, like ``airtimePerMille`` of predictions, in steps that tell candidates apart.
    ``stage``: the last states that it was judged on, which the figures are of.
    """

    recipe: str
    reason: str
    digest: str
    relays: int
    airtime_per_million: int | None = Field(default=None, ge=0)
    airtime_per_mille: int | None = None  # of runs that are kept from before it was told per million
    verdict: str
    stage: StageText | None = None


class ParetoPointModel(WireModel):
    """A configuration that no other beats in every respect, all judged on the same states, which no round has met.

    ``onTime...``, ``spread...``: of the worst flow that touches the segment; ``airtime...`` as of a trial.
    ``messages``: per flow, that the figures rest on. ``verdict``: why it is not what is proposed.
    """

    digest: str | None = None  # None: the configuration in force
    recipe: str = ""
    reason: str
    role: Literal["Proposed", "InForce", "Alternative"] = "Alternative"
    is_beaten: bool = False  # shown for what it is, though another is better in something and worse in nothing
    messages: int | None = Field(default=None, ge=0)
    verdict: str = ""
    on_time_per_mille: int = Field(ge=0, le=1000)
    spread_p95_milliseconds: int | None = Field(default=None, ge=0)
    airtime_per_million: int = Field(ge=0)
    redundancy: int | None = Field(default=None, ge=0)
    battery_millijoules_per_hour: int | None = Field(default=None, ge=0)


class EvidenceModel(WireModel):
    """What the decision rests on."""

    models: list[str]
    seed: int
    candidates_tried: int
    trials: list[TrialModel] = Field(default=[], max_length=64)  # the closest ones, best first
    trials_left_out: int = Field(default=0, ge=0)  # for which there is no room
    counts: Mapping[str, int] = Field(default={})  # candidates proposed, by recipe
    pruned: int = 0  # of the candidates tried: those that only the fast model was asked about
    pareto: list[ParetoPointModel] = Field(default=[], max_length=64)  # the most on time first
    pareto_left_out: int = Field(default=0, ge=0)  # that may belong there, and were not judged on those states


class PipelineResponse(WireModel):
    """How a pipeline ended for one segment."""

    outcome: Literal["Proposed", "NothingBetter", "ObjectivesUnreachable"]
    message: str = Field(max_length=1024)
    segment: str
    settings: list[SettingsEntry] = Field(default=[], max_length=256)  # complete for all settable nodes
    digest: str | None = None  # of the segment's whole expanded configuration, frozen nodes included
    changed_nodes: list[UnicastText] = Field(default=[])
    prediction: PredictionModel | None = None
    base_digest: str
    base_revision: int | None = None
    inventory_hash: str
    evidence: EvidenceModel
    gaps: list[str] = Field(default=[])
    warnings: list[str] = Field(default=[])


class WhatIfResponse(WireModel):
    """The answer to a what-if."""

    segment: str
    prediction: PredictionModel
    warnings: list[str] = Field(default=[])


class RunError(WireModel):
    """Why a run failed; ``reason`` is one CamelCase word."""

    reason: str
    message: str


class RunStatus(WireModel):
    """A run that can be followed."""

    run_id: str
    state: Literal["Running", "Done", "Failed"]
    progress_per_mille: int = Field(default=0, ge=0, le=1000)
    stage: str = ""
    provisional: ProvisionalModel | None = None  # kept beside the result, to compare
    pipeline_result: PipelineResponse | None = None
    what_if_result: WhatIfResponse | None = None
    error: RunError | None = None
