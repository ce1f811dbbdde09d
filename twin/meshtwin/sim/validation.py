"""Published tables as scenarios, and how far the simulator is from them.

Takes tables as parsed YAML (`tests/validation/*.yaml`, each with its source); reads no files. Office and grid are
other simulators (verification), the chain is a real stack in a simulated radio.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.mesh.nodes import Position
from meshtwin.radio.path_loss import compute_distance_m, compute_free_space_loss_db
from meshtwin.sim.engine import simulate
from meshtwin.sim.profiles import StackProfile, get_profile
from meshtwin.sim.results import MessageResult
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode

__all__ = [
    "ChainRow",
    "OfficeCell",
    "build_chain_scenario",
    "build_office_scenario",
    "hard_range_links",
    "run_chain",
    "run_office",
]

Table = Mapping[str, Any]  # parsed YAML of a published table
CHAIN_TRANSACTIONS = 20  # per node, as published
CONTRADICTORY_CELLS = frozenset({("4", 5)})  # contradicts its neighbours, see the README of the tables


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainRow:
    """Round trips over ``hops``: published and simulated mean and standard deviation, in milliseconds."""

    hops: int
    published_mean_ms: float
    simulated_mean_ms: float
    published_deviation_ms: float
    simulated_deviation_ms: float
    lost: int

    @property
    def relative_error(self) -> float:
        """Simulated over published mean, less 1."""
        return self.simulated_mean_ms / self.published_mean_ms - 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficeCell:
    """Delivery ratio of one relay set and TTL: published and simulated."""

    relay_set: str
    ttl: int
    published: float
    simulated: float


def hard_range_links(
    positions: Mapping[UnicastAddress, Position], range_m: float, tx_power_dbm: float = 0.0
) -> tuple[ScenarioLink, ...]:
    """Links between all nodes within ``range_m``, with free-space loss; none beyond."""
    return tuple(
        ScenarioLink(source=a, target=b, rx_power_dbm=tx_power_dbm - compute_free_space_loss_db(distance_m))
        for a, at in positions.items()
        for b, bt in positions.items()
        if a != b and (distance_m := compute_distance_m(at, bt)) <= range_m
    )


def build_chain_scenario(table: Table, profile: StackProfile | None = None) -> Scenario:
    """The chain of ten nodes: node 1 asks each other node, one transaction at a time."""
    conditions = table["conditions"]
    count = int(conditions["nodes"])
    power_dbm = conditions["tx_power_dbm"] - conditions["attenuation_db"]["adjacent"]
    transmit = Transmit(count=conditions["network_transmit"]["transmissions"] - 1, interval_steps=1)
    addresses = [UnicastAddress(i) for i in range(1, count + 1)]
    pause_s = float(conditions["pause_between_transactions_s"])
    return Scenario(
        name="chain",
        nodes=tuple(
            ScenarioNode(
                address=a, relay=True, ttl=conditions["ttl"], network_transmit=transmit, relay_retransmit=transmit
            )
            for a in addresses
        ),
        links=tuple(
            ScenarioLink(source=a, target=b, rx_power_dbm=power_dbm)
            for a in addresses
            for b in addresses
            if abs(a - b) == 1
        ),
        flows=tuple(
            ScenarioFlow(
                name=f"hops-{target - 1}",
                source=addresses[0],
                members=(target,),
                count=CHAIN_TRANSACTIONS,
                period_s=pause_s + 0.3,  # the pause begins when the answer is there; 0.3 s: the longest answer
                start_s=(target - 2) * CHAIN_TRANSACTIONS * (pause_s + 0.3),
                pdu_bytes=20,
                response_pdu_bytes=21,
                spread_in_period=False,
            )
            for target in addresses[1:]
        ),
        profile=get_profile("zephyr") if profile is None else profile,
    )


def run_chain(table: Table, *, seed: int, replications: int, profile: StackProfile | None = None) -> list[ChainRow]:
    """Simulated round trips beside the published ones, one row per number of hops."""
    scenario = build_chain_scenario(table, profile)
    messages = [m for r in range(replications) for m in simulate(scenario, seed=seed, replication=r).messages]
    published = table["round_trip_ms"]
    return [
        _chain_row(hops, [m for m in messages if m.flow == f"hops-{hops}"], published, place)
        for place, hops in enumerate(table["hops"])
    ]


def _chain_row(hops: int, messages: Sequence[MessageResult], published: Table, place: int) -> ChainRow:
    trips = [a.round_trip_ns / 1e6 for m in messages for a in m.arrivals if a.round_trip_ns is not None]
    return ChainRow(
        hops=hops,
        published_mean_ms=published["mean"][place],
        simulated_mean_ms=fmean(trips),
        published_deviation_ms=published["standard_deviation"][place],
        simulated_deviation_ms=stdev(trips),
        lost=len(messages) - len(trips),
    )


def build_office_scenario(table: Table, relay_set: str, ttl: int, profile: StackProfile | None = None) -> Scenario:
    """One cell of the office table: its four unicast flows, in phase, until the run's end."""
    conditions = table["conditions"]
    positions = {UnicastAddress(i): Position(*map(float, p)) for i, p in table["positions_m"].items()}
    relays = set(positions) if relay_set == "all" else set(table["relay_sets"][relay_set])
    transmit = Transmit(
        count=conditions["transmissions"] - 1, interval_steps=conditions["transmit_interval_ms"] // 10 - 1
    )
    period_s = 1.0 / conditions["rate_per_s"]
    return Scenario(
        name=f"office-{relay_set}-ttl-{ttl}",
        nodes=tuple(
            ScenarioNode(address=a, relay=a in relays, ttl=ttl, network_transmit=transmit, relay_retransmit=transmit)
            for a in positions
        ),
        links=hard_range_links(positions, conditions["reception_range_m"], conditions["tx_power_dbm"]),
        flows=tuple(
            ScenarioFlow(
                name=f"{source}-{target}",
                source=UnicastAddress(source),
                members=(UnicastAddress(target),),
                count=round(conditions["rate_per_s"] * (conditions["duration_s"] - 0.2)),
                period_s=period_s,
                start_s=period_s,
            )
            for source, target in conditions["flows"]
        ),
        profile=get_profile("mathworks") if profile is None else profile,
        duration_s=conditions["duration_s"],
    )


def run_office(
    table: Table,
    *,
    seed: int,
    replications: int,
    ttls: Sequence[int] = (4, 5, 6),
    profile: StackProfile | None = None,
) -> list[OfficeCell]:
    """Simulated delivery beside the published one; the contradictory cell (4 relays, TTL 5) is left out."""
    cells: list[OfficeCell] = []
    for relay_set, published in table["delivery_ratio"].items():
        for ttl, value in zip(table["ttl"], published, strict=True):
            if ttl not in ttls or (relay_set, ttl) in CONTRADICTORY_CELLS:
                continue
            scenario = build_office_scenario(table, relay_set, ttl, profile)
            runs = [simulate(scenario, seed=seed, replication=r) for r in range(replications)]
            reached = [float(m.reached_all) for run in runs for m in run.messages]
            cells.append(OfficeCell(relay_set=relay_set, ttl=ttl, published=value, simulated=fmean(reached)))
    return cells
