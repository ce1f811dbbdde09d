"""What a gateway sends by itself to keep a network as it should be: a rule that gateways tell and models foresee."""

from dataclasses import dataclass
from typing import Final

from meshtwin.mesh.reporting import READ_BACK_MESSAGES, READ_BACK_PAUSE_S

__all__ = ["ASSUMED_UPKEEP", "FULL_PDU_BYTES", "UpkeepPart"]

FULL_PDU_BYTES: Final = 29  # of a network PDU, at most (Mesh Protocol 1.1, 3.4.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepPart:
    """One kind of question that a gateway asks all its nodes in turn, or of message that it broadcasts.

    ``per_s``: how often, in mesh time. ``budget_share`` not None: less often, where it would take more than this
    share (0..1) of the segment's airtime budget. Each time the gateway sends ``questions`` messages, acknowledgements
    of segments among them, and one node ``answers``; bytes are those of a network PDU. ``ttl`` None: the sender's.
    """

    name: str
    per_s: float
    questions: int
    question_bytes: int
    answers: int = 0
    answer_bytes: int = FULL_PDU_BYTES
    budget_share: float | None = None
    ttl: int | None = None

    @property
    def messages(self) -> int:
        """Of both sides, each time."""
        return self.questions + self.answers

    def compute_per_s(self, message_s: float, budget_ratio: float) -> float:
        """How often, where one flooded message takes ``message_s`` of a channel and the budget is 0..1 of it."""
        if self.budget_share is None or self.messages == 0 or message_s <= 0.0:
            return self.per_s
        return min(self.per_s, self.budget_share * budget_ratio / (self.messages * message_s))


# Of a gateway that does not say what it does: what the first gateways of this project did, and never told.
ASSUMED_UPKEEP: Final = (
    UpkeepPart(
        name="settings",
        per_s=1.0 / READ_BACK_PAUSE_S,
        questions=READ_BACK_MESSAGES // 2,
        question_bytes=20,
        answers=READ_BACK_MESSAGES // 2,
        answer_bytes=22,
    ),
)
