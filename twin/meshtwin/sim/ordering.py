"""What goes first when several things happen at one nanosecond, and what two engines share of an event on the air."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from meshtwin.sim.elements.node import NodeElements, OutgoingLink
from meshtwin.sim.elements.transmit_queue import Job

__all__ = ["BURST_SALT", "RANK_STEP", "Airing", "Rank"]

BURST_SALT: Final = 1 << 20  # keys of bursts, apart from the copies of a message
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


class Airing:
    """One advertising event on its way to the receivers ``waiting``; ``silent``: those who listened to no PDU yet."""

    __slots__ = ("copy", "job", "node", "silent", "waiting")

    def __init__(self, node: NodeElements, job: Job, copy: int, waiting: Sequence[OutgoingLink]) -> None:
        self.node = node
        self.job = job
        self.copy = copy
        self.waiting = waiting
        self.silent = set(waiting)
