"""What finished replications take in memory until they are told, and how many of them there is room for."""

from collections.abc import Sequence
from math import ceil
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.traffic import count_due, find_run_s
from meshtwin.wording import counted

__all__ = ["RUNS_MAX_BYTES", "check_room", "count_room", "estimate_kept_bytes"]

RUNS_MAX_BYTES: Final = 2 * 2**30  # of all replications, by estimate; as for a scenario itself
# At the peak, which is when figures are made of them (measured: 300 nodes and 200 messages to all, 8 to 40
# replications: 39 bytes for each arrival, 49 where two scenarios are compared; 4,000 messages to one: 80 for both).
ARRIVAL_KEPT_BYTES: Final = 50
MESSAGE_KEPT_BYTES: Final = 60
RUN_KEPT_BYTES: Final = 4_000  # losses by cause, and what holds the arrays


def estimate_kept_bytes(scenario: Scenario) -> int:
    """About how much one finished replication takes, if every message reaches every member."""
    run_s = find_run_s(scenario)
    flows = ((ceil(count_due(flow, run_s)), len(flow.members)) for flow in scenario.flows)
    return RUN_KEPT_BYTES + sum(n * (MESSAGE_KEPT_BYTES + members * ARRIVAL_KEPT_BYTES) for n, members in flows)


def count_room(scenarios: Sequence[Scenario], limit_bytes: int = RUNS_MAX_BYTES) -> int:
    """How many replications of all ``scenarios`` there is room for; 1 at least, which a scenario's own limit allows."""
    return max(1, limit_bytes // sum(map(estimate_kept_bytes, scenarios)))


def check_room(scenarios: Sequence[Scenario], replications: int, limit_bytes: int = RUNS_MAX_BYTES) -> None:
    """Raises `InvalidInput` (``TooLarge``) for more replications than there is room for."""
    most = count_room(scenarios, limit_bytes)
    if replications > most:
        needed = replications * sum(map(estimate_kept_bytes, scenarios))
        raise InvalidInput(
            f"{counted(replications, 'replication')} of {scenarios[0].name} keep about {needed // 2**20} MiB of "
            f"messages, more than {limit_bytes // 2**20} MiB; ask for {most} at most, or send fewer messages",
            reason="TooLarge",
            place="replications",
        )
