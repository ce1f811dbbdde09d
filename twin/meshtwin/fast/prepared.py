"""Estimates of many configurations of one network: link tables, draws and what can be kept of earlier estimates.

What is kept between estimates of one `Prepared`: the link tables; all draws (they are keyed, so every configuration
meets the same states); the surroundings (what else is on the air), for configurations that give the same; and,
within the same surroundings, the states of a flow in which no node with other settings was reached before the last
member was. Such a state can't come out differently, so an incremental estimate equals one from scratch exactly.
Under load nearly every change is a change of the surroundings; `Prepared.estimate_near` answers small ones from those
of the prepared scenario (`meshtwin.fast.patching`), near and cheap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from meshtwin.errors import InvalidInput
from meshtwin.fast.airtime import compute_airtime_ratio, compute_reporting_ratio
from meshtwin.fast.answer import DestinationFigures, FastAnswer, ReachAnswer
from meshtwin.fast.arrays import Ints, SettingsTable
from meshtwin.fast.declining import find_crowding, find_cut, find_links_reason, find_reason
from meshtwin.fast.figures import find_errors, make_airtime, summarise_destinations, summarise_flow
from meshtwin.fast.patching import Base, find_patch, scale_busy, without_relayed
from meshtwin.fast.quiet import Flood, QuietFloods
from meshtwin.fast.reusing import FlowRun, begin_patched_run, begin_run
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
        self._without_links = replace(scenario, links=())  # checks of links are most of a new scenario's cost
        self._links_reason = find_links_reason(scenario)
        self._reason = find_reason(scenario) or self._links_reason
        self._settings = build_settings(scenario)
        self._base: Base | None = None  # of `estimate_near`
        self._states = states
        self._seed = seed
        self._index = {node.address: place for place, node in enumerate(scenario.nodes)}
        self._links = build_links(scenario, self._index)
        self._rules = build_rules(scenario.profile, scenario.capture)
        self._work = make_work(len(scenario.nodes))
        self._quiet = QuietFloods(
            links=self._links,
            rules=self._rules,
            work=self._work,
            air=make_quiet_air(len(scenario.nodes)),
            index=self._index,
            seed=seed,
        )
        self._runs: dict[tuple[str, int], list[FlowRun]] = {}  # by flow and surroundings
        self._surroundings = SurroundingsMaker(quiet=self._quiet, states=states)

    def estimate(self, change: Mapping[UnicastAddress, NodeSettings] | Scenario | None = None) -> FastAnswer:
        """The answer with ``change`` put on top of the prepared scenario, or for a scenario of the same network.

        A scenario may differ in settings, flows and background. Raises `InvalidInput` for an unknown address, or
        for a scenario with other nodes, links or another profile.
        """
        scenario = self._changed(change)
        if reason := self._find_reason(scenario):
            return self._decline(reason)
        streams = find_streams(scenario)
        settings = self._build_settings(scenario)
        around = self._surround(scenario, settings, streams)
        if around.declined is not None:
            return self._decline(around.declined, around.busiest_ratio)
        runs = [self._run_flow(scenario, flow, settings, around) for flow in scenario.flows]
        return self._answer(scenario, settings, streams, around, runs)

    def compute_latencies_ns(self) -> tuple[Ints, ...]:
        """Of the prepared scenario, per flow (states, members but the source), -1: not reached; () where it declines.

        After `estimate` they cost nothing more, since its states are kept.
        """
        scenario = self._scenario
        around = None if self._reason else self._surround(scenario, self._settings, find_streams(scenario))
        if around is None or around.declined is not None:
            return ()
        return tuple(self._run_flow(scenario, flow, self._settings, around)[0].latency_ns for flow in scenario.flows)

    def estimate_near(self, change: Mapping[UnicastAddress, NodeSettings] | Scenario) -> FastAnswer:
        """As `estimate`, but near where few nodes relay otherwise than prepared: `FastAnswer.patched_nodes` says so.

        It depends on the prepared scenario and ``change`` alone, not on what was asked before.
        """
        scenario = self._changed(change)
        if self._find_reason(scenario):
            return self.estimate(change)
        if self._base is None:
            self._base = self._make_base()
        base, streams, settings = self._base, find_streams(scenario), self._build_settings(scenario)
        places = find_patch(base, scenario, settings, streams)
        busy_s = (
            scale_busy(base, self._quiet.compute_streams_busy_s(scenario, settings, streams)) if len(places) else None
        )
        if busy_s is None:
            return self.estimate(change)
        around = replace(base.around, busy_s=busy_s)
        with without_relayed(around.air, settings, places):
            runs = [
                self._run_flow(scenario, flow, settings, around, run)
                for flow, run in zip(scenario.flows, base.runs, strict=True)
            ]
        return replace(self._answer(scenario, settings, streams, around, runs), patched_nodes=len(places))

    def _make_base(self) -> Base:
        scenario = self._scenario
        settings, streams = self._build_settings(scenario), find_streams(scenario)
        around = self._surround(scenario, settings, streams)
        flows = scenario.flows if around.declined is None else ()
        return Base(
            scenario=scenario,
            settings=settings,
            streams=streams,
            around=around,
            runs=tuple(self._run_flow(scenario, flow, settings, around)[0] for flow in flows),
            quiet_s=self._quiet.compute_streams_busy_s(scenario, settings, streams),
        )

    def _answer(
        self,
        scenario: Scenario,
        settings: SettingsTable,
        streams: Sequence[Stream],
        around: Surroundings,
        told: Sequence[tuple[FlowRun, int]],
    ) -> FastAnswer:
        """The answer from the runs of the flows, each with how many states were run afresh."""
        busy_s = around.busy_s
        runs = [run for run, _ in told]
        latencies_ns = [run.latency_ns for run in runs]
        if reason := find_cut(scenario, latencies_ns) or find_crowding(scenario, latencies_ns):
            return self._decline(reason, around.busiest_ratio)
        answers = self._answer_busy_s(scenario, settings)
        fresh = sum(count for _, count in told) / max(1, self._states * len(told))
        return FastAnswer(
            kpis=NetworkKpis(
                flows=tuple(summarise_flow(r.flow, r.latency_ns, around.busiest_ratio) for r in runs),
                airtime_ratio=make_airtime(
                    compute_airtime_ratio(scenario, streams, busy_s, runs, answers),
                    find_errors(self._states, around.busiest_ratio).airtime,
                ),
                reporting_airtime_ratio=compute_reporting_ratio(scenario, streams, busy_s),
            ),
            declined=None,
            profile=scenario.profile.name,
            seed=self._seed,
            states=self._states,
            reused_share=1.0 - fresh,
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
        if reason := self._find_reason(scenario):
            return self._reach((), reason)
        settings = self._build_settings(scenario)
        around = self._surround(scenario, settings, find_streams(scenario))
        if around.declined is not None:
            return self._reach((), around.declined)
        members = tuple(node.address for node in scenario.nodes if node.address != source)
        name = f"from/{format_address(source)}"
        flow = ScenarioFlow(name=name, source=source, members=members, count=1, period_s=60.0)
        run, _ = self._run_flow(scenario, flow, settings, around)
        return self._reach(summarise_destinations(flow, run.latency_ns, around.busiest_ratio))

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
        return replace(self._without_links, nodes=nodes)

    def _find_reason(self, scenario: Scenario) -> str | None:
        return self._reason if scenario is self._scenario else find_reason(scenario) or self._links_reason

    def _build_settings(self, scenario: Scenario) -> SettingsTable:
        return self._settings if scenario is self._scenario else build_settings(scenario)

    def _surround(self, scenario: Scenario, settings: SettingsTable, streams: Sequence[Stream]) -> Surroundings:
        around = self._surroundings.make(scenario, settings, streams)
        kept = self._surroundings.kept
        self._runs = {key: runs for key, runs in self._runs.items() if key[1] in kept}
        return around

    def _run_flow(
        self,
        scenario: Scenario,
        flow: ScenarioFlow,
        settings: SettingsTable,
        around: Surroundings,
        base: FlowRun | None = None,
    ) -> tuple[FlowRun, int]:
        """The flow's states and how many of them were run afresh; ``base``: told from it, near, and not kept."""
        from meshtwin.fast.runner import run_states  # deferred: numba

        states, source = self._states, self._index[flow.source]
        members = np.asarray([self._index[a] for a in flow.members if a != flow.source], np.int64)
        earlier, air = self._runs.setdefault((flow.name, around.number), []), around.air
        if base is not None:
            run, chosen = begin_patched_run(base, flow, settings, source)
        else:
            run, chosen = begin_run(earlier, flow, settings, source, (states, len(members), BUSY_STATES))
        wanted = np.zeros(len(scenario.nodes), np.uint8)
        wanted[members] = 1
        ttl = int(settings.ttl[source]) if flow.ttl is None else flow.ttl
        if scenario.nodes[source].is_on and chosen.any():
            run_states(
                self._links, self._rules, settings, air, self._work,
                np.uint64(make_key(self._seed, "fast/flow", flow.name)), around.starts_ns, source, ttl,
                compute_airtime(scenario, flow.pdu_bytes), states.bit_length() - 1, wanted, members, chosen,
                run.latency_ns, run.read, run.busy_ns,
            )  # fmt: skip
        if base is None:
            earlier.append(run)
            del earlier[:-KEPT_RUNS]
        return run, int(chosen.sum())

    def _answer_busy_s(self, scenario: Scenario, settings: SettingsTable) -> Mapping[str, float]:
        """Seconds of a channel that the answer to one message of each flow takes, if one is asked for."""
        taken = {}
        for flow in scenario.flows:
            if flow.response_pdu_bytes:
                key = make_key(self._seed, "fast/answer", flow.name)
                airtime_ns = compute_airtime(scenario, flow.response_pdu_bytes)
                answer = Flood(flow.members[0], flow.source, None, airtime_ns)
                taken[flow.name] = self._quiet.compute_busy_s(settings, answer, key, BUSY_STATES)
        return taken


def _overlay(node: ScenarioNode, settings: NodeSettings) -> ScenarioNode:
    return replace(
        node,
        relay=node.relay if settings.relay is None else settings.relay,
        ttl=node.ttl if settings.default_ttl is None else settings.default_ttl,
        network_transmit=settings.network_transmit or node.network_transmit,
        relay_retransmit=settings.relay_retransmit or node.relay_retransmit,
    )
