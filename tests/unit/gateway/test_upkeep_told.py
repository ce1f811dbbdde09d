"""What a gateway tells of its upkeep is what it then sends, and all that it reads is billed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.unit.gateway.observed_mesh import IDENTITY, MONITOR, NOTIFICATION, ObservedMesh

from meshtwin.contract.access import Opcode
from meshtwin.contract.configuration import Verb
from meshtwin.gateway.bill import COMPOSITIONS, MODELS, READ_BACK_SHARE, Costs
from meshtwin.gateway.memory import Monitoring
from meshtwin.gateway.outbox import Identity
from meshtwin.gateway.turns import READ_BACKS_PER_LOOK
from meshtwin.mesh.configuration import NodeSettings, Transmit
from meshtwin.mesh.reporting import READ_BACK_PAUSE_S
from meshtwin.mesh.upkeep import UpkeepPart

THRICE = Transmit(count=2, interval_steps=1)
RELAY = NodeSettings(relay=True, relay_retransmit=THRICE, network_transmit=THRICE, default_ttl=10)
WITH_MODELS = replace(IDENTITY, notification=NOTIFICATION)
LONG_S = 8 * READ_BACKS_PER_LOOK * READ_BACK_PAUSE_S


def costs(budget_percent: float, looks: Sequence[UpkeepPart] = (), *, keeps_budget: bool = True) -> Costs:
    monitoring = Monitoring(
        notification_interval_seconds=10, report_interval_seconds=60, airtime_budget_percent=budget_percent
    )
    return Costs.of(monitoring, [RELAY], 12.0, repeats=False, looks=looks, keeps_budget=keeps_budget)


def test_reading_compositions_and_models_is_billed() -> None:
    alone, with_looks = costs(5.0), costs(5.0, (COMPOSITIONS, MODELS))

    more = with_looks.upkeep_ratio - alone.upkeep_ratio

    assert more == pytest.approx(12 / READ_BACKS_PER_LOOK / READ_BACK_PAUSE_S * alone.message_s)


@pytest.mark.parametrize("budget_percent", [0.05, 0.2, 1.0])
def test_all_reading_together_keeps_its_share_of_the_budget(budget_percent: float) -> None:
    told = costs(budget_percent, (COMPOSITIONS, MODELS))
    reading = [part for part in told.upkeep if part.name != "intervals"]

    ratio = sum(p.messages * told.message_s * p.compute_per_s(told.message_s, told.budget_ratio) for p in reading)

    assert ratio <= READ_BACK_SHARE * told.budget_ratio * 1.0001
    assert told.read_back_pause_s >= READ_BACK_PAUSE_S


def test_a_stack_without_a_budget_reads_back_as_often_as_ever() -> None:
    assert costs(0.05).read_back_pause_s > READ_BACK_PAUSE_S
    assert costs(0.05, keeps_budget=False).read_back_pause_s == READ_BACK_PAUSE_S


@pytest.mark.parametrize("identity", [IDENTITY, WITH_MODELS])
def test_a_gateway_sends_as_many_questions_of_each_kind_as_it_tells(identity: Identity) -> None:
    mesh = ObservedMesh(identity=identity)
    mesh.command(Verb.ADOPT, "a0")
    mesh.command(Verb.MONITOR, **MONITOR)
    mesh.run(600)  # what is asked once is over
    before = len(mesh.asked)
    mesh.run(LONG_S)
    asked = Counter(message.opcode for node, message in mesh.asked[before:] if node != 1)

    told = {part.name: part.per_second for part in mesh.observing.upkeep or ()}
    others = 4 / 5  # the turn of the gateway's own node takes no airtime
    assert asked[Opcode.RELAY_GET] == pytest.approx(told["settings"] * LONG_S * others, rel=0.1)
    assert asked[Opcode.COMPOSITION_GET] == pytest.approx(told["compositions"] * LONG_S * others, abs=1.7)
    assert asked[Opcode.MODEL_PUBLICATION_GET] == pytest.approx(told.get("models", 0.0) * LONG_S * others, abs=1.7)
    assert asked[Opcode.MONITOR] == pytest.approx(told["intervals"] * LONG_S, rel=0.1)


def test_by_heartbeats_the_questions_for_them_are_told() -> None:
    mesh = ObservedMesh(identity=replace(IDENTITY, observability="heartbeats"))
    mesh.command(Verb.ADOPT, "a0")
    mesh.command(Verb.MONITOR, run_s=120, **MONITOR)
    before = len(mesh.asked)
    mesh.run(1200)

    parts = {part.name: part for part in mesh.observing.upkeep or ()}
    asked = sum(message.opcode.name.startswith("HEARTBEAT") for _, message in mesh.asked[before:])
    assert parts.keys() == {"settings", "compositions", "intervals", "heartbeats"}
    assert 0 < asked / 1200 <= 1.05 * parts["heartbeats"].per_second
    assert mesh.observing.notification_transmissions is None


def test_what_changes_is_the_plan_and_not_the_news_of_it() -> None:
    mesh = ObservedMesh()
    mesh.command(Verb.ADOPT, "a0")
    mesh.command(Verb.MONITOR, run_s=120, **MONITOR)
    first = mesh.observing.upkeep
    mesh.run(3600)

    assert mesh.observing.upkeep == first
    assert mesh.observing.notification_transmissions == 1
