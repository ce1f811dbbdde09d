"""A network whose truth is known: observed as a twin observes it, measured as nobody can.

>>> network = make_network("office", nodes=30, seed=1)
>>> snapshot = network.observe(minutes=30)
>>> flows = network.measure(network.configuration, presses=100, seed=5)
>>> truth = network.true_delivery()

Equal arguments give equal results in every process. Cost on one core of an ordinary computer: `make_network` 0.1 s,
`observe` and `measure` see the table in ``twin/MODELS.md``.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from meshtwin.emulation.scenario import MeshScenario
from meshtwin.emulation.world import World
from meshtwin.gateway.memory import Monitoring
from meshtwin.mesh.addresses import GroupAddress, UnicastAddress, is_unicast
from meshtwin.mesh.configuration import Configuration, NodeSettings
from meshtwin.mesh.nodes import Flow, Inventory, Node, Position
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.twins.snapshot import SegmentFacts, take_snapshot
from meshtwin.twins.state import TwinState
from tests.truth.hidden import Hidden, draw_hidden, draw_radio, fade_for_ever, mean_channel_loss
from tests.truth.making import (
    MESH_UUID,
    choose_dead,
    draw_configuration,
    draw_flows,
    find_usable,
    is_connected,
    spacing_for,
    to_entries,
    to_scenario,
)
from tests.truth.places import KINDS, place_nodes
from tests.truth.pressing import FlowTruth, press_flows
from tests.truth.reporting import START, Collector, plan_monitoring

__all__ = ["TruthNetwork", "make_network"]

DRAWS_MAX = 200  # networks drawn until one hangs together
PRESS_SPACING_S = 1.2  # mean time between presses while measuring: floods do not meet


@dataclass(frozen=True, kw_only=True)
class TruthNetwork:
    """``seed`` draws the place; observing and measuring have dice of their own.

    ``configuration`` is in force while observing. ``dead`` are node indices (address - 1) of relays that do not
    relay, although they say so.
    """

    kind: str
    seed: int
    scenario: MeshScenario
    hidden: Hidden
    flows: tuple[Flow, ...]
    groups: dict[int, frozenset[int]]
    configuration: Configuration
    dead: frozenset[int] = frozenset()
    notification_interval_s: float = 10.0
    report_interval_s: float = 60.0
    airtime_budget_percent: float = 1.0

    @cached_property
    def inventory(self) -> Inventory:
        """What was commissioned; places are told to about 0.3 m."""
        rng = random.Random(f"{self.seed}/survey")
        return Inventory(
            mesh_uuid=MESH_UUID,
            nodes=tuple(
                Node(
                    address=UnicastAddress(i + 1),
                    device_uuid=f"{MESH_UUID[:-4]}{i + 1:04x}",
                    groups=frozenset(GroupAddress(g) for g, members in self.groups.items() if i in members),
                    position=Position(node.x + rng.gauss(0, 0.3), node.y + rng.gauss(0, 0.3)),
                )
                for i, node in enumerate(self.scenario.nodes)
            ),
            gateway_address=UnicastAddress(int(self.scenario.gateways[0].node, 16)),
        )

    @property
    def facts(self) -> SegmentFacts:
        """What the twin is told."""
        return SegmentFacts(
            name="truth",
            inventory=self.inventory,
            flows=self.flows,
            notification_interval_s=self.notification_interval_s,
            report_interval_s=self.report_interval_s,
            airtime_budget_ratio=self.airtime_budget_percent / 100,
        )

    def observe_state(
        self, minutes: float, *, seed: int = 0, rssi_errors_db: Sequence[float] | None = None
    ) -> TwinState:
        """What the twin has folded after ``minutes`` of monitoring; the application's own traffic goes on.

        ``rssi_errors_db``: by how much the radio of each node reads power too high; None: not at all.
        """
        world = self._world(self.configuration, f"observe/{seed}", with_flows=True)
        for firmware, error_db in zip(world.firmwares, rssi_errors_db or (), strict=False):
            firmware.rssi_error_db = error_db
        collector = Collector(world, self.configuration, self._monitoring())
        world.env.run(until=minutes * 60)
        return collector.state

    def snapshot(self, state: TwinState, minutes: float) -> Snapshot:
        """What the twin believes, given what it folded."""
        return take_snapshot(self.facts, state, START.timestamp() + minutes * 60).snapshot

    def observe(self, minutes: float, *, seed: int = 0, rssi_errors_db: Sequence[float] | None = None) -> Snapshot:
        """What the twin believes after ``minutes`` of monitoring."""
        return self.snapshot(self.observe_state(minutes, seed=seed, rssi_errors_db=rssi_errors_db), minutes)

    def measure(
        self, configuration: Configuration, presses: int, seed: int, *, spacing_s: float = PRESS_SPACING_S
    ) -> tuple[FlowTruth, ...]:
        """What happens to ``presses`` messages of every flow under ``configuration``, monitoring going on.

        Nodes that ``configuration`` does not name stay as they are. Equal ``seed`` gives equal fading and timing
        as far as configurations allow.
        """
        whole = Configuration.of(
            {a: s.overlaid(configuration.as_dict().get(a, NodeSettings())) for a, s in self.configuration.entries}
        )
        world = self._world(whole, f"measure/{seed}", with_flows=False)
        plan = plan_monitoring(self._monitoring(), whole, len(self.scenario.nodes), self._mean_heard)
        for firmware in world.firmwares:
            firmware.receive(self.inventory.gateway_address or 0, plan.to_payload(1), 0.0)
        world.env.run(until=self.notification_interval_s)
        members = [self.members(flow) for flow in self.flows]
        return press_flows(world, self.flows, members, presses=presses, spacing_s=spacing_s, seed=seed)

    def members(self, flow: Flow) -> frozenset[int]:
        """Node indices that a flow is for, its source left out."""
        if is_unicast(flow.destination):
            return frozenset({flow.destination - 1})
        return self.groups[flow.destination] - {flow.source - 1}

    @cached_property
    def _truth(self) -> dict[tuple[int, int], float]:
        world = self._world(self.configuration, "truth", with_flows=False)
        radio, stack = self.scenario.radio, self.scenario.stack
        channel_loss = np.array(mean_channel_loss(self.hidden.interference))
        step_s = (radio.airtime_us + radio.channel_gap_us) / 1e6
        # A scanner that leaves the third channel before the third PDU, and comes to the first after its PDU.
        deaf = (2 * step_s + radio.airtime_us / 1e6) / (stack.scan_interval_ms / 1e3) / 3
        power_dbm = np.array(world.power_dbm)  # (nodes, nodes, 3)
        points, weights = np.polynomial.hermite_e.hermegauss(15)
        chance = np.zeros_like(power_dbm)
        for point, weight in zip(points, weights / weights.sum(), strict=True):
            score = (power_dbm - point * self.hidden.fading_db - radio.sensitivity_dbm) / radio.softness_db
            chance += weight / (1 + np.exp(-np.clip(score, -40.0, 40.0)))
        delivery = (chance * (1 - channel_loss)).mean(axis=2) * (1 - deaf)
        size = len(delivery)
        return {(i + 1, j + 1): float(delivery[i, j]) for i in range(size) for j in range(size) if i != j}

    def true_delivery(self) -> dict[tuple[int, int], float]:
        """Delivery of a single transmission on a quiet channel by (source, target), for all pairs of addresses.

        Averaged over channels, fading and interference, and without what a receiver misses between two scan
        windows. Loss by the mesh's own traffic is not in it.
        """
        return dict(self._truth)

    @cached_property
    def _mean_heard(self) -> float:
        heard = sum(1 for delivery in self._truth.values() if delivery > 0.05)
        return heard / len(self.scenario.nodes)

    def _monitoring(self) -> Monitoring:
        return Monitoring(
            notification_interval_seconds=self.notification_interval_s,
            report_interval_seconds=self.report_interval_s,
            airtime_budget_percent=self.airtime_budget_percent,
        )

    def _world(self, configuration: Configuration, dice: str, *, with_flows: bool) -> World:
        changes: dict[str, object] = {"initial": to_entries(configuration)}
        if not with_flows:
            changes["flows"] = []
        seed = random.Random(f"{self.seed}/{dice}").getrandbits(48)
        world = World(self.scenario.model_copy(update=changes), self.seed, dice_seed=seed)
        for index in self.dead:
            network = world.networks[index]
            network.settings = network.settings.overlaid(NodeSettings(relay=False))
        if self.hidden.fading_db > 0:
            world.env.process(fade_for_ever(world, self.hidden, random.Random(f"{seed}/fading")))
        return world


def make_network(
    kind: str,
    nodes: int,
    seed: int,
    *,
    hidden: Hidden | None = None,
    degree: float | None = None,
    configuration: NodeSettings | None = None,
) -> TruthNetwork:
    """A network of one of `tests.truth.places.KINDS` with 8 to 200 nodes, every node reachable at first.

    ``hidden`` None: drawn, see `tests.truth.hidden.draw_hidden`. ``degree`` None: 6 to 16 neighbours within the
    median range, drawn. ``configuration`` overlays what is drawn for all nodes. Raises `ValueError` for an unknown
    kind, and if no draw hangs together.
    """
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is not one of {sorted(KINDS)}")
    for draw in range(DRAWS_MAX):
        network = _draw(kind, nodes, seed * DRAWS_MAX + draw, hidden, degree, configuration)
        usable = find_usable(World(network.scenario, network.seed).power_dbm, network.scenario.radio)
        if is_connected(usable):
            rng = random.Random(f"{network.seed}/dead")
            return replace(network, dead=choose_dead(usable, network.hidden.dead_relays, rng))
    raise ValueError(f"no connected {kind} of {nodes} nodes in {DRAWS_MAX} draws of seed {seed}")


def _draw(
    kind: str, nodes: int, seed: int, hidden: Hidden | None, degree: float | None, changes: NodeSettings | None
) -> TruthNetwork:
    rng = random.Random(f"{kind}/{nodes}/{seed}")
    radio = draw_radio(rng)
    spacing_m = spacing_for(kind, radio, rng.uniform(6.0, 16.0) if degree is None else degree)
    places = place_nodes(kind, nodes, spacing_m, rng)
    gateway = rng.randrange(nodes)
    flows, groups = draw_flows(places, gateway, rng)
    drawn = draw_configuration([UnicastAddress(i + 1) for i in range(nodes)], rng)
    whole = drawn
    if changes is not None:
        whole = Configuration.of({address: settings.overlaid(changes) for address, settings in drawn.entries})
    found = draw_hidden(nodes, rng)
    hidden = found if hidden is None else hidden
    scenario = to_scenario(places, radio, gateway, flows, groups, whole)
    scenario = scenario.model_copy(
        update={
            "interference": list(hidden.interference),
            "weak_nodes": hidden.weak_nodes,
            "weak_by_db": hidden.weak_by_db,
        }
    )
    return TruthNetwork(
        kind=kind,
        seed=seed,
        scenario=scenario,
        hidden=hidden,
        flows=tuple(flows),
        groups=groups,
        configuration=whole,
    )
