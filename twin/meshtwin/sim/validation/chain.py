"""The chain of ten nodes: round trips per hop on the real Zephyr stack in a simulated radio.

Two constants of the Zephyr profile are fitted on this table, on hops 1 to 4 alone (`tests/validation/fit.py`):
the time between hearing a message and sending it on, and its jitter.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import fmean, median, stdev

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.engine import simulate
from meshtwin.sim.profiles import StackProfile, get_profile
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.validation.figures import MEAN_ABSOLUTE, ValidationFigure, at_most, told
from meshtwin.sim.validation.tables import Table

__all__ = ["FITTED_HOPS", "ChainRow", "build_chain_scenario", "judge_chain", "run_chain"]

CHAIN_TRANSACTIONS = 20  # per node, as published
FITTED_HOPS = 4  # the Zephyr profile is fitted on hops 1..4
SLOWEST_S = 0.3  # longer than any round trip of the table: the pause begins when the answer is there
MEDIAN_OVER_MEAN = 1.2533  # standard error of a median over that of a mean, for a normal sample


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainRow:
    """Round trips over ``hops``, in milliseconds; ``lost`` transactions of all simulated ones.

    ``simulated_deviation_ms`` is the median over runs of a run's standard deviation: the published one is that of
    one run of 20 transactions, in most of which nothing rare happens.
    """

    hops: int
    published_mean_ms: float
    simulated_mean_ms: float
    published_median_ms: float
    simulated_median_ms: float
    published_deviation_ms: float
    simulated_deviation_ms: float
    lost: int

    @property
    def relative_error(self) -> float:
        """Simulated over published mean, less 1."""
        return self.simulated_mean_ms / self.published_mean_ms - 1.0

    @property
    def median_error(self) -> float:
        """Simulated over published median, less 1."""
        return self.simulated_median_ms / self.published_median_ms - 1.0

    @property
    def deviation_error(self) -> float:
        """Simulated over published standard deviation, less 1."""
        return self.simulated_deviation_ms / self.published_deviation_ms - 1.0


def build_chain_scenario(table: Table, profile: StackProfile | None = None) -> Scenario:
    """Node 1 asks each other node, one transaction at a time."""
    conditions = table["conditions"]
    count = int(conditions["nodes"])
    power_dbm = conditions["tx_power_dbm"] - conditions["attenuation_db"]["adjacent"]
    transmit = Transmit(count=conditions["network_transmit"]["transmissions"] - 1, interval_steps=1)
    addresses = [UnicastAddress(i) for i in range(1, count + 1)]
    period_s = float(conditions["pause_between_transactions_s"]) + SLOWEST_S
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
                period_s=period_s,
                start_s=(target - 2) * CHAIN_TRANSACTIONS * period_s,
                pdu_bytes=20,
                response_pdu_bytes=21,
                spread_in_period=False,
            )
            for target in addresses[1:]
        ),
        profile=get_profile("zephyr") if profile is None else profile,
    )


def run_chain(
    table: Table,
    *,
    seed: int,
    replications: int,
    profile: StackProfile | None = None,
    engine: str = "reference",
    tell: Callable[[float], None] = lambda share: None,
) -> list[ChainRow]:
    """Simulated round trips beside the published ones, one row per number of hops."""
    scenario = build_chain_scenario(table, profile)
    trips: dict[int, list[list[float]]] = {hops: [] for hops in table["hops"]}
    for replication in range(replications):
        result = simulate(scenario, seed=seed, replication=replication, engine=engine)
        for hops, runs in trips.items():
            messages = [m for m in result.messages if m.flow == f"hops-{hops}"]
            runs.append([a.round_trip_ns / 1e6 for m in messages for a in m.arrivals if a.round_trip_ns is not None])
        tell((replication + 1) / replications)
    return [_row(hops, runs, table["round_trip_ms"], place) for place, (hops, runs) in enumerate(trips.items())]


def _row(hops: int, runs: Sequence[Sequence[float]], published: Mapping[str, Sequence[float]], place: int) -> ChainRow:
    trips = [trip for run in runs for trip in run]
    spreads = [stdev(run) for run in runs if len(run) > 1]
    if not spreads:
        raise InvalidInput(f"no transaction over {hops} hops came back", place="chain")
    return ChainRow(
        hops=hops,
        published_mean_ms=published["mean"][place],
        simulated_mean_ms=fmean(trips),
        published_median_ms=published["median"][place],
        simulated_median_ms=median(trips),
        published_deviation_ms=published["standard_deviation"][place],
        simulated_deviation_ms=median(spreads),
        lost=CHAIN_TRANSACTIONS * len(runs) - len(trips),
    )


def judge_chain(rows: Sequence[ChainRow], runs: int) -> tuple[list[ValidationFigure], list[dict[str, object]]]:
    """The figures of the chain, and its rows for people."""
    predicted = [row for row in rows if row.hops > FITTED_HOPS]
    fitted = [row for row in rows if row.hops <= FITTED_HOPS]
    deviations = [abs(row.deviation_error) for row in rows]
    spread_floor = MEAN_ABSOLUTE / sqrt(2 * (CHAIN_TRANSACTIONS - 1))
    note = "two constants of the profile fitted on hops 1 to 4"
    figures = [
        at_most(
            "chain", "mean round trip, hops 5-9 predicted, mean absolute error",
            fmean(abs(r.relative_error) for r in predicted), 0.06, 0.04, floor=_floor(predicted), runs=runs, note=note,
        ),
        told(
            "chain", "mean round trip, hops 1-4 fitted, mean absolute error",
            fmean(abs(r.relative_error) for r in fitted), floor=_floor(fitted), runs=runs,
        ),
        at_most(
            "chain", "median, mean absolute error over hops 1-9",
            fmean(abs(r.median_error) for r in rows), 0.08, 0.05, floor=_floor(rows) * MEDIAN_OVER_MEAN, runs=runs,
        ),
        at_most(
            "chain", "standard deviation, mean absolute error over hops 1-9",
            fmean(deviations), 0.35, 0.20, floor=spread_floor, runs=runs,
            note=f"{sum(d <= 0.35 for d in deviations)} of {len(rows)} hops within 0.35, worst {max(deviations):.2f}",
        ),
    ]  # fmt: skip
    return figures, [{"table": "chain", **asdict(row)} for row in rows]


def _floor(rows: Sequence[ChainRow]) -> float:
    """Mean absolute relative error of a mean of 20 transactions that a perfect model would show."""
    share = MEAN_ABSOLUTE / sqrt(CHAIN_TRANSACTIONS)
    return fmean(share * row.published_deviation_ms / row.published_mean_ms for row in rows)
