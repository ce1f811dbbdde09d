"""What happens by itself in a scenario: buttons that are pressed, interference, faults at their time."""

import asyncio
import random

import structlog

from meshtwin.emulation.scenario import FaultModel, FlowModel, InterferenceModel
from meshtwin.errors import MeshTwinError
from meshtwin.virtual_air.network import VirtualNetwork

__all__ = ["run_traffic"]

log = structlog.get_logger(__name__)


async def run_traffic(network: VirtualNetwork) -> None:
    """Run flows, interference and faults of the scenario from now on, until cancelled."""
    scenario = network.plan.scenario
    async with asyncio.TaskGroup() as group:
        for flow in scenario.flows:
            if flow.rate_per_minute > 0:
                group.create_task(_press(network, flow))
        for interference in scenario.interference:
            group.create_task(_interfere(network, interference))
        for fault in scenario.faults:
            group.create_task(_fail(network, fault))


def _stream(network: VirtualNetwork, name: str) -> random.Random:
    return random.Random(f"{network.plan.seed}/{name}")  # noqa: S311  # traffic, not secrets


async def _press(network: VirtualNetwork, flow: FlowModel) -> None:
    """Messages of one flow at random times; a source without power, or where a gateway stands, sends nothing."""
    rng, index = _stream(network, f"flow/{flow.name}"), network.plan.index_of(int(flow.source, 16))
    transaction = 0
    while index is not None:
        await asyncio.sleep(rng.expovariate(flow.rate_per_minute / 60))
        application = network.stations[index].application
        if application is not None and network.air.physics.powered[index]:
            transaction += 1
            application.press(int(flow.destination, 16), transaction)


async def _interfere(network: VirtualNetwork, model: InterferenceModel) -> None:
    rng, channel = _stream(network, f"interference/{model.channel}"), model.channel - 37
    await asyncio.sleep(rng.uniform(0, model.every_seconds))
    while True:
        network.air.physics.channel_loss[channel] = model.loss_ratio
        await asyncio.sleep(model.lasts_seconds)
        network.air.physics.channel_loss[channel] = 0.0
        await asyncio.sleep(max(0.1, model.every_seconds - model.lasts_seconds))


async def _fail(network: VirtualNetwork, fault: FaultModel) -> None:
    await asyncio.sleep(fault.at_seconds)
    try:
        await network.act(fault.action)
    except MeshTwinError as error:
        log.warning("Fault of the scenario not done", action=str(fault.action), error=str(error))
