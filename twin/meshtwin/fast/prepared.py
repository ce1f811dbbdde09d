"""Estimates of many configurations of one network: link tables, draws and what can be kept of earlier estimates.

What is kept between estimates of one `Prepared`: the link tables; all draws (they are keyed, so every configuration
meets the same states); the surroundings (what else is on the air), for configurations that give the same; and,
within the same surroundings, the states of a flow in which no node with other settings was reached before the last
member was. Such a state can't come out differently, so an incremental estimate equals one from scratch exactly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from meshtwin.errors import InvalidInput
from meshtwin.fast.airtime import compute_airtime_ratio, compute_reporting_ratio
from meshtwin.fast.answer import DestinationFigures, FastAnswer, ReachAnswer
from meshtwin.fast.arrays import SettingsTable
from meshtwin.fast.declining import find_reason
from meshtwin.fast.figures import make_airtime, summarise_destinations, summarise_flow
from meshtwin.fast.reusing import FlowRun, begin_run
from meshtwin.fast.room import make_quiet_air, make_work
from meshtwin.fast.surroundings import BUSY_STATES, Surroundings, SurroundingsMaker
from meshtwin.fast.tables import build_links, build_rules, build_settings
from meshtwin.fast.traffic import Stream, compute_airtime, find_streams
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import NodeSettings, Transmit
from meshtwin.mesh.kpis import NetworkKpis
from meshtwin.sim.draws import make_key
from meshtwin.sim.scenario import Scenario, ScenarioBackground, ScenarioFlow, ScenarioLink, ScenarioNode

__all__ = ["Prepared", "compile_ahead", "estimate", "prepare"]

# Floods per flow. Over seeds a flow's on-time share deviates by 0.010 in the median, its p95 latency by 3.5 % (half as
# many: 0.015 and 4.0 %; four times: 0.005 and 1.7 % at almost three times the cost), as much as the model itself errs.
STATES: Final = 128
STATES_LEAST: Final = 8  # fewer do not fill the blocks of `figures`, from whose differences intervals are made
STATES_MOST: Final = 1 << 16  # latencies of 16 members are 8 MiB then, and the stretch on the air is two hours
WARM_UP_S: Final = 1.0  # queues fill before the first judged message
TAIL_S: Final = 0.5  # and go on after the last
SPACING_S: Final = 0.1  # between judged messages; nearer ones would meet the same background
QUIET_START_NS: Final = 1_000_000_000  # of a flood alone on the air; any instant gives the same, seen at three
# Earlier settings per flow whose states may be used again. A walk over relay sets without background reuses 16 % of
# its states with 1 of them, 28 % with 4, 34 % with 8, at equal time; each takes states x (8 members + nodes) bytes,
# some 50 kB on 300 nodes. Under load nothing is reused, however many are kept.
KEPT_RUNS: Final = 4


def estimate(scenario: Scenario, *, states: int = STATES, seed: int = 0) -> FastAnswer:
    """The fast answer for ``scenario``; equal arguments give equal answers.

    ``states``: floods per flow, a power of two. Raises `InvalidInput` for another number.
    """
    return prepare(scenario, states=states, seed=seed).estimate()


def prepare(scenario: Scenario, *, states: int = STATES, seed: int = 0) -> "Prepared":
    """What is common to all configurations of the network of ``scenario``."""
    return Prepared(scenario, states=states, seed=seed)


def compile_ahead() -> str:
    """Compiles the kernel if need be, and gives the folder of the cache that keeps it; for building images."""
    from meshtwin.fast.runner import run_states  # deferred: numba

    a, b, once = UnicastAddress(1), UnicastAddress(2), Transmit(count=0, interval_steps=1)
    scenario = Scenario(
        name="ahead",
        nodes=tuple(
            ScenarioNode(address=n, relay=False, ttl=0, network_transmit=once, relay_retransmit=once) for n in (a, b)
        ),
        links=(ScenarioLink(source=a, target=b, delivery=1.0),),
        flows=(ScenarioFlow(name="one", source=a, members=(b,), count=1, period_s=1.0),),
        background=(ScenarioBackground(name="other", sources=(b,), rate_per_s=1.0),),
    )
    estimate(scenario, states=STATES_LEAST)
    compiled: Any = run_states
    return str(compiled._cache.cache_path)


class Prepared:
    """One network, ready for estimates; not to be shared between threads."""

    def __init__(self, scenario: Scenario, *, states: int = STATES, seed: int = 0) -> None:
        if not STATES_LEAST <= states <= STATES_MOST or states & (states - 1):
            raise InvalidInput(f"{states} states is not a power of two in {STATES_LEAST}..{STATES_MOST}")
        self._scenario = scenario
        self._states = states
        self._seed = seed
        self._index = {node.address: place for place, node in enumerate(scenario.nodes)}
        self._links = build_links(scenario, self._index)
        self._rules = build_rules(scenario.profile, scenario.capture)
        self._work = make_work(len(scenario.nodes))
        self._runs: dict[tuple[str, int], list[FlowRun]] = {}  # by flow and surroundings
        self._surroundings = SurroundingsMaker(
            links=self._links,
            rules=self._rules,
            work=self._work,
            index=self._index,
            seed=seed,
            span_s=WARM_UP_S + states * SPACING_S + TAIL_S,
        )

    def estimate(self, change: Mapping[UnicastAddress, NodeSettings] | Scenario | None = None) -> FastAnswer:
        """The answer with ``change`` put on top of the prepared scenario, or for a scenario of the same network.

        A scenario may differ in settings, flows and background. Raises `InvalidInput` for an unknown address, or
        for a scenario with other nodes, links or another profile.
        """
        scenario = self._changed(change)
        if reason := find_reason(scenario):
            return self._decline(reason)
        streams = find_streams(scenario)
        settings = build_settings(scenario)
        around = self._surround(scenario, settings, streams)
        if around.declined is not None:
            return self._decline(around.declined, around.busiest_ratio)
        busy_s, is_loaded = around.busy_s, around.number > 0
        runs, reused = self._run_flows(scenario, settings, around)
        answers = self._answer_busy_s(scenario, settings)
        return FastAnswer(
            kpis=NetworkKpis(
                flows=tuple(summarise_flow(r.flow, r.latency_ns, is_loaded=is_loaded) for r in runs),
                airtime_ratio=make_airtime(compute_airtime_ratio(scenario, streams, busy_s, runs, answers)),
                reporting_airtime_ratio=compute_reporting_ratio(scenario, streams, busy_s),
            ),
            declined=None,
            profile=scenario.profile.name,
            seed=self._seed,
            states=self._states,
            reused_share=reused,
            busiest_ratio=around.busiest_ratio,
        )

    def reach_from(
        self, source: UnicastAddress, change: Mapping[UnicastAddress, NodeSettings] | Scenario | None = None
    ) -> ReachAnswer:
        """How every other node is reached by a message of ``source`` to all, in the scenario's order.

        All destinations come out of the same floods. Declines what `estimate` would decline. Raises `InvalidInput`
        for an unknown source.
        """
        scenario = self._changed(change)
        if source not in self._index:
            raise InvalidInput(f"unknown node {format_address(source)}", place=scenario.name)
        if reason := find_reason(scenario):
            return self._reach((), reason)
        settings = build_settings(scenario)
        around = self._surround(scenario, settings, find_streams(scenario))
        if around.declined is not None:
            return self._reach((), around.declined)
        members = tuple(node.address for node in scenario.nodes if node.address != source)
        name = f"from/{format_address(source)}"
        flow = ScenarioFlow(name=name, source=source, members=members, count=1, period_s=60.0)
        is_on = scenario.nodes[self._index[source]].is_on
        run, _ = self._run_flow(scenario, flow, settings, around, is_on)
        return self._reach(summarise_destinations(flow, run.latency_ns))

    def _reach(self, destinations: tuple[DestinationFigures, ...], declined: str | None = None) -> ReachAnswer:
        return ReachAnswer(
            destinations=destinations,
            declined=declined,
            profile=self._scenario.profile.name,
            seed=self._seed,
            states=self._states,
        )

    def _decline(self, reason: str, busiest_ratio: float = 0.0) -> FastAnswer:
        return FastAnswer(
            kpis=None,
            declined=reason,
            profile=self._scenario.profile.name,
            seed=self._seed,
            states=self._states,
            busiest_ratio=busiest_ratio,
        )

    def _changed(self, change: Mapping[UnicastAddress, NodeSettings] | Scenario | None) -> Scenario:
        base = self._scenario
        if change is None:
            return base
        if isinstance(change, Scenario):
            same_nodes = [(n.address, n.is_on, n.external_pdus_per_s) for n in change.nodes] == [
                (n.address, n.is_on, n.external_pdus_per_s) for n in base.nodes
            ]
            same_links = change.links is base.links or change.links == base.links
            if not (same_nodes and same_links and change.profile == base.profile and change.capture == base.capture):
                raise InvalidInput("nodes, links or profile are not those prepared; prepare anew", place=change.name)
            return change
        if strangers := sorted(set(change) - set(self._index)):
            raise InvalidInput(f"unknown node {format_address(strangers[0])}", place=base.name)
        nodes = tuple(_overlay(node, change[node.address]) if node.address in change else node for node in base.nodes)
        return replace(base, nodes=nodes)

    def _surround(self, scenario: Scenario, settings: SettingsTable, streams: Sequence[Stream]) -> Surroundings:
        around = self._surroundings.make(scenario, settings, streams)
        kept = self._surroundings.kept
        self._runs = {key: runs for key, runs in self._runs.items() if key[1] in kept}
        return around

    def _run_flows(
        self, scenario: Scenario, settings: SettingsTable, around: Surroundings
    ) -> tuple[list[FlowRun], float]:
        runs, done = [], 0
        on = {node.address for node in scenario.nodes if node.is_on}
        for flow in scenario.flows:
            run, fresh = self._run_flow(scenario, flow, settings, around, flow.source in on)
            runs.append(run)
            done += fresh
        total = max(1, self._states * len(scenario.flows))
        return runs, 1.0 - done / total

    def _run_flow(
        self, scenario: Scenario, flow: ScenarioFlow, settings: SettingsTable, around: Surroundings, is_on: bool
    ) -> tuple[FlowRun, int]:
        """The flow's states and how many of them were run afresh."""
        from meshtwin.fast.runner import run_states  # deferred: numba

        states, source = self._states, self._index[flow.source]
        members = np.asarray([self._index[a] for a in flow.members if a != flow.source], np.int64)
        earlier, air = self._runs.setdefault((flow.name, around.number), []), around.air
        run, chosen = begin_run(earlier, flow, settings, source, (states, len(members), BUSY_STATES))
        wanted = np.zeros(len(scenario.nodes), np.uint8)
        wanted[members] = 1
        starts_ns = np.full(states, QUIET_START_NS, np.int64)
        if air.is_loaded:
            starts_ns = ((WARM_UP_S + np.arange(states) * SPACING_S) * 1e9).astype(np.int64)
        ttl = int(settings.ttl[source]) if flow.ttl is None else flow.ttl
        if is_on and chosen.any():
            run_states(
                self._links, self._rules, settings, air, self._work,
                np.uint64(make_key(self._seed, "fast/flow", flow.name)), starts_ns, source, ttl,
                compute_airtime(scenario, flow.pdu_bytes), states.bit_length() - 1, wanted, members, chosen,
                run.latency_ns, run.read, run.busy_ns,
            )  # fmt: skip
        earlier.append(run)
        del earlier[:-KEPT_RUNS]
        return run, int(chosen.sum())

    def _answer_busy_s(self, scenario: Scenario, settings: SettingsTable) -> Mapping[str, float]:
        """Seconds of a channel that the answer to one message of each flow takes, if one is asked for."""
        from meshtwin.fast.runner import run_states  # deferred: numba

        taken = {}
        air, nobody = make_quiet_air(len(scenario.nodes)), np.zeros(len(scenario.nodes), np.uint8)
        for flow in scenario.flows:
            if not flow.response_pdu_bytes:
                continue
            source = self._index[flow.members[0]]
            busy_ns = np.zeros(BUSY_STATES, np.int64)
            key = np.uint64(make_key(self._seed, "fast/answer", flow.name))
            run_states(
                self._links, self._rules, settings, air, self._work, key,
                np.full(BUSY_STATES, QUIET_START_NS, np.int64), source, int(settings.ttl[source]),
                compute_airtime(scenario, flow.response_pdu_bytes), 0, nobody, np.zeros(0, np.int64),
                np.ones(BUSY_STATES, np.uint8), np.zeros((BUSY_STATES, 0), np.int64),
                np.zeros((BUSY_STATES, len(nobody)), np.uint8), busy_ns,
            )  # fmt: skip
            taken[flow.name] = float(busy_ns.mean()) * 1e-9
        return taken


def _overlay(node: ScenarioNode, settings: NodeSettings) -> ScenarioNode:
    return replace(
        node,
        relay=node.relay if settings.relay is None else settings.relay,
        ttl=node.ttl if settings.default_ttl is None else settings.default_ttl,
        network_transmit=settings.network_transmit or node.network_transmit,
        relay_retransmit=settings.relay_retransmit or node.relay_retransmit,
    )
