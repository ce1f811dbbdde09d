"""What tells the toolbox's node from others, on scenarios small enough to count by hand."""

import pytest

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.engine import simulate
from meshtwin.sim.packets import RecordKind
from meshtwin.sim.profiles import get_profile
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode

ONCE_EACH_60_MS = Transmit(count=0, interval_steps=5)
A, B, FAR = UnicastAddress(1), UnicastAddress(2), UnicastAddress(3)


def make(profile="mathworks", *, messages=1, relays=(A, B), target=FAR):
    return Scenario(
        name="three",
        nodes=tuple(
            ScenarioNode(
                address=a, relay=a in relays, ttl=5, network_transmit=ONCE_EACH_60_MS, relay_retransmit=ONCE_EACH_60_MS
            )
            for a in (A, B, FAR)
        ),
        links=tuple(ScenarioLink(source=a, target=b, delivery=1.0) for a, b in ((A, B), (B, A))),
        flows=tuple(
            ScenarioFlow(name=f"f{i}", source=A, members=(target,), count=1, period_s=1.0) for i in range(messages)
        ),
        profile=get_profile(profile),
        is_traced=True,
    )


def sendings(scenario, seed):
    records = simulate(scenario, seed=seed).records
    return [(r.node, r.time_ns / 1e6) for r in records if r.kind is RecordKind.TRANSMITTED]


def relays_of_source(scenario, seed):
    return [r for r in simulate(scenario, seed=seed).records if r.kind is RecordKind.RELAYED and r.node == A]


@pytest.mark.parametrize("seed", range(5))
def test_node_relays_its_own_message_once_when_a_neighbour_has_relayed_it(seed):
    heard_back = [r for r in simulate(make(), seed=seed).records if r.kind is RecordKind.RECEIVED and r.node == A]
    assert len(relays_of_source(make(), seed)) == len(heard_back) <= 1


def test_other_stacks_never_relay_their_own_message():
    assert all(relays_of_source(make("zephyr"), seed) == [] for seed in range(5))


@pytest.mark.parametrize("seed", range(5))
def test_first_message_leaves_one_interval_later_at_the_end_of_a_scan_window(seed):
    ((node, time_ms),) = sendings(make(relays=()), seed)
    assert node == A
    assert time_ms == 90.0  # 61 to 70 ms, then the window that began at 60 ms


@pytest.mark.parametrize("seed", range(5))
def test_next_message_is_taken_when_the_one_before_is_handed_over(seed):
    times_ms = [time_ms for _, time_ms in sendings(make(messages=3, relays=()), seed)]
    # handed over after 61 to 70 ms each; then at most the event before (30 ms) and a scan window (30 ms) are waited for
    for place, time_ms in enumerate(times_ms, start=1):
        assert 61.0 * place <= time_ms <= 70.0 * place + 60.0


@pytest.mark.parametrize("profile", ["mathworks", "zephyr", "bluez", "nrf5-sdk"])
def test_destination_of_a_unicast_message_does_not_relay_it(profile):
    records = simulate(make(profile, target=B), seed=1).records
    assert [r for r in records if r.kind is RecordKind.RELAYED] == []
