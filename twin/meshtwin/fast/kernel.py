"""One flood through given traffic, compiled: who is reached when, decided event by event.

A flood is put on top of what is on the air already: it waits for advertising sets, is deaf, collides, and is not
heard by the traffic that was put there before. Within itself it is treated as the simulator does, one PDU after
the other in order of time. Copies for which no neighbour is left to be reached are not judged at all: that, and
the traffic that is not simulated anew for every message, is what makes it fast.

numba compiles at the first call of each process without a cache: never call this on an event loop.
"""

from typing import Any

import numpy as np

from meshtwin.fast.collisions import list_overlaps, list_overlaps_of_background, survive
from meshtwin.fast.draws import extend, normal, spread_unit, unit
from meshtwin.fast.events import event_in
from meshtwin.fast.heap import pop, push
from meshtwin.fast.jit import part
from meshtwin.fast.sending import draw_relaying, schedule

__all__ = ["flood", "occupy"]

# Heap keys hold the time (42 bits: 73 minutes), the node (16), the copy (3) and the channel (2).
EVERY_PDU = 3  # in place of a channel: the whole event is judged at its end


@part
def _push_copy(
    rules: Any, heap: Any, pdu_ns: Any, size: Any, node: Any, copy: Any, after_ns: Any, airtime_ns: Any
) -> Any:
    """Queues the next judgement of a copy: of the whole event, or of its first PDU after ``after_ns``."""
    if rules.window_ns == 0:
        return push(heap, size, (pdu_ns[2] + airtime_ns) << 21 | node << 5 | copy << 2 | EVERY_PDU)
    best = -1
    for channel in range(3):
        if pdu_ns[channel] > after_ns and (best < 0 or pdu_ns[channel] < pdu_ns[best]):
            best = channel
    if best < 0:
        return -size - 1
    return push(heap, size, (pdu_ns[best] + airtime_ns) << 21 | node << 5 | copy << 2 | best)


