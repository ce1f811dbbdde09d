"""The office of 52 nodes: delivery against TTL and relay set, by the MathWorks toolbox. Nothing is fitted on it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.mesh.nodes import Position
from meshtwin.radio.path_loss import compute_distance_m, compute_free_space_loss_db
from meshtwin.sim.engine import simulate
from meshtwin.sim.profiles import StackProfile, get_profile
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.validation.figures import (
    ValidationFigure,
    at_least,
    at_most,
    kendall_tau,
    leave_one_out_error,
    told,
)
from meshtwin.sim.validation.office_noise import (
    MESSAGES,
    list_column_rankings,
    list_redrawn_rankings,
    list_single_run_rankings,
    tell_spread,
)
from meshtwin.sim.validation.office_replay import SCRIPT_STOP_S, count_arrivals
from meshtwin.sim.validation.tables import Table

__all__ = [
    "RANKED_TTL",
    "SLOPING_TTLS",
    "OfficeCell",
    "build_office_scenario",
    "hard_range_links",
    "judge_office",
    "list_cells",
    "list_office_positions",
    "replay_office",
    "run_office",
    "tell_ranking_noise",
    "tell_script_stop",
]

CONTRADICTORY_CELLS = frozenset({("4", 5)})  # 0, where its neighbours are 0.3167: contradicts them
PDU_BYTES = 16  # generic on/off set with transition time and delay; the toolbox adds neither TransMIC nor NetMIC
SLOPING_TTLS = (4, 5, 6)  # elsewhere the table is flat
RANKED_TTL = 6
RANKING_MUST, RANKING_AIM = 0.7, 0.9
RANKING = f"ranking of the six relay sets at TTL {RANKED_TTL}, Kendall's tau"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficeCell:
    """Delivery ratio of one relay set and TTL: published, simulated in each run, and its mean."""

    relay_set: str
    ttl: int
    published: float
    runs: tuple[float, ...]

    @property
    def simulated(self) -> float:
        """Mean over runs."""
        return fmean(self.runs)


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


def build_office_scenario(
    table: Table, relay_set: str, ttl: int, profile: StackProfile | None = None, duration_s: float | None = None
) -> Scenario:
    """One cell of the table: its four unicast flows, in phase, until the run's end (None: as the table says)."""
    conditions = table["conditions"]
    positions = list_office_positions(table)
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
                pdu_bytes=PDU_BYTES,
            )
            for source, target in conditions["flows"]
        ),
        profile=get_profile("mathworks") if profile is None else profile,
        duration_s=conditions["duration_s"] if duration_s is None else duration_s,
    )


def run_office(
    table: Table,
    *,
    seed: int,
    replications: int,
    ttls: Sequence[int] | None = SLOPING_TTLS,
    profile: StackProfile | None = None,
    engine: str = "reference",
    duration_s: float | None = None,
    tell: Callable[[float], None] = lambda share: None,
) -> list[OfficeCell]:
    """Simulated delivery beside the published one; ``ttls`` None: all. Cells that contradict themselves are left out.

    Every cell meets the same seeds, as in the publication.
    """
    wanted = list_cells(table, ttls)
    cells = []
    for relay_set, ttl, value in wanted:
        scenario = build_office_scenario(table, relay_set, ttl, profile, duration_s)
        runs = tuple(_delivery(scenario, seed, replication, engine) for replication in range(replications))
        cells.append(OfficeCell(relay_set=relay_set, ttl=ttl, published=value, runs=runs))
        tell(len(cells) / len(wanted))
    return cells


def list_office_positions(table: Table) -> dict[UnicastAddress, Position]:
    """Where each node of the office is."""
    return {UnicastAddress(i): Position(*map(float, p)) for i, p in table["positions_m"].items()}


def list_cells(table: Table, ttls: Sequence[int] | None) -> list[tuple[str, int, float]]:
    """Relay set, TTL and published delivery of each cell (``ttls`` None: of all) that does not contradict itself."""
    return [
        (relay_set, ttl, value)
        for relay_set, published in table["delivery_ratio"].items()
        for ttl, value in zip(table["ttl"], published, strict=True)
        if (ttls is None or ttl in ttls) and (relay_set, ttl) not in CONTRADICTORY_CELLS
    ]


