"""What the models need from the world, as Protocols that adapters fulfil."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from meshtwin.errors import InvalidInput, MeshTwinError
from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.kpis import FlowDifference, NetworkKpis, Prediction
from meshtwin.mesh.snapshots import Snapshot

__all__ = [
    "Cancelled",
    "Judge",
    "JudgePlan",
    "PairingJudge",
    "Progress",
    "Provisional",
    "QuickAnswer",
    "QuickJudge",
    "no_progress",
    "no_provisional",
    "progress_part",
]

# Told the share that is done, 0..1, and what is being done. It may raise `Cancelled` to end the work.
Progress = Callable[[float, str], None]

# Told the answer of the fast model, and what it is about, while the simulation goes on.
Provisional = Callable[[Prediction, str], None]


class Cancelled(MeshTwinError):
    """The asker no longer wants the answer; raised by a `Progress`."""

    reason = "Cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePlan:
    """How much to simulate: ``replications`` numbered from ``first_replication``, all from one ``seed``.

    Equal plans on equal snapshots meet equal states, whatever the configuration: that is what makes two
    judgements comparable. Raises `InvalidInput` for fewer than one replication or message.
    """

    seed: int
    replications: int
    messages_per_flow: int
    first_replication: int = 0
    sample_links: bool = True

    def __post_init__(self) -> None:
        if self.replications < 1:
            raise InvalidInput(f"{self.replications} replications is below 1")
        if self.messages_per_flow < 1:
            raise InvalidInput(f"{self.messages_per_flow} messages per flow is below 1")


class Judge(Protocol):
    """Predicts key figures by simulation."""

    @property
    def model(self) -> str:
        """Name of the model, as it stands in a prediction."""
        ...

    def judge(
        self,
        snapshot: Snapshot,
        configurations: Sequence[Configuration],
        plan: JudgePlan,
        progress: Progress,
    ) -> tuple[NetworkKpis, ...]:
        """Figures of each configuration on the states of ``plan``, in the order given.

        Blocks until all are done. ``progress`` is told after each replication; what it raises ends the work.
        """
        ...


@runtime_checkable
class PairingJudge(Judge, Protocol):
    """A judge that tells its replications apart, and so how two snapshots differ on the same states."""

    def judge_pair(
        self, before: Snapshot, after: Snapshot, plan: JudgePlan, progress: Progress
    ) -> tuple[NetworkKpis, NetworkKpis, tuple[FlowDifference, ...]]:
        """Figures of each under its own configuration, as of `judge`; and after less before, over paired replications.

        Differences are of flows that both have.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickAnswer:
    """What a fast model says of one configuration: figures, or why it declines to answer; never both."""

    kpis: NetworkKpis | None = None
    declined: str | None = None

    def __post_init__(self) -> None:
        if (self.kpis is None) == (self.declined is None):
            raise InvalidInput("a quick answer has either figures or the reason why it has none")


class QuickJudge(Protocol):
    """Predicts key figures without simulating, in milliseconds."""

    @property
    def quick_model(self) -> str:
        """Name of the model, as it stands in a provisional prediction."""
        ...

    def estimate(
        self, snapshot: Snapshot, configurations: Sequence[Configuration], *, seed: int
    ) -> tuple[QuickAnswer, ...]:
        """One answer per configuration, in the order given, all on the same states; blocks."""
        ...


def progress_part(progress: Progress, begin: float, length: float = 0.5) -> Progress:
    """The part of ``progress`` from ``begin`` on."""
    return lambda share, stage: progress(begin + share * length, stage)


def no_progress(share: float, stage: str) -> None:
    """A `Progress` that tells nobody."""


def no_provisional(prediction: Prediction, about: str) -> None:
    """A `Provisional` that tells nobody."""