@part
def flood(
    links: Any, rules: Any, settings: Any, air: Any, work: Any, start_ns: Any, source: Any, ttl: Any,
    airtime_ns: Any, key: Any, state: Any, bits: Any, wanted: Any, wanted_count: Any, lone: Any, is_kept: Any,
) -> Any:  # fmt: skip
    """Runs one flood; afterwards ``work`` tells who was reached, when and over how many hops.

    ``wanted``: flags of nodes after ``wanted_count`` of which it ends (0: runs to its end). ``lone``: the single
    destination, which does not relay; -1: several. ``is_kept``: it becomes part of the background, and concerns
    those alone who would relay it. Gives the members reached.
    """
    # arrays by name: taking one out of a tuple within a loop counts its references each time
    out_first, out_target, out_key = links.out_first, links.out_target, links.out_key
    out_delivery, out_deviation, out_dbm = links.out_delivery, links.out_deviation, links.out_dbm
    out_told_ns, row = links.out_told_ns, 0  # 0: of a size that was not reckoned beforehand
    for place in range(links.airtimes_ns.shape[0]):
        if links.airtimes_ns[place] == airtime_ns:
            row = place + 1
    disturbing_dbm, log_survival, external_per_ns = links.disturbing_dbm, links.log_survival, links.external_per_ns
    slot, event_start_ns, event_end_ns = air.slot, air.event_start_ns, air.event_end_ns
    event_pdu_ns, event_airtime_ns, event_node = air.event_pdu_ns, air.event_airtime_ns, air.event_node
    air_head, air_following = air.head, air.following
    reached_ns, hops, parent, ttls, phase_ns = work.reached_ns, work.hops, work.parent, work.ttl, work.phase_ns
    copies, copy_pdu_ns, listed_ns, heap = work.copies, work.copy_pdu_ns, work.listed_ns, work.heap
    head, following, overlaps = work.head, work.following, work.overlaps
    relay, address = settings.relay, settings.address
    copies[:] = 0
    reached_ns[:] = -1
    head[:] = -1
    cycle_ns = 3 * rules.scan_interval_ns
    event_ns = 2 * (airtime_ns + rules.gap_ns)  # from the first PDU to the last one, where they follow each other
    phase_key = extend(key, 7)
    for node in range(reached_ns.shape[0]):
        # a node that relays has begun its scanning anew after its own events, where the profile does so
        is_common = rules.in_phase and not (rules.restarts and relay[node])
        number = 0 if is_common else address[node]
        phase_ns[node] = int(spread_unit(extend(phase_key, number), state, bits) * cycle_ns)
    reached_ns[source] = start_ns
    hops[source] = 0
    ttls[source] = ttl
    size, members = 0, 0
    message_key = extend(key, 8)
    posterior_key = extend(message_key, 99)
    if ttl >= 2:
        draw_relaying(rules, settings, work, settings.most_copies, message_key, state, bits)
    if schedule(rules, settings, air, work, source, True, start_ns, airtime_ns, message_key, state, bits, is_kept):
        size = _push_copy(rules, heap, copy_pdu_ns[source, 0], size, source, 0, -1, airtime_ns)
    while size > 0:
        top, size = pop(heap, size)
        channels, copy, node = top & 3, (top >> 2) & 7, (top >> 5) & 0xFFFF
        left = 0
        sent_ttl = ttls[node] - (1 if hops[node] > 0 else 0)
        copy_key = extend(message_key, 100 + copy)
        # for which channel `overlaps` holds what overlaps: the flood's own first, which are the same on each channel
        listed, own_overlaps, count = -1, 0, 0
        first_ns = copy_pdu_ns[node, copy, 0]
        turn_ns = first_ns % cycle_ns
        for link in range(out_first[node], out_first[node + 1]):
            target = out_target[link]
            if reached_ns[target] >= 0:
                continue
            if is_kept and not (sent_ttl >= 2 and relay[target] and target != lone):
                continue
            left += 1
            place_ns = turn_ns + phase_ns[target]  # how far the target's scanner is in its turn over the channels
            if place_ns >= cycle_ns:
                place_ns -= cycle_ns
            low, high = 0, 3
            if channels != EVERY_PDU:
                low, high = channels, channels + 1
            else:  # the target stays on one channel, or moves on during the event
                now = int(place_ns >= rules.scan_interval_ns) + int(place_ns >= 2 * rules.scan_interval_ns)
                if place_ns + event_ns + airtime_ns < (now + 1) * rules.scan_interval_ns:
                    low, high = now, now + 1
            for channel in range(low, high):
                pdu_ns = copy_pdu_ns[node, copy, channel]
                at_ns = place_ns + pdu_ns - first_ns
                if at_ns >= cycle_ns:
                    at_ns -= cycle_ns
                elif at_ns < 0:
                    at_ns += cycle_ns
                rest_ns = at_ns - channel * rules.scan_interval_ns
                if rest_ns < 0 or rest_ns + airtime_ns >= rules.scan_window_ns:
                    continue
                if air.is_loaded and event_in(
                    slot, event_start_ns, event_end_ns, air.shift, air.longest_ns, target, pdu_ns, pdu_ns + airtime_ns
                ) >= 0:  # fmt: skip
                    continue
                draw_key = extend(copy_key, out_key[link])
                is_drawn = out_deviation[link] > 0.0
                delivery = out_delivery[0 if is_drawn else row, link]
                if is_drawn:
                    deviate = normal(extend(posterior_key, out_key[link]), state)
                    delivery = min(1.0, max(0.0, delivery + out_deviation[link] * deviate))
                if (is_drawn or row == 0) and out_told_ns[link] != airtime_ns:
                    delivery **= airtime_ns / out_told_ns[link]
                # who hears the source is what all else hangs on: spread evenly over the states
                luck = spread_unit(draw_key, state, bits) if hops[node] == 0 else unit(draw_key, 2 * state)
                if luck >= delivery:
                    continue
                dbm = out_dbm[link]
                if listed != channel:
                    if listed < 0 or rules.window_ns > 0:
                        own_overlaps = list_overlaps(
                            rules, head, following, listed_ns, overlaps, node, channel, pdu_ns, airtime_ns
                        )
                    count, listed = own_overlaps, channel
                    if air.is_loaded:
                        count = list_overlaps_of_background(
                            rules, air_head, air_following, event_pdu_ns, event_airtime_ns, event_node,
                            air.least_airtime_ns, air.most_airtime_ns, overlaps, count, node, channel, pdu_ns,
                            airtime_ns,
                        )  # fmt: skip
                survival = 1.0
                if count > 0:
                    survival = survive(
                        rules, overlaps, count, disturbing_dbm, log_survival, target, dbm, pdu_ns, airtime_ns,
                        phase_ns[target],
                    )  # fmt: skip
                if external_per_ns[target] > 0.0:
                    survival *= np.exp(-external_per_ns[target] * 2.0 * airtime_ns)
                if survival < 1.0 and unit(draw_key, 2 * state + 1) >= survival:
                    continue
                left -= 1
                reached_ns[target] = pdu_ns + airtime_ns
                hops[target] = hops[node] + 1
                parent[target] = node
                ttls[target] = sent_ttl
                break
            if reached_ns[target] < 0:
                continue
            if wanted[target]:
                members += 1
                if members == wanted_count:
                    return members
            if sent_ttl >= 2 and relay[target] and target != lone and schedule(
                rules, settings, air, work, target, False, reached_ns[target], airtime_ns, message_key, state, bits,
                is_kept,
            ):  # fmt: skip
                size = _push_copy(rules, heap, copy_pdu_ns[target, 0], size, target, 0, -1, airtime_ns)
                if air.is_loaded or rules.processing_ns <= event_ns:
                    listed = -1  # it may send before this event is over
        if left == 0:
            continue
        if channels != EVERY_PDU:
            size = _push_copy(
                rules, heap, copy_pdu_ns[node, copy], size, node, copy, copy_pdu_ns[node, copy, channels], airtime_ns
            )
            if size >= 0:
                continue
            size = -size - 1
        if copy + 1 < copies[node]:
            size = _push_copy(rules, heap, copy_pdu_ns[node, copy + 1], size, node, copy + 1, -1, airtime_ns)
    return members


