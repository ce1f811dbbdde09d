"""How much memory a question to the simulator takes, before it is asked."""

from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.ports import JudgePlan
from meshtwin.sim.from_snapshot import PRESS_SPACING_S
from meshtwin.whatif.forks import flow_members

__all__ = ["ANSWER_MAX_BYTES", "answer_bytes", "check_size"]

# Measured with 500,000 messages to one member (1.0 kB each) and 200 to 99 members (100 bytes each), CPython 3.11
MESSAGE_BYTES: Final = 1000
ARRIVAL_BYTES: Final = 150
KEPT_ARRIVAL_BYTES: Final = 24  # in a tally, while it is summed up
# Two workers at this bound, answers at their own (that of all runs of a twin together, see `AnswerRoom` in
# `meshtwin.app.answer_room`) and 255 MiB at rest stay below a pod's 1,024 MiB by an eighth.
REPLICATION_MAX_BYTES: Final = 192 * 2**20
ANSWER_MAX_BYTES: Final = 256 * 2**20


def check_size(snapshot: Snapshot, configurations: int, plan: JudgePlan) -> None:
    """Raises `InvalidInput` (``TooLarge``) for a question that would not fit a worker, or its answer not the twin."""
    members = [len(flow_members(snapshot.nodes, flow)) for flow in snapshot.flows]
    count = plan.messages_per_flow
    other = _background_per_s(snapshot) * PRESS_SPACING_S * len(members) * count
    one = int(count * sum(MESSAGE_BYTES + ARRIVAL_BYTES * n for n in members) + other * MESSAGE_BYTES)
    if one > REPLICATION_MAX_BYTES:
        raise InvalidInput(
            f"{count} messages of each of {len(members)} flows, and {other:.0f} others meanwhile, take about "
            f"{one // 2**20} MiB in one replication, more than {REPLICATION_MAX_BYTES // 2**20} MiB; ask for fewer "
            "messages and more replications, or lower the flows' rates",
            reason="TooLarge",
            place="messagesPerFlow",
        )
    all_of_them = answer_bytes(snapshot, configurations, plan)
    if all_of_them > ANSWER_MAX_BYTES:
        raise InvalidInput(
            f"{configurations} configurations, {plan.replications} replications and {count} messages of each flow "
            f"take about {all_of_them // 2**20} MiB, more than {ANSWER_MAX_BYTES // 2**20} MiB; ask for fewer",
            reason="TooLarge",
            place="replications",
        )


def answer_bytes(snapshot: Snapshot, configurations: int, plan: JudgePlan) -> int:
    """Memory that the answer takes in the twin while it is summed up."""
    members = sum(len(flow_members(snapshot.nodes, flow)) for flow in snapshot.flows)
    return configurations * plan.replications * plan.messages_per_flow * members * KEPT_ARRIVAL_BYTES


def _background_per_s(snapshot: Snapshot) -> float:
    """Messages of flows at their own rates, and notifications; reports are bounded by their airtime budget."""
    interval_s = snapshot.notification_interval_s
    notifications = len(snapshot.nodes) / interval_s if interval_s > 0.0 else 0.0
    return notifications + sum(flow.rate_per_minute for flow in snapshot.flows) / 60.0
