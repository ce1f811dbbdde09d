"""Parts of the gateway: phases, exchanges, counters, probe figures, report plans, the store."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.contract.access import (
    Access,
    NeighbourRecord,
    Opcode,
    decode_access,
    decode_records,
    decode_status,
    encode_access,
    encode_records,
    encode_set,
)
from meshtwin.contract.configuration import FlowSpec, GatewayPhase, Outcome
from meshtwin.errors import Inconsistent, InvalidInput, Unavailable
from meshtwin.gateway.book import NodeBook
from meshtwin.gateway.exchanges import Completed, Exchanges, Outgoing, Request
from meshtwin.gateway.jobs import plan_commit, plan_restore
from meshtwin.gateway.measured import UNTIMED, Measured, to_report
from meshtwin.gateway.memory import Memory, Monitoring, NodeException, Pending, parse_memory, to_bytes
from meshtwin.gateway.monitor import CounterBook, plan_reports
from meshtwin.gateway.phases import NEXT, PhaseEvent, next_phase
from meshtwin.gateway.store import MemoryStore
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
A, B, C = UnicastAddress(1), UnicastAddress(2), UnicastAddress(3)
TRANSMITS = st.builds(Transmit, count=st.integers(0, 7), interval_steps=st.integers(0, 31))
SETTINGS = st.builds(
    NodeSettings,
    relay=st.booleans(),
    relay_retransmit=TRANSMITS,
    network_transmit=TRANSMITS,
    default_ttl=st.sampled_from([0, 2, 6, 127]),
)


@given(SETTINGS, SETTINGS)
def test_the_sets_turn_what_a_node_has_into_what_is_wanted(known: NodeSettings, wanted: NodeSettings) -> None:
    node = known
    for payload in encode_set(wanted, known):
        message = decode_access(payload)
        assert message is not None
        node = node.overlaid(decode_status(message))

    assert node == wanted


@given(
    st.lists(
        st.builds(
            NeighbourRecord,
            neighbour_low=st.integers(0, 255),
            expected=st.integers(0, 255),
            received=st.integers(0, 255),
            transmissions=st.integers(1, 8),
            rssi_dbm=st.none() | st.sampled_from(range(-100, -29, 5)),
            odd_epoch=st.booleans(),
        ),
        max_size=2,
    )
)
def test_records_of_a_report_survive_the_air(records: list[NeighbourRecord]) -> None:
    assert decode_records(encode_records(tuple(records))) == tuple(records)


def test_a_message_longer_than_eleven_bytes_is_refused() -> None:
    with pytest.raises(InvalidInput, match="12 bytes"):
        encode_access(Opcode.RESULT, bytes(9))


def test_a_phase_that_an_event_does_not_fit_is_an_error_with_both_names() -> None:
    with pytest.raises(Inconsistent, match=r"confirm .* idle"):
        next_phase(GatewayPhase.IDLE, PhaseEvent.CONFIRM)


def test_every_phase_leads_back_to_idle() -> None:
    reached = {GatewayPhase.IDLE}
    while grown := {a for (a, _), b in NEXT.items() if b in reached} - reached:
        reached |= grown
    assert reached == set(GatewayPhase)


def request(node: int, tries: int = 3) -> Request:
    return Request(node=node, payload=encode_access(Opcode.RELAY_GET), answer=Opcode.RELAY_STATUS, tries=tries)


def test_a_lost_exchange_is_repeated_and_then_given_up() -> None:
    exchanges = Exchanges()
    exchanges.add(request(1))
    sent, completed, now = len(exchanges.start_waiting(NOW)), list[Completed](), NOW
    while (wake_at := exchanges.next_wakeup()) is not None:
        assert wake_at > now
        now = wake_at
        for event in exchanges.expire(now):
            sent += isinstance(event, Outgoing)
            completed += [event] if isinstance(event, Completed) else []

    assert sent == 3
    assert [c.answer for c in completed] == [None]
    assert exchanges.is_idle


def test_floods_are_spaced_so_that_relays_can_send_them() -> None:
    exchanges = Exchanges(flood_s=0.15)
    for node in (1, 2, 3):
        exchanges.add(request(node))

    assert len(exchanges.start_waiting(NOW)) == 1
    assert exchanges.start_waiting(NOW + timedelta(seconds=0.9)) == []
    assert len(exchanges.start_waiting(NOW + timedelta(seconds=1.0))) == 1


def ask_often(exchanges: Exchanges, answers_after_s: float, lost_first: int = 0) -> float:
    """The gap between questions after forty exchanges, of which every ``lost_first``-th takes a second try."""
    now = NOW
    for index in range(40):
        exchanges.add(request(1))
        while not exchanges.start_waiting(now):
            now = exchanges.next_wakeup() or now
        if lost_first and index % lost_first == 0:
            while not any(isinstance(event, Outgoing) for event in exchanges.expire(now)):
                now = exchanges.next_wakeup() or now
        now += timedelta(seconds=answers_after_s)
        assert exchanges.answered(1, Access(Opcode.RELAY_STATUS, b"\x01\x00"), now) is not None
    return exchanges.gap_s


def test_a_mesh_that_answers_in_good_time_is_asked_as_often_as_its_share_allows() -> None:
    assert ask_often(Exchanges(flood_s=0.07, occupancy_share=0.7), 0.1) == pytest.approx(0.2)


def test_a_mesh_that_needs_second_tries_is_asked_less_and_again_more_when_it_does_not() -> None:
    exchanges = Exchanges(flood_s=0.07, occupancy_share=0.7)

    slow_s = ask_often(exchanges, 0.1, lost_first=2)
    assert slow_s > 0.8
    assert ask_often(exchanges, 0.1, lost_first=10) == pytest.approx(0.2, rel=0.5)  # a lossy mesh is not a busy one
    assert ask_often(exchanges, 0.1) == pytest.approx(0.2)


def test_silence_does_not_slow_the_gateway_down() -> None:
    exchanges = Exchanges(flood_s=0.07)
    exchanges.add(request(1))
    exchanges.start_waiting(NOW)
    while (wake_at := exchanges.next_wakeup()) is not None:
        list(exchanges.expire(wake_at))

    assert exchanges.gap_s == Exchanges(flood_s=0.07).gap_s


def test_no_more_than_three_answers_are_waited_for_and_late_ones_leave_their_place() -> None:
    exchanges = Exchanges(flood_s=0.001)
    for node in range(1, 9):
        exchanges.add(request(node))
    now, sent = NOW, list[tuple[float, int]]()
    while (now - NOW).total_seconds() < 10 and not exchanges.is_idle:
        events = [e for e in exchanges.expire(now) if isinstance(e, Outgoing)] + exchanges.start_waiting(now)
        sent += [((now - NOW).total_seconds(), event.request.node) for event in events]
        now = exchanges.next_wakeup() or now

    for at_s, _ in sent:
        assert sum(at_s - 1.99 < other_s <= at_s for other_s, _ in sent) <= 3  # usual: 0.8 s, and 0.3 s a hop
    assert {node for at_s, node in sent if at_s < 6} == set(range(1, 9))


def test_a_question_whose_answer_is_segmented_takes_as_much_time_and_room_as_its_floods() -> None:
    exchanges = Exchanges(flood_s=0.07, occupancy_share=0.7)
    plain = request(1)
    exchanges.add(Request(node=9, payload=plain.payload, answer=plain.answer, floods=6))
    exchanges.add(plain)

    assert [sent.request.node for sent in exchanges.start_waiting(NOW)] == [9]
    assert exchanges.next_wakeup() == NOW + timedelta(seconds=2)  # its three places are free when it is overdue
    exchanges.answered(9, Access(Opcode.RELAY_STATUS, b"\x01\x00"), NOW + timedelta(seconds=0.1))
    after = exchanges.next_wakeup()
    assert after is not None
    assert (after - NOW).total_seconds() == pytest.approx(3 * 0.14 / 0.3, abs=1e-3)


def test_an_answer_of_another_kind_does_not_complete_an_exchange() -> None:
    exchanges = Exchanges()
    exchanges.add(request(1))
    exchanges.start_waiting(NOW)

    assert exchanges.answered(1, Access(Opcode.DEFAULT_TTL_STATUS, b"\x05"), NOW) is None
    assert exchanges.answered(2, Access(Opcode.RELAY_STATUS, b"\x01\x00"), NOW) is None
    assert exchanges.answered(1, Access(Opcode.RELAY_STATUS, b"\x01\x00"), NOW) is not None


def record(expected: int, received: int, transmissions: int = 3) -> NeighbourRecord:
    return NeighbourRecord(
        neighbour_low=2,
        expected=expected & 255,
        received=received & 255,
        transmissions=transmissions,
        rssi_dbm=-70,
        odd_epoch=False,
    )


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0, 1)), min_size=1, max_size=30))
def test_eight_bit_counters_become_cumulative_ones(steps: list[tuple[int, float]]) -> None:
    book = CounterBook(time_scale=1.0, notification_s=1.0)
    expected = received = 0
    now, last = NOW, (0, 0)
    for grown, heard in steps:
        expected, received = expected + grown, received + int(grown * heard)
        now += timedelta(seconds=max(1, grown))
        counter = book.fold(A, [record(expected, received)], now)[0]
        last = (counter.last_counter, counter.received)

    assert last == (expected, received)


def test_a_neighbour_that_repeats_otherwise_starts_a_new_epoch() -> None:
    book = CounterBook(time_scale=1.0, notification_s=1.0)
    first = book.fold(A, [record(50, 40, transmissions=3)], NOW)[0]
    second = book.fold(A, [record(5, 5, transmissions=2)], NOW + timedelta(seconds=60))[0]

    assert second.epoch > first.epoch
    assert (second.last_counter, second.received) == (5, 5)


def test_records_of_an_earlier_monitoring_epoch_are_left_out() -> None:
    book = CounterBook(time_scale=1.0, monitor_epoch=1)

    assert book.fold(A, [record(50, 40)], NOW) == []


@given(st.integers(1, 300), st.floats(0.1, 10), st.floats(1, 600))
def test_reports_stay_within_their_airtime_budget(nodes: int, budget: float, interval_s: float) -> None:
    monitoring = Monitoring(
        notification_interval_seconds=10, report_interval_seconds=interval_s, airtime_budget_percent=budget
    )
    relays = NodeSettings(relay=True, relay_retransmit=Transmit(count=4, interval_steps=1))

    plan = plan_reports(monitoring, Configuration.of({A: relays}), nodes, heard=12, flood_s=0.125)

    flood_s = 376e-6 * 12 * 5
    assert plan.messages_per_report * nodes / plan.report_s * flood_s <= budget / 100 * 1.001


def test_a_commit_widens_outward_before_it_narrows_inward() -> None:
    on = NodeSettings(relay=True, default_ttl=10)
    off = NodeSettings(relay=False, default_ttl=5)
    book = NodeBook(known={A: on, B: on, C: off}, hops={2: 1, 3: 2})
    target = Configuration.of({A: on, B: off, C: on})

    stages = [[(n, s) for n, s in stage if book.known[n] != s] for stage in plan_commit(book, target, A)]

    assert [stage for stage in stages if stage] == [[(C, on)], [(C, on)], [(B, off)]]


def test_restoring_goes_from_the_gateway_outward() -> None:
    book = NodeBook(hops={2: 2, 3: 1})
    target = Configuration.of(dict.fromkeys((A, B, C), NodeSettings(relay=True)))

    assert [[n for n, _ in stage] for stage in plan_restore(book, target, A)] == [[A], [C], [B]]


def test_lost_and_unfetched_members_count_as_late() -> None:
    flow = FlowSpec(name="f", source="0001", destination="c001", members=["0002", "0003"], deadline_ms=100)
    measured = Measured(flow, probe=1, started=True, latency_ms={B: [10, 90, 120, None], C: [20, 30, 20, 20]})

    report = to_report(measured, 4, "a", 10.0)
    assert (report.presses, report.on_time_presses, report.delivered_pairs, report.sent_pairs) == (4, 2, 7, 8)
    assert report.spread is not None
    assert sum(report.spread.counts) == 3

    measured.latency_ms.pop(C)
    assert to_report(measured, 4, "a", 10.0).on_time_presses == 0


def test_nodes_without_a_clock_tell_what_arrived_and_no_latency() -> None:
    flow = FlowSpec(name="f", source="0001", destination="c001", members=["0002", "0003"], deadline_ms=100)
    rows: dict[UnicastAddress, list[int | None]] = {B: [UNTIMED, UNTIMED, None], C: [UNTIMED, UNTIMED, UNTIMED]}

    report = to_report(Measured(flow, probe=1, started=True, latency_ms=rows), 3, "a", 10.0)

    assert (report.on_time_presses, report.delivered_pairs, report.how_known) == (2, 5, "receiverCounted")
    assert (report.deadline_ms, report.latency, report.spread, report.clock_uncertainty_ms) == (None,) * 4


def full_memory() -> Memory:
    settings = NodeSettings(relay=True, default_ttl=5, relay_retransmit=Transmit(count=1, interval_steps=2))
    configuration = Configuration.of({A: settings, B: settings})
    return Memory(
        phase=GatewayPhase.ARMED,
        epoch=4,
        revision=2,
        hash="sha256:" + "a" * 64,
        configuration=configuration,
        known=configuration,
        nodes=(A, B),
        pending=Pending(attempt_id="x", revision=3, hash="sha256:" + "b" * 64, configuration=configuration),
        rollback_at=NOW,
        rejected_hashes=("sha256:" + "c" * 64,),
        exceptions={B: NodeException(Outcome.UNKNOWN, "no answer")},
        drifted=(A,),
        monitoring=Monitoring(notification_interval_seconds=10, report_interval_seconds=60, airtime_budget_percent=1),
        adopted_at=NOW,
    )


def test_memory_survives_the_disk(tmp_path: Path) -> None:
    MemoryStore(tmp_path).write(full_memory())

    assert MemoryStore(tmp_path).read() == full_memory()


def test_a_write_that_was_cut_off_leaves_the_version_before(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    store.write(full_memory())
    (tmp_path / ".gateway.json.new").write_bytes(to_bytes(Memory())[:40])  # killed before the rename

    assert MemoryStore(tmp_path).read() == full_memory()


@pytest.mark.parametrize("data", [b"", b"{", b"{}", b"[]", to_bytes(full_memory())[:-30], b'{"format": 2}'])
def test_a_broken_memory_is_refused_not_guessed(data: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_memory(data, "gateway.json")
    assert caught.value.reason == "MemoryBroken"


@pytest.mark.parametrize("address", ["0000", "ffff", "node"])
def test_a_memory_with_a_node_that_is_none_is_refused(address: str) -> None:
    data = to_bytes(full_memory()).replace(b'"0001"', f'"{address}"'.encode())

    with pytest.raises(InvalidInput) as caught:
        parse_memory(data, "gateway.json")
    assert caught.value.reason == "MemoryBroken"


@pytest.mark.parametrize("missing", ["pending", "rollback_at"])
def test_an_armed_memory_without_what_its_timer_needs_is_refused(missing: str) -> None:
    armed = replace(full_memory(), phase=GatewayPhase.ARMED)

    with pytest.raises(InvalidInput, match="phase armed without"):
        parse_memory(to_bytes(replace(armed, **{missing: None})), "gateway.json")


def test_what_is_said_of_a_broken_memory_is_one_line() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_memory(b"{}", "gateway.json")
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="not usable"):
        MemoryStore(tmp_path / "file" / "data")