@part
def occupy(links: Any, work: Any, airtime_ns: Any) -> Any:
    """Nanoseconds of one channel that the flood just run takes, summed over all nodes that hear or send it.

    Events count in order of their start, as in the simulator, whatever the order of their PDUs.
    """
    out_first, out_target, out_audible = links.out_first, links.out_target, links.out_audible
    copies, copy_start_ns, copy_pdu_ns = work.copies, work.copy_start_ns, work.copy_pdu_ns
    heap, busy_until_ns = work.heap, work.busy_until_ns
    size = 0
    for node in range(copies.shape[0]):
        busy_until_ns[node] = 0
        for copy in range(copies[node]):
            size = push(heap, size, copy_start_ns[node, copy] << 21 | node << 3 | copy)
    taken = 0
    while size > 0:
        top, size = pop(heap, size)
        node, copy = (top >> 3) & 0xFFFF, top & 7
        start_ns = copy_pdu_ns[node, copy, 0]
        end_ns = start_ns + airtime_ns
        for link in range(out_first[node] - 1, out_first[node + 1]):
            is_itself = link < out_first[node]
            hearer = node if is_itself else out_target[link]
            until_ns = busy_until_ns[hearer]
            heard_ns = end_ns if is_itself or out_audible[link] else until_ns
            busy_until_ns[hearer] = max(until_ns, heard_ns)
            taken += max(0, heard_ns - max(until_ns, start_ns))
    return taken
