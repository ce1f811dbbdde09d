"""What goes first when several things happen at one nanosecond, in every engine."""

from enum import IntEnum
from typing import Final

__all__ = ["RANK_STEP", "Rank"]

RANK_STEP: Final = 1 << 24  # more than nodes, flows or backgrounds


class Rank(IntEnum):
    """What goes first at the same nanosecond; simpy's own events (0) go before all."""

    END = 1  # of an event: the radio is free, a set is given back
    JUDGE = 2  # a PDU has ended
    QUEUE = 3  # a message is queued after its delay
    PRESS = 4
    MURMUR = 5
    RESPOND = 6
    BEGIN = 7  # of an advertising event
    TRANSPORT = 8  # timers of segmented messages, repetitions, polls
    CHANGE = 9  # of a node: switched or moved
