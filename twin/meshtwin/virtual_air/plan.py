"""The network that is to be built: nodes, who hears whom, keys, settings; from the scenario of an emulated mesh."""

import hashlib
import random
import uuid
from dataclasses import dataclass

from meshtwin.emulation.radio import Reach, compute_power_dbm, compute_reaches
from meshtwin.emulation.scenario import MeshScenario, RadioModel
from meshtwin.gateway.bluez.commissioning import FIRST_SETTINGS
from meshtwin.gateway.bluez.local_node import NodeKeys
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import NodeSettings

__all__ = ["AirPlan", "PlannedNode", "plan_network"]

PowerRow = list[tuple[float, float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedNode:
    """One node; ``gateway_id`` not None: a gateway stands here, and its application is not ours."""

    address: int
    settings: NodeSettings
    report_to: int
    groups: tuple[int, ...]
    keys: NodeKeys
    gateway_id: str | None = None
    replay_list_size: int | None = None  # None: as any node of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class AirPlan:
    """``power_dbm[i][j]``: what node j receives of node i on channels 37, 38, 39."""

    scenario: MeshScenario
    seed: int
    radio: RadioModel
    nodes: tuple[PlannedNode, ...]
    power_dbm: list[PowerRow]

    def reaches(self) -> list[tuple[Reach, ...]]:
        """Who hears each node, without faults."""
        return [compute_reaches(row, self.radio, {}) for row in self.power_dbm]

    def index_of(self, address: int) -> int | None:
        """Number of the node with an address; None: no such node."""
        return next((i for i, node in enumerate(self.nodes) if node.address == address), None)


def plan_network(scenario: MeshScenario, seed: int | None = None) -> AirPlan:
    """The network of a scenario; ``seed`` None: the scenario's own."""
    chosen = scenario.seed if seed is None else seed
    initial = scenario.initial_configuration().as_dict()
    gateways = {gateway.id: gateway for gateway in scenario.gateways}
    rng = random.Random(f"{chosen}/weak")  # noqa: S311  # physics, not secrets
    weak = set(rng.sample(range(len(scenario.nodes)), min(scenario.weak_nodes, len(scenario.nodes))))
    weak_db = [n.weak_db + (scenario.weak_by_db if i in weak else 0.0) for i, n in enumerate(scenario.nodes)]
    nodes = []
    for node in scenario.nodes:
        address, gateway = int(node.address, 16), gateways[node.gateway]
        groups = (int(gateway.report_group, 16), *(int(group, 16) for group in node.groups))
        nodes.append(
            PlannedNode(
                address=address,
                settings=FIRST_SETTINGS.overlaid(initial.get(UnicastAddress(address), NodeSettings())),
                report_to=int(gateway.node, 16),
                groups=groups,
                keys=make_keys(scenario.mesh_uuid, node.address),
                gateway_id=gateway.id if gateway.node == node.address else None,
                replay_list_size=node.replay_list_size,
            )
        )
    power_dbm = compute_power_dbm(scenario.nodes, scenario.radio, weak_db, chosen)
    return AirPlan(scenario=scenario, seed=chosen, radio=scenario.radio, nodes=tuple(nodes), power_dbm=power_dbm)


def make_keys(mesh_uuid: str, address: str) -> NodeKeys:
    """Keys of one node of a test network: derived from the mesh's UUID, so secret from nobody."""
    return NodeKeys(
        address=int(address, 16),
        uuid=_rfc_4122(f"{mesh_uuid}/{address}"),
        device_key=_digest(f"{mesh_uuid}/device/{address}"),
        net_key=_digest(f"{mesh_uuid}/net"),
        app_key=_digest(f"{mesh_uuid}/app"),
    )


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


def _rfc_4122(text: str) -> bytes:
    """The node's UUID as its inventory says it (`meshtwin.emulation.inventories`) where the mesh's is one."""
    mesh, _, address = text.rpartition("/")
    try:
        return uuid.uuid5(uuid.UUID(mesh), address).bytes
    except ValueError:
        return uuid.uuid5(uuid.NAMESPACE_OID, text).bytes
