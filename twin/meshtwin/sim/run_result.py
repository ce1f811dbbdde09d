"""The result of one replication."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.sim.message_table import MessageResult, MessageTable
from meshtwin.sim.packets import LossCause, Record

__all__ = ["RunResult"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """One replication; ratios 0..1.

    ``airtime_ratio``: mean over nodes of the share of time in which a node hears or sends something on one
    advertising channel; flows, background and external traffic together, each at its lasting rate or else over the
    length of the run (`meshtwin.sim.results.airtime_ratios`).
    ``reporting_airtime_ratio``: the part of it that is monitoring reports.
    ``airtime_at``: the share of time at each watched node of the scenario itself.
    ``is_selective``: the messages met preset states, so those of one replication are not independent.
    """

    scenario: str
    profile: str
    seed: int
    replication: int
    messages: Sequence[MessageResult]  # a tuple, or a `meshtwin.sim.message_table.MessageTable`
    transmissions: int  # advertising events
    airtime_ratio: float
    reporting_airtime_ratio: float = 0.0
    is_selective: bool = False
    losses: Mapping[LossCause, int]
    records: tuple[Record, ...] = ()
    airtime_at: Mapping[UnicastAddress, float] = field(default_factory=dict)

    def packed(self) -> "RunResult":
        """The same with its messages in a `MessageTable`, which takes a tenth of the memory of values."""
        return replace(self, messages=MessageTable.of(self.messages))
