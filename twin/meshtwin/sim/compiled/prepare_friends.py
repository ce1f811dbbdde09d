"""Friendships of a scenario as arrays."""

from collections.abc import Mapping

import numpy as np

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.sim.compiled import layout
from meshtwin.sim.compiled.layout import Records
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.traffic import find_end_ns
from meshtwin.units import s_to_ns

__all__ = ["befriend", "prepare_friendships"]


def prepare_friendships(scenario: Scenario, index: Mapping[UnicastAddress, int]) -> Records:
    """Friendships in order of their low-power nodes; keys come with each replication."""
    low = [(node, node.low_power) for node in scenario.nodes if node.low_power is not None]
    array = np.zeros(len(low), dtype=layout.FRIENDSHIP)
    stored, last = 0, dict[int, int]()  # the friend's latest friendship
    for place, (node, low_power) in enumerate(low):
        row, friend = array[place], index[low_power.friend]
        row["low_power"], row["friend"] = index[node.address], friend
        row["interval_ns"] = s_to_ns(low_power.poll_interval_s)
        row["end_ns"] = find_end_ns(scenario) + s_to_ns(low_power.poll_interval_s)
        row["delay_ns"] = s_to_ns(low_power.receive_delay_s)
        row["window_ns"] = s_to_ns(low_power.receive_window_s)
        row["retries"] = low_power.poll_retries
        row["flow"] = -1 - len(scenario.background) - place
        row["friend_fsn"] = row["next"] = -1
        row["first"], row["size"] = stored, scenario.nodes[friend].friend_queue_size
        stored += int(row["size"])
        if friend in last:
            array[last[friend]]["next"] = place
        last[friend] = place
    return array


def befriend(scenario: Scenario, nodes: Records) -> None:
    """Tells nodes their friendships: a low-power node its own, a friend its first."""
    nodes["friendship"] = nodes["friend_of"] = -1
    index = {node.address: i for i, node in enumerate(scenario.nodes)}
    place = 0
    for i, node in enumerate(scenario.nodes):
        if node.low_power is None:
            continue
        nodes[i]["friendship"] = place
        friend = index[node.low_power.friend]
        if nodes[friend]["friend_of"] < 0:
            nodes[friend]["friend_of"] = place
        place += 1
