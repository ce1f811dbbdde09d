"""The answer of the fast model."""

from dataclasses import dataclass
from typing import Final

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.kpis import Interval, NetworkKpis

__all__ = ["MODEL_NAME", "DestinationFigures", "FastAnswer", "ReachAnswer"]

MODEL_NAME: Final = "fast"


@dataclass(frozen=True, slots=True, kw_only=True)
class FastAnswer:
    """Key figures, or the reason why there are none; exactly one of ``kpis`` and ``declined`` is None.

    ``declined`` names value, limit and place. ``states``: floods per flow behind the figures. ``reused_share``:
    share 0..1 of them that an earlier estimate of the same `Prepared` had worked out already.
    ``patched_nodes``: changed nodes of an answer told near, from the one for the prepared scenario; 0: it is exact.
    ``busiest_ratio``: share of time in which the advertising sets of the busiest node are taken by other
    messages, 0 where nothing else is on the air.
    """

    kpis: NetworkKpis | None
    declined: str | None
    profile: str
    seed: int
    states: int
    reused_share: float = 0.0
    busiest_ratio: float = 0.0
    patched_nodes: int = 0
    model: str = MODEL_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationFigures:
    """How one node is reached by one source, with 90 % intervals; ratio 0..1, times in milliseconds.

    Times are None if it is never reached, and have open bounds (`Interval.open_because`) if it hardly is.
    """

    destination: UnicastAddress
    delivery: Interval
    latency_p50: Interval | None
    latency_p95: Interval | None

    @property
    def delivery_ratio(self) -> float:
        """The estimate alone."""
        return self.delivery.estimate

    @property
    def latency_p50_ms(self) -> float | None:
        """The estimate alone."""
        return None if self.latency_p50 is None else self.latency_p50.estimate

    @property
    def latency_p95_ms(self) -> float | None:
        """The estimate alone."""
        return None if self.latency_p95 is None else self.latency_p95.estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachAnswer:
    """Figures of every destination of one source, or the reason why there are none.

    ``declined`` as in `FastAnswer`; ``destinations`` is empty then. ``states``: floods behind the figures.
    """

    destinations: tuple[DestinationFigures, ...]
    declined: str | None
    profile: str
    seed: int
    states: int
    model: str = MODEL_NAME
