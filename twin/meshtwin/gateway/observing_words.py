"""What is said of observing: shortages and nodes by name, and whether something is worth saying again. Pure."""

from collections.abc import Collection
from typing import Final

from meshtwin.contract.telemetry import Observing
from meshtwin.gateway.replay_lists import Shortage
from meshtwin.mesh.addresses import UnicastAddress, format_address

__all__ = ["NAMED_MAX", "describe_shortages", "has_moved", "is_other", "name_nodes"]

NAMED_MAX: Final = 8  # nodes in one message
MOVED_BY: Final = 1.25  # of a figure: less is chance


def is_other(told: Observing, new: Observing) -> bool:
    """Whether something else changed than figures that move all the time."""
    figures = ("airtime", "upkeep", "full_picture_seconds", "pairs_listened", "pairs")
    return new.model_copy(update={name: getattr(told, name) for name in figures}) != told


def has_moved(told: Observing, new: Observing) -> bool:
    """Whether one of the figures is another by more than `MOVED_BY`; progress within a round is none."""
    before, after = (_figures(observing) for observing in (told, new))
    return before.keys() != after.keys() or any(_is_far(before[name], after[name]) for name in before)


def _figures(observing: Observing) -> dict[str, float]:
    bill = observing.airtime.model_dump(exclude_none=True) if observing.airtime is not None else {}
    shares = {part.name: part.budget_share or 0.0 for part in observing.upkeep or ()}
    return bill | shares | {"picture": observing.full_picture_seconds or 0.0}


def _is_far(before: float, after: float) -> bool:
    return not before / MOVED_BY <= after <= MOVED_BY * before


def describe_shortages(shortages: tuple[Shortage, ...]) -> str:
    """Which nodes could not remember everybody, and what to do."""
    named = ", ".join(str(shortage) for shortage in shortages[:NAMED_MAX])
    more = f" and {len(shortages) - NAMED_MAX} more" if len(shortages) > NAMED_MAX else ""
    return (
        f"notifications are held back, since replay protection lists are too small: {named}{more}. Say "
        "neighboursAtMost in the gateway's configuration if no node hears that many others, or observability heartbeats"
    )


def name_nodes(nodes: Collection[UnicastAddress]) -> str:
    """Their addresses, ascending, the first `NAMED_MAX` of them."""
    more = f" and {len(nodes) - NAMED_MAX} more" if len(nodes) > NAMED_MAX else ""
    return " ".join(format_address(node) for node in sorted(nodes)[:NAMED_MAX]) + more
