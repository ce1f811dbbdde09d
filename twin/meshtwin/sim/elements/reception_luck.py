"""A node's preset luck with the reception of one message."""

__all__ = ["ReceptionLuck"]


class ReceptionLuck:
    """One number decides about every transmission of a message up to the first that is received.

    A node follows the newest message that has a preset state; to older ones its draws are keyed.
    """

    __slots__ = ("is_phased", "key", "share", "started_ns")

    def __init__(self) -> None:
        self.key = -1  # of the message that is followed; -1: none yet
        self.started_ns = -1
        self.share = 0.0
        self.is_phased = False  # whether the scanner's phase was preset for this message

    def follow(self, key: int, started_ns: int, share: float) -> bool:
        """Whether the number of message ``key`` decides here; a message newer than the followed one takes over.

        ``share`` is the number with which it begins.
        """
        if key == self.key:
            return True
        if started_ns <= self.started_ns:
            return False
        self.key, self.started_ns, self.share, self.is_phased = key, started_ns, share, False
        return True

    def decide(self, delivery: float) -> bool:
        """Whether a transmission with this chance is received; what is left of the number decides the next.

        Given the answer, the rest of the number is uniform again, stretched to [0, 1).
        """
        if self.share < delivery:
            self.share /= delivery
            return True
        self.share = (self.share - delivery) / (1.0 - delivery)
        return False