def _delivery(scenario: Scenario, seed: int, replication: int, engine: str) -> float:
    messages = simulate(scenario, seed=seed, replication=replication, engine=engine).messages
    return fmean(float(message.reached_all) for message in messages)


def judge_office(cells: Sequence[OfficeCell], runs: int) -> tuple[list[ValidationFigure], list[dict[str, object]]]:
    """The figures of the office, and its cells for people; the figure over all cells only if all were run."""
    sloping = [cell for cell in cells if cell.ttl in SLOPING_TTLS]
    ranked = [cell for cell in cells if cell.ttl == RANKED_TTL]
    alone = list_single_run_rankings({cell.relay_set: cell.runs for cell in ranked})
    figures = [
        at_most(
            "office", "delivery, TTL 4-6, mean absolute error", _error(sloping), 0.02, 0.012,
            floor=_floor(sloping), runs=runs, note="cell of 4 relays and TTL 5 left out: it contradicts its neighbours",
        ),
        at_least(
            "office", RANKING, _rank(ranked), RANKING_MUST, RANKING_AIM, floor=fmean(alone), runs=runs,
            note=f"perfect model: {tell_spread(alone, RANKING_MUST)}; neighbours differ by one message of {MESSAGES}",
        ),
    ]  # fmt: skip
    if len(cells) > len(sloping):
        figures.append(
            at_most(
                "office", f"delivery, all {len(cells)} cells, mean absolute error", _error(cells), 0.014, None,
                floor=_floor(cells), runs=runs,
            )
        )  # fmt: skip
    rows: list[dict[str, object]] = [
        {"table": "office", "relay_set": c.relay_set, "ttl": c.ttl, "published": c.published, "simulated": c.simulated}
        for c in cells
    ]
    return figures, rows


def tell_ranking_noise(table: Table, seed: int) -> list[ValidationFigure]:
    """The published ranking against itself: its flat columns, and the column drawn again."""
    witnesses = {
        f"published TTL {RANKED_TTL} against published TTL 7 and more": list_column_rankings(table, RANKED_TTL),
        f"published TTL {RANKED_TTL}, drawn again message by message, against itself": list_redrawn_rankings(
            table, RANKED_TTL, seed
        ),
    }
    return [
        told(
            "office", f"{RANKING}: {name}", fmean(taus), runs=len(taus),
            note=f"{tell_spread(taus, RANKING_MUST)}; no model in it",
        )
        for name, taus in witnesses.items()
        if taus
    ]  # fmt: skip


def tell_script_stop(cells: Sequence[OfficeCell], runs: int) -> ValidationFigure:
    """The error of ``cells`` that ran as long as the script behind the table says."""
    return told(
        "office", f"delivery, TTL 4-6, mean absolute error: runs of {SCRIPT_STOP_S:g} s, as in the table's script",
        _error(cells), floor=_floor(cells), runs=runs, note="the table says 10.2 s",
    )  # fmt: skip


def replay_office(table: Table) -> tuple[list[ValidationFigure], list[OfficeCell]]:
    """What the toolbox's rules give with the published run's own random numbers, TTL 4 to 6 (`office_replay`)."""
    cells = [
        OfficeCell(
            relay_set=relay_set, ttl=ttl, published=value, runs=(count_arrivals(table, relay_set, ttl) / MESSAGES,)
        )
        for relay_set, ttl, value in list_cells(table, SLOPING_TTLS)
    ]  # fmt: skip
    name, note = "published random numbers", "one run, the published one, by a second implementation of the rules"
    return [
        told("office", f"delivery, TTL 4-6, mean absolute error: {name}", _error(cells), runs=1, note=note),
        told("office", f"{RANKING}: {name}", _rank(cells), runs=1, note=note),
    ], cells


def _error(cells: Sequence[OfficeCell]) -> float:
    return fmean(abs(cell.simulated - cell.published) for cell in cells)


def _rank(cells: Sequence[OfficeCell]) -> float:
    ranked = [cell for cell in cells if cell.ttl == RANKED_TTL]
    return kendall_tau([cell.published for cell in ranked], [cell.simulated for cell in ranked])


def _floor(cells: Sequence[OfficeCell]) -> float:
    return leave_one_out_error(list(zip(*(cell.runs for cell in cells), strict=True)))
