"""Observing by heartbeats: who listens to whom and when, what comes of it, and how long it takes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gateway.observed_mesh import IDENTITY, MONITOR, ObservedMesh

from meshtwin.contract.access import Opcode
from meshtwin.contract.configuration import FlowSpec, Verb
from meshtwin.contract.telemetry import FlowTelemetry, NeighbourTelemetry, NodeTelemetry
from meshtwin.contract.wire import SettingsEntry
from meshtwin.gateway.foundation import HeartbeatHeard, parse_heartbeats_heard
from meshtwin.gateway.heartbeats import HeartbeatBook
from meshtwin.gateway.rotation import Rotation, to_period_log
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import compute_digest, expand_settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BY_HEARTBEATS = replace(IDENTITY, observability="heartbeats")
FAST = MONITOR | {"notification_interval_seconds": 1, "airtime_budget_percent": 50}


def make_rotation(nodes: int, hops: dict[int, int], *, listen_s: float = 16.0, exchange_s: float = 1.0) -> Rotation:
    return Rotation(
        nodes=[UnicastAddress(a) for a in range(1, nodes + 1)],
        gateway=UnicastAddress(1),
        listen_s=listen_s,
        exchange_s=exchange_s,
        hops=hops,
    )


def run_round(rotation: Rotation) -> tuple[float, list[tuple[int, int, datetime, datetime]]]:
    """Seconds of one round, and who listened to whom from when to when, distances left out."""
    now, listening, seen = NOW, {}, []
    while rotation.rounds_done == 0:
        turn = rotation.due(now)
        if turn is None:
            assert rotation.next_at is not None
            now = rotation.next_at
            continue
        if turn.collect is not None and not turn.is_distance:
            seen.append((int(turn.node), int(turn.collect), listening[turn.node], now))
        if turn.listen is not None:
            listening[turn.node] = now
        rotation.done(now, is_listening=True, is_collected=True)
    return (now - NOW).total_seconds(), seen


@given(st.integers(2, 9), st.data())
def test_every_pair_that_may_hear_each_other_is_listened_to_once_and_long_enough(
    nodes: int, data: st.DataObject
) -> None:
    hops = {a: data.draw(st.integers(1, 4)) for a in range(2, nodes + 1) if data.draw(st.booleans())}
    rotation = make_rotation(nodes, hops)
    _, seen = run_round(rotation)

    distance = {1: 0} | hops
    wanted = {
        (a, b)
        for a in range(1, nodes + 1)
        for b in range(1, nodes + 1)
        if a != b and (a not in distance or b not in distance or abs(distance[a] - distance[b]) <= 1)
    }
    assert sorted((node, source) for node, source, _, _ in seen) == sorted(wanted)
    assert all(end - begin >= timedelta(seconds=16) for _, _, begin, end in seen)


@given(st.integers(3, 8), st.floats(0.1, 5.0), st.sampled_from([4.0, 16.0, 128.0]))
def test_the_time_of_a_full_picture_is_told_beforehand(nodes: int, exchange_s: float, listen_s: float) -> None:
    rotation = make_rotation(nodes, {}, listen_s=listen_s, exchange_s=exchange_s)
    told_s = rotation.compute_full_picture_s()

    took_s, _ = run_round(rotation)
    assert abs(took_s - told_s) <= 0.15 * told_s + 2 * nodes * exchange_s


def test_periods_are_powers_of_two_and_never_shorter_than_asked() -> None:
    assert [to_period_log(s) for s in (0.1, 1, 1.1, 2, 8, 9, 1e9)] == [1, 1, 2, 2, 4, 5, 0x11]


@given(st.integers(0, 16))
def test_the_range_of_a_logarithmic_count_holds_the_count(count: int) -> None:
    heard = parse_heartbeats_heard(bytes((3, 0, 1, 0xD0, 0, count.bit_length(), 1, 1)))
    counter = HeartbeatBook(epoch=0).fold(2, heard, 16, 3)

    assert heard.count_low <= count <= heard.count_high
    if count == 0:
        assert counter is None
    else:
        assert counter is not None
        assert abs(counter.received - count) <= counter.received_uncertainty
        assert counter.received + counter.received_uncertainty <= 17


def test_counts_add_up_over_rounds_and_a_link_that_went_silent_is_told() -> None:
    book = HeartbeatBook(epoch=4)
    full = HeartbeatHeard(source=3, count_low=16, count_high=31, min_hops=1, max_hops=1)
    silent = replace(full, count_low=0, count_high=0)
    book.fold(2, full, 16, 3)
    counter = book.fold(2, silent, 16, 3)

    assert counter is not None
    assert (counter.last_counter, counter.received, counter.received_uncertainty) == (32, 16, 0)


def test_neighbours_and_distances_come_from_heartbeats_alone() -> None:
    mesh = ObservedMesh(identity=BY_HEARTBEATS)
    mesh.command(Verb.ADOPT, "a0")
    result = mesh.command(Verb.MONITOR, **FAST)[-1]
    seconds = mesh.observing.full_picture_seconds
    assert seconds is not None
    mesh.run(1.5 * seconds)

    assert result.status == "done"
    pairs = {(t.node, n.neighbour) for t in mesh.told(NeighbourTelemetry) for n in t.neighbours}
    assert pairs == {p for a, b in zip(mesh.names, mesh.names[1:], strict=False) for p in ((a, b), (b, a))}
    nodes = mesh.told(NodeTelemetry)[-1].nodes
    assert {n.node: n.heartbeat_hops for n in nodes if n.heartbeat_hops} == {
        "0002": 1,
        "0003": 2,
        "0004": 3,
        "0005": 4,
    }
    assert Opcode.MONITOR not in {message.opcode for _, message in mesh.asked}


def test_heartbeats_and_the_questions_for_them_keep_the_budget() -> None:
    mesh = ObservedMesh(size=20, identity=BY_HEARTBEATS)
    mesh.command(Verb.ADOPT, "a0")
    mesh.command(Verb.MONITOR, run_s=60, **(MONITOR | {"airtime_budget_percent": 1}))
    before = len(mesh.asked)
    mesh.run(600)

    bill = mesh.observing.airtime
    assert bill is not None
    assert bill.heartbeats_ratio + bill.upkeep_ratio <= 1.02 * bill.budget_ratio
    floods = 2 * (len(mesh.asked) - before)
    assert floods * 376e-6 * 12 * 3 / 600 <= bill.budget_ratio  # 12 neighbours assumed, three copies


def test_a_node_listens_to_no_more_sources_than_its_replay_list_has_room_for() -> None:
    mesh = ObservedMesh(identity=BY_HEARTBEATS, crpl={3: 2})  # the gateway and one neighbour
    mesh.command(Verb.ADOPT, "a0")
    mesh.command(Verb.MONITOR, **FAST)
    mesh.run(2.0 * (mesh.observing.full_picture_seconds or 0))

    heard = {n.neighbour for t in mesh.told(NeighbourTelemetry) for n in t.neighbours if t.node == "0003"}
    assert len(heard) == 1


def test_a_node_that_missed_its_turn_listens_again_before_the_round_ends() -> None:
    mesh = ObservedMesh(identity=BY_HEARTBEATS)
    mesh.command(Verb.ADOPT, "a0")
    mesh.command(Verb.MONITOR, **FAST)
    while mesh.questions(Opcode.HEARTBEAT_SUBSCRIPTION_SET).count(4) < 2:  # the first one is for the distance
        mesh.run(0.5)
    mesh.silent.add(4)
    mesh.run(30)
    mesh.silent.clear()
    everybody_publishes = len(mesh.questions(Opcode.HEARTBEAT_PUBLICATION_SET)) + 2  # the next round begins so
    while len(mesh.questions(Opcode.HEARTBEAT_PUBLICATION_SET)) < everybody_publishes:
        mesh.run(1)

    pairs = {(t.node, n.neighbour) for t in mesh.told(NeighbourTelemetry) for n in t.neighbours}
    assert len(pairs) == 8


def test_a_command_in_the_middle_does_not_lose_a_turn() -> None:
    mesh = ObservedMesh(identity=BY_HEARTBEATS)
    mesh.command(Verb.ADOPT, "a0")
    mesh.command(Verb.MONITOR, **FAST)
    for attempt in range(10):
        mesh.command(Verb.ADOPT, f"b{attempt}", run_s=11.3)
    mesh.run(2.0 * (mesh.observing.full_picture_seconds or 0))

    pairs = {(t.node, n.neighbour) for t in mesh.told(NeighbourTelemetry) for n in t.neighbours}
    assert len(pairs) == 8


def test_a_gateway_sleeps_while_a_staged_configuration_waits() -> None:
    mesh = ObservedMesh(identity=BY_HEARTBEATS)
    mesh.command(Verb.ADOPT, "a0")
    mesh.command(Verb.MONITOR, **FAST)
    entries = [SettingsEntry(nodes=["0001-0005"], default_ttl=6)]
    target = expand_settings([entry.to_value() for entry in entries], mesh.nodes)
    staged = mesh.command(Verb.STAGE, "s1", revision=1, hash=compute_digest(target), settings=entries, run_s=120)[-1]

    assert staged.status == "done"


def test_flows_between_nodes_are_not_measured_where_nobody_counts_and_the_answer_says_so() -> None:
    mesh = ObservedMesh(identity=BY_HEARTBEATS)
    flow = FlowSpec(name="lights", source="0004", destination="c001", members=["0002"], deadline_ms=150)
    result = mesh.command(Verb.PROBE, flows=[flow], presses=5)[-1]

    assert result.status == "done"
    assert "not measured: lights, its nodes count nothing" in str(result.message)
    assert mesh.told(FlowTelemetry)[-1].flows[0].presses == 0
