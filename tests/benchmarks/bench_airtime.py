"""``python -m tests.benchmarks airtime``: airtime foreseen beside what the emulated office then takes.

The sample building with its real gateways in simulated time (`tests.integration.office_in_one_process`): 300 s of
filling, the twins' prediction of what is in force and of a lean configuration, ten minutes of each, nothing asked
meanwhile, and what the twins say three minutes after the lean one was pushed. Flows, notifications, reports and the
gateways' upkeep are all in it. Verification against a stand-in of our own. ``MESHTWIN_BENCH_AIRTIME_SEEDS``: other
buildings, as in ``64001,64002``.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

import structlog
import yaml
from tests.benchmarks.figures import Figure, at_most, told
from tests.benchmarks.following import follow
from tests.integration.office_in_one_process import Building

from meshtwin.emulation.scenario import read_scenario
from meshtwin.fast import estimate
from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit
from meshtwin.sim.engine import simulate_replications
from meshtwin.sim.from_snapshot import scenario_from_snapshot
from meshtwin.sim.results import summarise

COMMAND: Final = "python -m tests.benchmarks airtime"
SEEDS: Final = tuple(int(s) for s in os.environ.get("MESHTWIN_BENCH_AIRTIME_SEEDS", "63001,63002,63003").split(","))
SAMPLES: Final = Path(__file__).parents[2] / "manifests" / "samples"
FILLING_S: Final = 300.0
WINDOW_S: Final = 600.0
AFTER_PUSH_S: Final = 180.0
REPLICATIONS: Final = 8
# Chosen by eye on the floor plan, before anything was measured: two rows of relays along the corridor.
RELAYS: Final = frozenset((0x05, 0x14, *range(0x28, 0x34)))
TWICE, THRICE = Transmit(count=1, interval_steps=1), Transmit(count=2, interval_steps=1)
BOUND: Final = 0.10  # of the mean over nodes: the two flows' own messages differ by half of that between windows


@dataclass(frozen=True, kw_only=True)
class Airtime:
    """Shares of time: mean over nodes, and at each gateway's node; ``quick`` is the fast model's mean."""

    mean: float
    at_gateways: tuple[float, ...]
    quick: float | None = None


def run() -> list[Figure]:
    """The largest errors over buildings, by what was foreseen."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))  # gateways tell much
    errors: dict[str, list[tuple[float, float, float]]] = {}
    for seed in follow(SEEDS, len(SEEDS), "airtime, buildings"):
        for name, foreseen, seen in compare(seed):
            mean, quick = foreseen.mean / seen.mean - 1.0, (foreseen.quick or 0.0) / seen.mean - 1.0
            there = [a / b - 1.0 for a, b in zip(foreseen.at_gateways, seen.at_gateways, strict=True)]
            print(
                f"{seed} {name}: foreseen {foreseen.mean:.3%}, measured {seen.mean:.3%}, {mean:+.1%}; fast model "
                f"{quick:+.1%}; at gateways {' '.join(f'{error:+.0%}' for error in there)}",
                flush=True,
            )
            errors.setdefault(name, []).append((mean, quick, max(there, key=abs)))
    figures = []
    for name, rows in errors.items():
        largest, quickest, at_gateway = (max(abs(row[i]) for row in rows) for i in range(3))
        figures += [
            at_most(f"airtime {name}: mean over nodes off by, largest", largest, BOUND, "share of it", COMMAND),
            told(f"airtime {name}: mean error", fmean(row[0] for row in rows), "share of it", COMMAND),
            told(f"airtime {name}: fast model off by, largest", quickest, "share of it", COMMAND),
            told(f"airtime {name}: at a gateway's node off by, largest", at_gateway, "share of it", COMMAND),
        ]
    return figures


def compare(seed: int) -> list[tuple[str, Airtime, Airtime]]:
    """What was foreseen and measured of one building, by name."""
    manifests = list(yaml.safe_load_all((SAMPLES / "office" / "segments.yaml").read_text()))
    mesh = read_scenario(SAMPLES / "emulated-building" / "mesh.yaml")
    building = Building(mesh, seed, manifests, SAMPLES / "office")
    building.adopt(FILLING_S)
    addresses = {name: segment.facts.inventory.addresses for name, segment in building.segments.items()}
    lean = {a: _lean(a in RELAYS) for part in addresses.values() for a in part}
    now, then = foresee(building), foresee(building, Configuration.of(lean))
    before = measure(building)
    for revision, (name, part) in enumerate(addresses.items(), start=1):
        building.push(name, Configuration.of({a: lean[a] for a in part}), revision)
    building.run(AFTER_PUSH_S)
    later, after = foresee(building), measure(building)
    return [("in force", now, before), ("lean, foreseen", then, after), ("lean, after the push", later, after)]


def _lean(is_relay: bool) -> NodeSettings:
    return NodeSettings(relay=is_relay, relay_retransmit=TWICE, network_transmit=THRICE, default_ttl=10)


def foresee(building: Building, configuration: Configuration | None = None) -> Airtime:
    """By the simulator and the fast model, from what the twins believe."""
    scenario = scenario_from_snapshot(building.snapshot().snapshot, configuration)
    kpis = summarise(simulate_replications(scenario, seed=1, replications=REPLICATIONS, engine="auto"), scenario.flows)
    quick = estimate(scenario).kpis
    return Airtime(
        mean=kpis.airtime_ratio.estimate,
        at_gateways=tuple(ratio.estimate for _, ratio in kpis.airtime_at),
        quick=None if quick is None else quick.airtime_ratio.estimate,
    )


def measure(building: Building) -> Airtime:
    """What nodes hear and send while nobody asks for anything."""
    begin = building.world.truth()["busyS"]
    building.run(WINDOW_S)
    end = building.world.truth()["busyS"]
    busy = {node: (end[node] - begin[node]) / WINDOW_S for node in end}
    gateways = sorted(gateway.node for gateway in building.scenario.gateways)
    return Airtime(mean=fmean(busy.values()), at_gateways=tuple(busy[node] for node in gateways))
