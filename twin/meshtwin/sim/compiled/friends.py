"""Friends and low-power nodes: polls, windows and what waits, as in `meshtwin.sim.elements.friendship`."""

from typing import Final

from meshtwin.sim.compiled.event_queue import push
from meshtwin.sim.compiled.jit import apart, inlined
from meshtwin.sim.compiled.keyed import extend, wide
from meshtwin.sim.compiled.layout import (
    ANSWER_POLL,
    CAUSES,
    DELIVERY,
    END_WINDOW,
    POLL,
    POLL_AGAIN,
    POLL_MORE,
    TRANSPORT_SHIFT,
    State,
    code,
)
from meshtwin.sim.compiled.messages import count_sequence, enter_part, enter_whole, let_go, lose, member_place
from meshtwin.sim.elements.friendship import STORED_TTL_MIN
from meshtwin.sim.ordering import Rank
from meshtwin.sim.packets import LossCause

__all__ = [
    "answer_poll", "end_window", "open_window", "poll", "poll_again", "store", "take_private",
]  # fmt: skip

TRANSPORT: Final = code(Rank.TRANSPORT)
FRIEND_QUEUE = code(CAUSES.index(LossCause.FRIEND_QUEUE))


@apart
def store(s: State, now_ns: int, node: int, message: int, ttl: int, hops: int) -> None:
    """Keeps a message for those low-power nodes of ``node`` that it is for; a full queue discards its oldest."""
    friendship = wide(s.nodes[node].friend_of)
    while friendship >= 0:
        if member_place(s, wide(s.friendships[friendship].low_power), message) >= 0:
            if ttl < STORED_TTL_MIN and hops > 0:  # 0 hops: the friend's own message
                lose(s, now_ns, FRIEND_QUEUE, node, message)
            else:
                keep(s, now_ns, node, friendship, message, hops)
        friendship = wide(s.friendships[friendship].next)


@inlined
def keep(s: State, now_ns: int, node: int, friendship: int, message: int, hops: int) -> None:
    first, size = s.friendships[friendship].first, s.friendships[friendship].size
    dropped = wide(-1)
    if s.friendships[friendship].count >= size:
        dropped = drop_first_stored(s, friendship)
        s.friendships[friendship].is_first_sent = 0
    place = first + (s.friendships[friendship].head + s.friendships[friendship].count) % size
    s.stored[place].message = message
    s.stored[place].hops = hops
    s.friendships[friendship].count += 1
    s.messages[message].pending += 1
    if dropped >= 0:
        lose(s, now_ns, FRIEND_QUEUE, node, dropped)
        let_go(s, dropped)


@inlined
def drop_first_stored(s: State, friendship: int) -> int:
    """Takes the oldest message out of the queue; its hold remains."""
    head = s.friendships[friendship].head
    s.friendships[friendship].head = (head + 1) % s.friendships[friendship].size
    s.friendships[friendship].count -= 1
    return wide(s.stored[s.friendships[friendship].first + head].message)


@apart
def poll(s: State, now_ns: int, friendship: int, tries: int) -> int:
    """A Friend Poll, to be sent now, for which the low-power node waits from now on."""
    node = wide(s.friendships[friendship].low_power)
    s.friendships[friendship].polls += 1
    s.friendships[friendship].is_waiting = 1
    number = wide(s.friendships[friendship].polls)
    key = extend(s.friendships[friendship].key, number)
    airtime_ns = s.profile[0].poll_airtime_ns
    whole = enter_whole(s, now_ns, key, wide(s.friendships[friendship].flow), number, node, 0, airtime_ns)
    sequence = count_sequence(s, node)
    made = enter_part(s, now_ns, node, whole, POLL, wide(s.friendships[friendship].fsn), tries, wide(0))
    s.messages[made].asked_by = s.friendships[friendship].friend
    s.messages[made].sequence = sequence
    s.messages[made].tries = tries
    return made


@inlined
def poll_again(s: State, now_ns: int, node: int) -> int:
    """The poll that is due every interval; -1: none, since the node is off or all is over."""
    friendship = wide(s.nodes[node].friendship)
    if now_ns >= s.friendships[friendship].end_ns:
        return -1
    push(s, now_ns + s.friendships[friendship].interval_ns, TRANSPORT, node, POLL_AGAIN)
    return poll(s, now_ns, friendship, wide(0)) if s.nodes[node].is_on != 0 else -1


