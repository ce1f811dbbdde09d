"""What is on the air beside the judged messages, made once for all configurations that give the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from meshtwin.fast.airtime import compute_busiest
from meshtwin.fast.arrays import (
    NO_ROOM,
    OFF_TIME,
    REFUSED,
    Air,
    BackgroundTable,
    Floats,
    Ints,
    SettingsTable,
)
from meshtwin.fast.declining import find_overload
from meshtwin.fast.quiet import QUIET_START_NS, QuietFloods
from meshtwin.fast.room import find_excess, make_air
from meshtwin.fast.traffic import APART_S, Stream, make_messages
from meshtwin.sim.draws import make_key
from meshtwin.sim.scenario import Scenario

__all__ = ["BUSY_STATES", "Surroundings", "SurroundingsMaker"]

BUSY_STATES: Final = 4  # floods that are run to their end for the airtime they take
RARE_FLOODS: Final = 2  # likewise of a stream too rare to be on the air in the stretch; its airtime counts little
KEPT: Final = 2  # what is in force and the last candidate; each takes megabytes
WARM_UP_S: Final = 1.0  # queues fill before the first judged message
TAIL_S: Final = 0.5  # and go on after the last
SPACING_S: Final = 0.1  # between judged messages; nearer ones would meet the same background
BEFORE_S: Final = 0.25  # a judged message and the next of a flow that keeps apart from it: half of `APART_S`
STEP_S: Final = 0.005  # to which free times are known


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The air with its background; ``busy_s``: seconds of a channel that a message of each stream takes.

    ``busiest_ratio``: share of time in which the sets of the busiest node are taken. ``declined``: why the model
    can't answer; the air is quiet then, or not to be used. ``number``: equal for equal surroundings of one maker, 0
    where nothing else is on the air. ``starts_ns``: when judged messages begin, one for each state.
    """

    air: Air
    starts_ns: Ints
    number: int = 0
    busy_s: Floats
    busiest_ratio: float = 0.0
    declined: str | None = None


@dataclass(slots=True, kw_only=True)
class SurroundingsMaker:
    """Makes the surroundings of configurations of one network, and keeps the latest."""

    quiet: QuietFloods
    states: int
    _made: int = field(default=0, init=False)
    _kept: list[tuple[object, Surroundings]] = field(default_factory=list, init=False)

    def make(self, scenario: Scenario, settings: SettingsTable, streams: Sequence[Stream]) -> Surroundings:
        """The surroundings of ``scenario``; the very same object where an earlier one had the same."""
        key = self._key(scenario, settings, streams)
        for known, made in self._kept:
            if known == key:
                return made
        made = self._make(scenario, settings, streams)
        if made.air.is_loaded:
            self._made += 1
            made = replace(made, number=self._made)
        self._kept = [(key, made), *self._kept[: KEPT - 1]]
        return made

    @property
    def kept(self) -> frozenset[int]:
        """Numbers of the surroundings that may come again, 0 among them."""
        return frozenset({0, *(made.number for _, made in self._kept)})

    def _key(self, scenario: Scenario, settings: SettingsTable, streams: Sequence[Stream]) -> object:
        """What the background depends on: settings of relays, and of the nodes that send it."""
        sends = np.zeros(len(settings.relay), bool)
        asks_ttl = sends.copy()
        for stream in streams:
            places = [self.quiet.index[a] for a in stream.sources]
            sends[places] = True
            asks_ttl[places] |= stream.ttl is None
        relevant = (
            settings.relay,
            np.where(asks_ttl, settings.ttl, 0),
            *(np.where(sends, x, 0) for x in (settings.own_count, settings.own_interval_ns)),
            *(np.where(settings.relay > 0, x, 0) for x in (settings.relay_count, settings.relay_interval_ns)),
        )
        return tuple(streams), scenario.profile.name, tuple(x.tobytes() for x in relevant)

    def _make(self, scenario: Scenario, settings: SettingsTable, streams: Sequence[Stream]) -> Surroundings:
        from meshtwin.fast.runner import run_background  # deferred: numba

        quiet = self.quiet
        span_s = WARM_UP_S + self.states * SPACING_S + TAIL_S
        nodes, span_ns = len(scenario.nodes), int(span_s * 1e9)
        table = make_messages(scenario, tuple(streams), quiet.index, quiet.seed, span_s)
        reason = find_excess(quiet.rules, settings, table, span_ns) if len(table.start_ns) else None
        if reason or not len(table.start_ns):
            starts_ns = np.full(self.states, QUIET_START_NS, np.int64)
            busy_s = np.zeros(len(streams)) if reason else quiet.compute_streams_busy_s(scenario, settings, streams)
            return Surroundings(air=quiet.air, starts_ns=starts_ns, busy_s=busy_s, declined=reason)
        air = make_air(quiet.rules, settings, table, span_ns)
        busy = np.zeros((len(streams), 2), np.int64)
        key = np.uint64(make_key(quiet.seed, "fast/background"))
        nobody = np.zeros(nodes, np.uint8)
        run_background(quiet.links, quiet.rules, settings, air, quiet.work, table, key, nobody, busy, BUSY_STATES)
        relays, own = compute_busiest(quiet.rules, air, settings, span_s)
        refused, sent = int(air.counts[REFUSED]), int(air.job_count.sum())
        return Surroundings(
            air=air,
            starts_ns=_lay_starts(self.states, streams, table),
            busy_s=np.asarray(
                [
                    taken_ns * 1e-9 / count
                    if count
                    else quiet.compute_stream_busy_s(scenario, settings, stream, RARE_FLOODS)
                    for stream, (taken_ns, count) in zip(streams, busy.tolist(), strict=True)
                ],
                np.float64,
            ),
            busiest_ratio=max(relays, own),
            declined=find_overload(
                scenario.profile,
                relays,
                own_ratio=own,
                lost=int(air.counts[NO_ROOM] + air.counts[OFF_TIME]),
                refused_ratio=refused / max(1, refused + sent),
            ),
        )


def _lay_starts(states: int, streams: Sequence[Stream], table: BackgroundTable) -> Ints:
    """(states,) when judged messages begin: evenly over all times that are apart from those of flows."""
    apart = [group for group, stream in enumerate(streams) if stream.start_s is not None]
    flows_s = table.start_ns[np.isin(table.group, apart)] * 1e-9
    times_s = WARM_UP_S + np.arange(0.0, states * SPACING_S, STEP_S)
    after = np.searchsorted(flows_s, times_s, side="right")
    ends_s = np.concatenate(([-np.inf], flows_s, [np.inf]))
    free_s = times_s[(times_s >= ends_s[after] + APART_S) & (times_s <= ends_s[after + 1] - BEFORE_S)]
    if len(free_s) < states:  # flows leave too little room between them
        free_s = times_s
    return (free_s[np.arange(states) * len(free_s) // states] * 1e9).astype(np.int64)
