"""Messages that nobody asks after, for a whole run in advance: when, by whom, to whom.

Every source has a Poisson stream of its own, keyed by its address: what others send, and whether they send at all,
changes neither its times nor its messages.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.sim.array_draws import Keys, draw_all, extend_all, extend_each
from meshtwin.sim.draws import make_key
from meshtwin.sim.scenario import Scenario, ScenarioBackground
from meshtwin.sim.traffic import find_end_ns
from meshtwin.units import s_to_ns

__all__ = ["MURMUR", "schedule_murmurs"]

MURMUR: Final = np.dtype(
    [
        ("time_ns", np.int64),
        ("background", np.int32),  # place in the scenario
        ("source", np.int32),  # place of the node
        ("number", np.int64),  # of the source's messages of this background, from 0
        ("destination", np.int32),  # place of the node, -1: none in particular
        ("key", np.uint64),
    ],
    align=True,
)
SPARE: Final = 16  # messages drawn beyond the expected number; the rest costs another round
Murmurs = npt.NDArray[np.void]


def schedule_murmurs(scenario: Scenario, root_key: int) -> Murmurs:
    """All background messages of a run, `MURMUR` in the order in which they are sent.

    Those that come at the same nanosecond go by background, node and number. A node that is never on sends none,
    and takes its share of the rate with it.
    """
    end_ns = find_end_ns(scenario)
    if scenario.duration_s is not None:
        end_ns = min(end_ns, s_to_ns(scenario.duration_s))
    parts = [_schedule(scenario, place, end_ns, root_key) for place in range(len(scenario.background))]
    murmurs = np.concatenate(parts) if parts else np.zeros(0, dtype=MURMUR)
    return np.sort(murmurs, order=("time_ns", "background", "source", "number"))


def _schedule(scenario: Scenario, place: int, end_ns: int, root_key: int) -> Murmurs:
    background = scenario.background[place]
    index = {node.address: i for i, node in enumerate(scenario.nodes)}
    switched_on = {change.node for change in scenario.changes if change.is_on}
    senders = [a for a in background.sources if scenario.nodes[index[a]].is_on or a in switched_on]
    streams = extend_all(make_key(root_key, "background", background.name), np.array(senders, dtype=np.uint64))
    keys, times_ns = _draw_times(streams, 1e9 * len(background.sources) / background.rate_per_s, end_ns)
    stream, number = np.nonzero(times_ns < end_ns)
    murmurs = np.zeros(len(stream), dtype=MURMUR)
    murmurs["time_ns"] = times_ns[stream, number]
    murmurs["key"] = keys[stream, number]
    murmurs["background"], murmurs["number"] = place, number
    murmurs["source"] = np.array([index[a] for a in senders], dtype=np.int32)[stream]
    murmurs["destination"] = _draw_destinations(background, index, murmurs["key"])
    return murmurs


def _draw_times(streams: Keys, mean_ns: float, end_ns: int) -> tuple[Keys, npt.NDArray[np.int64]]:
    """Keys and times of messages, (streams, messages), until every stream is past its end."""
    count = int(end_ns / mean_ns) + SPARE
    while True:
        keys = extend_each(streams[:, None], np.arange(count, dtype=np.uint64)[None, :])
        units = draw_all(keys.ravel(), 0).reshape(keys.shape)
        times_ns = np.cumsum((-mean_ns * np.log1p(-units)).astype(np.int64), axis=1)
        if bool(np.all(times_ns[:, -1] >= end_ns)):
            return keys, times_ns
        count *= 2


def _draw_destinations(
    background: ScenarioBackground, index: Mapping[UnicastAddress, int], keys: Keys
) -> npt.NDArray[np.int32]:
    """For each message the destination with the highest number, so that one less changes no other message's."""
    best, found = np.full(len(keys), -1.0), np.full(len(keys), -1, dtype=np.int32)
    for address in background.destinations:
        units = draw_all(extend_each(keys, np.full(len(keys), address, dtype=np.uint64)), 2)
        found[units > best] = index[address]
        best = np.maximum(best, units)
    return found