@apart
def open_window(s: State, end_ns: int, node: int, message: int) -> None:
    """After its poll, which ends at ``end_ns``, a low-power node listens for a while."""
    friendship = s.nodes[node].friendship
    from_ns = end_ns + s.friendships[friendship].delay_ns
    until_ns = from_ns + s.friendships[friendship].window_ns
    s.nodes[node].scan_origin_ns = from_ns
    s.nodes[node].window_until_ns = until_ns
    s.messages[message].number = s.friendships[friendship].polls  # so that a later poll's window is told from this one
    push(s, until_ns, TRANSPORT, node, (message << TRANSPORT_SHIFT) | END_WINDOW)


@inlined
def end_window(s: State, now_ns: int, node: int, message: int) -> int:
    """Polls again if the window passed without an answer, as often as the node retries; -1: not."""
    friendship = wide(s.nodes[node].friendship)
    polls, tries = s.messages[message].number, wide(s.messages[message].tries)
    if s.friendships[friendship].is_waiting == 0 or s.friendships[friendship].polls != polls:
        return -1
    s.friendships[friendship].is_waiting = 0
    if tries < s.friendships[friendship].retries and s.nodes[node].is_on != 0:
        return poll(s, now_ns, friendship, tries + 1)
    return -1


@apart
def take_private(s: State, now_ns: int, node: int, message: int) -> int:
    """A friend takes a poll, or a low-power node a delivery; gives the message that was stored, or -1."""
    if s.messages[message].kind == POLL:
        friendship = s.nodes[s.messages[message].source].friendship
        due_ns = now_ns + s.friendships[friendship].delay_ns
        push(s, due_ns, TRANSPORT, node, (message << TRANSPORT_SHIFT) | ANSWER_POLL)
        s.messages[s.messages[message].part_of].pending += 1
        return -1
    friendship = s.nodes[node].friendship
    if s.friendships[friendship].is_waiting == 0:
        return -1
    s.friendships[friendship].is_waiting = 0
    s.nodes[node].window_until_ns = min(s.nodes[node].window_until_ns, now_ns)
    s.friendships[friendship].fsn ^= 1
    stored = wide(s.messages[message].stored)
    if stored >= 0:
        push(s, now_ns, TRANSPORT, node, POLL_MORE)
    return stored


@inlined
def answer_poll(s: State, now_ns: int, node: int, asked: int) -> int:
    """What the friend sends on the poll ``asked``: a stored message, or that there is none; -1: it is switched off."""
    friendship = wide(s.nodes[s.messages[asked].source].friendship)
    whole, fsn, made = wide(s.messages[asked].part_of), s.messages[asked].index, -1
    if s.nodes[node].is_on != 0:
        place = next_stored(s, friendship, fsn)
        made = enter_part(s, now_ns, node, whole, DELIVERY, wide(0), wide(0), wide(0))
        s.messages[made].asked_by = s.friendships[friendship].low_power
        s.messages[made].ttl = 0
        s.messages[made].sequence = count_sequence(s, node)
        s.messages[made].airtime_ns = s.profile[0].update_airtime_ns
        if place >= 0:
            stored = s.stored[place].message
            s.messages[made].stored = stored
            s.messages[made].stored_hops = s.stored[place].hops
            s.messages[made].airtime_ns = s.messages[stored].airtime_ns
            s.messages[stored].pending += 1
    let_go(s, whole)
    return made


@inlined
def next_stored(s: State, friendship: int, fsn: int) -> int:
    """Place of what goes out on a poll with ``fsn``, -1: nothing; another FSN means that the last one arrived."""
    last = s.friendships[friendship].friend_fsn
    is_next = last >= 0 and fsn != last
    s.friendships[friendship].friend_fsn = fsn
    if is_next and s.friendships[friendship].is_first_sent != 0 and s.friendships[friendship].count > 0:
        let_go(s, drop_first_stored(s, friendship))
    is_any = s.friendships[friendship].count > 0
    s.friendships[friendship].is_first_sent = 1 if is_any else 0
    return wide(s.friendships[friendship].first + s.friendships[friendship].head) if is_any else -1
